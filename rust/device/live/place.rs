// SPDX-License-Identifier: GPL-2.0

//! Where a VMA is, as it follows from the events.

use crate::host::vma::{
    unlinked_pgoff,
    HostVma, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Addresses, in bytes: the first one, and the first one after.
pub(crate) type Addresses = (usize, usize);

/// Where a VMA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its addresses.
    pub(crate) addresses: Addresses,
    /// Its first anonymous page offset.
    pub(crate) pgoff: usize,
}

impl Place {
    /// Returns where `host` is now.
    pub(crate) fn of(host: HostVma<'_>) -> Self {
        Self {
            addresses: (host.start(), host.end()),
            pgoff: host.range().start,
        }
    }

    /// Returns the first page offset less the first page, wrapping around: no change of the
    /// boundaries changes that.
    pub(crate) fn shift(self) -> usize {
        self.pgoff.wrapping_sub(self.addresses.0 >> PAGE_SHIFT)
    }

    /// Returns the place with the same shift and these addresses.
    pub(crate) fn between(self, addresses: Addresses) -> Self {
        Self {
            addresses,
            pgoff: self.shift().wrapping_add(addresses.0 >> PAGE_SHIFT),
        }
    }

    /// Returns whether some of `addresses` are here.
    pub(crate) fn has_some_of(self, addresses: Addresses) -> bool {
        self.addresses.0.max(addresses.0) < self.addresses.1.min(addresses.1)
    }

    /// Returns the addresses before and after this place that `now` has.
    pub(crate) fn gains(self, now: Self) -> [Addresses; 2] {
        let ((start, end), (first, last)) = (self.addresses, now.addresses);
        if start == end {
            return [now.addresses, (last, last)];
        }
        [(first, start.min(last)), (end.max(first), last)]
    }

    /// Returns this place together with `gain`, one of what it has gained to be at `now`. A place that
    /// `now` has left altogether is not kept.
    pub(crate) fn with_gain(self, gain: Addresses, now: Self) -> Self {
        let ((start, end), (first, last)) = (self.addresses, gain);
        if self.has_some_of(now.addresses) {
            self.between((start.min(first), end.max(last)))
        } else {
            now
        }
    }

    /// Returns what is left when a VMA that was at `winner` has gained `addresses`: what lies
    /// between the two VMAs has gone as well.
    pub(crate) fn without(self, addresses: Addresses, winner: Self) -> Self {
        let (start, end) = self.addresses;
        if winner.addresses.1 <= start {
            self.between((addresses.1.clamp(start, end), end))
        } else {
            self.between((start, addresses.0.clamp(start, end)))
        }
    }

    /// Returns what is left after a split, which takes `part` from one end.
    pub(crate) fn split_off(self, part: Self) -> Self {
        let (start, end) = self.addresses;
        match part.addresses {
            (first, last) if first == start && last < end => self.between((last, end)),
            (first, last) if last == end && first > start => self.between((start, first)),
            // No split that the host makes. The comparison will show it.
            _ => self,
        }
    }

    /// Returns the place of a VMA that has lost its links.
    pub(crate) fn unlinked(self) -> Self {
        Self {
            pgoff: unlinked_pgoff(self.pgoff, self.addresses.0),
            ..self
        }
    }
}

/// A [`Place`] that changes under the shadow's `mmap_lock`.
pub(crate) struct PlaceCell {
    start: Atomic<usize>,
    end: Atomic<usize>,
    pgoff: Atomic<usize>,
}

impl PlaceCell {
    /// Creates a cell.
    pub(super) fn new(place: Place) -> Self {
        Self {
            start: Atomic::new(place.addresses.0),
            end: Atomic::new(place.addresses.1),
            pgoff: Atomic::new(place.pgoff),
        }
    }

    /// Returns the place.
    pub(crate) fn get(&self) -> Place {
        Place {
            addresses: (self.start.load(Relaxed), self.end.load(Relaxed)),
            pgoff: self.pgoff.load(Relaxed),
        }
    }

