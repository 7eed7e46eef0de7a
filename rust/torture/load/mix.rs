// SPDX-License-Identifier: GPL-2.0

//! Loads: how often each action is done.

use super::Action;
use crate::{
    kernel_ext::random::Random,
    rmap::{
        prepare::Sharing,
        window::Window, //
    },
};

/// A load: how often each action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// All actions.
    All,
    /// Walkers, and processes that share pages.
    Walkers,
    /// anon_vmas that are freed and recycled.
    Recycling,
    /// anon_vmas whose memory is given back to the system.
    Emptying,
    /// Forks, in long and in wide families.
    Forks,
    /// Splits and merges.
    Merges,
    /// Splits and merges, where any neighbour's anon_vma may be shared, as in 2010.
    SharedMerges,
    /// Moves.
    Moves,
}

/// All loads, by name.
pub(in super::super) const MIXES: [(Mix, &str); 8] = [
    (Mix::All, "all"),
    (Mix::Walkers, "walkers"),
    (Mix::Recycling, "recycling"),
    (Mix::Emptying, "emptying"),
    (Mix::Forks, "forks"),
    (Mix::Merges, "merges"),
    (Mix::SharedMerges, "shared_merges"),
    (Mix::Moves, "moves"),
];

impl Mix {
    /// Returns its name in `control`.
    pub(in super::super) fn name(self) -> &'static str {
        MIXES
            .iter()
            .find(|(mix, _)| *mix == self)
            .map_or("?", |(_, name)| name)
    }

    /// Returns the weight of each action.
    fn weights(self) -> &'static [(Action, usize)] {
        use Action::*;
        match self {
            Mix::All => &[
                (Read, 6),
                (Write, 14),
                (WriteFast, 6),
                (Create, 2),
                (ShortLife, 4),
                (Crowd, 1),
                (Fork, 4),
                (ForkAndExit, 4),
                (TakeOver, 2),
                (SwapBack, 2),
                (Lineage, 1),
                (Exit, 1),
                (Discard, 3),
                (Map, 4),
                (Unmap, 3),
                (Protect, 6),
                (Grow, 1),
                (MoveAway, 3),
                (MoveBack, 4),
                (MoveAndKeep, 2),
                (MoveBeside, 2),
                (ShiftBoundary, 2),
                (MergeWithNew, 2),
                (ShiftDown, 1),
                (Reference, 6),
                (Lookup, 14),
                (LookupSlowly, 4),
                (Pin, 4),
                (TryToUnmap, 4),
                (Reclaim, 2),
                (Migrate, 4),
                (Unuse, 2),
                (Notify, 1),
            ],
            Mix::Walkers => &[
                (Read, 8),
                (Write, 12),
                (Create, 1),
                (Fork, 4),
                (ForkAndExit, 2),
                (TakeOver, 8),
                (SwapBack, 4),
                (Exit, 1),
                (Discard, 2),
                (Map, 2),
                (Reference, 4),
                (Lookup, 8),
                (TryToUnmap, 8),
                (Reclaim, 6),
                (Migrate, 6),
                (Unuse, 4),
                (Notify, 2),
            ],
            Mix::Recycling => &[
                (Write, 2),
                (Create, 2),
                (ShortLife, 16),
                (Crowd, 6),
                (Fork, 1),
                (ForkAndExit, 1),
                (Lookup, 20),
                (LookupSlowly, 20),
                (Pin, 8),
                (Reference, 4),
                (TryToUnmap, 3),
                (Migrate, 8),
            ],
            Mix::Emptying => &[(ShortLife, 4), (Crowd, 6), (Lookup, 20), (Pin, 4)],
            Mix::Forks => &[
                (Write, 8),
                (Create, 1),
                (Fork, 6),
                (ForkAndExit, 8),
                (Lineage, 2),
                (Exit, 3),
                (Unmap, 2),
                (Map, 2),
                (Lookup, 6),
                (Pin, 2),
                (TryToUnmap, 3),
                (Reclaim, 1),
                (Migrate, 2),
            ],
            Mix::Merges | Mix::SharedMerges => &[
                (Read, 2),
                (Write, 8),
                (WriteFast, 24),
                (Create, 1),
                (Fork, 2),
                (ForkAndExit, 2),
                (Map, 4),
                (Unmap, 3),
                (Protect, 12),
                (Grow, 2),
                (ShiftBoundary, 8),
                (MergeWithNew, 8),
                (TryToUnmap, 8),
                (Lookup, 2),
                (Migrate, 16),
            ],
            Mix::Moves => &[
                (Read, 2),
                (Write, 12),
                (WriteFast, 4),
                (Create, 1),
                (Fork, 3),
                (ForkAndExit, 1),
                (Map, 4),
                (Unmap, 2),
                (MoveAway, 4),
                (MoveBack, 6),
                (MoveAndKeep, 6),
                (MoveBeside, 10),
                (ShiftDown, 6),
                (TryToUnmap, 6),
                (Migrate, 24),
            ],
        }
    }

    /// Returns the numbers of processes and of remembered pages. The fewer there are, the more
    /// often threads meet.
    pub(super) fn sizes(self) -> (usize, usize) {
        match self {
            Mix::All => (super::PROCESSES, super::REMEMBERED),
            Mix::Forks => (4, 4),
            Mix::Walkers | Mix::Recycling => (3, 4),
            // A process that lives on keeps a slab in use.
            Mix::Emptying => (0, 4),
            Mix::Merges | Mix::SharedMerges | Mix::Moves => (2, 3),
        }
    }

    /// Returns the number of a worker's actions in a round, after which the forest is verified, and
    /// the number of rounds after which all processes exit, and leaks are looked for.
    pub(in super::super) fn round(self) -> (usize, usize) {
        match self {
            // Damage to a family is gone with its VMAs.
            Mix::Forks => (32, 48),
            // A wrong reference count stays.
            Mix::Recycling | Mix::Emptying => (192, 2),
            Mix::All | Mix::Walkers | Mix::Merges | Mix::SharedMerges | Mix::Moves => (192, 8),
        }
    }

    /// Returns the windows in which threads stay more often, and longer.
    pub(in super::super) fn focus(self) -> &'static [Window] {
        match self {
            Mix::All | Mix::Forks => &[],
            Mix::Walkers => &[Window::MappingStored, Window::PrepareTested],
            Mix::Recycling | Mix::Emptying => &[
                Window::Found,
                Window::Locked,
                Window::RcuLeft,
                Window::Referenced,
                Window::Pinned,
                Window::Outlived,
                Window::PageUnmapped,
            ],
            Mix::Merges | Mix::SharedMerges => {
                &[Window::Published, Window::Linked, Window::PrepareTested]
            }
            Mix::Moves => &[
                Window::DestinationReady,
                Window::RangeMoved,
                Window::BetweenVmas,
            ],
        }
    }

    /// Returns whether processes that begin in `epoch` share their neighbours' anon_vmas as in
    /// 2010.
    pub(super) fn sharing(self, epoch: usize) -> Sharing {
        match self {
            Mix::SharedMerges => Sharing::Any,
            Mix::All if epoch % 4 == 3 => Sharing::Any,
            _ => Sharing::Singleton,
        }
    }

    /// Chooses the next action of a thread. A walker mostly walks, so that it does not wait for the
    /// lock of a process.
    pub(in super::super) fn choose(self, walker: bool, random: &mut Random) -> Action {
        let walks = walker && random.chance(7, 8);
        let weights = || {
            let all = self.weights().iter();
            all.filter(|(action, _)| !walks || action.is_walk())
        };
        let mut left = random.below(weights().map(|(_, weight)| weight).sum());
        for (action, weight) in weights() {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *action,
            }
        }
        Action::Read
    }
}
