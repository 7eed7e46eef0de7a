// SPDX-License-Identifier: GPL-2.0

//! What may be wrong with a family of the host, and how it is told from what was read.
//!
//! The reader of the host (`host::fsck`) reads the facts of one link, one anon_vma or one tree entry
//! under the root's lock. The functions here say which of them break a rule. They allocate nothing
//! and keep nothing.
//!
//! An anon_vma is called by its place on the chain of the VMA at which it was found, counted from 1.

mod fault;

pub(crate) use fault::Fault;

/// What was read of one link of a VMA's chain. Keys are compared only.
pub(crate) struct LinkFacts<'a> {
    /// Its place on the chain, counted from 1.
    pub(crate) place: usize,
    /// Whether the link's VMA is the one with the chain.
    pub(crate) own_vma: bool,
    /// The anon_vma, its root and its parent.
    pub(crate) anon_vma: usize,
    pub(crate) root: usize,
    pub(crate) parent: usize,
    /// The root of the VMA's anon_vma.
    pub(crate) family: usize,
    /// Whether the link is in the tree of the anon_vma.
    pub(crate) in_tree: bool,
    /// The anon_vmas on the chain, in order.
    pub(crate) chain: &'a [usize],
}

impl LinkFacts<'_> {
    /// Calls `found` with each fault.
    pub(crate) fn judge(&self, mut found: impl FnMut(Fault)) {
        let place = self.place;
        let before = self.chain.get(..place - 1).unwrap_or(&[]);
        let wrong = [
            (!self.own_vma, Fault::OtherVma { place }),
            (self.root != self.family, Fault::OtherRoot { place }),
            (before.contains(&self.anon_vma), Fault::Twice { place }),
            (
                !self.chain.contains(&self.parent),
                Fault::NoParent { place },
            ),
            (!self.in_tree, Fault::NotInTree { place }),
        ];
        for (is_wrong, fault) in wrong {
            if is_wrong {
                found(fault);
            }
        }
    }
}

/// What was read of one entry of a tree.
pub(crate) struct EntryFacts {
    /// The place of the anon_vma, and that of the entry in the tree's order, counted from 1.
    pub(crate) place: usize,
    pub(crate) entry: usize,
    /// Whether it is a link to the anon_vma with this tree.
    pub(crate) own_anon_vma: bool,
    /// Whether it is on the chain of its VMA.
    pub(crate) on_chain: bool,
    /// The first and last offset of its VMA.
    pub(crate) start: usize,
    pub(crate) last: usize,
    /// The first offset of the entry in front of it.
    pub(crate) before: Option<usize>,
    /// `rb_subtree_last` of it and of the two below it.
    pub(crate) subtree_last: usize,
    pub(crate) below: [Option<usize>; 2],
}

impl EntryFacts {
    /// Calls `found` with each fault.
    pub(crate) fn judge(&self, mut found: impl FnMut(Fault)) {
        let (place, entry, is) = (self.place, self.entry, self.subtree_last);
        let below = self.below.iter().flatten();
        let expected = below.fold(self.last, |most, &last| most.max(last));
        let order = self.before.is_some_and(|before| before > self.start);
        let wrong = [
            (!self.own_anon_vma, Fault::OtherAnonVma { place, entry }),
            (!self.on_chain, Fault::EntryNotOnChain { place, entry }),
            (order, Fault::Order { place, entry }),
            (
                is != expected,
                Fault::SubtreeLast {
                    place,
                    entry,
                    is,
                    expected,
                },
            ),
        ];
        for (is_wrong, fault) in wrong {
            if is_wrong {
                found(fault);
            }
        }
    }
}

/// What was read of an anon_vma, and what was counted in the trees and chains of its family.
pub(crate) struct AnonVmaCounts {
    /// Its place on the chain, counted from 1.
    pub(crate) place: usize,
    pub(crate) is_root: bool,
    pub(crate) is_own_parent: bool,
    /// Whether its root is its own root.
    pub(crate) root_is_root: bool,
    /// Whether `rb_leftmost` is the first entry.
    pub(crate) leftmost: bool,
    pub(crate) refcount: i64,
    pub(crate) num_children: usize,
    pub(crate) num_active_vmas: usize,
    /// VMAs of its tree whose `->anon_vma` it is.
    pub(crate) active: usize,
    /// Whether these belong to several address spaces.
    pub(crate) several_mms: bool,
    /// Linked anon_vmas whose parent it is; a root counts itself.
    pub(crate) children: usize,
    /// Other linked anon_vmas whose root it is.
    pub(crate) members: usize,
}

impl AnonVmaCounts {
    /// Calls `found` with each fault.
    pub(crate) fn judge(&self, mut found: impl FnMut(Fault)) {
        let (place, needed) = (self.place, 1 + self.members);
        let wrong = [
            (!self.root_is_root, Fault::RootBelow { place }),
            (
                self.is_root && !self.is_own_parent,
                Fault::RootHasParent { place },
            ),
            (
                !self.is_root && self.is_own_parent,
                Fault::OwnParent { place },
            ),
            (!self.leftmost, Fault::Leftmost { place }),
            (self.several_mms, Fault::SharedByMms { place }),
            (
                self.num_children != self.children,
                Fault::Children {
                    place,
                    is: self.num_children,
                    counted: self.children,
                },
            ),
            (
                self.num_active_vmas != self.active,
                Fault::Active {
                    place,
                    is: self.num_active_vmas,
                    counted: self.active,
                },
            ),
            (
                self.refcount < needed as i64,
                Fault::References {
                    place,
                    root: self.is_root,
                    is: self.refcount,
                    needed,
                },
            ),
        ];
        for (is_wrong, fault) in wrong {
            if is_wrong {
                found(fault);
            }
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/family.rs"]
mod tests;
