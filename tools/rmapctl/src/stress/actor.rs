// SPDX-License-Identifier: GPL-2.0

//! A busy process: its threads do random operations at full speed on the same pages.

use super::board::{Board, Event};
use super::touch;
use crate::corners::leave;
use crate::kernel::Device;
use crate::scenario::Advice;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MRemapFlags, MapFlags, ProtFlags};
use nix::sys::mman::{mmap, mmap_anonymous, mprotect, mremap};
use nix::unistd::{ForkResult, fork, getpid};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

/// The pages on which the processes work.
pub(super) const PAGES: u64 = 128;
/// The most pages of one operation.
const MOST: u64 = 16;
/// The most operations of a child that a busy process forks.
const LIFE: u32 = 40;

/// What a thread does to some pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    Write,
    Read,
    Map,
    Unmap,
    Protect,
    Move,
    Dontneed,
    Advise,
    Fork,
    Exit,
}

impl Operation {
    pub(super) const ALL: [Operation; 10] = [
        Operation::Write,
        Operation::Read,
        Operation::Map,
        Operation::Unmap,
        Operation::Protect,
        Operation::Move,
        Operation::Dontneed,
        Operation::Advise,
        Operation::Fork,
        Operation::Exit,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Operation::Write => "write",
            Operation::Read => "read",
            Operation::Map => "map",
            Operation::Unmap => "unmap",
            Operation::Protect => "protect",
            Operation::Move => "move",
            Operation::Dontneed => "dontneed",
            Operation::Advise => "advise",
            Operation::Fork => "fork",
            Operation::Exit => "exit",
        }
    }
}

/// How often each operation is done; the sum is `TOTAL`.
const WEIGHTS: [(Operation, u32); 9] = [
    (Operation::Write, 40),
    (Operation::Read, 6),
    (Operation::Map, 10),
    (Operation::Unmap, 6),
    (Operation::Protect, 16),
    (Operation::Move, 10),
    (Operation::Dontneed, 4),
    (Operation::Advise, 4),
    (Operation::Fork, 4),
];
const TOTAL: u32 = 100;

/// Returns the operation at the place `n` of `TOTAL`. It allocates nothing, as a child of a process
/// with threads must not.
fn weighted(mut n: u32) -> Operation {
    for (operation, weight) in WEIGHTS {
        if n < weight {
            return operation;
        }
        n -= weight;
    }
    Operation::Write
}

/// What is asked of `madvise()` beside `MADV_DONTNEED`.
const ADVICE: [Advice; 6] = [
    Advice::Dontfork,
    Advice::Dofork,
    Advice::Guard,
    Advice::Unguard,
    Advice::Random,
    Advice::Normal,
];

/// A reserved range of addresses, at the same place in all processes of a run.
#[derive(Clone, Copy)]
pub(super) struct Arena<'a> {
    pub(super) board: &'a Board,
    pub(super) device: &'a Device,
    base: NonNull<c_void>,
    /// The most children that busy processes have at once.
    children: usize,
}

// SAFETY: `touch` alone accesses the pages, and survives that they are not there.
unsafe impl Sync for Arena<'_> {}

impl<'a> Arena<'a> {
    pub(super) fn new(board: &'a Board, device: &'a Device, children: usize) -> Result<Self> {
        let length = NonZeroUsize::new(bytes(PAGES)).context("an arena of no page")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base =
            unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        let base = base.context("mmap() of the arena")?;
        Ok(Self {
            board,
            device,
            base,
            children,
        })
    }

    fn at(&self, page: u64) -> NonNull<c_void> {
        // SAFETY: `page` is less than `PAGES`, the length of the arena.
        unsafe { self.base.byte_add(bytes(page % PAGES)) }
    }

    /// Maps the device over these pages.
    pub(super) fn map(&self, first: u64, count: u64, pgoff: u64) -> nix::Result<()> {
        let (at, length) = (self.at(first), length(count)?);
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        let offset = bytes(pgoff) as i64;
        // SAFETY: Within the arena.
        unsafe { mmap(Some(at.addr()), length, prot, flags, self.device, offset) }.map(drop)
    }

