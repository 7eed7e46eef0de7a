// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::str`.

use crate::{Error, Result, error::code::EINVAL, fmt};
use core::{ffi::c_char, ops::Deref};

pub use core::ffi::CStr;

/// Mirrors `kernel::str::CStrExt`.
pub trait CStrExt {
    /// Mirrors `CStrExt::as_char_ptr`.
    fn as_char_ptr(&self) -> *const c_char;
}

impl CStrExt for CStr {
    fn as_char_ptr(&self) -> *const c_char {
        self.as_ptr()
    }
}

/// Prints printable ASCII characters as they are, and others by their numbers.
pub(crate) fn print_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        if (0x20..0x7f).contains(&byte) {
            f.write_str(char::from(byte).encode_utf8(&mut [0; 4]))?;
        } else {
            f.write_fmt(format_args!("\\x{byte:02x}"))?;
        }
    }
    Ok(())
}

/// Mirrors `kernel::str::BStr`: bytes that are text, most likely.
#[repr(transparent)]
pub struct BStr([u8]);

impl BStr {
    /// Mirrors `BStr::from_bytes`.
    pub const fn from_bytes(bytes: &[u8]) -> &Self {
        // SAFETY: The type is transparent.
        unsafe { &*(core::ptr::from_ref(bytes) as *const Self) }
    }
}

impl fmt::Display for BStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(|byte| b"\t\n\r".contains(byte)) {
            let (text, escape) = match part.split_last() {
                Some((b'\t', text)) => (text, "\\t"),
                Some((b'\n', text)) => (text, "\\n"),
                Some((b'\r', text)) => (text, "\\r"),
                _ => (part, ""),
            };
            print_bytes(text, f)?;
            f.write_str(escape)?;
        }
        Ok(())
    }
}

/// Mirrors `kernel::str::CString`: formatted text, in memory of its own.
pub struct CString(std::ffi::CString);

impl CString {
    /// Mirrors `CString::try_from_fmt`. May sleep, as it allocates.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text contains a NUL, `ENOMEM`.
    pub fn try_from_fmt(text: fmt::Arguments<'_>) -> Result<Self, Error> {
        crate::mock::alloc::allocation(crate::alloc::flags::GFP_KERNEL)?;
        let text = std::ffi::CString::new(text.to_string()).map_err(|_| EINVAL)?;
        Ok(Self(text))
    }
}

impl Deref for CString {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Debug for CString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
