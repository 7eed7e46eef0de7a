// SPDX-License-Identifier: GPL-2.0

//! The advice of `advise`: a word of the language for each `MADV_` constant.

use nix::libc;
use std::fmt;
use std::str::FromStr;

/// What `advise` asks of `madvise()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// `MADV_DONTFORK`: a child does not get the pages.
    Dontfork,
    /// `MADV_DOFORK`: it gets them again.
    Dofork,
    /// `MADV_GUARD_INSTALL`: drops the pages; an access kills the process.
    Guard,
    /// `MADV_GUARD_REMOVE`: the pages can be accessed again, and are empty.
    Unguard,
    /// `MADV_POPULATE_READ`: read faults.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`: write faults.
    PopulateWrite,
    /// `MADV_MERGEABLE`: KSM may merge equal pages.
    Mergeable,
    /// `MADV_PAGEOUT`: reclaims the pages, where there is swap.
    Pageout,
    /// `MADV_RANDOM`: the VMA gets a flag that changes nothing else here.
    Random,
    /// `MADV_NORMAL`: it loses that flag.
    Normal,
}

/// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE` of Linux 6.13, which libc does not have.
const GUARD_INSTALL: i32 = 102;
const GUARD_REMOVE: i32 = 103;

impl Advice {
    /// Every advice.
    pub const ALL: [Advice; 10] = [
        Advice::Dontfork,
        Advice::Dofork,
        Advice::Guard,
        Advice::Unguard,
        Advice::PopulateRead,
        Advice::PopulateWrite,
        Advice::Mergeable,
        Advice::Pageout,
        Advice::Random,
        Advice::Normal,
    ];

    /// Returns the word of the language.
    pub fn name(self) -> &'static str {
        match self {
            Advice::Dontfork => "dontfork",
            Advice::Dofork => "dofork",
            Advice::Guard => "guard",
            Advice::Unguard => "unguard",
            Advice::PopulateRead => "populate-read",
            Advice::PopulateWrite => "populate-write",
            Advice::Mergeable => "mergeable",
            Advice::Pageout => "pageout",
            Advice::Random => "random",
            Advice::Normal => "normal",
        }
    }

    /// Returns the argument of `madvise()`.
    pub fn number(self) -> i32 {
        match self {
            Advice::Dontfork => libc::MADV_DONTFORK,
            Advice::Dofork => libc::MADV_DOFORK,
            Advice::Guard => GUARD_INSTALL,
            Advice::Unguard => GUARD_REMOVE,
            Advice::PopulateRead => libc::MADV_POPULATE_READ,
            Advice::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Advice::Mergeable => libc::MADV_MERGEABLE,
            Advice::Pageout => libc::MADV_PAGEOUT,
            Advice::Random => libc::MADV_RANDOM,
            Advice::Normal => libc::MADV_NORMAL,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Advice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Advice::ALL.into_iter().find(|a| a.name() == word);
        found.ok_or_else(|| {
            let names = Advice::ALL.map(Advice::name).join(", ");
            format!("`{word}` is not an advice; there are: {names}")
        })
    }
}
