// SPDX-License-Identifier: GPL-2.0

//! Windows: places between two steps that a rule holds together.
//!
//! The correct engine has nothing there. A test or a torture lets other threads act at that moment,
//! see [`Rmap::window`](super::kind::Rmap::window).

macro_rules! windows {
    ($($(#[$about:meta])* $window:ident;)*) => {
        /// A place between two steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Window {
            $($(#[$about])* $window,)*
        }

        /// The names of all windows, in order.
        #[cfg(shadow_rmap_torture)]
        pub(crate) const WINDOWS: &[&str] = &[$(stringify!($window)),*];
    };
}

windows! {
    /// A page gets its `mapping` in two stores, and has the first (in a deliberate bug only, R1).
    MappingStored;
    /// A lookup has read `mapping` and holds RCU, and has looked at nothing else (R4, R5).
    Found;
    /// A lookup has read the root, and has not locked it yet (R13).
    RootRead;
    /// A lookup has a lock that may be the wrong one (R12).
    Locked;
    /// A lookup has left RCU with a lock that may be the wrong one (in a deliberate bug only, R9).
    RcuLeft;
    /// A lookup has a reference that may be on the wrong object (R11, R12).
    Referenced;
    /// A lookup has a reference and has left RCU; it is about to wait for the lock (R10).
    Pinned;
    /// A lookup has its anon_vma, and its caller is about to walk (R9, R18).
    Confirmed;
    /// A lookup has the lock of an anon_vma that is pinned, and that no VMA is linked to (R17,
    /// R18).
    Outlived;
    /// A walk has looked at one VMA, and has not come to the next (R36).
    BetweenVmas;
    /// A move has its destination, and its PTEs are still at the old place (R36).
    DestinationReady;
    /// A VMA is at its new place, and its PTEs are still at the old one (R36).
    RangeMoved;
    /// The last reference is gone, and readers have not been waited for (R17).
    LastPut;
    /// A prepare has seen that the VMA has no anon_vma, and has locked nothing yet (R28).
    PrepareTested;
    /// A clone has made all links, and has published nothing (R30, R31).
    Linked;
    /// A merge has published an anon_vma, and linked nothing (in a deliberate bug only, R31).
    Published;
    /// A fork has cloned the links, and the copy has no anon_vma of its own yet (R23).
    Cloned;
    /// A fork is complete, and has not been checked (R22, R23).
    Forked;
    /// A VMA is in none of its trees, and its range has not changed yet (R32).
    OutOfTrees;
    /// A VMA has no links any more, and its page tables are still there (R33).
    Unlinked;
    /// A PTE has been cleared, and the mapcount has not been lowered yet (R3).
    PteCleared;
    /// A merge has chosen the survivor, and no links have moved (R25, R26).
    MergeChosen;
    /// A page has been taken out of all page tables, and is at no other place yet (R18).
    PageUnmapped;
}
