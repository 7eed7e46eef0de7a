// SPDX-License-Identifier: GPL-2.0

//! Reads the facts of a VMA's links and of the anon_vmas on its chain, under the root's lock.

use super::{
    chain::{
        Chain,
        Mark,
        Step, //
    },
    patience::Patience,
    read::{
        AnonVma,
        Area,
        Link, //
    },
    Notes,
    Scope, //
};
use crate::snapshot::family::{
    AnonVmaCounts,
    EntryFacts,
    Fault,
    LinkFacts, //
};
use kernel::prelude::*;

/// Most entries of a tree: behind that it is taken for endless.
const MOST_ENTRIES: usize = 1 << 24;

/// How a copy of a chain has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// `notes` have all links that can be read.
    All,
    /// The chain does not end, so it is not examined.
    Endless,
    /// There was no room for it.
    NoRoom,
}

/// An anon_vma that was examined.
pub(super) struct Examined {
    place: usize,
    anon_vma: AnonVma,
    /// The number of entries of its tree.
    entries: usize,
}

/// Copies the chain of the VMA into `notes`.
///
/// # Errors
///
/// Those of [`Patience::breathe`].
pub(super) fn read_chain(
    area: &Area,
    patience: &Patience<'_>,
    notes: &mut Notes,
) -> Result<Copied> {
    notes.chain.clear();
    notes.keys.clear();
    let mut chain = Chain::of(area);
    loop {
        let place = chain.links() + 1;
        patience.breathe()?;
        if place > notes.room() {
            return Ok(Copied::NoRoom);
        }
        let link = match chain.step() {
            Step::To(link) => link,
            Step::End => return Ok(Copied::All),
            Step::Nowhere => {
                notes.found(Fault::LeadsNowhere { place });
                return Ok(Copied::All);
            }
            Step::Endless => {
                let links = chain.links();
                notes.found(Fault::Endless { links });
                return Ok(Copied::Endless);
            }
        };
        notes.keys.push(link.anon_vma, GFP_KERNEL)?;
        notes.chain.push(link, GFP_KERNEL)?;
    }
}

/// Examines the chain in `notes`, and each anon_vma on it of which this link is the first.
///
/// # Errors
///
/// Those of [`Patience::breathe`]; what was found until then is in `notes`.
pub(super) fn examine(
    vma: usize,
    area: &Area,
    scope: Scope,
    patience: &Patience<'_>,
    notes: &mut Notes,
) -> Result {
    notes.examined.clear();
    let links = notes.chain.len();
    if links == 0 {
        notes.found(Fault::NoChain);
    } else if !notes.keys.contains(&area.anon_vma) {
        notes.found(Fault::NotOnChain { links });
    }
    notes.counts.chains += links;
    for i in 0..links {
        patience.breathe()?;
        let (place, Some(&link)) = (i + 1, notes.chain.get(i)) else {
            break;
        };
        let Some(anon_vma) = AnonVma::at(link.anon_vma) else {
            notes.found(Fault::LeadsNowhere { place });
            continue;
        };
        let facts = LinkFacts {
            place,
            own_vma: link.vma == vma,
            anon_vma: anon_vma.key,
            root: anon_vma.root,
            parent: anon_vma.parent,
            family: notes.root,
            in_tree: anon_vma.tree != 0 && link.is_below(anon_vma.tree),
            chain: &notes.keys,
        };
        let mut faults = super::Faults::new();
        facts.judge(|fault| faults.add(fault));
        let in_tree = facts.in_tree;
        notes.all_of(faults);
        if in_tree && is_first(&link, &anon_vma, area.mm, scope, patience)? {
            let entries = examine_anon_vma(place, &anon_vma, patience, notes)?;
            notes.counts.anon_vmas += 1;
            if let Some(entries) = entries {
                let examined = Examined {
                    place,
                    anon_vma,
                    entries,
                };
                notes.examined.push(examined, GFP_KERNEL)?;
            }
        }
    }
    look_again(patience, notes)
}

/// Looks at the examined anon_vmas a second time; at one VMA of an address space it waits for
/// [`Notes::hold`] before. The root's lock is held: a host that has changed one did so without the
/// lock. Sleeps.
///
/// # Errors
///
/// Those of [`Patience::breathe`].
pub(super) fn look_again(patience: &Patience<'_>, notes: &mut Notes) -> Result {
    if !notes.examined.is_empty() && notes.holds_here() {
        patience.hold(notes.hold);
    }
    for examined in &notes.examined {
        if has_changed(&examined.anon_vma, examined.entries, patience)? {
            let place = examined.place;
            notes.faults.add(Fault::Changed { place });
        }
    }
    Ok(())
}

/// Returns whether `link` is the one at which its anon_vma is examined: the first in its tree, or
/// the first of the address space.
fn is_first(
    link: &Link,
    anon_vma: &AnonVma,
    mm: usize,
    scope: Scope,
    patience: &Patience<'_>,
) -> Result<bool> {
    let mut next = Link::first_below(anon_vma.tree).and_then(Link::of_node);
    let (mut n, mut mark) = (0, Mark::default());
    while let Some(first) = next {
        if first.key == link.key || scope == Scope::All {
            return Ok(first.key == link.key);
        }
        if Area::at(first.vma).is_some_and(|area| area.mm == mm) {
            return Ok(false);
        }
        n += 1;
        patience.breathe()?;
        if n > MOST_ENTRIES || mark.comes_again(&first) {
            // The examination finds that there is no end.
            return Ok(true);
        }
        next = first.successor().flatten();
    }
    Ok(false)
}

