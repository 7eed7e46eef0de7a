// SPDX-License-Identifier: GPL-2.0

//! What may be wrong with a family, the rule that this breaks, and the words for it.

use crate::rmap::rules::Rule;
use kernel::{
    fmt,
    prelude::*, //
};

/// Something that is wrong with a VMA, its chain, or an anon_vma of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A pointer of this link, or behind it, leads to no memory.
    LeadsNowhere { place: usize },
    /// There is a chain, but no anon_vma.
    ChainAlone,
    /// There is an anon_vma, but no chain.
    NoChain,
    /// The anon_vma is not on the chain.
    NotOnChain { links: usize },
    /// The chain does not come back to the VMA.
    Endless { links: usize },
    /// The link is one of another VMA.
    OtherVma { place: usize },
    /// The anon_vma has another root than that of the VMA.
    OtherRoot { place: usize },
    /// The anon_vma was linked before on this chain.
    Twice { place: usize },
    /// The parent of the anon_vma is not on the chain.
    NoParent { place: usize },
    /// The link is not in the tree of its anon_vma.
    NotInTree { place: usize },
    /// A page of the VMA leads to an anon_vma that is not on the chain.
    PageElsewhere { address: usize },
    /// A page of the VMA is anonymous, and the VMA has no anon_vma.
    PageAlone { address: usize },
    /// A page of the VMA has the index of another place.
    PageIndex {
        address: usize,
        index: usize,
        expected: usize,
    },
    /// The root has a root itself.
    RootBelow { place: usize },
    /// The root has a parent.
    RootHasParent { place: usize },
    /// The anon_vma is its own parent, but not a root.
    OwnParent { place: usize },
    /// `rb_leftmost` is not the first entry of the tree.
    Leftmost { place: usize },
    /// An entry of the tree begins before the one in front of it.
    Order { place: usize, entry: usize },
    /// `rb_subtree_last` is not the last offset below an entry.
    SubtreeLast {
        place: usize,
        entry: usize,
        is: usize,
        expected: usize,
    },
    /// An entry of the tree is the link to another anon_vma.
    OtherAnonVma { place: usize, entry: usize },
    /// An entry of the tree is not on the chain of its VMA.
    EntryNotOnChain { place: usize, entry: usize },
    /// The tree has no end.
    EndlessTree { place: usize, entries: usize },
    /// The anon_vma or its tree is not as it was some moments before.
    Changed { place: usize },
    /// VMAs of several address spaces have it as their anon_vma.
    SharedByMms { place: usize },
    /// `num_children` is wrong.
    Children {
        place: usize,
        is: usize,
        counted: usize,
    },
    /// `num_active_vmas` is wrong.
    Active {
        place: usize,
        is: usize,
        counted: usize,
    },
    /// There are fewer references than users.
    References {
        place: usize,
        root: bool,
        is: i64,
        needed: usize,
    },
}

