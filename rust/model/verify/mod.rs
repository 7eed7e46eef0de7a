// SPDX-License-Identifier: GPL-2.0

//! Verification of address spaces, page tables, pages, swap and anon_vmas at rest.
//!
//! | module | contents |
//! |---|---|
//! | `collect` | collects VMAs, PTEs, slots and anon_vmas |
//! | `check` | checks PTEs, pages and slots |
//! | `live` | the numbers of allocated objects |
//!
//! [`snapshot::verify`] checks VMAs, chains, trees and pages, as in any other graph. This module
//! checks what a graph does not contain:
//!
//! | property | rule |
//! |---|---|
//! | a PTE is in a VMA | |
//! | a page is at the address that its index says, so a walk can find it | R21 |
//! | a page with a writable PTE is mapped once | |
//! | no PTE is a migration entry | |
//! | a VMA covers the addresses that it has in the tree of VMAs | |
//! | a slot of swap has as many users as there are PTEs with entries of it | R39 |
//! | a walk from the anon_vma that the slot pins finds each of them | R39 |
//! | besides links and children, only slots hold references on anon_vmas | R16, R18 |
//!
//! A property without a rule belongs to the structure of the model: no rule of the reverse map is
//! about it.
//!
//! [`snapshot::verify`]: crate::snapshot::verify

mod check;
mod collect;
mod live;

pub(crate) use live::Live;

use super::{
    mm::Mm,
    Modelled, //
};
use crate::{
    rmap::{
        oracle::Oracle,
        prepare::Sharing,
        rules::Rule, //
    },
    snapshot::{
        self,
        build::Builder,
        verify::Part,
        Graph,
        Source, //
    },
};
use check::{
    add_pages,
    check_ptes,
    check_slots, //
};
use collect::{
    add_links,
    seen_ptes,
    seen_slots,
    seen_vmas, //
};
use kernel::{
    fmt,
    prelude::*,
    str::{
        CStr,
        CString, //
    },
};

/// The most findings that are kept in words; all are counted.
const KEPT: usize = 24;

/// The result of a verification.
pub(crate) struct Verdict {
    /// The number of VMAs of all address spaces.
    pub(crate) vmas: usize,
    /// The number of anon_vmas to which these are linked.
    pub(crate) anon_vmas: usize,
    /// The number of links between the two.
    pub(crate) links: usize,
    /// The number of pages that are mapped.
    pub(crate) pages: usize,
    /// The number of swap slots that are in use.
    pub(crate) slots: usize,
    /// The number of violations.
    pub(crate) violations: usize,
    /// The first [`KEPT`] violations.
    findings: KVVec<Finding>,
}

/// A violation: the oracle that it is evidence for, the rule (`None`: the structure is damaged), and
/// the violation in words.
type Finding = (Oracle, Option<Rule>, CString);

/// Returns the oracle that reports a violation of `rule` at rest.
pub(crate) fn oracle_of(part: Part, rule: Option<Rule>) -> Oracle {
    match (rule, part) {
        (Some(Rule::R3), _) => Oracle::Mapcount,
        (Some(Rule::R16 | Rule::R18 | Rule::R37), _) => Oracle::Refcount,
        (Some(Rule::R20 | Rule::R33 | Rule::R36 | Rule::R39), _)
        // No walk finds the page.
        | (Some(Rule::R21), Part::Pages) => Oracle::WalkCompleteness,
        _ => Oracle::Topology,
    }
}

impl Verdict {
    /// Returns the first violation: the oracle, the rule, and the violation in words.
    pub(crate) fn first(&self) -> Option<(Oracle, Option<Rule>, &CStr)> {
        let (oracle, rule, words) = self.findings.first()?;
        Some((*oracle, *rule, words))
    }

    /// Returns whether there is no violation. Prints all violations to the kernel log.
    pub(crate) fn is_clean(&self) -> bool {
        for (_, rule, words) in &self.findings {
            let name = rule.map_or("structure", Rule::name);
            pr_err!("verify: {name}: {}\n", &**words);
        }
        let more = self.violations - self.findings.len();
        if more > 0 {
            pr_err!("verify: and {more} more\n");
        }
        self.violations == 0
    }
}

/// Takes the result of each look.
#[derive(Default)]
struct Sink {
    violations: usize,
    findings: KVVec<Finding>,
}

impl Sink {
    /// Takes a look at `rule`; `words` describe the violation, unless it `holds`.
    ///
    /// A violation counts in debugfs `rules`. The look does not count as a check there: those are
    /// the engine's own.
    fn check(&mut self, rule: Rule, holds: bool, words: fmt::Arguments<'_>) {
        rule.guard(holds);
        if !holds {
            self.add(Part::Pages, Some(rule), words);
        }
    }

    /// Takes a look at a property that no rule is about.
    fn structure(&mut self, holds: bool, words: fmt::Arguments<'_>) {
        if !holds {
            self.add(Part::Pages, None, words);
        }
    }

    /// Adds a violation.
    fn add(&mut self, part: Part, rule: Option<Rule>, words: fmt::Arguments<'_>) {
        self.violations += 1;
        if self.findings.len() < KEPT {
            // A violation without memory for its words is counted all the same.
            if let Ok(line) = CString::try_from_fmt(words) {
                let finding = (oracle_of(part, rule), rule, line);
                let _ = self.findings.push(finding, GFP_KERNEL);
            }
        }
    }
}

/// What was seen of address spaces, before it is verified.
pub(crate) struct Seen {
    /// The graph that [`snapshot`] knows.
    pub(crate) graph: Graph,
    /// The number of swap slots that are in use.
    slots: usize,
    /// The violations of what the graph does not contain.
    sink: Sink,
}

/// Looks at all address spaces that are related to each other. Sleeps.
///
/// No other thread maps, unmaps, faults, or moves pages meanwhile.
///
/// # Errors
///
/// `ENOMEM`; `EINVAL` if the graph cannot be built, which has been printed to the kernel log then.
pub(crate) fn look<R: Modelled>(mms: &[&Mm<R>]) -> Result<Seen> {
    let mut sink = Sink::default();
    let mut builder = Builder::new(Source::Shadow);

    let vmas = seen_vmas(mms, &mut builder, &mut sink)?;
    let ptes = seen_ptes(mms, &vmas)?;
    let slots = seen_slots(&ptes)?;

    add_links(mms, &vmas, &slots, &mut builder)?;
    check_ptes(&ptes, &vmas, &mut sink);
    add_pages(&ptes, &vmas, &mut builder, &mut sink)?;
    check_slots(&slots, &mut sink)?;

    let mut graph = builder.finish();
    graph.shared = mms.iter().any(|mm| mm.space().sharing == Sharing::Any);
    Ok(Seen {
        graph,
        slots: slots.len(),
        sink,
    })
}

/// Verifies all address spaces that are related to each other, see [`look`].
///
/// # Errors
///
/// Those of [`look`].
pub(crate) fn verify<R: Modelled>(mms: &[&Mm<R>]) -> Result<Verdict> {
    let Seen {
        graph,
        slots,
        mut sink,
    } = look(mms)?;
    snapshot::verify::verify(&graph, &mut |part, rule, words| {
        if let Some(rule) = rule {
            rule.violated();
        }
        sink.add(part, rule, words);
    })?;
    Ok(Verdict {
        vmas: graph.vmas.len(),
        anon_vmas: graph.anon_vmas.len(),
        links: graph.links(),
        pages: graph.pages.len(),
        slots,
        violations: sink.violations,
        findings: sink.findings,
    })
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/verify.rs"]
mod tests;