    /// Puts addresses without access in their place: nothing else may be mapped there.
    fn unmap(&self, first: u64, count: u64) -> nix::Result<()> {
        let (at, length) = (self.at(first), length(count)?);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: Within the arena.
        unsafe { mmap_anonymous(Some(at.addr()), length, ProtFlags::PROT_NONE, flags) }.map(drop)
    }

    fn shift(&self, first: u64, count: u64, to: u64, keep: bool) -> nix::Result<()> {
        let mut flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        if keep {
            flags |= MRemapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP);
        }
        let (from, target, length) = (self.at(first), self.at(to), bytes(count));
        // SAFETY: From the arena to the arena.
        let moved = unsafe { mremap(from, length, length, flags, Some(target)) };
        // Another thread may have put pages into the hole: they are unmapped, too.
        let filled = match (moved, keep) {
            (Ok(_), false) => self.unmap(first, count),
            _ => moved.map(drop),
        };
        // The target was unmapped, even if the move has failed, and it may have failed half way.
        self.fill(first, count);
        self.fill(to, count);
        filled
    }

    /// Puts addresses without access where nothing is mapped: the C library must not get these
    /// addresses for a stack.
    fn fill(&self, first: u64, count: u64) {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
        for page in first..first + count {
            if let Ok(length) = length(1) {
                let at = Some(self.at(page).addr());
                // SAFETY: Within the arena.
                let _ = unsafe { mmap_anonymous(at, length, ProtFlags::PROT_NONE, flags) };
            }
        }
    }

    /// Does `work` for each page; fails if a page cannot be accessed.
    fn touch(&self, first: u64, count: u64, work: impl Fn(*mut c_void) -> bool) -> nix::Result<()> {
        let mut all = true;
        for page in first..first + count {
            all &= work(self.at(page).as_ptr());
        }
        match all {
            true => Ok(()),
            false => Err(Errno::EFAULT),
        }
    }

    /// Does random operations until the end of the run, or `most`.
    pub(super) fn work(&self, rng: &mut Xoshiro256PlusPlus, most: u32) {
        for _ in 0..most {
            if self.board.stopped() {
                return;
            }
            self.once(rng);
        }
    }

    /// Does a random operation.
    fn once(&self, rng: &mut Xoshiro256PlusPlus) {
        let operation = weighted(rng.random_range(0..TOTAL));
        let first = rng.random_range(0..PAGES);
        let count = rng.random_range(1..=MOST.min(PAGES - first));
        let result = match operation {
            Operation::Write => {
                let byte = rng.random();
                // SAFETY: Nothing uses the arena otherwise; the process survives faults.
                self.touch(first, count, |page| unsafe { touch::write(page, byte) })
            }
            Operation::Read => {
                // SAFETY: As for `Write`.
                self.touch(first, count, |page| unsafe { touch::read(page) })
            }
            Operation::Map => {
                // Most often the offset continues that of the neighbours.
                let pgoff = if rng.random_bool(0.7) { first } else { 0 };
                self.map(first, count, pgoff)
            }
            Operation::Unmap => self.unmap(first, count),
            Operation::Protect => {
                let prot = match rng.random_range(0..6) {
                    0 => ProtFlags::PROT_NONE,
                    1 | 2 => ProtFlags::PROT_READ,
                    _ => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                };
                // SAFETY: Within the arena.
                unsafe { mprotect(self.at(first), bytes(count), prot) }
            }
            Operation::Move => {
                let to = rng.random_range(0..=PAGES - count);
                self.shift(first, count, to, rng.random_bool(0.25))
            }
            Operation::Dontneed => self.advise(first, count, libc::MADV_DONTNEED),
            Operation::Advise => {
                let advice = ADVICE.choose(rng).copied().unwrap_or(Advice::Dofork);
                self.advise(first, count, advice.number())
            }
            Operation::Fork | Operation::Exit => match self.fork(rng) {
                Some(result) => result,
                // There was no operation to note.
                None => return,
            },
        };
        self.note(operation, first, count, result);
    }

    fn note(&self, operation: Operation, first: u64, count: u64, result: nix::Result<()>) {
        self.board.note(&Event {
            pid: getpid().as_raw().unsigned_abs(),
            operation,
            first: first as u8,
            count: count as u8,
            error: result.err().map_or(0, |errno| errno as u8),
        });
    }

    fn advise(&self, first: u64, count: u64, advice: i32) -> nix::Result<()> {
        // SAFETY: Within the arena.
        let result = unsafe { libc::madvise(self.at(first).as_ptr(), bytes(count), advice) };
        Errno::result(result).map(drop)
    }

    /// Forks a child, which does some operations and exits. Returns `None` and forks nothing if
    /// there are as many children as there may be.
    fn fork(&self, rng: &mut Xoshiro256PlusPlus) -> Option<nix::Result<()>> {
        let board = self.board;
        let me = getpid();
        let slot = board.children.take(self.children, me)?;
        let seed = rng.random();
        // SAFETY: The child makes system calls and allocates nothing.
        Some(match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                board.children.hand_on(slot, me, getpid());
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
                let most = rng.random_range(0..LIFE);
                self.work(&mut rng, most);
                self.note(Operation::Exit, 0, PAGES, Ok(()));
                board.children.give_back(slot, getpid());
                leave()
            }
            Ok(ForkResult::Parent { .. }) => {
                board.forks.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(errno) => {
                board.children.give_back(slot, me);
                Err(errno)
            }
        })
    }
}