impl Fault {
    /// Returns the rule that is broken; `None` if it only shows that the structure is damaged.
    pub(crate) fn rule(self) -> Option<Rule> {
        match self {
            Self::LeadsNowhere { .. }
            | Self::ChainAlone
            | Self::NotOnChain { .. }
            | Self::Endless { .. }
            | Self::OtherVma { .. }
            | Self::Twice { .. }
            | Self::OtherAnonVma { .. }
            | Self::EntryNotOnChain { .. }
            | Self::EndlessTree { .. } => None,
            Self::NoChain => Some(Rule::R33),
            Self::OtherRoot { .. } | Self::Changed { .. } => Some(Rule::R15),
            Self::NoParent { .. } => Some(Rule::R23),
            Self::NotInTree { .. } | Self::PageElsewhere { .. } | Self::PageAlone { .. } => {
                Some(Rule::R21)
            }
            Self::PageIndex { .. } => Some(Rule::R41),
            Self::RootBelow { .. } | Self::RootHasParent { .. } | Self::OwnParent { .. } => {
                Some(Rule::R14)
            }
            Self::Leftmost { .. } | Self::Order { .. } | Self::SubtreeLast { .. } => {
                Some(Rule::R32)
            }
            Self::SharedByMms { .. } | Self::Children { .. } | Self::Active { .. } => {
                Some(Rule::R24)
            }
            Self::References { root: true, .. } => Some(Rule::R16),
            Self::References { root: false, .. } => Some(Rule::R18),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anon_vma = |f: &mut fmt::Formatter<'_>, place: usize, words: fmt::Arguments<'_>| {
            f.write_fmt(fmt!("anon_vma {place} of its chain: {words}"))
        };
        match *self {
            Self::LeadsNowhere { place: 0 } => f.write_str("a pointer of it leads to no memory"),
            Self::LeadsNowhere { place } => anon_vma(
                f,
                place,
                fmt!("a pointer of it or its links leads to no memory"),
            ),
            Self::ChainAlone => f.write_str("it has a chain, but no anon_vma"),
            Self::NoChain => f.write_str("it has an anon_vma, but no chain"),
            Self::NotOnChain { links } => {
                f.write_fmt(fmt!("its anon_vma is not on its chain of {links}"))
            }
            Self::Endless { links } => {
                f.write_fmt(fmt!("its chain does not end after {links} links"))
            }
            Self::OtherVma { place } => {
                f.write_fmt(fmt!("link {place} of its chain is one of another VMA"))
            }
            Self::OtherRoot { place } => anon_vma(
                f,
                place,
                fmt!("it has another root than the VMA's anon_vma"),
            ),
            Self::Twice { place } => anon_vma(f, place, fmt!("it is on the chain before")),
            Self::NoParent { place } => anon_vma(f, place, fmt!("its parent is not on the chain")),
            Self::NotInTree { place } => anon_vma(f, place, fmt!("the VMA is not in its tree")),
            Self::PageElsewhere { address } => f.write_fmt(fmt!(
                "the page at {address:#x} leads to an anon_vma that is not on its chain"
            )),
            Self::PageAlone { address } => f.write_fmt(fmt!(
                "the page at {address:#x} is anonymous, but there is no anon_vma"
            )),
            Self::PageIndex {
                address,
                index,
                expected,
            } => f.write_fmt(fmt!(
                "the page at {address:#x} has index {index}, its place has {expected}"
            )),
            Self::RootBelow { place } => anon_vma(f, place, fmt!("its root has a root itself")),
            Self::RootHasParent { place } => anon_vma(f, place, fmt!("it is a root with a parent")),
            Self::OwnParent { place } => {
                anon_vma(f, place, fmt!("it is its own parent, but not a root"))
            }
            Self::Leftmost { place } => anon_vma(
                f,
                place,
                fmt!("rb_leftmost is not the first entry of its tree"),
            ),
            Self::Order { place, entry } => anon_vma(
                f,
                place,
                fmt!("entry {entry} of its tree begins before the entry in front of it"),
            ),
            Self::SubtreeLast {
                place,
                entry,
                is,
                expected,
            } => anon_vma(
                f,
                place,
                fmt!("rb_subtree_last of entry {entry} is {is}, the last below it is {expected}"),
            ),
            Self::OtherAnonVma { place, entry } => anon_vma(
                f,
                place,
                fmt!("entry {entry} of its tree is a link to another anon_vma"),
            ),
            Self::EntryNotOnChain { place, entry } => anon_vma(
                f,
                place,
                fmt!("entry {entry} of its tree is not on the chain of its VMA"),
            ),
            Self::EndlessTree { place, entries } => anon_vma(
                f,
                place,
                fmt!("its tree does not end after {entries} entries"),
            ),
            Self::Changed { place } => anon_vma(
                f,
                place,
                fmt!("it or its tree has changed, though its root's lock was held"),
            ),
            Self::SharedByMms { place } => anon_vma(
                f,
                place,
                fmt!("VMAs of different address spaces have it as their anon_vma"),
            ),
            Self::Children { place, is, counted } => anon_vma(
                f,
                place,
                fmt!("num_children is {is}, linked anon_vmas whose parent it is: {counted}"),
            ),
            Self::Active { place, is, counted } => anon_vma(
                f,
                place,
                fmt!("num_active_vmas is {is}, VMAs whose anon_vma it is: {counted}"),
            ),
            Self::References {
                place, is, needed, ..
            } => anon_vma(
                f,
                place,
                fmt!("refcount is {is}, its links and those whose root it is make {needed}"),
            ),
        }
    }
}
