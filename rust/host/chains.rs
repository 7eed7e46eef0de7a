// SPDX-License-Identifier: GPL-2.0

//! The graph of the host's own anon_vmas, of any process.
//!
//! Each VMA with its chain, and each anon_vma with its tree, is read at one instant: under
//! `mmap_lock` and the root's `rwsem`, both for reading. Between two VMAs no lock is held, so the
//! parts of a graph belong to one instant only if the processes do nothing meanwhile.
//!
//! No memory is allocated under a lock: where there is too little room, a VMA is read again.

use super::{
    fsck::{
        read::{
            AnonVma,
            Area,
            Link, //
        },
        Family,
    },
    mm::is_being_killed,
    process::{
        Pid,
        Process,
        Processes, //
    },
};
use crate::{
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::{
            cond_resched,
            resched_each, //
        },
    },
    snapshot::{
        build::{
            AnonVmaFacts,
            Builder, //
        },
        Graph,
        MmNode,
        Source,
        VmaNode, //
    },
};
use kernel::prelude::*;

/// Most VMAs of a graph, and most links of its VMAs and entries of its trees.
const MOST_VMAS: usize = 1 << 16;
const MOST_LINKS: usize = 1 << 20;
/// Number of VMAs without an anon_vma that are passed under one hold of `mmap_lock`.
const BATCH: usize = 64;

/// Reads the graph of one process, or of all. Only VMAs that have an anon_vma are in it, and no
/// pages. Sleeps.
///
/// # Errors
///
/// `ESRCH` if the process has ended, `EINVAL` if it is a kernel thread; `ENOMEM`; `EFBIG` if the
/// graph were too large; `EINTR` if the caller is being killed; `EFAULT` if a pointer leads to no
/// memory.
pub(crate) fn take(which: Option<(&Pid, i32)>) -> Result<Graph> {
    let mut reader = Reader {
        builder: Builder::new(Source::Host),
        room: Room::default(),
        entries: KVVec::new(),
        vmas: 0,
        links: 0,
        mms: 0,
    };
    if let Some((pid, number)) = which {
        reader.process(&Process::of(pid, number)?)?;
    } else {
        for process in Processes::now() {
            reader.process(&process)?;
        }
    }
    reader.finish()
}

/// What is read of one VMA under the locks.
#[derive(Default)]
struct Room {
    /// The anon_vmas of the chain, in order.
    chain: KVVec<AnonVma>,
    /// The trees of those that are new: a key of the anon_vma, and one of a VMA.
    entries: KVVec<(usize, usize)>,
}

/// What a look for the next VMA has found.
enum Found {
    /// A VMA with an anon_vma, whose chain is in the [`Room`].
    Vma {
        key: usize,
        start: usize,
        end: usize,
        area: Area,
    },
    /// None up to this address.
    None(usize),
    /// None at all.
    End,
    /// One for whose chain and trees there is too little room.
    Large,
}

/// A graph that is being read.
struct Reader {
    builder: Builder,
    room: Room,
    /// All trees. A VMA that has not been read yet has no number.
    entries: KVVec<(usize, usize)>,
    vmas: usize,
    links: usize,
    mms: u64,
}

impl Reader {
    fn process(&mut self, process: &Process) -> Result {
        self.mms += 1;
        let mm = self.builder.mm(MmNode {
            id: self.mms,
            pid: process.pid,
            comm: process.comm,
        })?;
        let mut at = 0;
        loop {
            cond_resched();
            if is_being_killed() {
                return Err(EINTR);
            }
            match self.find(process, at)? {
                Found::End => return Ok(()),
                Found::None(behind) => at = behind,
                Found::Large => {
                    let (links, entries) = (&mut self.room.chain, &mut self.room.entries);
                    if entries.capacity() > MOST_LINKS {
                        return Err(EFBIG);
                    }
                    links.reserve(2 * links.capacity().max(8), GFP_BOUNDED)?;
                    entries.reserve(2 * entries.capacity().max(64), GFP_BOUNDED)?;
                }
                Found::Vma {
                    key,
                    start,
                    end,
                    area,
                } => {
                    at = end;
                    self.add(mm, key, start..end, &area)?;
                }
            }
        }
    }

