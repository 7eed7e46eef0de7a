// SPDX-License-Identifier: GPL-2.0

//! The procedural macros that the engine uses of the kernel's `macros` crate.

mod fmt;
mod kunit;

use proc_macro::TokenStream;

/// Mirrors `macros::fmt`: `format_args!()` whose arguments may be of types that `core` does not
/// print, such as `CStr`.
///
/// It does the same as the kernel's.
#[proc_macro]
pub fn fmt(input: TokenStream) -> TokenStream {
    fmt::fmt(input)
}

/// Mirrors `macros::kunit_tests`: each `#[test]` of the module becomes a test.
///
/// Where the kernel makes a KUnit suite, this makes tests for `cargo test`, in a module named as
/// the suite, each of which calls `kernel::kunit::run()`. `assert!` and `assert_eq!` are those of
/// `std`. The crate must have a function `load_for_kunit()` at its root, see there.
#[proc_macro_attribute]
pub fn kunit_tests(suite: TokenStream, module: TokenStream) -> TokenStream {
    kunit::kunit_tests(suite, module)
}
