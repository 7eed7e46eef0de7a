// SPDX-License-Identifier: GPL-2.0

//! The kind of mapping of an open file, which stays the same once the file is mapped.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
};

/// The kind of mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With `close`: the host tells the end of each VMA, and removes none by a merge.
    Pinned,
    /// Without `close`: the host merges VMAs, and does not tell their end.
    Mergeable,
}

/// The mode of an open file, and whether the file has been mapped: `1` for
/// [`Mode::Mergeable`], and `2` for each `mmap()` that has begun and has not failed.
pub(crate) struct ModeCell(Atomic<i64>);

impl ModeCell {
    /// Creates the cell of a file that is pinned, and not mapped.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    fn mode_of(state: i64) -> Mode {
        if state & 1 == 0 {
            Mode::Pinned
        } else {
            Mode::Mergeable
        }
    }

    /// Returns the mode.
    pub(crate) fn get(&self) -> Mode {
        Self::mode_of(self.0.load(Relaxed))
    }

    /// Changes the mode.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the file has been mapped, or is being mapped.
    pub(crate) fn set(&self, mode: Mode) -> Result {
        let new = i64::from(mode == Mode::Mergeable);
        let mut state = self.0.load(Relaxed);
        while state <= 1 {
            match self.0.cmpxchg(state, new, Full) {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
        Err(EBUSY)
    }

    /// Returns whether the file has been mapped.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.load(Relaxed) > 1
    }

    /// Runs `map`, which maps the file in the mode that it is given. The mode stays as it is
    /// meanwhile, and for ever if `map` succeeds.
    ///
    /// # Errors
    ///
    /// Those of `map`.
    pub(crate) fn while_mapping(&self, map: impl FnOnce(Mode) -> Result) -> Result {
        let mode = Self::mode_of(self.0.fetch_add(2, Full));
        map(mode).inspect_err(|_| {
            self.0.fetch_sub(2, Full);
        })
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_mode)]
mod tests {
    use super::*;

    /// The mode can be changed until a mapping has succeeded, and not while one is made.
    #[test]
    fn a_mapping_fixes_the_mode() {
        let cell = ModeCell::new();
        assert_eq!(cell.get(), Mode::Pinned);
        assert!(cell.set(Mode::Mergeable).is_ok());
        assert_eq!(cell.get(), Mode::Mergeable);

        let failed = cell.while_mapping(|mode| {
            assert_eq!(mode, Mode::Mergeable);
            assert_eq!(cell.set(Mode::Pinned), Err(EBUSY));
            Err(EINVAL)
        });
        assert_eq!(failed, Err(EINVAL));
        assert!(!cell.is_fixed());
        assert!(cell.set(Mode::Pinned).is_ok());
        assert!(cell.set(Mode::Mergeable).is_ok());

        assert!(cell.while_mapping(|_| Ok(())).is_ok());
        assert!(cell.is_fixed());
        assert_eq!(cell.set(Mode::Pinned), Err(EBUSY));
        assert_eq!(cell.set(Mode::Mergeable), Err(EBUSY));
        assert_eq!(cell.get(), Mode::Mergeable);
    }
}