    /// Looks for the first VMA with an anon_vma that ends behind `at`, and reads it.
    fn find(&mut self, process: &Process, mut at: usize) -> Result<Found> {
        let mmap = process.read()?;
        for _ in 0..BATCH {
            let Some(vma) = mmap.vma_from(at) else {
                return Ok(Found::End);
            };
            let begin = at;
            at = vma.end();
            // One that has grown since its last part was read is not read again.
            if vma.start() < begin {
                continue;
            }
            let Some(family) = Family::lock(&mmap, vma)? else {
                continue;
            };
            let area = Area::at(vma.key()).ok_or(EFAULT)?;
            if !self.room.read(&area, &family, &self.builder)? {
                return Ok(Found::Large);
            }
            return Ok(Found::Vma {
                key: vma.key(),
                start: vma.start(),
                end: at,
                area,
            });
        }
        Ok(Found::None(at))
    }

    /// Adds a VMA with what is in the room.
    fn add(
        &mut self,
        mm: usize,
        key: usize,
        addresses: core::ops::Range<usize>,
        area: &Area,
    ) -> Result {
        self.vmas += 1;
        self.links += self.room.chain.len() + self.room.entries.len();
        if self.vmas > MOST_VMAS || self.links > MOST_LINKS {
            return Err(EFBIG);
        }
        let index = self.builder.vma(
            key,
            VmaNode::new(
                self.vmas as u64,
                mm,
                addresses.start..addresses.end,
                area.range.start,
            ),
        )?;
        for anon_vma in resched_each(&self.room.chain) {
            if !self.builder.knows(anon_vma.key) {
                self.builder.anon_vma(
                    anon_vma.key,
                    AnonVmaFacts {
                        root: anon_vma.root,
                        parent: anon_vma.parent,
                        refcount: anon_vma.refcount,
                        num_children: anon_vma.num_children,
                        num_active_vmas: anon_vma.num_active_vmas,
                    },
                )?;
            }
            self.builder.chain_entry(index, anon_vma.key)?;
        }
        self.builder.active(index, area.anon_vma);
        self.entries
            .extend_from_slice(&self.room.entries, GFP_BOUNDED)?;
        Ok(())
    }

    /// Returns the graph.
    fn finish(mut self) -> Result<Graph> {
        for &(anon_vma, vma) in resched_each(&self.entries) {
            self.builder.tree_entry(anon_vma, vma)?;
        }
        Ok(self.builder.finish())
    }
}

impl Room {
    /// Reads the chain of a VMA, and the trees of the anon_vmas that `builder` does not know.
    /// Returns whether there was room for all.
    fn read(&mut self, area: &Area, _family: &Family<'_>, builder: &Builder) -> Result<bool> {
        self.chain.clear();
        self.entries.clear();
        let mut entry = area.first;
        while entry != area.head {
            cond_resched();
            let link = Link::of_entry(entry).ok_or(EFAULT)?;
            let anon_vma = AnonVma::at(link.anon_vma).ok_or(EFAULT)?;
            if self.chain.len() == self.chain.capacity() {
                return Ok(false);
            }
            entry = link.next;
            let is_new = !builder.knows(anon_vma.key)
                && !self.chain.iter().any(|other| other.key == anon_vma.key);
            self.chain.push(anon_vma, GFP_BOUNDED)?;
            if is_new && !self.read_tree(&anon_vma)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_tree(&mut self, anon_vma: &AnonVma) -> Result<bool> {
        if anon_vma.tree == 0 {
            return Ok(true);
        }
        let mut next = Link::first_below(anon_vma.tree).and_then(Link::of_node);
        while let Some(link) = next {
            cond_resched();
            if self.entries.len() == self.entries.capacity() {
                return Ok(false);
            }
            self.entries.push((anon_vma.key, link.vma), GFP_BOUNDED)?;
            next = link.successor().ok_or(EFAULT)?;
        }
        Ok(true)
    }
}
