// SPDX-License-Identifier: GPL-2.0

//! Checks of a graph against the rules of the anonymous reverse map.
//!
//! They look at a state at rest: between two operations, with no lock held. They know nothing of
//! the operations that led to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::graph::{Graph, Page};
use crate::host::PAGE_SIZE;

/// What a rule forbids and a graph has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the rule: 21 for R21.
    pub rule: u32,
    /// What is wrong, with the numbers of the graph.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}: {}", self.rule, self.what)
    }
}

/// Returns whether a warning of the host's code is one that 7.3 is known to give.
///
/// - [`Graph::has_stale_offset`] was true before the operation (`stale`).
/// - The operation is an mmap() in which an allocation failed (`starved`): it found no memory to give the VMA
///   below the anon_vma of the one above. It makes a new VMA then, with an iterator that still is at
///   the other, of which the maple tree warns in `__mas_set_range()`.
pub fn is_known(problem: &str, stale: bool, starved: bool) -> bool {
    (stale && problem.contains("assert_sane_pgoff()"))
        || (starved && problem.contains("__mas_set_range()"))
}

/// Returns each violation that a graph shows.
pub fn verify(graph: &Graph) -> Vec<Violation> {
    let mut check = Check {
        graph,
        found: Vec::new(),
    };
    check.vmas();
    check.chains();
    check.trees();
    check.families();
    check.counters();
    check.pages();
    check.entries();
    check.found
}

