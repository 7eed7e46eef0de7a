// SPDX-License-Identifier: GPL-2.0

//! The host's structures as a graph of small integers.
//!
//! Numbers are given in the order in which objects are met: processes by their pid, VMAs by their
//! addresses, anon_vmas along the chains, pages by their addresses. Two equal states give equal
//! graphs, wherever the objects are in memory.

/// All processes of a [`crate::Host`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Graph {
    /// The processes that live.
    pub mms: Vec<Mm>,
    /// Each VMA of each process.
    pub vmas: Vec<Vma>,
    /// Each anon_vma that a VMA, a page or another anon_vma leads to.
    pub anon_vmas: Vec<AnonVma>,
    /// Each page that is mapped.
    pub pages: Vec<Page>,
    /// Each entry of a page table.
    pub entries: Vec<Entry>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mm {
    /// Its number in the calls of [`crate::Host`].
    pub pid: usize,
    /// Its VMAs, by their addresses.
    pub vmas: Vec<usize>,
}

/// A VMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// Its process.
    pub pid: usize,
    /// The first address, in bytes.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// `vm_pgoff`.
    pub pgoff: u64,
    /// The anonymous page offset of `start` (R41).
    pub anon_pgoff: u64,
    /// `vm_flags`.
    pub flags: u64,
    /// Whether it maps the file.
    pub file: bool,
    /// `vma->anon_vma`.
    pub anon_vma: Option<usize>,
    /// The anon_vmas that it is linked to, in the order of the list.
    pub chain: Vec<usize>,
}

/// An anon_vma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnonVma {
    /// `root`.
    pub root: usize,
    /// `parent`.
    pub parent: usize,
    /// `refcount`.
    pub refcount: i64,
    /// `num_children`.
    pub num_children: u64,
    /// `num_active_vmas`.
    pub num_active_vmas: u64,
    /// Whether its own lock is held.
    pub locked: bool,
    /// The members of its interval tree, in the order of the tree.
    pub tree: Vec<Member>,
}

/// A member of an interval tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The VMA. `None`: the link leads to none of a process that lives.
    pub vma: Option<usize>,
    /// Whether the link leads back to the anon_vma of this tree.
    pub mine: bool,
    /// The first page offset of the VMA.
    pub first: u64,
    /// The last page offset of the VMA.
    pub last: u64,
    /// `rb_subtree_last`.
    pub subtree_last: u64,
    /// The children in the tree, as places in it.
    pub children: [Option<usize>; 2],
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The low bits of `mapping`.
    pub tag: u64,
    /// The anon_vma that `mapping` leads to, if it is one of the graph.
    pub anon_vma: Option<usize>,
    /// `index`.
    pub index: u64,
    /// `_mapcount`, plus one.
    pub mapcount: i64,
    /// `PageAnonExclusive`.
    pub exclusive: bool,
    /// Where the host's rmap walk looked for it: pid and address. Empty when its anon_vma is
    /// unknown.
    pub walk: Vec<(usize, u64)>,
}

/// An entry of a page table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The process.
    pub pid: usize,
    /// The address.
    pub address: u64,
    /// The page. `None`: it is in the swap.
    pub page: Option<usize>,
}

impl Graph {
    /// Returns the VMA of a process at an address.
    pub fn vma_at(&self, pid: usize, address: u64) -> Option<usize> {
        let mm = self.mms.iter().find(|mm| mm.pid == pid)?;
        mm.vmas
            .iter()
            .copied()
            .find(|&vma| (self.vmas[vma].start..self.vmas[vma].end).contains(&address))
    }

    /// Returns the page of a process at an address.
    pub fn page_at(&self, pid: usize, address: u64) -> Option<usize> {
        self.entries
            .iter()
            .find(|entry| entry.pid == pid && entry.address == address)
            .and_then(|entry| entry.page)
    }

    /// Returns the graph without the shape of its trees, which also depends on what was in them
    /// before: members by their keys, no children.
    pub fn without_shapes(mut self) -> Self {
        for anon_vma in &mut self.anon_vmas {
            anon_vma
                .tree
                .sort_by_key(|member| (member.first, member.last, member.vma));
            for member in &mut anon_vma.tree {
                member.children = [None, None];
                member.subtree_last = member.last;
            }
        }
        self
    }

    /// Returns whether a VMA without anon_vma has another page offset than its address says.
    ///
    /// 7.3 makes such a VMA when it forks one that mremap() has moved and that is wiped on fork, and
    /// warns of it when the child's VMA is split. Without one the warning is not expected.
    pub fn has_stale_offset(&self) -> bool {
        let page = |vma: &Vma| vma.start / crate::host::PAGE_SIZE;
        let mut vmas = self.vmas.iter();
        vmas.any(|vma| !vma.file && vma.anon_vma.is_none() && vma.pgoff != page(vma))
    }

    /// Returns the number of links between VMAs and anon_vmas.
    pub fn links(&self) -> usize {
        self.vmas.iter().map(|vma| vma.chain.len()).sum()
    }
}
