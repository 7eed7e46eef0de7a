// SPDX-License-Identifier: GPL-2.0

//! Tests of formatted text, errors, and the types of the prelude.

use kernel::{
    error::{from_err_ptr, to_result},
    fmt,
    prelude::*,
    str::{BStr, CString},
    sync::atomic::{Acquire, Atomic, Full, Relaxed, Release},
};

struct Twice<'a>(&'a CStr);

impl fmt::Display for Twice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{}{0}", self.0))
    }
}

/// Text may have arguments in all places, and of types that only the kernel prints.
#[test]
fn formatted_text() -> Result {
    let (name, n) = (c"na\xc3\xafve", 5);
    let text = CString::try_from_fmt(fmt!("{name}:{n:>3}:{:x}:{{}}:{other}", n + 10, other = -1))?;
    assert_eq!(text.to_bytes(), b"na\\xc3\\xafve:  5:f:{}:-1");
    let text = CString::try_from_fmt(fmt!("{} {:?}", Twice(c"ab"), Some(1)))?;
    assert_eq!(text.to_bytes(), b"abab Some(1)");
    let text = CString::try_from_fmt(fmt!("{}", BStr::from_bytes(b"a\n\x01z")))?;
    assert_eq!(text.to_bytes(), b"a\\n\\x01z");
    assert_eq!(CString::try_from_fmt(fmt!("\0")).err(), Some(EINVAL));
    Ok(())
}

/// Errors are numbers, also in pointers.
#[test]
fn errors() {
    assert_eq!((EINVAL.to_errno(), Error::from_errno(-12)), (-22, ENOMEM));
    assert_eq!(from_err_ptr(ENOMEM.to_ptr::<u8>()), Err(ENOMEM));
    let mut byte = 1_u8;
    assert_eq!(from_err_ptr(&raw mut byte), Ok(&raw mut byte));
    assert_eq!((to_result(-16), to_result(3)), (Err(EBUSY), Ok(())));
    assert_eq!(format!("{EBUSY:?}"), "EBUSY");
}

/// Atomics of all types.
#[test]
fn atomics() {
    let number = Atomic::new(5_u32);
    assert_eq!(
        (number.fetch_add(2, Full), number.fetch_sub(8, Relaxed)),
        (5, 7)
    );
    assert_eq!(number.load(Acquire), u32::MAX);
    assert_eq!(number.cmpxchg(0, 1, Full), Err(u32::MAX));
    assert_eq!(number.cmpxchg(u32::MAX, 1, Acquire), Ok(u32::MAX));
    let mut value = 3_u8;
    let pointer = Atomic::new(core::ptr::null_mut::<u8>());
    pointer.store(&mut value, Release);
    assert_eq!(pointer.xchg(core::ptr::null_mut(), Full), &raw mut value);
    let flag = Atomic::new(false);
    flag.store(true, Relaxed);
    assert!(flag.load(Relaxed));
}
