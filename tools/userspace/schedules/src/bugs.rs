// SPDX-License-Identifier: GPL-2.0

//! Where each deliberate bug is looked for, or why it is not.

/// What is known of a bug.
pub(crate) enum Plan {
    /// It is about an interleaving: the scenario, the lock, and the scheduler that finds it best.
    Search(&'static str, &'static str, &'static str),
    /// It needs no interleaving: why.
    Alone(&'static str),
}

use Plan::{Alone, Search};

/// A step does the same wrong thing whenever it is reached.
const WRONG_AT_ONCE: &str = "one thread alone builds the wrong graph";
/// The step is about an allocation that fails.
const FAILURE: &str = "an allocation has to fail, and one thread alone sees the harm";

/// All bugs, in the order of `rust/torture/busted/mod.rs`.
pub(crate) const PLANS: &[(&str, Plan)] = &[
    ("StoresTwice", Search("take-over", "rwsem", "pct:3")),
    ("ClearsMapping", Search("swap-in", "rwsem", "pct:3")),
    ("UnmapsTwice", Alone("each unmap counts twice")),
    ("SkipsFirstCheck", Search("give-back", "rwsem", "pct:2")),
    ("PlainCache", Search("recycle", "spin", "pct:3")),
    ("FreesDirty", Alone("each free leaves the object so")),
    ("SharesCache", Search("give-back", "rwsem", "pct:2")),
    (
        "LeavesRcuEarly",
        Search("give-back", "preemptible", "pct:2"),
    ),
    ("KeepsLastReference", Search("pin", "rwsem", "pct:3")),
    ("PutsUnderRcu", Search("pin", "rwsem", "pct:3")),
    ("SkipsSecondCheck", Search("recycle", "rwsem", "pct:3")),
    ("AsksRefcount", Search("recycle", "rwsem", "pct:3")),
    ("LocksItself", Alone("lockdep sees the wrong lock at once")),
    ("LetsRootGo", Search("child", "rwsem", "pct:3")),
    ("FreesRootFirst", Search("child", "rwsem", "pct:3")),
    ("FreesWhileLocked", Search("pin", "rwsem", "random")),
    ("MigratesUnpinned", Search("migrate", "rwsem", "random")),
    ("KeepsSharedPages", Alone(WRONG_AT_ONCE)),
    ("ForgetsRootLink", Alone(WRONG_AT_ONCE)),
    ("ShiftsWithoutLinks", Alone(WRONG_AT_ONCE)),
    ("CopiesBackwards", Alone(WRONG_AT_ONCE)),
    ("MovesWithoutLinks", Alone(WRONG_AT_ONCE)),
    ("PublishesFirst", Search("prepare", "rwsem", "pct:3")),
    ("LinksLast", Alone(WRONG_AT_ONCE)),
    ("SharesWithParent", Alone(WRONG_AT_ONCE)),
    ("NeverReuses", Alone(WRONG_AT_ONCE)),
    ("ReusesInCopy", Alone(WRONG_AT_ONCE)),
    ("ReusesBusy", Alone(WRONG_AT_ONCE)),
    ("DropsLinksInMerge", Alone(WRONG_AT_ONCE)),
    ("LinksTwice", Alone(WRONG_AT_ONCE)),
    ("MergesDifferent", Alone(WRONG_AT_ONCE)),
    ("MergesForked", Alone(WRONG_AT_ONCE)),
    ("SharesForked", Alone(WRONG_AT_ONCE)),
    ("TestsOnce", Search("prepare", "rwsem", "random")),
    (
        "LinksUnlocked",
        Alone("lockdep sees the missing lock at once"),
    ),
    ("MergesUnlocked", Search("merge", "rwsem", "pct:3")),
    ("MovesInTrees", Alone("the tree stays out of order")),
    ("KeepsAnonVma", Alone(WRONG_AT_ONCE)),
    (
        "TrustsVmas",
        Alone("a walk finds another page at the place"),
    ),
    ("MovesUnlocked", Search("move-back", "rwsem", "pct:3")),
    ("MovesBulkUnlocked", Search("move-all", "rwsem", "pct:3")),
    ("MovesRangeFirst", Search("shift", "rwsem", "pct:3")),
    ("LeavesHalfAClone", Alone(FAILURE)),
    ("KeepsClonedLinks", Alone(FAILURE)),
    ("TakesRootsAgain", Alone("one thread waits for itself")),
    ("AsksOneVma", Alone("one thread alone leaves users behind")),
];
