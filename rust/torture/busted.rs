// SPDX-License-Identifier: GPL-2.0

//! deliberate bugs: each type breaks one rule, and is named by what it does or forgets.
//!
//! A number in the museum is that of a bug which the kernel has had, see `Documentation/museum.rst`.
//! None is part of a module that is built for use, without tests and torture; a build whose live
//! mappings are to break a rule names the bug (`make SHADOW_RMAP_BUST=...`, for the tests of the
//! oracles).
//!
//! To add one: give the rule a switch in `rmap/rules.rs`, have the engine ask it where the step is
//! taken, and write a line at the end of this file.  The line says which switch is off, which rule
//! that breaks, the numbers in the museum, the load under which it shows, and the protocols under
//! which it is offered, the usual one first; `harmless` names those under which an experiment shows
//! that nothing comes of it.  From there it is in `bust=`, in `make torture`, and in
//! the short form of it that is a part of `make test`.

#[cfg(shadow_rmap_torture)]
use super::{
    load::Mix,
    run::Protocol::{
        self,
        Preemptible,
        RwSem,
        Spin, //
    }, //
};
use crate::rmap::rules;
#[cfg(shadow_rmap_torture)]
use crate::rmap::rules::Rule;

/// The rules that live mappings obey.
#[cfg(not(shadow_rmap_busted))]
pub(crate) type LiveRules = rules::Correct;

/// The rules that live mappings break.
#[cfg(shadow_rmap_bust = "ForgetsRootLink")]
pub(crate) type LiveRules = ForgetsRootLink;

/// What a torture can be told to do.
#[cfg(shadow_rmap_torture)]
pub(crate) struct Bust {
    /// The name of its type.
    pub(crate) name: &'static str,
    /// The rule that it breaks; `None` for none.
    pub(crate) rule: Option<Rule>,
    /// Its numbers in the museum.
    pub(crate) museum: &'static [u32],
    /// The load that shows it.
    pub(crate) mix: Mix,
    /// The protocols that it is offered under, the usual one first.
    pub(crate) under: &'static [Protocol],
    /// Those under which it can be asked for as well, and does no harm.
    pub(crate) harmless: &'static [Protocol],
    /// Where it is offered under none: why, and what shows it instead.
    pub(crate) instead: &'static str,
    /// What its type breaks, see [`rules::broken_by`].
    pub(crate) breaks: u64,
}

/// No bug.
#[cfg(shadow_rmap_torture)]
pub(crate) static CORRECT: Bust = Bust {
    name: "none",
    rule: None,
    museum: &[],
    mix: Mix::All,
    under: &[RwSem, Spin, Preemptible],
    harmless: &[],
    instead: "",
    breaks: rules::broken_by::<rules::Correct>(),
};

