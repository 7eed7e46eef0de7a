// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::print`: the kernel log is standard error.

/// Prints a line to the log.
#[doc(hidden)]
pub fn print(level: &str, text: core::fmt::Arguments<'_>) {
    eprint!("{level}: {text}");
}

/// Mirrors `pr_err!`.
#[macro_export]
macro_rules! pr_err {
    ($($arguments:tt)*) => { $crate::print::print("error", $crate::macros::fmt!($($arguments)*)) };
}

/// Mirrors `pr_warn!`.
#[macro_export]
macro_rules! pr_warn {
    ($($arguments:tt)*) => {
        $crate::print::print("warning", $crate::macros::fmt!($($arguments)*))
    };
}

/// Mirrors `pr_info!`.
#[macro_export]
macro_rules! pr_info {
    ($($arguments:tt)*) => { $crate::print::print("info", $crate::macros::fmt!($($arguments)*)) };
}
