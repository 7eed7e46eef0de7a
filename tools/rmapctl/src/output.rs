// SPDX-License-Identifier: GPL-2.0

//! Standard output and standard error.
//!
//! `println!` panics where it cannot write. A panic would end the program at once, and leave the
//! processes of a scenario behind with the device open; here a failure is an error as any other.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Standard output cannot be written to.
#[derive(Debug)]
pub struct Unwritable(io::Error);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

/// Returns whether `error` says that the reader of standard output has closed it, as `head` does.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let unwritable = error.downcast_ref::<Unwritable>();
    unwritable.is_some_and(|Unwritable(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// Writes to standard output.
///
/// # Errors
///
/// It cannot be written to.
pub fn write(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_ref());
    written
        .and_then(|()| stdout.flush())
        .map_err(|error| Unwritable(error).into())
}

/// Writes to standard output what is the whole result of a command. Returns whether the reader
/// wants more; one that has closed standard output has read enough.
///
/// # Errors
///
/// Standard output cannot be written to for another reason.
pub fn offer(text: impl AsRef<[u8]>) -> anyhow::Result<bool> {
    match write(text) {
        Err(error) if is_closed(&error) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Writes to standard error. If that fails there is no other place to say so.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a line on standard output; a failure is an [`anyhow::Error`].
macro_rules! out {
    ($($argument:tt)*) => {
        $crate::output::write(format!($($argument)*) + "\n")
    };
}

/// Prints a line on standard error.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::output::complain(format_args!($($argument)*))
    };
}

pub(crate) use {note, out};