macro_rules! bugs {
    ($($(#[$about:meta])*
       $bug:ident: $switch:ident, $rule:ident, $museum:expr, $mix:ident, [$($lock:ident)*]
       $(harmless [$($tame:ident)*])? $(, $instead:literal)?;)*) => {
        $(
            $(#[$about])*
            #[cfg(any(shadow_rmap_kunit, shadow_rmap_torture, shadow_rmap_busted))]
            pub(crate) struct $bug;

            #[cfg(any(shadow_rmap_kunit, shadow_rmap_torture, shadow_rmap_busted))]
            impl rules::Rules for $bug {
                const $switch: bool = false;
            }
        )*

        /// All of them.
        #[cfg(shadow_rmap_torture)]
        pub(crate) static ALL: &[Bust] = &[
            $(Bust {
                name: stringify!($bug),
                rule: Some(Rule::$rule),
                museum: &$museum,
                mix: Mix::$mix,
                under: &[$($lock),*],
                harmless: &[$($($tame),*)?],
                instead: concat!($($instead)?),
                breaks: rules::broken_by::<$bug>(),
            }),*
        ];
    };
}

bugs! {
    /// deliberate bug: a page's pointer is stored first, its tag after that (R1, museum 27).
    StoresTwice: ONE_STORE, R1, [27], Walkers, [RwSem Spin];

    /// deliberate bug: the last unmap clears `mapping` (R2, museum 2).
    ClearsMapping: MAPPING_STAYS, R2, [2], Walkers, [RwSem Spin];

    /// deliberate bug: a PTE that is replaced by a swap entry is counted twice (R3, museum 6).
    UnmapsTwice: UNMAP_COUNTS_ONCE, R3, [6], Walkers, [RwSem Spin];

    /// deliberate bug: a lookup follows a page without asking whether it is mapped (R4, museum 3).
    SkipsFirstCheck: FIRST_CHECK, R4, [3], Emptying, [RwSem Spin];

    /// deliberate bug: the cache is a plain one (R5, museum 1).
    PlainCache: TYPESAFE, R5, [1], Emptying, [Spin RwSem];

    /// deliberate bug: an anon_vma is given back as if it were in use (R6).
    FreesDirty: FREED_CLEAN, R6, [], Recycling, [RwSem Spin];

    /// deliberate bug: a cache is destroyed under its readers (R7).
    DestroysAtOnce: DESTROY_WAITS, R7, [], Recycling, [],
        "a torture has one cache from beginning to end; the KUnit suite shadow_rmap_anon_vma shows it";

    /// deliberate bug: another type's objects come from the same cache (R8, museum 5).
    SharesCache: OWN_CACHE, R8, [5], Recycling, [RwSem Spin];

    /// deliberate bug: RCU is left once the spinlock is held (R9, museum 4).
    LeavesRcuEarly: RCU_UNTIL_UNLOCK, R9, [4], Emptying, [Preemptible] harmless [Spin];

    /// deliberate bug: who waited for the lock with the last reference goes on (R10).
    KeepsLastReference: LAST_REFERENCE, R10, [], Recycling, [RwSem];

    /// deliberate bug: a reference that is not wanted is put before RCU is left (R11, museum 22).
    PutsUnderRcu: PUT_OUTSIDE_RCU, R11, [22], Recycling, [RwSem Spin];

    /// deliberate bug: the page is not looked at again under the lock (R12, museum 16).
    SkipsSecondCheck: SECOND_CHECK, R12, [16], Recycling, [RwSem Spin];

    /// deliberate bug: it is the reference count that is looked at again (R12, R13, museum 17).
    AsksRefcount: ASKS_THE_PAGE, R12, [17], Recycling, [RwSem Spin];

    /// deliberate bug: a writer locks the anon_vma, and not its root (R15, museum 13).
    LocksItself: ROOT_LOCK, R15, [13], Forks, [RwSem Spin];

    /// deliberate bug: a child does not hold its root (R16, museum 14).
    LetsRootGo: CHILD_HOLDS_ROOT, R16, [14], Forks, [RwSem Spin];

    /// deliberate bug: a child lets go of its root before it is freed (R16, museum 23).
    FreesRootFirst: CHILD_GOES_FIRST, R16, [23], Forks, [RwSem];

    /// deliberate bug: an anon_vma is freed while its root is locked (R17).
    FreesWhileLocked: FREE_WAITS, R17, [], Recycling, [RwSem];

    /// deliberate bug: the anon_vma of a page that migrates is not pinned (R18, museum 15).
    MigratesUnpinned: PINS_TO_MIGRATE, R18, [15], Recycling, [RwSem Spin];

    /// deliberate bug: a page that is shared goes to the VMA's own anon_vma (R20, museum 8).
    KeepsSharedPages: SHARED_TO_ROOT, R20, [8], Walkers, [RwSem Spin];

    /// deliberate bug: fork does not link the child to the root of its parent's family (R21, R23).
    ForgetsRootLink: FORK_CLONES_ALL_LINKS, R21, [], Forks, [RwSem Spin];

    /// deliberate bug: a VMA that a boundary shifts into does not inherit the links (R21, museum 11).
    ShiftsWithoutLinks: COPIES_ON_SHIFT, R21, [11], Merges, [RwSem Spin];

    /// deliberate bug: the links are copied the wrong way round (R21, museum 34).
    CopiesBackwards: COPIES_FORWARD, R21, [34], Merges, [RwSem Spin];

    /// deliberate bug: what is moved into an unfaulted VMA leaves its links behind (R21, museum 38).
    MovesWithoutLinks: COPIES_ON_MOVE, R21, [38], Moves, [RwSem Spin];

    /// deliberate bug: a new link stands last (R22, museum 12).
    LinksLast: NEWEST_FIRST, R22, [12], Forks, [RwSem Spin];

    /// deliberate bug: a child puts new pages where its parent does (R23, museum 28).
    SharesWithParent: FORK_MAKES_OWN, R23, [28], Forks, [RwSem Spin];

    /// deliberate bug: fork never reuses an anon_vma (R24, museum 24).
    NeverReuses: REUSES, R24, [24], Forks, [RwSem Spin];

    /// deliberate bug: a copy in the same address space reuses an idle ancestor (R24, museum 25).
    ReusesInCopy: REUSES_AT_FORK_ONLY, R24, [25], Merges, [RwSem Spin];

    /// deliberate bug: fork reuses an anon_vma with an active VMA (R24, museum 31).
    ReusesBusy: REUSE_ONLY_IDLE, R24, [31], Forks, [RwSem Spin];

    /// deliberate bug: a merge drops links that only the VMA that goes has (R25).
    DropsLinksInMerge: MERGE_MOVES_LINKS, R25, [], SharedMerges, [RwSem Spin];

    /// deliberate bug: a merge links a VMA to what it is linked to already (R25, museum 10).
    LinksTwice: MERGE_LINKS_ONCE, R25, [10], SharedMerges, [RwSem Spin];

    /// deliberate bug: VMAs of different anon_vmas are merged (R26).
    MergesDifferent: MERGE_NEEDS_EQUAL, R26, [], Merges, [RwSem Spin];

    /// deliberate bug: an unfaulted VMA inherits the links of a fork child (R26, museum 39).
    MergesForked: FORKED_STAY_APART, R26, [39], Moves, [RwSem Spin];

    /// deliberate bug: prepare shares the anon_vma of a VMA with more links (R27, museum 9).
    SharesForked: SHARE_ONLY_SINGLETON, R27, [9], Merges, [RwSem Spin];

    /// deliberate bug: prepare does not look again under the locks (R28).
    TestsOnce: TEST_AGAIN, R28, [], Merges, [RwSem Spin];

    /// deliberate bug: a new anon_vma is linked without its lock (R29, museum 7).
    LinksUnlocked: LOCK_NEW, R29, [7], Forks, [RwSem Spin];

    /// deliberate bug: an anon_vma is published before it is linked (R30, museum 36).
    PublishesFirst: PUBLISH_LAST, R30, [36], Merges, [RwSem Spin];

    /// deliberate bug: a merge gives a VMA an anon_vma before it has locked it (R31, museum 33).
    MergesUnlocked: MERGE_LOCKS_FIRST, R31, [33], Merges, [RwSem Spin];

    /// deliberate bug: a range changes while it is in the trees (R32, museum 21).
    MovesInTrees: RANGE_OUT_OF_TREES, R32, [21], Merges, [RwSem Spin];

    /// deliberate bug: a VMA that has been unlinked keeps its anon_vma (R33, museum 29).
    KeepsAnonVma: UNLINK_RESETS, R33, [29], Moves, [RwSem Spin];

    /// deliberate bug: a walker takes whatever a VMA has there for the page it looks for (R35).
    TrustsVmas: WALK_ASKS_PTE, R35, [], Walkers, [RwSem Spin];

    /// deliberate bug: PTEs are moved without the family's lock (R36, museum 19).
    MovesUnlocked: MOVE_LOCKS, R36, [19], Moves, [RwSem Spin];

    /// deliberate bug: the lock is left out where all PTEs are moved at once (R36, museum 20).
    MovesBulkUnlocked: BULK_MOVE_LOCKS, R36, [20], Moves, [RwSem Spin];

    /// deliberate bug: exec moves the VMA of its stack before the PTEs (R36, museum 18).
    MovesRangeFirst: RANGE_MOVES_WITH_PTES, R36, [18], Moves, [RwSem Spin];

    /// deliberate bug: a clone that fails leaves the copy with an anon_vma (R37, museum 26).
    LeavesHalfAClone: CLONE_UNDOES, R37, [26], Forks, [RwSem Spin];

    /// deliberate bug: a merge that fails keeps the links that it has cloned (R37, museum 35).
    KeepsClonedLinks: MERGE_UNDOES, R37, [35], Merges, [RwSem Spin];

    /// deliberate bug: taking all locks takes a root for each VMA that is linked to it (R38).
    TakesRootsAgain: TAKE_ROOT_ONCE, R38, [], Walkers, [RwSem Spin];

    /// deliberate bug: swapoff asks one VMA, and not all that the anon_vma leads to (R39).
    AsksOneVma: UNUSE_WALKS, R39, [], Walkers, [RwSem Spin];
}
