// SPDX-License-Identifier: GPL-2.0

//! Follows the chain of a VMA, which may not end, and notices rings.

use super::read::{
    Area,
    Link, //
};

/// Most links of a chain: one with more is taken for endless.
const MOST_LINKS: usize = 1 << 16;

/// Notices that a way along links has become a ring, without a set of those seen (Brent's
/// algorithm): a link that has a power of two as its number is kept until the next such number.
#[derive(Default)]
pub(super) struct Mark {
    key: Option<usize>,
    /// Number of links so far.
    links: usize,
}

impl Mark {
    /// Takes the next link of the way. Returns whether it is the one that is kept.
    pub(super) fn comes_again(&mut self, link: &Link) -> bool {
        if self.key == Some(link.key) {
            return true;
        }
        self.links += 1;
        if self.links.is_power_of_two() {
            self.key = Some(link.key);
        }
        false
    }
}

/// Where a step along a chain leads.
pub(super) enum Step {
    /// To this link.
    To(Link),
    /// Back to the VMA.
    End,
    /// To no memory.
    Nowhere,
    /// To a link that was there before, or to more links than any chain has.
    Endless,
}

/// A way along the chain of a VMA.
pub(super) struct Chain {
    head: usize,
    /// The list entry of the next link.
    entry: usize,
    mark: Mark,
}

impl Chain {
    /// Begins at the first link.
    pub(super) fn of(area: &Area) -> Self {
        Self {
            head: area.head,
            entry: area.first,
            mark: Mark::default(),
        }
    }

    /// Goes to the next link.
    pub(super) fn step(&mut self) -> Step {
        if self.entry == self.head {
            return Step::End;
        }
        let Some(link) = Link::of_entry(self.entry) else {
            return Step::Nowhere;
        };
        if self.links() == MOST_LINKS || self.mark.comes_again(&link) {
            return Step::Endless;
        }
        self.entry = link.next;
        Step::To(link)
    }

    /// Returns the number of links so far.
    pub(super) fn links(&self) -> usize {
        self.mark.links
    }
}
