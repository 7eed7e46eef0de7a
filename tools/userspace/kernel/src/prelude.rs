// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::prelude`: what the engine uses of it.

pub use crate::{
    alloc::{InPlaceInit, KBox, KVVec, KVec, flags::*},
    error::{Error, Result, code::*},
    init::InitPinned as _,
    pr_err, pr_info, pr_warn,
    str::CStrExt as _,
};
pub use core::{
    ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void},
    mem::{align_of, align_of_val, size_of, size_of_val},
    pin::Pin,
};
pub use macros::{fmt, kunit_tests};
pub use pinned_init::{
    InPlaceWrite, PinInit, PinnedDrop, Zeroable, init, pin_data, pin_init, pinned_drop,
};
