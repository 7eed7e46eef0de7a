// SPDX-License-Identifier: GPL-2.0

//! deliberate bugs: each type breaks one rule, and is named by what it does or forgets.
//!
//! A number in the museum is that of a bug which the kernel has had.  None is part of a module that
//! is built for use: those for tests need KUnit, and a build whose live mappings are to break a rule
//! names the bug (`make SHADOW_RMAP_BUST=...`, for the tests of the oracles).

use crate::rmap::rules;

/// deliberate bug: fork does not link the child to the root of its parent's family (R21, R23).
#[cfg(any(CONFIG_KUNIT = "y", shadow_rmap_bust = "ForgetsRootLink"))]
pub(crate) struct ForgetsRootLink;

#[cfg(any(CONFIG_KUNIT = "y", shadow_rmap_bust = "ForgetsRootLink"))]
impl rules::Rules for ForgetsRootLink {
    const FORK_CLONES_ALL_LINKS: bool = false;
}

/// The rules that live mappings obey.
#[cfg(not(shadow_rmap_busted))]
pub(crate) type LiveRules = rules::Correct;

/// The rules that live mappings break.
#[cfg(shadow_rmap_bust = "ForgetsRootLink")]
pub(crate) type LiveRules = ForgetsRootLink;

macro_rules! bugs {
    ($($(#[$about:meta])* $bug:ident: $switch:ident;)*) => {
        $(
            $(#[$about])*
            #[cfg(CONFIG_KUNIT = "y")]
            pub(crate) struct $bug;

            #[cfg(CONFIG_KUNIT = "y")]
            impl rules::Rules for $bug {
                const $switch: bool = false;
            }
        )*
    };
}

bugs! {
    /// deliberate bug: a page's pointer is stored first, its tag after that (R1, museum 27).
    StoresTwice: ONE_STORE;

    /// deliberate bug: the last unmap clears `mapping` (R2, museum 2).
    ClearsMapping: MAPPING_STAYS;

    /// deliberate bug: a PTE that is replaced by a swap entry is counted twice (R3, museum 6).
    UnmapsTwice: UNMAP_COUNTS_ONCE;

    /// deliberate bug: a lookup follows a page without asking whether it is mapped (R4, museum 3).
    SkipsFirstCheck: FIRST_CHECK;

    /// deliberate bug: an anon_vma is given back as if it were in use (R6).
    FreesDirty: FREED_CLEAN;

    /// deliberate bug: a cache is destroyed under its readers (R7).
    DestroysAtOnce: DESTROY_WAITS;

    /// deliberate bug: RCU is left once the spinlock is held (R9, museum 4).
    LeavesRcuEarly: RCU_UNTIL_UNLOCK;

    /// deliberate bug: who waited for the lock with the last reference goes on (R10).
    KeepsLastReference: LAST_REFERENCE;

    /// deliberate bug: a reference that is not wanted is put before RCU is left (R11, museum 22).
    PutsUnderRcu: PUT_OUTSIDE_RCU;

    /// deliberate bug: the page is not looked at again under the lock (R12, R13, museum 16 and 17).
    SkipsSecondCheck: SECOND_CHECK;

    /// deliberate bug: a writer locks the anon_vma, and not its root (R15, museum 13).
    LocksItself: ROOT_LOCK;

    /// deliberate bug: a child does not hold its root (R16, museum 14 and 23).
    LetsRootGo: CHILD_HOLDS_ROOT;

    /// deliberate bug: an anon_vma is freed while its root is locked (R17).
    FreesWhileLocked: FREE_WAITS;

    /// deliberate bug: a page that is shared goes to the VMA's own anon_vma (R20, museum 8).
    KeepsSharedPages: SHARED_TO_ROOT;

    /// deliberate bug: a new link stands last (R22, museum 12).
    LinksLast: NEWEST_FIRST;

    /// deliberate bug: fork reuses an anon_vma with an active VMA (R24, museum 31).
    ReusesBusy: REUSE_ONLY_IDLE;

    /// deliberate bug: prepare shares the anon_vma of a VMA with more links (R27, museum 9).
    SharesForked: SHARE_ONLY_SINGLETON;

    /// deliberate bug: prepare does not look again under the locks (R28).
    TestsOnce: TEST_AGAIN;

    /// deliberate bug: a new anon_vma is linked without its lock (R29, museum 7).
    LinksUnlocked: LOCK_NEW;

    /// deliberate bug: an anon_vma is published before it is linked (R30, museum 36).
    PublishesFirst: PUBLISH_LAST;

    /// deliberate bug: a range changes while it is in the trees (R32, museum 21).
    MovesInTrees: RANGE_OUT_OF_TREES;

    /// deliberate bug: a clone that fails leaves the copy with an anon_vma (R37, museum 26).
    LeavesHalfAClone: CLONE_UNDOES;

    /// deliberate bug: a merge that fails keeps the links that it has cloned (R37, museum 35).
    KeepsClonedLinks: MERGE_UNDOES;

    /// deliberate bug: a merge drops links that only the VMA that goes has (R25).
    DropsLinksInMerge: MERGE_MOVES_LINKS;

    /// deliberate bug: VMAs of different anon_vmas are merged (R26).
    MergesDifferent: MERGE_NEEDS_EQUAL;

    /// deliberate bug: PTEs are moved without the family's lock (R36, museum 19 and 20).
    MovesUnlocked: MOVE_LOCKS;

    /// deliberate bug: taking all locks takes a root for each VMA that is linked to it (R38).
    TakesRootsAgain: TAKE_ROOT_ONCE;

    /// deliberate bug: a walker takes whatever a VMA has there for the page it looks for (R35).
    TrustsVmas: WALK_ASKS_PTE;

    /// deliberate bug: swapoff asks one VMA, and not all that the anon_vma leads to (R39).
    AsksOneVma: UNUSE_WALKS;
}
