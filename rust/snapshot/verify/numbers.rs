// SPDX-License-Identifier: GPL-2.0

//! Checks of roots, parents, counters and pages.

use super::{
    Facts,
    Sink, //
};
use crate::{
    kernel_ext::sched::resched_each,
    rmap::rules::Rule,
    snapshot::{
        lineage::Lineage,
        PageNode, //
    },
};
use kernel::prelude::*;

impl Facts<'_> {
    /// Checks roots and parents.
    pub(super) fn check_lineages(&self, sink: &mut Sink<'_>) {
        for (index, node) in resched_each(&self.graph.anon_vmas).enumerate() {
            let (number, root) = (index + 1, node.root + 1);
            let top = self.root(node.root);
            sink.rule(
                Rule::R14,
                top == node.root,
                fmt!(
                    "anon_vma {number}: its root, anon_vma {root}, has a root itself, anon_vma {}",
                    top + 1
                ),
            );
            match self.lineages.get(index) {
                Some(&Lineage::Ends { root: end, .. }) => sink.rule(
                    Rule::R14,
                    end == node.root,
                    fmt!(
                        "anon_vma {number}: its root is anon_vma {root}, but its parents end at anon_vma {}",
                        end + 1
                    ),
                ),
                _ => sink.rule(
                    Rule::R14,
                    false,
                    fmt!("anon_vma {number}: its parents go round in a circle"),
                ),
            }
        }
    }

    /// Checks `num_active_vmas`, `num_children` and `refcount`.
    pub(super) fn check_counters(&self, sink: &mut Sink<'_>) {
        for (index, node) in resched_each(&self.graph.anon_vmas).enumerate() {
            let number = index + 1;
            let expected = self.expected.get(index).copied().unwrap_or_default();
            let whole = self
                .expected
                .get(node.root)
                .is_some_and(|root| root.foreign == 0);

            // It may be the `->anon_vma` of a foreign VMA, but need not.
            let active = expected.active..=expected.active + node.foreign;
            sink.rule(
                Rule::R24,
                active.contains(&node.num_active_vmas),
                fmt!(
                    "anon_vma {number}: num_active_vmas is {}, VMAs whose anon_vma it is: {}",
                    node.num_active_vmas,
                    expected.active
                ),
            );

            // A VMA that links to a child links to its parent as well (R23). So all children are in
            // the graph, unless this tree has foreign entries.
            let children = if whole {
                node.num_children == expected.children
            } else {
                node.num_children >= expected.children
            };
            sink.rule(
                Rule::R24,
                children,
                fmt!(
                    "anon_vma {number}: num_children is {}, linked anon_vmas whose parent it is: {}",
                    node.num_children,
                    expected.children
                ),
            );

            let linked = !node.vmas.is_empty() || node.foreign > 0;
            let needed = i64::from(linked).saturating_add_unsigned(expected.members as u64);
            // It is in the graph, so it must have a reference. The shadow at rest has no pins.
            let enough = node.refcount >= needed.max(1);
            let exact = node.refcount == needed || !self.is_shadow() || !whole;
            sink.rule(
                if node.root == index {
                    Rule::R16
                } else {
                    Rule::R18
                },
                enough && exact,
                fmt!(
                    "anon_vma {number}: refcount is {}, its links and those whose root it is make {needed}",
                    node.refcount
                ),
            );
        }
    }

    /// Checks which VMAs map each page, and which of them a walk finds.
    pub(super) fn check_pages(&self, sink: &mut Sink<'_>) {
        for (index, page) in resched_each(&self.graph.pages).enumerate() {
            let tainted = |&vma: &usize| self.graph.vmas.get(vma).is_some_and(|vma| vma.tainted);
            // A tainted VMA may lack the links by which its pages are found.
            if !page.mapped_by.iter().any(tainted) && !page.found_by.iter().any(tainted) {
                self.check_page(index + 1, page, sink);
            }
        }
    }

    /// Checks the page with this number in output.
    fn check_page(&self, number: usize, page: &PageNode, sink: &mut Sink<'_>) {
        for &vma in page.mapped_by.iter() {
            let id = self.vma(vma);
            if let Some(anon_vma) = page.anon_vma {
                sink.rule(
                    Rule::R21,
                    self.chains.has(vma, anon_vma),
                    fmt!(
                        "page {number}: vma {id} maps it, but does not link to its anon_vma {}",
                        anon_vma + 1
                    ),
                );
            }
        }
        match page.anon_vma {
            None => sink.rule(
                Rule::R21,
                page.mapped_by.is_empty(),
                fmt!(
                    "page {number}: {} VMAs map it, but none links to its anon_vma",
                    page.mapped_by.len()
                ),
            ),
            // Nearly always both lists are the same.
            Some(_) if page.mapped_by == page.found_by => {
                sink.rule(Rule::R21, true, fmt!(""));
                sink.rule(Rule::R35, true, fmt!(""));
            }
            Some(anon_vma) => {
                let start = anon_vma + 1;
                for &vma in page.mapped_by.iter() {
                    sink.rule(
                        Rule::R21,
                        page.found_by.binary_search(&vma).is_ok(),
                        fmt!(
                            "page {number}: vma {} maps it, but a walk from anon_vma {start} does \
                             not find that",
                            self.vma(vma)
                        ),
                    );
                }
                for &vma in page.found_by.iter() {
                    sink.rule(
                        Rule::R35,
                        page.mapped_by.binary_search(&vma).is_ok(),
                        fmt!(
                            "page {number}: a walk from anon_vma {start} finds vma {}, which does \
                             not map it",
                            self.vma(vma)
                        ),
                    );
                }
            }
        }

        // A foreign VMA that maps the page is in the tree of its anon_vma.
        let whole = match page.anon_vma.and_then(|at| self.graph.anon_vmas.get(at)) {
            Some(node) => node.foreign == 0,
            None => self.is_shadow(),
        };
        if whole {
            sink.rule(
                Rule::R3,
                usize::try_from(page.mapcount) == Ok(page.mapped_by.len()),
                fmt!(
                    "page {number}: mapcount is {}, PTEs that map it: {}",
                    page.mapcount,
                    page.mapped_by.len()
                ),
            );
        }
    }
}
