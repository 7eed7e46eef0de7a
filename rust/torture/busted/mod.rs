// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs: each is a type that overrides one step of the engine with the historical
//! mistake.
//!
//! A number in the museum is that of a bug that the kernel has had, see `Documentation/museum.rst`.
//! No module that is built for use contains any of them.
//!
//! To add one: write a type that implements [`Steps`](crate::rmap::steps::Steps) or
//! [`ModelSteps`](crate::model::steps::ModelSteps) into the file of its subject, and a line at the
//! end of this file. The line says
//!
//! * which rule it breaks, and its numbers in the museum;
//! * the load under which it shows;
//! * the protocols under which it is offered, the usual one first; `harmless` names those under
//!   which an experiment shows that it does no harm;
//! * the oracles that may catch it: those that see its harm. A report by another oracle is a
//!   finding, and no catch. `inspection` says that the first of them looks right at what the step
//!   did, because no later harm was found.
//!
//! From there it is in `bust=`, in `make torture`, and in its short form in `make test`.

pub(crate) mod family;
pub(crate) mod fork;
pub(crate) mod life;
#[cfg(any(shadow_rmap_busted, shadow_rmap_kunit))]
pub(crate) mod live;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod page;
pub(crate) mod prepare;
pub(crate) mod vma;
pub(crate) mod walk;

/// Lets a bug that leaves out a link do harm: a VMA maps a page all the same (R21).
macro_rules! maps_all_the_same {
    () => {
        fn may_map(&self, _linked: bool) -> bool {
            true
        }
    };
}
use maps_all_the_same;

/// Says that a bug overrides a step of the reverse map, and no other one of the model.
macro_rules! no_model_step {
    ($($bug:ident)*) => {
        $(
            // SAFETY: Incorrect, on purpose: a VMA maps a page without a link to its anon_vma.
            unsafe impl<R: crate::model::Modelled> crate::model::steps::ModelSteps<R> for $bug {
                crate::torture::busted::maps_all_the_same!();
            }
        )*
    };
}
use no_model_step;

/// Says that a bug overrides a step of the model, and none of the reverse map.
macro_rules! no_rmap_step {
    ($($bug:ident)*) => {
        $(
            // SAFETY: The provided methods.
            unsafe impl<R: crate::rmap::kind::Rmap> crate::rmap::steps::Steps<R> for $bug {}
        )*
    };
}
use no_rmap_step;

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
#[cfg(shadow_rmap_torture)]
use crate::rmap::{
    oracle::Oracle::{
        self,
        *, //
    },
    rules::Rule, //
};
#[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
use crate::{
    model::{
        steps::ModelSteps,
        Modelled, //
    },
    rmap::{
        kind::Rmap,
        steps::{
            Correct,
            Steps, //
        }, //
    },
};
#[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
use core::marker::PhantomData;

/// A deliberate bug, or none: what a torture runs.
#[cfg(shadow_rmap_torture)]
pub(crate) struct Bust {
    /// The name of its type.
    pub(crate) name: &'static str,
    /// The number of its steps in the [`Table`].
    pub(crate) number: usize,
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
    /// The oracles that may catch it.
    pub(crate) oracles: &'static [Oracle],
    /// Whether it is caught by a look at what the step did, and not by later harm.
    pub(crate) inspection: bool,
}

/// No bug.
#[cfg(shadow_rmap_torture)]
pub(crate) static CORRECT: Bust = Bust {
    name: "none",
    number: Correct::NUMBER,
    rule: None,
    museum: &[],
    mix: Mix::All,
    under: &[RwSem, Spin, Preemptible],
    harmless: &[],
    oracles: &[],
    inspection: false,
};

/// Steps with a number in the [`Table`]: those of a deliberate bug, or the correct ones.
#[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
pub(crate) trait Numbered {
    /// The number.
    const NUMBER: usize;
}

#[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
impl Numbered for Correct {
    const NUMBER: usize = 0;
}

/// The steps of all bugs for the kind `R`, by number: 0 is no bug.
#[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
pub(super) struct Table<R>(PhantomData<R>);

macro_rules! bugs {
    ($($file:ident::$bug:ident: $rule:ident, $museum:expr, $mix:ident, [$($lock:ident)*]
       $(harmless [$($tame:ident)*])?, [$($oracle:ident)*] $($inspection:ident)?;)*) => {
        /// The bugs in the order of their numbers.
        #[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
        enum Number {
            $($bug),*
        }

        $(
            #[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
            impl Numbered for $file::$bug {
                const NUMBER: usize = 1 + Number::$bug as usize;
            }
        )*

        /// All bugs, in the order of their rules.
        #[cfg(shadow_rmap_torture)]
        pub(crate) static ALL: &[Bust] = &[
            $(Bust {
                name: stringify!($bug),
                number: $file::$bug::NUMBER,
                rule: Some(Rule::$rule),
                museum: &$museum,
                mix: Mix::$mix,
                under: &[$($lock),*],
                harmless: &[$($($tame),*)?],
                oracles: &[$($oracle),*],
                inspection: !stringify!($($inspection)?).is_empty(),
            }),*
        ];

        #[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
        impl<R: Rmap> Table<R> {
            /// By number.
            pub(super) const STEPS: &'static [&'static dyn Steps<R>] =
                &[&Correct, $(&$file::$bug),*];
        }

        #[cfg(any(shadow_rmap_torture, shadow_rmap_kunit))]
        impl<R: Modelled> Table<R> {
            /// By number.
            pub(super) const MODEL_STEPS: &'static [&'static dyn ModelSteps<R>] =
                &[&Correct, $(&$file::$bug),*];
        }
    };
}

