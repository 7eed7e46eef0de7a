// SPDX-License-Identifier: GPL-2.0

//! The pages that a command applies to, and the protection of a page.

use std::fmt;

/// The protection of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prot {
    /// `rw`: read and write.
    ReadWrite,
    /// `r`: read only.
    Read,
    /// `none`: no access.
    None,
}

impl fmt::Display for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Prot::ReadWrite => "rw",
            Prot::Read => "r",
            Prot::None => "none",
        })
    }
}

/// The pages of a mapping that a command applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// `all`: every page that is still mapped.
    All,
    /// `N` or `A..B`, half open: one call.
    Span(u64, u64),
    /// `A..B/S`: pages A, A+S, ...: one call for each.
    Stride(u64, u64, u64),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Range::All => f.write_str("all"),
            Range::Span(a, b) if b == a + 1 => write!(f, "{a}"),
            Range::Span(a, b) => write!(f, "{a}..{b}"),
            Range::Stride(a, b, s) => write!(f, "{a}..{b}/{s}"),
        }
    }
}

/// Pages of a mapping of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The process.
    pub process: String,
    /// The mapping.
    pub mapping: String,
    /// The pages.
    pub range: Range,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.process, self.mapping, self.range)
    }
}

/// A page of a mapping, at whose address other pages are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The mapping.
    pub mapping: String,
    /// The page.
    pub page: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mapping, self.page)
    }
}
