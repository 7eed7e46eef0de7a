// SPDX-License-Identifier: GPL-2.0

//! Checks of the links between VMAs and anon_vmas, from both sides.

use super::{
    Facts,
    Sink, //
};
use crate::{
    kernel_ext::{
        sched::resched_each,
        sort::sort_by_key, //
    },
    rmap::rules::Rule, //
};
use kernel::prelude::*;

impl Facts<'_> {
    /// Checks the `->anon_vma` and the chain of each VMA.
    pub(super) fn check_vmas(&self, sink: &mut Sink<'_>) {
        for (index, vma) in resched_each(&self.graph.vmas).enumerate() {
            let (id, chain) = (vma.id, self.chains.get(index));
            match vma.anon_vma {
                None => sink.structure(
                    chain.is_empty(),
                    fmt!(
                        "vma {id}: it has no anon_vma, but its chain links {}",
                        chain.len()
                    ),
                ),
                Some(anon_vma) => {
                    // An unlink empties the chain and resets the pointer.
                    sink.rule(
                        Rule::R33,
                        !chain.is_empty(),
                        fmt!("vma {id}: it has anon_vma {}, but no chain", anon_vma + 1),
                    );
                    sink.structure(
                        chain.is_empty() || self.chains.has(index, anon_vma),
                        fmt!(
                            "vma {id}: its anon_vma {} is not in its chain of {}",
                            anon_vma + 1,
                            chain.len()
                        ),
                    );
                }
            }

            let mut before = None;
            for &anon_vma in chain {
                let number = anon_vma + 1;
                let again = before == Some(anon_vma);
                sink.structure(
                    !again,
                    fmt!("vma {id}: its chain links anon_vma {number} more than once"),
                );
                if again {
                    continue;
                }
                let same = before.is_none_or(|before| self.root(before) == self.root(anon_vma));
                sink.rule(
                    Rule::R15,
                    same,
                    fmt!(
                        "vma {id}: anon_vma {} and anon_vma {number} of its chain have different roots",
                        before.map_or(0, |before| before + 1)
                    ),
                );
                before = Some(anon_vma);
                sink.rule(
                    Rule::R21,
                    self.trees.has(anon_vma, index),
                    fmt!("vma {id}: it is not in the tree of anon_vma {number} of its chain"),
                );
                if let Some(node) = self.graph.anon_vmas.get(anon_vma) {
                    // A root exists as long as it has children, whether it is linked or not (R16).
                    let apart = self.graph.shared && node.parent == node.root;
                    sink.rule(
                        Rule::R23,
                        apart || self.chains.has(index, node.parent),
                        fmt!(
                            "vma {id}: its chain links anon_vma {number}, but not the parent of that, anon_vma {}",
                            node.parent + 1
                        ),
                    );
                }
            }
        }
    }

    /// Checks the interval tree of each anon_vma.
    pub(super) fn check_trees(&self, sink: &mut Sink<'_>) {
        for (index, node) in resched_each(&self.graph.anon_vmas).enumerate() {
            let number = index + 1;
            let mut before = None;
            for &vma in self.trees.get(index) {
                let id = self.vma(vma);
                let again = before == Some(vma);
                sink.structure(
                    !again,
                    fmt!("anon_vma {number}: vma {id} is in its tree more than once"),
                );
                before = Some(vma);
                if !again {
                    sink.structure(
                        self.chains.has(vma, index),
                        fmt!("anon_vma {number}: vma {id} is in its tree, but does not link to it"),
                    );
                }
            }

            if !self.is_shadow() {
                continue;
            }
            sink.rule(
                Rule::R33,
                node.foreign == 0,
                fmt!(
                    "anon_vma {number}: {} in its tree are VMAs that no longer exist",
                    node.foreign
                ),
            );
            // The host orders its trees by another offset, that of `vma_start_anon_pgoff()`.
            for pair in node.vmas.windows(2) {
                let &[vma, next] = pair else { continue };
                let offset = |vma: usize| self.graph.vmas.get(vma).map(|vma| vma.tree_offset);
                sink.rule(
                    Rule::R32,
                    offset(vma) <= offset(next),
                    fmt!(
                        "anon_vma {number}: vma {} is in its tree before vma {}, which has a lower offset",
                        self.vma(vma),
                        self.vma(next)
                    ),
                );
            }
        }
    }

    /// Checks VMAs that have the same `->anon_vma`.
    pub(super) fn check_sharing(&self, sink: &mut Sink<'_>) -> Result {
        let mut active: KVVec<(usize, usize)> = KVVec::new();
        for (index, vma) in resched_each(&self.graph.vmas).enumerate() {
            if let Some(anon_vma) = vma.anon_vma {
                active.push((anon_vma, index), GFP_KERNEL_ACCOUNT)?;
            }
        }
        sort_by_key(&mut active, |&x| x);
        for pair in resched_each(active.windows(2)) {
            let &[(anon_vma, first), (other, second)] = pair else {
                continue;
            };
            if anon_vma != other {
                continue;
            }
            let mm = |vma: usize| self.graph.vmas.get(vma).map(|vma| vma.mm);
            let (number, one, two) = (anon_vma + 1, self.vma(first), self.vma(second));
            sink.rule(
                Rule::R24,
                mm(first) == mm(second),
                fmt!("vma {one} and vma {two}: both have anon_vma {number}, in different address spaces"),
            );
            sink.rule(
                Rule::R26,
                self.graph.shared || self.chains.get(first) == self.chains.get(second),
                fmt!("vma {one} and vma {two}: both have anon_vma {number}, but different chains"),
            );
        }
        Ok(())
    }
}