bugs! {
    page::StoresTwice: R1, [27], Walkers, [RwSem Spin], [Tag WalkCompleteness];
    page::ClearsMapping: R2, [2], Walkers, [RwSem Spin], [WalkCompleteness];
    walk::UnmapsTwice: R3, [6], Walkers, [RwSem Spin], [Mapcount WalkCompleteness];
    lookup::SkipsFirstCheck: R4, [3], Emptying, [RwSem Spin], [TypeStability LockIdentity Kernel];
    life::PlainCache: R5, [1], Emptying, [Spin RwSem], [TypeStability Kernel];
    life::FreesDirty: R6, [], Recycling, [RwSem Spin], [TypeStability];
    life::SharesCache: R8, [5], Recycling, [RwSem Spin], [TypeStability];
    lookup::LeavesRcuEarly: R9, [4], Emptying, [Preemptible] harmless [Spin], [TypeStability Kernel];
    lookup::KeepsLastReference: R10, [], Recycling, [RwSem], [Refcount];
    lookup::PutsUnderRcu: R11, [22], Recycling, [RwSem Spin], [LockDiscipline Kernel];
    lookup::SkipsSecondCheck: R12, [16], Recycling, [RwSem Spin], [LockIdentity TypeStability];
    lookup::AsksRefcount: R12, [17], Recycling, [RwSem Spin], [LockIdentity TypeStability];
    family::LocksItself: R15, [13], Forks, [RwSem Spin], [LockDiscipline BoundedWalk Kernel] inspection;
    life::LetsRootGo: R16, [14], Forks, [RwSem Spin], [TypeStability Refcount Kernel];
    life::FreesRootFirst: R16, [23], Forks, [RwSem], [TypeStability LockIdentity];
    life::FreesWhileLocked: R17, [], Recycling, [RwSem], [TypeStability LockIdentity];
    walk::MigratesUnpinned: R18, [15], Recycling, [RwSem Spin], [TypeStability WalkCompleteness Kernel];
    page::KeepsSharedPages: R20, [8], Walkers, [RwSem Spin], [WalkCompleteness Kernel];
    fork::ForgetsRootLink: R21, [], Forks, [RwSem Spin], [WalkCompleteness Topology];
    merge::ShiftsWithoutLinks: R21, [11], Merges, [RwSem Spin], [WalkCompleteness];
    merge::CopiesBackwards: R21, [34], Merges, [RwSem Spin], [WalkCompleteness Kernel];
    merge::MovesWithoutLinks: R21, [38], Moves, [RwSem Spin], [WalkCompleteness Topology Kernel];
    prepare::PublishesFirst: R21, [], Merges, [RwSem Spin], [WalkCompleteness];
    vma::LinksLast: R22, [12], Forks, [RwSem Spin], [Topology] inspection;
    fork::SharesWithParent: R23, [28], Forks, [RwSem Spin], [Topology Refcount];
    fork::NeverReuses: R24, [24], Forks, [RwSem Spin], [Topology];
    fork::ReusesInCopy: R24, [25], Merges, [RwSem Spin], [Refcount Topology];
    fork::ReusesBusy: R24, [31], Forks, [RwSem Spin], [Topology WalkCompleteness Kernel];
    merge::DropsLinksInMerge: R25, [], SharedMerges, [RwSem Spin], [WalkCompleteness Topology];
    merge::LinksTwice: R25, [10], SharedMerges, [RwSem Spin], [BoundedWalk Watchdog Topology WalkCompleteness];
    merge::MergesDifferent: R26, [], Merges, [RwSem Spin], [WalkCompleteness Topology Refcount];
    merge::MergesForked: R26, [39], Moves, [RwSem Spin], [Topology] inspection;
    prepare::SharesForked: R27, [9], Merges, [RwSem Spin], [WalkCompleteness Topology Refcount];
    prepare::TestsOnce: R28, [], Merges, [RwSem Spin], [Topology LockDiscipline];
    family::LinksUnlocked: R29, [7], Forks, [RwSem Spin], [LockDiscipline BoundedWalk Kernel] inspection;
    merge::MergesUnlocked: R31, [33], Merges, [RwSem Spin], [WalkCompleteness];
    vma::MovesInTrees: R32, [21], Merges, [RwSem Spin], [WalkCompleteness Topology Kernel];
    vma::KeepsAnonVma: R33, [29], Moves, [RwSem Spin], [WalkCompleteness TypeStability Refcount Topology];
    walk::TrustsVmas: R35, [], Walkers, [RwSem Spin], [Mapcount WalkCompleteness Refcount Watchdog];
    walk::MovesUnlocked: R36, [19], Moves, [RwSem Spin], [WalkCompleteness];
    walk::MovesBulkUnlocked: R36, [20], Moves, [RwSem Spin], [WalkCompleteness];
    vma::MovesRangeFirst: R36, [18], Moves, [RwSem Spin], [WalkCompleteness];
    fork::LeavesHalfAClone: R37, [26], Forks, [RwSem Spin], [Refcount TypeStability Topology];
    merge::KeepsClonedLinks: R37, [35], Merges, [RwSem Spin], [Refcount] inspection;
    walk::TakesRootsAgain: R38, [], Walkers, [RwSem], [Watchdog];
    walk::AsksOneVma: R39, [], Walkers, [RwSem Spin], [WalkCompleteness];
}
