// SPDX-License-Identifier: GPL-2.0

//! Checks one [`Graph`] against the rules that hold for every reverse map at rest.
//!
//! Only certain violations are reported. An entry of an interval tree whose VMA is not in the graph
//! is called *foreign*. In the host's graph of one process it belongs to another process, so the
//! host's counts may be larger than the graph explains. In the shadow's graph it is a VMA that no
//! longer exists.
//!
//! Most of what is checked is a rule. Some properties are not: they only say that the structure is
//! intact, such as "no chain links an anon_vma twice". Looks at those have no [`Rule`].
//!
//! The order of a chain is not checked, because `anon_vma_clone()` reverses it at each clone.
//!
//! C source: [`mm/rmap.c`](srctree/mm/rmap.c)

mod links;
mod numbers;

use super::{
    lineage::{
        lineages,
        Lineage, //
    },
    lists::Lists,
    Graph,
    Source, //
};
use crate::{
    kernel_ext::sched::resched_each,
    rmap::rules::{
        self,
        Rule, //
    }, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// What a violation is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// VMAs, chains, trees, and the counters of anon_vmas.
    Chains,
    /// Pages: their mapcount, the VMAs that map them, and the VMAs that walks find.
    Pages,
}

/// Number of looks at a graph, by rule.
pub(crate) struct Looks {
    rules: [usize; rules::ALL.len()],
    structure: usize,
}

impl Looks {
    /// Returns the number of looks at `rule`, or at the structure for `None`.
    pub(crate) fn at(&self, rule: Option<Rule>) -> usize {
        match rule {
            Some(rule) => self.rules.get(rule as usize).copied().unwrap_or(0),
            None => self.structure,
        }
    }

    /// Counts one look.
    fn add(&mut self, rule: Option<Rule>) {
        let count = match rule {
            Some(rule) => self.rules.get_mut(rule as usize),
            None => Some(&mut self.structure),
        };
        if let Some(count) = count {
            *count += 1;
        }
    }
}

/// Checks `graph`, and calls `report` for each violation: with the part of the graph, with the rule
/// (`None`: the structure is damaged), and with the violation in words. Returns the number of looks,
/// by rule.
///
/// Violations are not counted here: that is up to `report`.
///
/// # Errors
///
/// [`ENOMEM`]; [`EINVAL`] if an index of the graph refers to no element.
pub(crate) fn verify(
    graph: &Graph,
    report: &mut dyn FnMut(Part, Option<Rule>, fmt::Arguments<'_>),
) -> Result<Looks> {
    if !graph.is_well_formed() {
        return Err(EINVAL);
    }
    let facts = Facts::new(graph)?;
    let mut sink = Sink {
        report,
        part: Part::Chains,
        looks: Looks {
            rules: [0; rules::ALL.len()],
            structure: 0,
        },
    };
    facts.check_vmas(&mut sink);
    facts.check_trees(&mut sink);
    facts.check_sharing(&mut sink)?;
    facts.check_lineages(&mut sink);
    facts.check_counters(&mut sink);
    sink.part = Part::Pages;
    facts.check_pages(&mut sink);
    Ok(sink.looks)
}

/// Takes the result of each look.
struct Sink<'a> {
    report: &'a mut dyn FnMut(Part, Option<Rule>, fmt::Arguments<'_>),
    part: Part,
    looks: Looks,
}

impl Sink<'_> {
    /// Takes a look at `rule`; `words` describe the violation, unless it `holds`.
    fn rule(&mut self, rule: Rule, holds: bool, words: fmt::Arguments<'_>) {
        self.look(Some(rule), holds, words);
    }

    /// Takes a look at a property that no rule is about.
    fn structure(&mut self, holds: bool, words: fmt::Arguments<'_>) {
        self.look(None, holds, words);
    }

    fn look(&mut self, rule: Option<Rule>, holds: bool, words: fmt::Arguments<'_>) {
        self.looks.add(rule);
        if !holds {
            (self.report)(self.part, rule, words);
        }
    }
}

/// The expected counters of an anon_vma, computed from the rest of the graph.
#[derive(Clone, Copy, Default)]
struct Expected {
    /// VMAs whose `->anon_vma` it is.
    active: usize,
    /// anon_vmas with a VMA in their tree whose parent it is.
    children: usize,
    /// Other anon_vmas whose root it is.
    members: usize,
    /// Foreign entries in the trees of all anon_vmas whose root it is.
    foreign: usize,
}

/// A graph with the tables that the checks look up.
struct Facts<'a> {
    graph: &'a Graph,
    /// The chain of each VMA.
    chains: Lists,
    /// The VMAs of each anon_vma.
    trees: Lists,
    lineages: KVVec<Lineage>,
    expected: KVVec<Expected>,
}

impl<'a> Facts<'a> {
    /// Computes the tables.
    fn new(graph: &'a Graph) -> Result<Self> {
        let number = graph.anon_vmas.len();
        let mut expected = KVVec::from_elem(Expected::default(), number, GFP_KERNEL_ACCOUNT)?;
        for anon_vma in resched_each(graph.vmas.iter().filter_map(|vma| vma.anon_vma)) {
            if let Some(expected) = expected.get_mut(anon_vma) {
                expected.active += 1;
            }
        }
        for (index, node) in resched_each(&graph.anon_vmas).enumerate() {
            // `unlink_anon_vmas()` decrements the parent's count when a tree becomes empty, not
            // when the anon_vma is freed. A root's count of itself is decremented in the same way.
            if !node.vmas.is_empty() || node.foreign > 0 {
                if let Some(parent) = expected.get_mut(node.parent) {
                    parent.children += 1;
                }
            }
            if let Some(root) = expected.get_mut(node.root) {
                root.foreign += node.foreign;
                root.members += usize::from(node.root != index);
            }
        }
        Ok(Self {
            graph,
            chains: Lists::sorted(graph.vmas.iter().map(|vma| &*vma.chain))?,
            trees: Lists::sorted(graph.anon_vmas.iter().map(|node| &*node.vmas))?,
            lineages: lineages(graph)?,
            expected,
        })
    }

    /// Returns whether it is the shadow's graph.
    fn is_shadow(&self) -> bool {
        self.graph.source == Source::Shadow
    }

    /// Returns the number of a VMA in output.
    fn vma(&self, index: usize) -> u64 {
        self.graph.vmas.get(index).map_or(0, |vma| vma.id)
    }

    /// Returns the root of an anon_vma.
    fn root(&self, anon_vma: usize) -> usize {
        self.graph
            .anon_vmas
            .get(anon_vma)
            .map_or(anon_vma, |node| node.root)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/broken.rs"]
mod broken;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/verify.rs"]
mod tests;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/verify_numbers.rs"]
mod number_tests;
