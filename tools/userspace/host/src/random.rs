// SPDX-License-Identifier: GPL-2.0

//! Random sequences of operations.

use crate::host::{Errno, Flags, Host, PAGE_SIZE, Pid};

/// A generator of random numbers: xorshift64*.
pub struct Random(u64);

impl Random {
    /// Starts with a seed; 0 is as good as any.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// An operation of a [`Host`]: pages are counted from [`BASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are the arguments of the functions that are named"
)]
pub enum Step {
    /// [`Host::spawn`]
    Spawn,
    /// [`Host::map`]
    Map {
        pid: Pid,
        page: u64,
        pages: u64,
        writable: bool,
    },
    /// [`Host::map_file`]
    MapFile {
        pid: Pid,
        page: u64,
        pages: u64,
        pgoff: u64,
    },
    /// [`Host::unmap`]
    Unmap { pid: Pid, page: u64, pages: u64 },
    /// [`Host::write`]
    Write { pid: Pid, page: u64 },
    /// [`Host::read`]
    Read { pid: Pid, page: u64 },
    /// [`Host::swap_out`]
    SwapOut { pid: Pid, page: u64 },
    /// [`Host::change_flags`]
    Change {
        pid: Pid,
        page: u64,
        pages: u64,
        set: Flags,
        clear: Flags,
    },
    /// [`Host::move_to`]
    Move {
        pid: Pid,
        page: u64,
        old: u64,
        new: u64,
        to: u64,
        keep: bool,
    },
    /// [`Host::resize`]
    Resize {
        pid: Pid,
        page: u64,
        old: u64,
        new: u64,
    },
    /// [`Host::fork`]
    Fork { pid: Pid },
    /// [`Host::exit`]
    Exit { pid: Pid },
    /// [`Host::fail_allocations`]: of the next step, one allocation.
    Fail { nth: u64 },
}

/// The address of page 0.
pub const BASE: u64 = 0x1000_0000;
/// How many pages sequences use: few, so that they meet.
pub const PAGES: u64 = 40;
/// How many processes sequences have at most: a step that would make more is left out.
pub const PROCESSES: usize = 6;

/// Returns the address of a page.
pub const fn at(page: u64) -> u64 {
    BASE + page * PAGE_SIZE
}

/// What changes: most often that which a merge may undo.
const FLAGS: [Flags; 12] = [
    Flags::WRITE,
    Flags::WRITE,
    Flags::WRITE,
    Flags::WRITE,
    Flags::EXEC,
    Flags::RANDOM,
    Flags::RANDOM,
    Flags::RANDOM,
    Flags::LOCKED,
    Flags::DONTCOPY,
    Flags::WIPEONFORK,
    Flags::SEALED,
];

impl Step {
    /// Chooses the next step for the processes of a host.
    pub fn choose(random: &mut Random, host: &mut Host) -> Self {
        let pids = host.pids();
        if pids.is_empty() {
            return Self::Spawn;
        }
        let pid = pids[random.below(pids.len() as u64) as usize];
        let page = random.below(PAGES);
        let pages = 1 + random.below((PAGES - page).min(12));
        let to = random.below(PAGES);
        // Pages that are there are more interesting than holes.
        let there = host.entries(pid);
        let touched = match random.below(3) {
            1.. if !there.is_empty() => {
                (there[random.below(there.len() as u64) as usize] - BASE) / PAGE_SIZE
            }
            _ => page,
        };
        let flip = random.below(2) == 0;
        let flag = FLAGS[random.below(FLAGS.len() as u64) as usize];
        let (on, off) = if flip {
            (flag, Flags::NONE)
        } else {
            (Flags::NONE, flag)
        };
        match random.below(100) {
            0..=13 => Self::Map {
                pid,
                page,
                pages,
                writable: random.below(4) != 0,
            },
            14..=16 => Self::MapFile {
                pid,
                page,
                pages,
                pgoff: random.below(2) * 100 + page,
            },
            17..=24 => Self::Unmap { pid, page, pages },
            25..=54 => Self::Write { pid, page: touched },
            55..=56 => Self::Read { pid, page: touched },
            57..=60 => Self::SwapOut { pid, page: touched },
            61..=72 => Self::Change {
                pid,
                page,
                pages,
                set: on,
                clear: off,
            },
            73..=78 => Self::Move {
                pid,
                page,
                old: pages,
                new: if flip { pages } else { 1 + random.below(8) },
                to,
                keep: random.below(6) == 0,
            },
            79..=81 => Self::Resize {
                pid,
                page,
                old: pages,
                new: 1 + random.below(12),
            },
            82..=88 if pids.len() < PROCESSES => Self::Fork { pid },
            82..=91 => Self::Exit { pid },
            92 => Self::Spawn,
            _ => Self::Fail {
                nth: 1 + random.below(10),
            },
        }
    }

    /// Returns whether the step is mmap().
    pub fn is_mmap(self) -> bool {
        matches!(self, Self::Map { .. } | Self::MapFile { .. })
    }

    /// Runs the step. What the host refuses is a result as good as another.
    pub fn run(self, host: &mut Host) -> Result<(), Errno> {
        const fn bytes(pages: u64) -> u64 {
            pages * PAGE_SIZE
        }
        match self {
            Self::Spawn => {
                host.spawn();
                Ok(())
            }
            Self::Map {
                pid,
                page,
                pages,
                writable,
            } => {
                let flags = Flags::PRIVATE.0 & if writable { !0 } else { !Flags::WRITE.0 };
                host.map(pid, at(page), bytes(pages), Flags(flags))
            }
            Self::MapFile {
                pid,
                page,
                pages,
                pgoff,
            } => host.map_file(pid, at(page), bytes(pages), Flags::PRIVATE, pgoff),
            Self::Unmap { pid, page, pages } => host.unmap(pid, at(page), bytes(pages)),
            Self::Write { pid, page } => host.write(pid, at(page)),
            Self::Read { pid, page } => host.read(pid, at(page)),
            Self::SwapOut { pid, page } => host.swap_out(pid, at(page)).map(drop),
            Self::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => host.change_flags(pid, at(page), bytes(pages), set, clear),
            Self::Move {
                pid,
                page,
                old,
                new,
                to,
                keep,
            } => host.move_to(pid, at(page), bytes(old), bytes(new), at(to), keep),
            Self::Resize {
                pid,
                page,
                old,
                new,
            } => host.resize(pid, at(page), bytes(old), bytes(new)),
            Self::Fork { pid } => host.fork(pid).map(drop),
            Self::Exit { pid } => host.exit(pid),
            Self::Fail { nth } => {
                host.fail_allocations(nth, 1);
                Ok(())
            }
        }
    }
}
