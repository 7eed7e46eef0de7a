// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::fmt`.
//!
//! [`Display`] is a trait of its own, as there: the arguments of `fmt!` are printed by it. Types of
//! `core` have it as they have `core::fmt::Display`. Pointers are printed as they are, not hashed.

pub use core::fmt::{Arguments, Debug, Error, Formatter, Result, Write};
use core::{
    ffi::CStr,
    fmt::{Binary, LowerExp, LowerHex, Octal, UpperExp, UpperHex},
};

/// What `fmt!` wraps each argument in.
#[doc(hidden)]
pub struct Adapter<T>(pub T);

macro_rules! forward {
    ($($Trait:ident)*) => {
        $(
            impl<T: $Trait> $Trait for Adapter<T> {
                fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                    $Trait::fmt(&self.0, f)
                }
            }
        )*
    };
}

forward!(Debug LowerHex UpperHex Octal Binary LowerExp UpperExp);

impl<T: Display> core::fmt::Display for Adapter<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(&self.0, f)
    }
}

/// Mirrors `kernel::fmt::Display`.
pub trait Display {
    /// Prints the value.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result;
}

impl<T: Display + ?Sized> Display for &T {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(*self, f)
    }
}

impl<T: Display + ?Sized> Display for &mut T {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(&**self, f)
    }
}

macro_rules! as_in_core {
    ($($Type:ty)*) => {
        $(
            impl Display for $Type {
                fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                    core::fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}

as_in_core!(bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize Arguments<'_>);

impl Display for CStr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        crate::str::print_bytes(self.to_bytes(), f)
    }
}

impl<T: Display + ?Sized, A> Display for crate::alloc::Box<T, A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(&**self, f)
    }
}