struct Check<'a> {
    graph: &'a Graph,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn expect(&mut self, rule: u32, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.found.push(Violation { rule, what: what() });
        }
    }

    /// R32: the VMAs of a process do not overlap, and are in order.
    fn vmas(&mut self) {
        for mm in &self.graph.mms {
            let mut end = 0;
            for &number in &mm.vmas {
                let vma = &self.graph.vmas[number];
                self.expect(32, vma.start >= end && vma.end > vma.start, || {
                    format!(
                        "vma {number} {:#x}..{:#x} follows {end:#x}",
                        vma.start, vma.end
                    )
                });
                end = vma.end;
            }
        }
    }

    /// R33, R21, R26: `->anon_vma` and the chain agree, and each link leads both ways.
    fn chains(&mut self) {
        let mut chains: BTreeMap<(usize, usize), (usize, BTreeSet<usize>)> = BTreeMap::new();
        for (number, vma) in self.graph.vmas.iter().enumerate() {
            let set: BTreeSet<usize> = vma.chain.iter().copied().collect();
            self.expect(21, set.len() == vma.chain.len(), || {
                format!(
                    "vma {number} is linked twice to an anon_vma: {:?}",
                    vma.chain
                )
            });
            let consistent = match vma.anon_vma {
                Some(anon_vma) => set.contains(&anon_vma),
                None => set.is_empty(),
            };
            self.expect(33, consistent, || {
                format!(
                    "vma {number}: anon_vma {:?}, chain {:?}",
                    vma.anon_vma, vma.chain
                )
            });
            for &anon_vma in &set {
                let members = self.graph.anon_vmas[anon_vma].tree.iter();
                let times = members.filter(|m| m.vma == Some(number) && m.mine).count();
                self.expect(21, times == 1, || {
                    format!("vma {number} is {times} times in the tree of anon_vma {anon_vma}")
                });
            }
            if let Some(anon_vma) = vma.anon_vma {
                let (first, chain) = chains
                    .entry((vma.pid, anon_vma))
                    .or_insert_with(|| (number, set.clone()));
                let (first, equal) = (*first, *chain == set);
                self.expect(26, equal, || {
                    format!("vmas {first} and {number} have anon_vma {anon_vma}, but other chains")
                });
            }
        }
    }

    /// R32, R21: a tree is ordered by its keys, which are those of the VMAs.
    fn trees(&mut self) {
        for (number, anon_vma) in self.graph.anon_vmas.iter().enumerate() {
            let tree = &anon_vma.tree;
            self.expect(
                32,
                tree.windows(2).all(|two| two[0].first <= two[1].first),
                || format!("the tree of anon_vma {number} is not in order"),
            );
            for (place, member) in tree.iter().enumerate() {
                let linked = member
                    .vma
                    .is_some_and(|vma| member.mine && self.graph.vmas[vma].chain.contains(&number));
                self.expect(21, linked, || {
                    format!(
                        "member {place} of anon_vma {number}: vma {:?}, which is not linked",
                        member.vma
                    )
                });
                let below = member
                    .children
                    .iter()
                    .flatten()
                    .map(|&child| tree[child].subtree_last);
                let last = below.fold(member.last, u64::max);
                self.expect(32, member.subtree_last == last, || {
                    format!(
                        "member {place} of anon_vma {number}: subtree_last {}, expected {last}",
                        member.subtree_last
                    )
                });
            }
        }
    }

    /// R14, R15, R16, R18: one root for all that a VMA is linked to; none is empty or locked.
    fn families(&mut self) {
        let roots = |number: usize| self.graph.anon_vmas.get(number).map(|a| a.root);
        for (number, vma) in self.graph.vmas.iter().enumerate() {
            let family: BTreeSet<_> = vma.chain.iter().map(|&number| roots(number)).collect();
            self.expect(15, family.len() <= 1, || {
                format!(
                    "vma {number} is linked to anon_vmas of {} roots",
                    family.len()
                )
            });
        }
        for (number, anon_vma) in self.graph.anon_vmas.iter().enumerate() {
            self.expect(14, roots(anon_vma.root) == Some(anon_vma.root), || {
                format!("anon_vma {number}: its root {} is no root", anon_vma.root)
            });
            let parent = roots(anon_vma.parent);
            self.expect(14, parent == Some(anon_vma.root), || {
                format!(
                    "anon_vma {number}: its parent {} has another root",
                    anon_vma.parent
                )
            });
            let own = anon_vma.root == number;
            self.expect(23, own == (anon_vma.parent == number), || {
                format!(
                    "anon_vma {number}: root {}, but parent {}",
                    anon_vma.root, anon_vma.parent
                )
            });
            self.expect(18, !anon_vma.tree.is_empty(), || {
                format!("anon_vma {number} is kept, and no VMA is linked to it")
            });
            self.expect(15, !anon_vma.locked, || {
                format!("anon_vma {number} is locked")
            });
        }
    }

    /// R16, R24: the three counters of an anon_vma.
    fn counters(&mut self) {
        let all = || self.graph.anon_vmas.iter().enumerate();
        for (number, anon_vma) in all() {
            // An anon_vma with VMAs has one reference; a root has one more of each other.
            let others = all()
                .filter(|(other, a)| a.root == number && *other != number)
                .count();
            let references = i64::from(!anon_vma.tree.is_empty()) + others as i64;
            self.expect(16, anon_vma.refcount == references, || {
                format!(
                    "anon_vma {number}: refcount {}, expected {references}",
                    anon_vma.refcount
                )
            });
            let children = all().filter(|(_, a)| a.parent == number).count() as u64;
            self.expect(24, anon_vma.num_children == children, || {
                format!(
                    "anon_vma {number}: num_children {}, expected {children}",
                    anon_vma.num_children
                )
            });
            let active = self
                .graph
                .vmas
                .iter()
                .filter(|v| v.anon_vma == Some(number))
                .count();
            self.expect(24, anon_vma.num_active_vmas == active as u64, || {
                format!(
                    "anon_vma {number}: num_active_vmas {}, expected {active}",
                    anon_vma.num_active_vmas
                )
            });
        }
    }

    /// R1, R3, R20: what a page says of itself.
    fn pages(&mut self) {
        for (number, page) in self.graph.pages.iter().enumerate() {
            self.expect(1, page.tag == 1, || {
                format!("page {number}: tag {}", page.tag)
            });
            self.expect(18, page.anon_vma.is_some(), || {
                format!("page {number}: mapping leads to no anon_vma")
            });
            let entries = self
                .graph
                .entries
                .iter()
                .filter(|e| e.page == Some(number))
                .count();
            self.expect(3, page.mapcount == entries as i64, || {
                format!(
                    "page {number}: mapcount {}, {entries} entries",
                    page.mapcount
                )
            });
            self.expect(20, !page.exclusive || entries == 1, || {
                format!("page {number} is exclusive, and has {entries} entries")
            });
        }
    }

    /// R21, R35, R41: each entry's VMA is linked to the page's anon_vma, so that a walk comes
    /// there.
    fn entries(&mut self) {
        for entry in &self.graph.entries {
            let place = format!("the entry at {:#x} of process {}", entry.address, entry.pid);
            let Some(number) = self.graph.vma_at(entry.pid, entry.address) else {
                self.expect(33, false, || format!("{place} is in no VMA"));
                continue;
            };
            let vma = &self.graph.vmas[number];
            self.expect(21, vma.anon_vma.is_some(), || {
                format!("{place}: vma {number} has no anon_vma")
            });
            let Some(Page {
                anon_vma,
                index,
                walk,
                ..
            }) = entry.page.map(|p| &self.graph.pages[p])
            else {
                continue;
            };
            self.expect(21, anon_vma.is_none_or(|a| vma.chain.contains(&a)), || {
                format!("{place}: vma {number} is not linked to anon_vma {anon_vma:?} of the page")
            });
            let expected = vma.anon_pgoff + (entry.address - vma.start) / PAGE_SIZE;
            self.expect(41, *index == expected, || {
                format!("{place}: index {index}, expected {expected}")
            });
            let reached = walk.binary_search(&(entry.pid, entry.address)).is_ok();
            self.expect(35, anon_vma.is_none() || reached, || {
                format!("{place}: the host's walk does not come there, but to {walk:x?}")
            });
        }
    }
}
