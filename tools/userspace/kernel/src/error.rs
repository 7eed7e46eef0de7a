// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::error`.

use crate::alloc::AllocError;
use core::{
    convert::Infallible,
    ffi::c_int,
    fmt,
    num::NonZeroI32, //
};

/// Mirrors `kernel::error::Error`: a negative errno.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// Mirrors `kernel::error::Result`.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// The largest errno that a pointer may hold, `MAX_ERRNO`.
const MAX_ERRNO: i32 = 4095;

macro_rules! errors {
    ($($name:ident $number:literal $text:literal;)*) => {
        /// Mirrors `kernel::error::code`: the errors that the engine uses.
        pub mod code {
            use super::Error;

            $(
                #[doc = $text]
                pub const $name: Error = Error::from_positive($number);
            )*
        }

        /// The names.
        const NAMES: &[(i32, &str)] = &[$(($number, stringify!($name))),*];
    };
}

errors! {
    EPERM 1 "Operation not permitted.";
    ENOENT 2 "No such file or directory.";
    ESRCH 3 "No such process.";
    EINTR 4 "Interrupted system call.";
    EIO 5 "I/O error.";
    E2BIG 7 "Argument list too long.";
    EAGAIN 11 "Try again.";
    ENOMEM 12 "Out of memory.";
    EACCES 13 "Permission denied.";
    EFAULT 14 "Bad address.";
    EBUSY 16 "Device or resource busy.";
    EEXIST 17 "File exists.";
    ENODEV 19 "No such device.";
    EINVAL 22 "Invalid argument.";
    ENOSPC 28 "No space left on device.";
    ERANGE 34 "Math result not representable.";
    ENODATA 61 "No data available.";
    EPROTO 71 "Protocol error.";
    EOVERFLOW 75 "Value too large for defined data type.";
    ETIMEDOUT 110 "Connection timed out.";
}

impl Error {
    const fn from_positive(number: i32) -> Self {
        match NonZeroI32::new(-number) {
            Some(errno) => Self(errno),
            None => panic!("0 is no error"),
        }
    }

    /// Mirrors `Error::from_errno`. A number out of range becomes `EINVAL`.
    pub fn from_errno(errno: c_int) -> Self {
        match NonZeroI32::new(errno) {
            Some(number) if (-MAX_ERRNO..0).contains(&errno) => Self(number),
            _ => code::EINVAL,
        }
    }

    /// Mirrors `Error::to_errno`.
    pub fn to_errno(self) -> c_int {
        self.0.get()
    }

    /// Mirrors `Error::to_ptr`, `ERR_PTR()`.
    pub fn to_ptr<T>(self) -> *mut T {
        core::ptr::without_provenance_mut(self.0.get() as isize as usize)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(number, _)| -number == self.0.get());
        match name {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "Error({})", self.0),
        }
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Mirrors `kernel::error::from_err_ptr`.
///
/// # Errors
///
/// The errno that the pointer holds, if it holds one.
pub fn from_err_ptr<T>(pointer: *mut T) -> Result<*mut T> {
    let value = pointer.addr() as isize;
    if (-(MAX_ERRNO as isize)..0).contains(&value) {
        return Err(Error::from_errno(value as c_int));
    }
    Ok(pointer)
}

/// Mirrors `kernel::error::to_result`.
///
/// # Errors
///
/// The errno, if it is negative.
pub fn to_result(errno: c_int) -> Result {
    if errno < 0 {
        return Err(Error::from_errno(errno));
    }
    Ok(())
}
