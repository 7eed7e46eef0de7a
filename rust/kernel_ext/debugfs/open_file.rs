// SPDX-License-Identifier: GPL-2.0

//! The operations of an open file.
//!
//! An open file has a text. Opened for reading alone, it is what `show` writes; `read()` copies from
//! it. So all parts of what a reader reads belong together, and `open()` returns an error as errno.
//! A `seq_file` would call `show` again with each larger buffer, and would not return its error.
//! Opened for writing, the text is the answer to the last write.

use super::Behind;
use crate::{
    ffi::SR_FMODE_PWRITE,
    kernel_ext::module::this_module, //
};
use core::{
    marker::PhantomData,
    mem,
    ptr, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int, //
    },
    fmt,
    fs::file::flags::{
        O_ACCMODE,
        O_RDONLY, //
    },
    new_mutex,
    prelude::*,
    sync::Mutex,
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// What an open file holds. Its memory is accounted to the opener.
pub(crate) struct Text(KVVec<u8>);

impl Text {
    /// Adds what `write` writes. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; also if `write` fails, which it does for no other reason.
    pub(crate) fn add(&mut self, write: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result) -> Result {
        fmt::Write::write_fmt(self, fmt!("{}", By(write))).map_err(|_| ENOMEM)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0
            .extend_from_slice(part.as_bytes(), GFP_KERNEL_ACCOUNT)
            .map_err(|_| fmt::Error)
    }
}

/// Formats by a function.
struct By<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// The text of an open file: `private_data`.
type Shared = Pin<KBox<Mutex<Text>>>;

/// The operations of files with a `T` behind them.
pub(super) struct Operations<T>(PhantomData<T>);

impl<T: Send + Sync + 'static> Operations<T> {
    pub(super) const READ: bindings::file_operations = bindings::file_operations {
        owner: this_module(),
        open: Some(open::<T>),
        read: Some(read),
        llseek: Some(llseek),
        release: Some(release),
        ..pin_init::zeroed()
    };

    pub(super) const READ_WRITE: bindings::file_operations = bindings::file_operations {
        write: Some(write::<T>),
        ..Self::READ
    };
}

/// Returns what is behind a file.
///
/// # Safety
///
/// The inode is that of a [`File<T>`](super::File), and stays so for `'a`.
unsafe fn behind<'a, T>(inode: *mut bindings::inode) -> &'a Behind<T> {
    // SAFETY: The caller's; the invariant of `File` says what `i_private` is, and that is there as
    // long as the file is.
    unsafe { &*(*inode).i_private.cast() }
}

/// # Safety
///
/// The inode is that of a [`File<T>`](super::File), and `file` is being opened.
unsafe extern "C" fn open<T>(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    let open = || -> Result {
        // SAFETY: The caller's.
        let (behind, flags) = unsafe { (behind::<T>(inode), (*file).f_flags) };
        // What `show` has written is delivered: nothing fails behind it.
        let room = KBox::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let mut text = Text(KVVec::new());
        if flags & O_ACCMODE == O_RDONLY {
            (behind.show)(&behind.data, &mut text)?;
        }
        let text = room.write_pin_init(new_mutex!(text, "shadow_rmap::text"))?;
        // SAFETY: The caller's: no other thread has the file yet.
        unsafe {
            (*file).private_data = text.into_foreign();
            // `pwrite()` has no position to go to, and would not hold the lock of the file's.
            (*file).f_mode &= !SR_FMODE_PWRITE;
        }
        Ok(())
    };
    open().map_or_else(Error::to_errno, |()| 0)
}

/// # Safety
///
/// [`open`] has opened `file`, and [`release`] has not been called for it.
unsafe fn text<'a>(file: *mut bindings::file) -> Pin<&'a Mutex<Text>> {
    // SAFETY: `open` has put it there; `release` takes it back.
    unsafe { Shared::borrow((*file).private_data) }
}

/// # Safety
///
/// As [`text`]; `to` has room for `n` bytes in user space, `at` is the position of a read.
unsafe extern "C" fn read(
    file: *mut bindings::file,
    to: *mut c_char,
    n: usize,
    at: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The caller's.
    let text = unsafe { text(file) };
    let text = text.lock();
    let (start, len) = (text.0.as_ptr(), text.0.len());
    // SAFETY: The text is readable for its length; the rest is the caller's.
    unsafe { bindings::simple_read_from_buffer(to.cast(), n, at, start.cast(), len) }
}

/// # Safety
///
/// As [`text`].
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    to: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: The caller's.
    let text = unsafe { text(file) };
    let len = text.lock().0.len();
    // SAFETY: The caller's. No text is longer than `loff_t` can say.
    unsafe { bindings::fixed_size_llseek(file, to, whence, len as bindings::loff_t) }
}

/// # Safety
///
/// [`open`] has opened `file`; this is the last call for it.
unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The caller's: `open` has put it there, and nothing uses it any more.
    drop(unsafe { Shared::from_foreign((*file).private_data) });
    0
}

/// # Safety
///
/// As [`text`]; the inode is that of a [`File<T>`](super::File), which has not been removed; `at` is
/// the position of a write.
unsafe extern "C" fn write<T>(
    file: *mut bindings::file,
    from: *const c_char,
    n: usize,
    at: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The caller's.
    let (behind, text) = unsafe { (behind::<T>((*file).f_inode), text(file)) };
    let mut answer = Text(KVVec::new());
    let from = UserPtr::from_ptr(from.cast_mut().cast());
    let mut reader = UserSlice::new(from, n).reader();
    let result = (behind.store)(&behind.data, &mut reader, &mut answer);
    let old = mem::replace(&mut *text.lock(), answer);
    drop(old);
    // An answer is read from its beginning. The position of `file` is changed as well because it
    // does not follow `at` when an error is returned.
    // SAFETY: The caller's. `write()` of a regular file holds the lock of the position, unless no
    // other thread has the file; `pwrite()` fails. io_uring reads the position without that lock, and
    // sees it before or after the store, which is one of a word.
    unsafe {
        ptr::write(at, 0);
        ptr::write_volatile(&raw mut (*file).f_pos, 0);
    }
    match result {
        Ok(()) => n as isize,
        Err(error) => error.to_errno() as isize,
    }
}
