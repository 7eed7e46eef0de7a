// SPDX-License-Identifier: GPL-2.0

//! The state of address spaces, as plain data, for a comparison with another implementation.
//!
//! Numbers are given in the order in which objects are met: VMAs by process and address, anon_vmas
//! along the chains, pages by process and address. Two equal states give equal data.

use super::{Kind, Space};
use crate::{
    model::{page::Page, swap::Slot, table::Pte},
    rmap::anon_vma::AnonVma,
};
use core::ops::ControlFlow;
use kernel::sync::Arc;

/// The state of address spaces. Addresses are in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The VMAs.
    pub vmas: Vec<Vma>,
    /// The anon_vmas that they are linked to.
    pub anon_vmas: Vec<AnonVmaState>,
    /// The pages that are mapped.
    pub pages: Vec<PageState>,
    /// The entries of page tables.
    pub entries: Vec<Entry>,
}

/// A VMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// Its process.
    pub pid: usize,
    /// The first address.
    pub first: usize,
    /// The last address.
    pub last: usize,
    /// The anonymous page offset of `first`.
    pub pgoff: usize,
    /// The offset in the file of `first`, if it maps the file.
    pub file: Option<usize>,
    /// `vm_flags`.
    pub flags: u64,
    /// `vma->anon_vma`.
    pub anon_vma: Option<usize>,
    /// The anon_vmas that it is linked to, in the order of the chain.
    pub chain: Vec<usize>,
}

/// An anon_vma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnonVmaState {
    /// Its root, if a VMA is linked to it.
    pub root: Option<usize>,
    /// Its parent, if a VMA is linked to it.
    pub parent: Option<usize>,
    /// References, without those that swap holds.
    pub refcount: i64,
    /// Number of anon_vmas whose parent it is; a root counts itself.
    pub num_children: usize,
    /// Number of VMAs whose `->anon_vma` it is.
    pub num_active_vmas: usize,
    /// The VMAs in its interval tree, in ascending order.
    pub tree: Vec<usize>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageState {
    /// The anon_vma that it leads to, if a VMA is linked to it.
    pub anon_vma: Option<usize>,
    /// `index`.
    pub index: usize,
    /// Number of PTEs that map it.
    pub mapcount: i64,
    /// Whether it is one process's alone.
    pub exclusive: bool,
}

/// A PTE that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The process.
    pub pid: usize,
    /// The address.
    pub address: usize,
    /// The page. `None`: it is in the swap.
    pub page: Option<usize>,
}