fn length(pages: u64) -> nix::Result<NonZeroUsize> {
    NonZeroUsize::new(bytes(pages)).ok_or(Errno::EINVAL)
}

const fn bytes(pages: u64) -> usize {
    (pages * PAGE_SIZE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;
    use std::path::Path;

    #[test]
    fn a_fork_beyond_the_limit_is_no_operation() {
        let board = &*Shared::<Board>::new().expect("is mapped");
        // The child ends at once.
        board.stop.store(true, Relaxed);
        let device = Device::open(Path::new("/dev/zero")).expect("is opened");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut arena = Arena::new(board, &device, 0).expect("is mapped");
        assert_eq!(arena.fork(&mut rng), None);
        assert_eq!((board.forks.load(Relaxed), board.children.taken()), (0, 0));
        arena.children = 1;
        assert_eq!(arena.fork(&mut rng), Some(Ok(())));
        assert_eq!(board.forks.load(Relaxed), 1);
    }

    #[test]
    fn a_move_leaves_no_hole() {
        let board = &*Shared::<Board>::new().expect("is mapped");
        let device = Device::open(Path::new("/dev/zero")).expect("is opened");
        let arena = Arena::new(board, &device, 0).expect("is mapped");
        let holes = || {
            let is_hole = |page: &u64| {
                let mut resident = 0u8;
                // SAFETY: One byte for the one page.
                unsafe { libc::mincore(arena.at(*page).as_ptr(), bytes(1), &mut resident) != 0 }
            };
            (0..PAGES).filter(is_hole).count()
        };
        for (first, to, keep) in [(2, 20, false), (30, 40, false), (50, 60, true)] {
            // SAFETY: Within the arena, of which nothing is used.
            unsafe { nix::sys::mman::munmap(arena.at(first + 2), bytes(2)) }.expect("is unmapped");
            assert_eq!(holes(), 2);
            // Whether it succeeds is a matter of the kernel.
            let _ = arena.shift(first, 8, to, keep);
            assert_eq!(holes(), 0, "{first} to {to}");
        }
    }

    /// Of the operations, a fork alone may not be done.
    #[test]
    fn what_is_not_done_is_not_counted() {
        let board = &*Shared::<Board>::new().expect("is mapped");
        let device = Device::open(Path::new("/dev/zero")).expect("is opened");
        let arena = Arena::new(board, &device, 0).expect("is mapped");
        super::super::touch::survive_faults().expect("is set");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        arena.work(&mut rng, 1000);
        let done = board.operations.load(Relaxed);
        assert!((900..1000).contains(&done), "{done} operations");
    }

    #[test]
    fn an_operation_is_chosen_as_often_as_its_weight_says() {
        for (operation, weight) in WEIGHTS {
            let times = (0..TOTAL).filter(|n| weighted(*n) == operation).count();
            assert_eq!(times, weight as usize, "{}", operation.name());
        }
    }
}
