// SPDX-License-Identifier: GPL-2.0

//! Three generations, as the host would build them: three address spaces with one VMA each. The
//! structures are linked by hand, and belong to no process.
//!
//! anon_vma 0 is the root, 1 its child, 2 the child of 1. VMA 0 is linked to 0; VMA 1 to 1 and 0;
//! VMA 2 to 2, 0 and 1. `LINKS` has the VMA and the anon_vma of each link.

use super::{
    examine::{
        examine,
        has_changed,
        look_again,
        read_chain,
        Copied, //
    },
    patience::Patience,
    read::{
        AnonVma,
        Area, //
    },
    *, //
};
use crate::ffi;
use core::ptr;
use kernel::{
    str::CString,
    types::Opaque, //
};

/// The VMA and the anon_vma of each link, in the order of the chains.
pub(super) const LINKS: [(usize, usize); 6] = [(0, 0), (1, 1), (1, 0), (2, 2), (2, 0), (2, 1)];

/// The structures.
pub(super) struct Raw {
    pub(super) anon_vmas: [ffi::anon_vma; 4],
    pub(super) vmas: [ffi::vm_area_struct; 3],
    pub(super) links: [ffi::anon_vma_chain; 7],
}

impl Raw {
    /// Gives a VMA another first anonymous page offset.
    pub(super) fn set_pgoff(&mut self, vma: usize, pgoff: usize) {
        // SAFETY: The VMA is valid for writes; the function writes integers alone.
        unsafe { ffi::shadow_rmap_bench_vma_set_pgoff(&raw mut self.vmas[vma], pgoff) }
    }
}

/// The structures, linked.
///
/// # Invariants
///
/// Nothing but this value refers to the structures, except these to each other.
pub(super) struct World(Pin<KBox<Opaque<Raw>>>);