/// Examines an anon_vma and its tree, with what the chains of the VMAs in it say. Returns the
/// number of entries of the tree; `None` if it could not be read to its end.
fn examine_anon_vma(
    place: usize,
    anon_vma: &AnonVma,
    patience: &Patience<'_>,
    notes: &mut Notes,
) -> Result<Option<usize>> {
    let first = Link::first_below(anon_vma.tree);
    let mut next = first.and_then(Link::of_node);
    let mut seen = Seen::new(anon_vma);
    let (mut entry, mut before, mut mark) = (0, None, Mark::default());
    while let Some(link) = next {
        if entry == MOST_ENTRIES || mark.comes_again(&link) {
            notes.found(Fault::EndlessTree {
                place,
                entries: entry,
            });
            return Ok(None);
        }
        entry += 1;
        patience.breathe()?;
        let (Some(area), Some(below)) = (Area::at(link.vma), link.below()) else {
            notes.found(Fault::LeadsNowhere { place });
            return Ok(None);
        };
        let on_chain = seen.chain_of(&area, &link, patience)?;
        let facts = EntryFacts {
            place,
            entry,
            own_anon_vma: link.anon_vma == anon_vma.key,
            on_chain,
            start: area.range.start,
            last: area.range.last,
            before,
            subtree_last: link.subtree_last,
            below: below.map(|link| link.map(|link| link.subtree_last)),
        };
        facts.judge(|fault| notes.found(fault));
        before = Some(area.range.start);
        next = match link.successor() {
            Some(next) => next,
            None => {
                notes.found(Fault::LeadsNowhere { place });
                return Ok(None);
            }
        };
    }
    let root = AnonVma::at(anon_vma.root);
    let counts = AnonVmaCounts {
        place,
        is_root: anon_vma.is_root(),
        is_own_parent: anon_vma.parent == anon_vma.key,
        root_is_root: root.is_some_and(|root| root.is_root()),
        leftmost: first == Some(anon_vma.leftmost),
        refcount: anon_vma.refcount,
        num_children: anon_vma.num_children,
        num_active_vmas: anon_vma.num_active_vmas,
        active: seen.active,
        several_mms: seen.several_mms,
        children: seen.children,
        members: seen.members,
    };
    counts.judge(|fault| notes.found(fault));
    Ok(Some(entry))
}

/// Returns whether an anon_vma, with so many entries in its tree, is not as it was.
pub(super) fn has_changed(
    anon_vma: &AnonVma,
    entries: usize,
    patience: &Patience<'_>,
) -> Result<bool> {
    let mut next = Link::first_below(anon_vma.tree).and_then(Link::of_node);
    let mut n = 0;
    while let Some(link) = next.filter(|_| n <= entries) {
        n += 1;
        patience.breathe()?;
        next = link.successor().flatten();
    }
    let is_same = AnonVma::at(anon_vma.key).is_some_and(|now| now.is_as(anon_vma));
    Ok(n != entries || !is_same)
}

/// What the chains of the VMAs in the tree of an anon_vma say about it.
struct Seen<'a> {
    anon_vma: &'a AnonVma,
    active: usize,
    /// The address space of the VMAs of which it is the `->anon_vma`.
    mm: Option<usize>,
    several_mms: bool,
    children: usize,
    members: usize,
}

impl<'a> Seen<'a> {
    fn new(anon_vma: &'a AnonVma) -> Self {
        Self {
            anon_vma,
            active: 0,
            mm: None,
            several_mms: false,
            children: 0,
            members: 0,
        }
    }

    /// Reads the chain of a VMA. Returns whether `link` is on it.
    ///
    /// An anon_vma is counted where the chain has the leftmost link of its tree, so once. A VMA that
    /// is linked to a child is linked to the parent as well (R23): so all children are found.
    ///
    /// The VMA may be one that is being forked, outside of the lock: `anon_vma_fork()` puts the link
    /// to the new anon_vma on the chain before it takes the lock to insert it. The list is valid
    /// for a reader all the same, because the entry is complete before `list_add()` lets the head
    /// lead to it, and x86 keeps the order of stores. The tree of the new anon_vma is still empty.
    fn chain_of(&mut self, area: &Area, link: &Link, patience: &Patience<'_>) -> Result<bool> {
        if area.anon_vma == self.anon_vma.key {
            self.active += 1;
            self.several_mms |= self.mm.is_some_and(|mm| mm != area.mm);
            self.mm = Some(area.mm);
        }
        let (mut chain, mut on_chain) = (Chain::of(area), false);
        loop {
            patience.breathe()?;
            let this = match chain.step() {
                Step::To(this) => this,
                Step::End => return Ok(on_chain),
                // This is a fault where the VMA is examined.
                Step::Nowhere | Step::Endless => return Ok(false),
            };
            on_chain |= this.key == link.key;
            let Some(other) = AnonVma::at(this.anon_vma) else {
                continue;
            };
            if other.tree == 0 || other.leftmost != this.node() {
                continue;
            }
            self.children += usize::from(other.parent == self.anon_vma.key);
            let is_member = other.root == self.anon_vma.key && other.key != self.anon_vma.key;
            self.members += usize::from(is_member);
        }
    }
}
