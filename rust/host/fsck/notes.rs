// SPDX-License-Identifier: GPL-2.0

//! What a look at a VMA of the host fills in, without allocation under locks.

use super::{
    examine::Examined,
    read::Link,
    Counts, //
};
use crate::{
    kernel_ext::gfp::GFP_BOUNDED,
    snapshot::family::Fault,
    stats, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::Delta, //
};

/// Most faults at one place that are put into words; the others are counted.
pub(super) const WORDS: usize = 16;
/// Number of VMAs, of which one has the longer hold.
const HELD: usize = 8;

/// How a look at a VMA ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All of it was examined.
    Whole,
    /// It was given up, because another task waited for a lock.
    GivenUp,
    /// There was no room for its chain.
    NoRoom,
}

/// A list of faults, without allocation; further ones are counted.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) list: [Option<Fault>; WORDS],
    pub(super) number: usize,
}

impl Faults {
    pub(super) const fn new() -> Self {
        Self {
            list: [None; WORDS],
            number: 0,
        }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        if let Some(place) = self.list.get_mut(self.number) {
            *place = Some(fault);
        }
        self.number += 1;
    }
}

/// What a look at a VMA fills in.
pub(super) struct Notes {
    /// The links of its chain, and the keys of their anon_vmas.
    pub(super) chain: KVVec<Link>,
    pub(super) keys: KVVec<usize>,
    /// The anon_vmas that were examined at these links.
    pub(super) examined: KVVec<Examined>,
    /// The key of the family's root.
    pub(super) root: usize,
    pub(super) faults: Faults,
    pub(super) counts: Counts,
    /// See [`check`](super::check).
    pub(super) hold: Delta,
    /// VMAs to be examined before the one with a longer hold.
    before_hold: usize,
}

impl Notes {
    pub(super) fn new(links: usize, hold: Delta) -> Result<Self> {
        Ok(Self {
            chain: KVVec::with_capacity(links, GFP_BOUNDED)?,
            keys: KVVec::with_capacity(links, GFP_BOUNDED)?,
            examined: KVVec::with_capacity(links, GFP_BOUNDED)?,
            root: 0,
            faults: Faults::new(),
            counts: Counts::default(),
            hold,
            before_hold: 0,
        })
    }

    /// Chooses one of the first VMAs of an address space, each time another one: there the root's
    /// lock is held for longer.
    pub(super) fn begin(&mut self) {
        static NEXT: Atomic<usize> = Atomic::new(0);
        if !self.hold.is_zero() {
            self.before_hold = NEXT.fetch_add(1, Relaxed) % HELD;
        }
    }

    /// Counts a VMA at which anon_vmas were examined. Returns whether it is the one for a longer
    /// hold.
    pub(super) fn holds_here(&mut self) -> bool {
        let here = self.before_hold == 0;
        self.before_hold = self.before_hold.wrapping_sub(1);
        here && !self.hold.is_zero()
    }

    /// Returns how a look ended, and counts a VMA that was given up.
    ///
    /// # Errors
    ///
    /// Any other one.
    pub(super) fn look_of(&mut self, examined: Result) -> Result<Look> {
        match examined {
            Err(error) if error == EAGAIN => {
                self.counts.left_out += 1;
                stats::HOST_LEFT_OUT.inc();
                Ok(Look::GivenUp)
            }
            other => other.map(|()| Look::Whole),
        }
    }

    /// Returns for how many links there is room.
    pub(super) fn room(&self) -> usize {
        let room = self.chain.capacity().min(self.keys.capacity());
        room.min(self.examined.capacity())
    }

    /// Makes room for twice as many links.
    pub(super) fn grow(&mut self) -> Result {
        let links = 2 * self.room();
        self.chain.clear();
        self.keys.clear();
        self.examined.clear();
        self.chain.reserve(links, GFP_BOUNDED)?;
        self.keys.reserve(links, GFP_BOUNDED)?;
        self.examined.reserve(links, GFP_BOUNDED)?;
        Ok(())
    }

    pub(super) fn found(&mut self, fault: Fault) {
        self.faults.add(fault);
    }

    pub(super) fn all_of(&mut self, faults: Faults) {
        for fault in faults.list.into_iter().flatten() {
            self.faults.add(fault);
        }
    }
}