impl World {
    /// Creates three generations without a fault.
    pub(super) fn new() -> Result<Self> {
        let raw = KBox::pin_init(
            Opaque::ffi_init(|raw: *mut Raw| {
                // SAFETY: The slot is valid for writes; zeroes are valid for all fields.
                unsafe { ptr::write_bytes(raw, 0, 1) }
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: Nothing refers to what was just made.
        let mut world = Self(raw);
        world.link();
        Ok(world)
    }

    /// Changes the structures.
    pub(super) fn raw(&mut self) -> &mut Raw {
        // SAFETY: They are initialised; by the type invariant there is no other reference.
        unsafe { &mut *self.0.get() }
    }

    fn link(&mut self) {
        let raw = self.raw();
        for (i, vma) in raw.vmas.iter_mut().enumerate() {
            let mm = ptr::without_provenance_mut(0x1000 * (i + 1));
            // SAFETY: `vma` is valid for writes; the address space is stored, and not read.
            unsafe { ffi::shadow_rmap_bench_vma_init(vma, mm, 4, 7) };
            vma.anon_vma = ptr::from_mut(&mut raw.anon_vmas[i]).cast();
        }
        for (i, parent) in [0, 0, 1].into_iter().enumerate() {
            let root = ptr::from_mut(&mut raw.anon_vmas[0]);
            let parent = ptr::from_mut(&mut raw.anon_vmas[parent]);
            let this = &mut raw.anon_vmas[i];
            (this.root, this.parent) = (root, parent);
            this.refcount.counter = [3, 1, 1][i];
            this.num_children = [2, 1, 0][i];
            this.num_active_vmas = 1;
        }
        for (i, (vma, anon_vma)) in LINKS.into_iter().enumerate() {
            self.put_on_chain(i, vma, anon_vma);
        }
        // The tree of the root has link 2 above, 0 and 4 below; that of 1 has 1 above, 5 below.
        self.put_in_tree(0, &[(2, None), (0, Some(2)), (4, Some(2))]);
        self.put_in_tree(1, &[(1, None), (5, Some(1))]);
        self.put_in_tree(2, &[(3, None)]);
    }

    /// Puts link `i` at the end of the chain of a VMA.
    pub(super) fn put_on_chain(&mut self, i: usize, vma: usize, anon_vma: usize) {
        let raw = self.raw();
        let head = &raw mut raw.vmas[vma].anon_vma_chain;
        let to = ptr::from_mut(&mut raw.vmas[vma]);
        let of = ptr::from_mut(&mut raw.anon_vmas[anon_vma]);
        let link = &raw mut raw.links[i];
        // SAFETY: The list is one of these structures, which are valid.
        unsafe {
            ((*link).vma, (*link).anon_vma) = (to, of);
            let entry = &raw mut (*link).same_vma;
            let last = (*head).prev;
            ((*entry).prev, (*entry).next) = (last, head);
            ((*last).next, (*head).prev) = (entry, entry);
        }
    }

    /// Makes a tree of links, each with the one above it: the first child is the left one, or the
    /// right one where the link above has a smaller number.
    fn put_in_tree(&mut self, anon_vma: usize, links: &[(usize, Option<usize>)]) {
        let raw = self.raw();
        for &(i, above) in links {
            let node = &raw mut raw.links[i].rb;
            raw.links[i].rb_subtree_last = 7;
            match above {
                None => raw.anon_vmas[anon_vma].rb_root.rb_root.rb_node = node,
                Some(above) => {
                    let above_node = &raw mut raw.links[above].rb;
                    raw.links[i].rb.__rb_parent_color = above_node.expose_provenance();
                    let above = &mut raw.links[above].rb;
                    if i < LINKS.len() && links[0].0 > i {
                        above.rb_left = node;
                    } else {
                        above.rb_right = node;
                    }
                }
            }
        }
        let first = links.iter().map(|&(i, _)| i).min().unwrap_or(0);
        raw.anon_vmas[anon_vma].rb_root.rb_leftmost = &raw mut raw.links[first].rb;
    }

    /// Returns whether an anon_vma with so many entries in its tree has changed since a look at it, after
    /// which `change` is called.
    pub(super) fn has_changed(
        &mut self,
        anon_vma: usize,
        entries: usize,
        change: impl FnOnce(&mut Raw),
    ) -> Result<bool> {
        let key = ptr::from_ref(&self.raw().anon_vmas[anon_vma]).addr();
        let seen = AnonVma::at(key).ok_or(EFAULT)?;
        change(self.raw());
        has_changed(&seen, entries, &Patience::new(&|| false))
    }

    /// Examines a VMA as a check of all processes does, see [`examine_in`](Self::examine_in).
    pub(super) fn examine(&mut self, vma: usize) -> Result<KVVec<u8>> {
        self.examine_in(vma, Scope::All)
    }

    /// Examines a VMA.
    fn notes(&mut self, vma: usize, scope: Scope) -> Result<Notes> {
        let key = ptr::from_ref(&self.raw().vmas[vma]).addr();
        let area = Area::at(key).ok_or(EFAULT)?;
        let mut notes = Notes::new(16, Delta::ZERO)?;
        notes.root = ptr::from_ref(&self.raw().anon_vmas[0]).addr();
        let patience = Patience::new(&|| false);
        match read_chain(&area, &patience, &mut notes)? {
            Copied::All => examine(key, &area, scope, &patience, &mut notes)?,
            Copied::Endless => {}
            Copied::NoRoom => return Err(ENOSPC),
        }
        Ok(notes)
    }

    /// Examines a VMA, calls `change`, and looks again. Returns the faults, a line each.
    pub(super) fn look_again(
        &mut self,
        vma: usize,
        change: impl FnOnce(&mut Raw),
    ) -> Result<KVVec<u8>> {
        let mut notes = self.notes(vma, Scope::One)?;
        change(self.raw());
        look_again(&Patience::new(&|| false), &mut notes)?;
        words(&notes)
    }

    /// Examines a VMA. Returns the faults, a line each, and a line with the numbers of links and of
    /// anon_vmas that were examined.
    pub(super) fn examine_in(&mut self, vma: usize, scope: Scope) -> Result<KVVec<u8>> {
        let notes = self.notes(vma, scope)?;
        let mut text = words(&notes)?;
        let (chains, anon_vmas) = (notes.counts.chains, notes.counts.anon_vmas);
        let line = CString::try_from_fmt(fmt!("chains={chains} anon_vmas={anon_vmas}\n"))?;
        text.extend_from_slice(line.to_bytes(), GFP_KERNEL)?;
        Ok(text)
    }
}

/// Returns the faults that were found, a line each.
fn words(notes: &Notes) -> Result<KVVec<u8>> {
    let mut text = KVVec::new();
    for fault in notes.faults.list.into_iter().flatten() {
        let name = fault.rule().map_or("structure", |rule| rule.name());
        let line = CString::try_from_fmt(fmt!("{name} {fault}\n"))?;
        text.extend_from_slice(line.to_bytes(), GFP_KERNEL)?;
    }
    Ok(text)
}