/// Takes the state of processes, none of which is used meanwhile. `spaces` is in the order of the
/// pids.
pub fn state<'a>(spaces: impl IntoIterator<Item = (usize, &'a Space)>) -> State {
    let mut reader = Reader::default();
    for (pid, space) in spaces {
        reader.vmas(pid, space);
        reader.ptes(pid, space);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    state: State,
    vmas: Vec<usize>,
    anon_vmas: Vec<usize>,
    pages: Vec<(usize, Arc<Page<Kind>>)>,
    /// The slots of swap, by address.
    slots: Vec<(usize, Arc<Slot<Kind>>)>,
    /// The root and the parent of each anon_vma.
    families: Vec<[usize; 2]>,
    /// The VMAs in the tree of each anon_vma.
    trees: Vec<Vec<usize>>,
}

fn place(keys: &[usize], key: usize) -> Option<usize> {
    keys.iter().position(|&known| known == key)
}

impl Reader {
    fn vmas(&mut self, pid: usize, space: &Space) {
        let mm = space.mm();
        let mmap = mm.core().mmap_read();
        for vma in mm.space().vmas() {
            let mut chain = Vec::new();
            for anon_vma in vma.core.links(&mmap) {
                chain.push(self.anon_vma(anon_vma));
            }
            let anon_vma = vma.core.anon_vma(&mmap);
            let anon_vma = anon_vma.map(|anon_vma| self.anon_vma(anon_vma));
            let attributes = vma.attributes();
            let (first, last) = vma.addresses(&mmap);
            self.vmas.push(vma.core.key());
            self.state.vmas.push(Vma {
                pid,
                first,
                last,
                pgoff: vma.range(&mmap).start,
                file: attributes.file_pgoff(first),
                flags: attributes.flags.bits(),
                anon_vma,
                chain,
            });
        }
    }

    /// Returns the number of an anon_vma, which is read when it is met first.
    fn anon_vma(&mut self, anon_vma: &AnonVma<Kind>) -> usize {
        let key = anon_vma.key();
        if let Some(number) = place(&self.anon_vmas, key) {
            return number;
        }
        let locked = anon_vma.lock_read();
        let mut tree = Vec::new();
        let _: ControlFlow<()> = locked.for_each_vma(0, usize::MAX, |vma| {
            tree.push(vma.key());
            ControlFlow::Continue(())
        });
        self.anon_vmas.push(key);
        self.families
            .push([locked.root().key(), locked.parent_key()]);
        self.trees.push(tree);
        self.state.anon_vmas.push(AnonVmaState {
            root: None,
            parent: None,
            refcount: locked.refcount().into(),
            num_children: locked.num_children(),
            num_active_vmas: locked.num_active_vmas(),
            tree: Vec::new(),
        });
        self.anon_vmas.len() - 1
    }

    fn ptes(&mut self, pid: usize, space: &Space) {
        let table = &space.mm().space().table;
        let ptes = table.lock();
        for address in 0..table.size() {
            let page = match ptes.get(address) {
                Pte::None | Pte::Migration { .. } => continue,
                Pte::Swap(entry) => {
                    self.slot(entry.slot());
                    None
                }
                Pte::Present { page, .. } => Some(self.page(page)),
            };
            self.state.entries.push(Entry { pid, address, page });
        }
    }

    fn page(&mut self, page: &Arc<Page<Kind>>) -> usize {
        let key = core::ptr::from_ref(&**page).addr();
        if let Some(number) = self.pages.iter().position(|&(known, _)| known == key) {
            return number;
        }
        self.pages.push((key, page.clone()));
        self.pages.len() - 1
    }

    fn slot(&mut self, slot: &Arc<Slot<Kind>>) {
        let key = core::ptr::from_ref(&**slot).addr();
        if !self.slots.iter().any(|&(known, _)| known == key) {
            self.slots.push((key, slot.clone()));
        }
    }

    fn finish(mut self) -> State {
        for (_, page) in core::mem::take(&mut self.pages) {
            let anon_vma = page.rmap.anon_vma_key();
            self.state.pages.push(PageState {
                anon_vma: anon_vma.and_then(|key| place(&self.anon_vmas, key)),
                index: page.rmap.index(),
                mapcount: page.rmap.mapcount().into(),
                exclusive: page.is_exclusive(),
            });
            // The swap cache has the page, and its slot may have no PTE any more.
            if let Some(slot) = &*page.lock() {
                self.slot(slot);
            }
        }
        for (_, slot) in &self.slots {
            // Besides, an anon_vma without VMAs keeps its root.
            let pin = slot.anon_vma();
            let kept = [pin.key(), pin.root().key()];
            let kept = match place(&self.anon_vmas, kept[0]) {
                Some(number) => Some(number),
                None => place(&self.anon_vmas, kept[1]),
            };
            if let Some(number) = kept {
                self.state.anon_vmas[number].refcount -= 1;
            }
        }
        for (number, anon_vma) in self.state.anon_vmas.iter_mut().enumerate() {
            let [root, parent] = self.families[number];
            anon_vma.root = place(&self.anon_vmas, root);
            anon_vma.parent = place(&self.anon_vmas, parent);
            let vmas = self.trees[number].iter();
            anon_vma.tree = vmas
                .map(|&key| place(&self.vmas, key).unwrap_or(usize::MAX))
                .collect();
            anon_vma.tree.sort_unstable();
        }
        self.state
    }
}
