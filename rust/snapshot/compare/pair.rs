// SPDX-License-Identifier: GPL-2.0

//! Both graphs of a comparison, and the bijection between their anon_vmas.

use super::{
    pages::PagePair,
    side::Side, //
};
use crate::kernel_ext::{
    sched::resched_each,
    sort::sort_by, //
};
use core::cmp::Ordering;
use kernel::prelude::*;

/// Both graphs, and the pairs of anon_vmas found so far.
pub(super) struct Pair<'a> {
    pub(super) shadow: Side<'a>,
    pub(super) host: Side<'a>,
    /// Whether each VMA is excluded from the comparison.
    pub(super) untracked: KVVec<bool>,
}

impl Pair<'_> {
    /// Returns the number of VMAs of the larger graph.
    pub(super) fn vmas(&self) -> usize {
        self.shadow.graph.vmas.len().max(self.host.graph.vmas.len())
    }

    /// Returns whether the VMA is excluded from the comparison.
    pub(super) fn is_untracked(&self, vma: usize) -> bool {
        self.untracked.get(vma).is_some_and(|&untracked| untracked)
    }

    /// Excludes tainted VMAs and their families from the comparison, and where VMAs are missing all
    /// families with VMAs that are in no graph.
    ///
    /// A family is everything with one root in one graph. A VMA that is excluded because of its
    /// family in one graph excludes its family in the other graph as well. So the search is
    /// repeated until a round finds nothing new, which takes two or three rounds.
    pub(super) fn set_aside(&mut self) -> Result {
        for index in resched_each(0..self.vmas()) {
            let tainted = |side: &Side<'_>| side.vma(index).is_some_and(|vma| vma.tainted);
            let tainted = tainted(&self.shadow) || tainted(&self.host);
            self.untracked.push(tainted, GFP_KERNEL_ACCOUNT)?;
        }
        let mut more = self.untracked.contains(&true);
        let nodes = self.host.graph.anon_vmas.iter();
        for node in
            resched_each(nodes).filter(|node| self.host.graph.incomplete && node.foreign > 0)
        {
            if let Some(aside) = self.host.aside.get_mut(node.root) {
                *aside = true;
                more = true;
            }
        }
        while more {
            more = false;
            for side in [&mut self.shadow, &mut self.host] {
                for (index, vma) in resched_each(&side.graph.vmas).enumerate() {
                    let Some(untracked) = self.untracked.get_mut(index) else {
                        continue;
                    };
                    // The prelude has another `chain`, that of `pin_init`.
                    let linked = || Iterator::chain(vma.chain.iter(), vma.anon_vma.as_ref());
                    let roots =
                        || linked().filter_map(|&at| Some(side.graph.anon_vmas.get(at)?.root));
                    let aside = |at| side.aside.get(at).is_some_and(|&aside| aside);
                    if *untracked {
                        for root in roots() {
                            if let Some(aside) = side.aside.get_mut(root) {
                                more |= !core::mem::replace(aside, true);
                            }
                        }
                    } else if roots().any(aside) {
                        *untracked = true;
                        more = true;
                    }
                }
            }
        }
        for side in [&mut self.shadow, &mut self.host] {
            for (index, node) in resched_each(&side.graph.anon_vmas).enumerate() {
                let root = side.is_aside(node.root);
                if let Some(aside) = side.aside.get_mut(index) {
                    *aside |= root;
                }
            }
        }
        Ok(())
    }

    /// Makes the two anon_vmas partners if that is possible, then their parents, and so on.
    pub(super) fn join(&mut self, mut shadow: usize, mut host: usize) {
        while self.shadow.is_alone(shadow)
            && self.host.is_alone(host)
            && self.shadow.depth(shadow) == self.host.depth(host)
        {
            let (Some(at), Some(at_host)) = (
                self.shadow.partners.get_mut(shadow),
                self.host.partners.get_mut(host),
            ) else {
                return;
            };
            (*at, *at_host) = (Some(host), Some(shadow));
            let (Some(node), Some(at_host)) =
                (self.shadow.anon_vma(shadow), self.host.anon_vma(host))
            else {
                return;
            };
            (shadow, host) = (node.parent, at_host.parent);
        }
    }

    /// Joins the anon_vmas that the same VMA or the same page refers to.
    pub(super) fn join_known(&mut self, pages: &[PagePair]) {
        let graphs = (self.shadow.graph, self.host.graph);
        for (vma, other) in resched_each(graphs.0.vmas.iter().zip(&graphs.1.vmas)) {
            if let (true, Some(shadow), Some(host)) =
                (vma.id == other.id, vma.anon_vma, other.anon_vma)
            {
                self.join(shadow, host);
            }
        }
        for &(page, other) in resched_each(pages) {
            let page = page.and_then(|at| graphs.0.pages.get(at));
            let other = other.and_then(|at| graphs.1.pages.get(at));
            if let (Some(shadow), Some(host)) = (
                page.and_then(|page| page.anon_vma),
                other.and_then(|other| other.anon_vma),
            ) {
                self.join(shadow, host);
            }
        }
    }

    /// Joins the rest of the anon_vmas of each VMA's chains, the deepest first.
    pub(super) fn join_rest(&mut self) -> Result {
        let (mut left, mut left_host): (KVVec<usize>, KVVec<usize>) = (KVVec::new(), KVVec::new());
        for index in resched_each(0..self.vmas()) {
            for (side, left) in [
                (&self.shadow, &mut left),
                (&self.host, &mut left_host), //
            ] {
                left.clear();
                for &anon_vma in side.chains.get(index) {
                    if side.is_alone(anon_vma) {
                        left.push(anon_vma, GFP_KERNEL_ACCOUNT)?;
                    }
                }
                sort_by(left, |&one, &other| side.order(one, other));
            }
            let (mut shadows, mut hosts) = (left.iter().peekable(), left_host.iter().peekable());
            while let (Some(&&shadow), Some(&&host)) = (shadows.peek(), hosts.peek()) {
                let depth = self.shadow.depth(shadow);
                // An anon_vma without a candidate of its depth is skipped.
                match depth.cmp(&self.host.depth(host)) {
                    Ordering::Greater => drop(shadows.next()),
                    Ordering::Less => drop(hosts.next()),
                    Ordering::Equal => {
                        self.join(shadow, host);
                        shadows.next();
                        hosts.next();
                    }
                }
            }
        }
        Ok(())
    }
}
