// SPDX-License-Identifier: GPL-2.0

//! The bugs, and in which core each is looked for.

use crate::{
    busted::{
        life::FreesWhileLocked, lookup::KeepsLastReference, page::StoresTwice, prepare::TestsOnce,
    },
    cores::{Kind, page, slot, vma},
    rmap::{
        oracle::Oracle::{self, *},
        rules::Rule,
        steps::Correct,
    },
};
use kernel::mock::words::Order;

/// A bug: a step of the engine that is overridden, or an order that is left out.
pub(crate) struct Bug {
    /// The name of its type, or of what is left out.
    pub(crate) name: &'static str,
    /// The rule that it breaks.
    pub(crate) rule: Rule,
    /// The core.
    pub(crate) core: &'static str,
    /// The orders that are left out.
    pub(crate) left_out: &'static [Order],
    /// The oracles that may catch it; a report by another one is a finding.
    pub(crate) oracles: &'static [Oracle],
    /// One execution of the core.
    pub(crate) execution: fn(),
}

/// All of them.
pub(crate) const ALL: &[Bug] = &[
    Bug {
        name: "RelaxedPublication",
        rule: Rule::R30,
        core: "publish",
        left_out: &[Order::Release],
        oracles: &[TypeStability],
        execution: vma::publish::<Kind<Correct>>,
    },
    Bug {
        name: "RelaxedSharing",
        rule: Rule::R30,
        core: "share",
        left_out: &[Order::Release],
        oracles: &[TypeStability],
        execution: vma::share::<Kind<Correct>>,
    },
    Bug {
        name: "LinkWithoutBarrier",
        rule: Rule::R30,
        core: "links",
        left_out: &[Order::WriteBarrier],
        oracles: &[TypeStability],
        execution: vma::links::<Kind<Correct>>,
    },
    Bug {
        name: "TestsOnce",
        rule: Rule::R28,
        core: "prepare",
        left_out: &[],
        oracles: &[LockDiscipline, Topology],
        execution: vma::prepare::<Kind<TestsOnce>>,
    },
    Bug {
        name: "StoresTwice",
        rule: Rule::R1,
        core: "map",
        left_out: &[],
        oracles: &[Tag],
        execution: page::map::<Kind<StoresTwice>>,
    },
    Bug {
        name: "MappingUnordered",
        rule: Rule::R14,
        core: "map",
        left_out: &[Order::WriteBarrier, Order::Unlock],
        oracles: &[TypeStability, LockIdentity],
        execution: page::map::<Kind<Correct>>,
    },
    Bug {
        name: "BelievesSlot",
        rule: Rule::R12,
        core: "slot",
        left_out: &[],
        oracles: &[LockIdentity],
        execution: slot::recycle::<false>,
    },
    Bug {
        name: "KeepsLastReference",
        rule: Rule::R10,
        core: "wait",
        left_out: &[],
        oracles: &[Refcount],
        execution: page::wait::<Kind<KeepsLastReference>>,
    },
    Bug {
        name: "FreesWhileLocked",
        rule: Rule::R17,
        core: "wait",
        left_out: &[],
        oracles: &[TypeStability],
        execution: page::wait::<Kind<FreesWhileLocked>>,
    },
    Bug {
        name: "RelaxedPut",
        rule: Rule::R17,
        core: "wait",
        left_out: &[Order::FullBarrier],
        oracles: &[Refcount, TypeStability],
        execution: page::wait::<Kind<Correct>>,
    },
];