    /// Changes the place; see [`LiveVma::set_place`](super::LiveVma::set_place).
    pub(super) fn set(&self, place: Place) {
        self.start.store(place.addresses.0, Relaxed);
        self.end.store(place.addresses.1, Relaxed);
        self.pgoff.store(place.pgoff, Relaxed);
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_place)]
mod tests {
    use super::*;

    /// The pages `first..end` of a mapping whose page 0 has the page offset 100.
    fn pages(first: usize, end: usize) -> Place {
        Place {
            addresses: (first << PAGE_SHIFT, end << PAGE_SHIFT),
            pgoff: first + 100,
        }
    }

    /// Returns the numbers of pages that are gained before and after.
    fn gained(was: Place, now: Place) -> [usize; 2] {
        was.gains(now)
            .map(|(start, end)| end.saturating_sub(start) >> PAGE_SHIFT)
    }

    /// A boundary that shifts: one VMA gains what the other one loses.
    #[test]
    fn a_boundary_shifts() {
        let (left, right) = (pages(0, 10), pages(10, 20));
        let now = (pages(0, 15), pages(15, 20));

        assert_eq!(gained(left, now.0), [0, 5]);
        assert_eq!(gained(right, now.1), [0, 0]);
        let [_, gain] = left.gains(now.0);
        assert!(right.has_some_of(gain));
        assert_eq!(right.without(gain, left), now.1);
        assert_eq!(left.with_gain(gain, now.0), now.0);
        // The other way round.
        let now = (pages(0, 5), pages(5, 20));
        let [gain, _] = right.gains(now.1);
        assert_eq!(left.without(gain, right), now.0);
        assert_eq!(right.with_gain(gain, now.1), now.1);
        // On one side alone, what was lost on the other one is kept.
        let [gain, _] = right.gains(pages(5, 15));
        assert_eq!(right.with_gain(gain, pages(5, 15)), pages(5, 20));
    }

    /// Two boundaries have shifted: whichever gain is seen first, the third VMA ends up where it
    /// is.
    #[test]
    fn two_boundaries_shift() {
        let was = pages(10, 20);
        let (far, near) = (pages(0, 5), pages(5, 10));
        let gains = [pages(10, 12).addresses, pages(12, 15).addresses];

        let far_first = was.without(gains[0], far).without(gains[1], near);
        let near_first = was.without(gains[1], near);
        assert_eq!(far_first, pages(15, 20));
        assert_eq!(near_first, pages(15, 20));
        assert!(!near_first.has_some_of(gains[0]));
    }

    /// A VMA may lose all that it had, and have gained something else before.
    #[test]
    fn a_place_is_left() {
        let was = pages(10, 20);
        let now = pages(30, 40);

        let empty = was.without(pages(10, 30).addresses, pages(0, 10));
        assert_eq!(empty, pages(20, 20));
        assert_eq!(gained(empty, now), [10, 0]);
        let [gain, _] = empty.gains(now);
        assert_eq!(empty.with_gain(gain, now), now);
        let [_, gain] = was.gains(now);
        assert_eq!(was.with_gain(gain, now), now);
    }

    /// A split takes a part from either end, and from nowhere else.
    #[test]
    fn a_split_takes_an_end() {
        let whole = pages(0, 10);

        assert_eq!(whole.split_off(pages(0, 4)), pages(4, 10));
        assert_eq!(whole.split_off(pages(4, 10)), pages(0, 4));
        assert_eq!(whole.split_off(pages(4, 6)), whole);
        assert_eq!(whole.split_off(whole), whole);
        assert_eq!(whole.shift(), 100);
    }

    /// The host gives a VMA without links the page offsets of a new mapping; that of 7.2 does not.
    #[test]
    fn links_are_lost() {
        let expected = if cfg!(linux_7_2) { 100 } else { 0 };

        assert_eq!(pages(4, 10).unlinked().shift(), expected);
        assert_eq!(pages(4, 10).unlinked().addresses, pages(4, 10).addresses);
    }
}
