// SPDX-License-Identifier: GPL-2.0

//! What the engine uses of the kernel, over `std`: the same paths, the same names.
//!
//! With the feature `shuttle` its threads are those of shuttle, see [`mock::schedule`]; with the
//! feature `loom` they are those of loom, see [`mock::words`].
//!
//! Each item says which item of `rust/kernel` or of C it mirrors, and where it differs. What holds
//! for all of them:
//!
//! * Where the kernel prints a splat and goes on, this crate panics: see [`mock::context`].
//! * Allocations fail only when a test asks for it: see [`mock::alloc`].
//!
//! | module | mirrors | over |
//! |---|---|---|
//! | [`alloc`] | `KBox`, `KVec`, `KVVec`, `Flags` | `Box`, `Vec` |
//! | [`bindings`] | the C functions that `rust/kernel_ext` calls | [`mock`] |
//! | [`cpu`], [`page`], [`rbtree`], [`str`], [`task`], [`time`], [`workqueue`] | the same | `std` |
//! | [`error`], [`fmt`], [`init`], [`print`], [`types`] | the same | `std` |
//! | [`kunit`] | KUnit | `cargo test` |
//! | [`sync`] | `Arc`, `Atomic`, `Completion`, `Mutex`, `SpinLock`, `rcu` | `std`, [`bindings`] |
//! | [`mock`] | the slab allocator, RCU, the context of a thread, and what tests ask of them | |

#![deny(missing_docs)]

// Macros of this crate name it as modules do.
extern crate self as kernel;

pub mod alloc;
pub mod bindings;
pub mod cpu;
pub mod error;
pub mod fmt;
pub mod init;
pub mod kunit;
pub mod mock;
pub mod page;
pub mod prelude;
pub mod print;
pub mod rbtree;
pub mod str;
pub mod sync;
pub mod task;
pub mod time;
pub mod types;
pub mod workqueue;

pub use error::{Error, Result};
pub use macros;
#[doc(hidden)]
pub use pinned_init;

/// Mirrors `kernel::c_str!`.
#[macro_export]
macro_rules! c_str {
    ($text:expr) => {{
        const TEXT: &str = concat!($text, "\0");
        match ::core::ffi::CStr::from_bytes_with_nul(TEXT.as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("the text contains a NUL"),
        }
    }};
}

/// Mirrors `kernel::container_of!`: from a pointer to a field to that of the object around it.
#[macro_export]
macro_rules! container_of {
    ($field:expr, $Container:ty, $($path:tt)*) => {{
        let field = $field;
        field
            .byte_sub(::core::mem::offset_of!($Container, $($path)*))
            .cast::<$Container>()
    }};
}
