// SPDX-License-Identifier: GPL-2.0

//! Corner cases: changes of mappings that the host does not report to the driver.
//!
//! A shadow that follows only reported events would differ from the host after each of these cases.
//! They need system calls or timing that the scenario language does not have, except the one that
//! is also in `samples/boundary-shift.scn`.

mod arena;
mod family;
mod merges;

pub use family::{Family, leave};

use crate::child::Child;
use crate::kernel::Debugfs;
use crate::scenario::Mode;
use crate::shared::Shared;
use anyhow::{Context, Result, ensure};
use arena::{Arena, NONE, READ, READ_WRITE};
use family::{Board, settle};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How long a thread or process waits for another one. The bound ends a hang; a slow machine stays
/// far below it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A case.
pub type Case = fn(&Site<'_>) -> Result<()>;

/// Where a case runs.
pub struct Site<'a> {
    /// The device.
    pub path: &'a Path,
    /// The module's folder in debugfs.
    pub debugfs: &'a Debugfs,
    /// The kind of mapping.
    pub mode: Mode,
}

/// All cases with their names.
pub const CASES: [(&str, Case); 18] = [
    ("corner: a fault after MREMAP_DONTUNMAP", dontunmap),
    ("corner: an anon_vma in the same memory", same_memory),
    ("corner: parents that are killed at fork", killed_at_fork),
    ("corner: a boundary that shifts", boundary_shift),
    ("corner: a move beside an unfaulted VMA", move_beside),
    ("corner: neighbours of two open files", two_files),
    ("corner: faults of a thread during a fork", faults_at_fork),
    ("corner: first faults of two threads", first_faults),
    ("corner: a parent's exit during a fork", exit_at_fork),
    ("corner: links of a merged VMA", merges::inherit),
    (
        "corner: unfaulted VMAs around a faulted one",
        merges::inherit_from_between,
    ),
    ("corner: merges in a child", merges::in_a_child),
    ("corner: a hole that is filled", merges::fill_a_hole),
    (
        "corner: a hole beside an unfaulted VMA",
        merges::fill_beside_unfaulted,
    ),
    ("corner: a VMA that grows downwards", merges::grow_downwards),
    ("corner: a part that comes back", merges::come_back),
    ("corner: many merges at once", merges::many_at_once),
    ("corner: nothing is left", merges::nothing_left),
];

/// Waits until `number` is at least `least`. Returns false after [`PATIENCE`].
fn reaches(number: &AtomicU32, least: u32) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for _ in 0..64 {
            if number.load(SeqCst) >= least {
                return true;
            }
            std::hint::spin_loop();
        }
        // A guest may have one CPU.
        thread::yield_now();
    }
    false
}

fn wait_for(number: &AtomicU32, least: u32, what: &str) -> Result<()> {
    ensure!(reaches(number, least), "timed out waiting for {what}");
    Ok(())
}

/// A move with `MREMAP_DONTUNMAP` unlinks the old VMA and keeps it mapped. The next fault there
/// prepares a new `anon_vma`, and no VMA operation reports either.
fn dontunmap(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..4)?;
    arena.write(0..4, 1);
    arena.check()?;
    arena.shift(0..4, 100, true)?;
    arena.write(0..1, 3);
    arena.check()
}

/// As [`dontunmap`], in a child; and what has moved away is unmapped before the next fault. The
/// host has freed the anon_vma of the child by then, and most often finds the new one in the same
/// memory. The child had two links, and has one: the memory alone does not tell.
fn same_memory(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..4)?;
    arena.write(0..1, 1);
    for look_between in [false, true, false] {
        let (_child, result) = Child::new(|| {
            let said = |error: anyhow::Error| format!("{error:#}");
            arena.write(0..1, 2);
            arena.shift(0..4, 100, true).map_err(said)?;
            arena.unmap(100..104).map_err(said)?;
            if look_between {
                arena.check().map_err(said)?;
            }
            arena.write(0..1, 3);
            arena.check().map_err(said)
        })?;
        result.map_err(anyhow::Error::msg)?;
        arena.check()?;
    }
    Ok(())
}

/// A process that is being killed may be forking. The host completes the copies of its VMAs all the
/// same, and the shadow looks at the pages that are shared by that.
fn killed_at_fork(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..64)?;
    arena.write(0..1, 1);
    for round in 0..60 {
        let family = Family::new(|| {
            arena.write(1..64, 2);
            loop {
                // SAFETY: This program has one thread.
                match unsafe { fork() } {
                    Ok(ForkResult::Child) | Err(_) => leave(),
                    Ok(ForkResult::Parent { child }) => drop(waitpid(child, None)),
                }
            }
        })?;
        // A different delay in each round, so that some of the kills come during a fork.
        thread::sleep(Duration::from_micros(3000 + 37 * round));
        drop(family);
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// `mprotect` may move the boundary between two VMAs without calling `open` or `close` for either.
/// A first fault shares the `anon_vma` of a neighbour; which VMA is the neighbour depends on the
/// present boundaries, not on those at the creation of the VMAs.
fn boundary_shift(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..8)?;
    arena.protect(4..8, NONE)?;
    arena.protect(4..6, READ_WRITE)?;
    arena.protect(5..6, READ)?;
    arena.protect(6..8, READ_WRITE)?;
    arena.write(6..7, 1);
    arena.protect(5..6, READ_WRITE)?;
    arena.write(5..6, 1);
    arena.check()
}

/// A VMA that is moved back next to an unfaulted VMA may be merged into it, together with its
/// links. The remaining VMA then has pages without any fault, and the host does not report this.
fn move_beside(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..8)?;
    arena.protect(4..8, READ)?;
    arena.write(0..4, 1);
    let (_child, result) = Child::new(|| {
        arena.write(0..1, 2);
        Ok(())
    })?;
    result.map_err(anyhow::Error::msg)?;
    arena.check()?;
    arena.shift(0..4, 100, false)?;
    arena.protect(4..8, READ_WRITE)?;
    arena.shift(100..104, 0, false)?;
    arena.check()
}

/// VMAs that are side by side, but map two open files, have nothing to do with each other: each is
/// looked at with its own file. One was prepared without a callback, or has lost its links.
fn two_files(site: &Site<'_>) -> Result<()> {
    let (arena, other) = (Arena::new(site)?, Arena::new(site)?);
    arena.map(0..4)?;
    arena.map_device_of(&other, 4..8)?;
    arena.read(4..5);
    arena.write(4..5, 1);
    arena.write(0..1, 1);
    arena.check()?;
    other.check()?;
    arena.shift(4..8, 100, true)?;
    arena.protect(0..2, READ)?;
    arena.map(8..12)?;
    arena.write(8..9, 2);
    arena.write(2..3, 2);
    arena.check()?;
    other.check()
}

/// A fork copies one VMA after the other. With per-VMA locks a thread of the parent can still fault
/// in VMAs that are not copied yet, and the child shares these new pages, too.
fn faults_at_fork(site: &Site<'_>) -> Result<()> {
    for round in 0..3 {
        let arena = Arena::new(site)?;
        arena.map(0..400)?;
        arena.write(0..400, 1);
        arena.map(500..700)?;
        arena.write(500..501, 1);
        // Maps the zero page, which the writes during the fork replace.
        arena.read(501..700);
        let (ready, go) = (AtomicU32::new(0), AtomicU32::new(0));
        let child = thread::scope(|scope| {
            let late = || {
                ready.store(1, SeqCst);
                if reaches(&go, 1) {
                    arena.write(501..700, 2);
                }
            };
            Builder::new()
                .spawn_scoped(scope, late)
                .context("a thread")?;
            let ready = wait_for(&ready, 1, "the thread");
            go.store(1, SeqCst);
            ready.and_then(|()| Child::new(|| Ok(())))
        });
        let (_child, result) = child?;
        result.map_err(anyhow::Error::msg)?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// The first faults of two neighbours may happen at the same time, and each looks for the
/// `anon_vma` of the other. Whether it finds one is decided under locks that the driver does not
/// hold.
fn first_faults(site: &Site<'_>) -> Result<()> {
    for round in 0..30 {
        let arena = Arena::new(site)?;
        arena.map(0..8)?;
        arena.protect(4..8, READ)?;
        arena.protect(4..8, READ_WRITE)?;
        let (ready, go) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for page in [0, 4] {
                let (arena, ready, go) = (&arena, &ready, &go);
                let first = move || {
                    ready.fetch_add(1, SeqCst);
                    if reaches(go, 1) {
                        arena.write(page..page + 1, 1);
                    }
                };
                if let Err(error) = Builder::new().spawn_scoped(scope, first) {
                    go.store(1, SeqCst);
                    return Err(error).context("a thread");
                }
            }
            let ready = wait_for(&ready, 2, "the threads");
            go.store(1, SeqCst);
            ready
        })?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// A fork reuses an idle `anon_vma` only if its owner has exited by then. The exit and the fork of
/// two processes have no lock in common that the driver could use to see their order.
fn exit_at_fork(site: &Site<'_>) -> Result<()> {
    const PAGES: u64 = 500;
    for round in 0..6 {
        let arena = Arena::new(site)?;
        arena.map(0..PAGES)?;
        arena.write(0..PAGES, 1);
        let board = &*Shared::<Board>::new()?;
        let family = Family::new(|| {
            arena.write(0..1, 2);
            // SAFETY: This program has one thread.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                arena.write(0..PAGES, 3);
                board.ready.store(1, SeqCst);
                // SAFETY: This program has one thread.
                if reaches(&board.go, 1) && unsafe { fork() }.is_ok() {
                    settle(board);
                }
                leave();
            }
            if reaches(&board.go, 1) {
                // A different delay in each round, so that some exits happen during the fork.
                let (start, delay) = (Instant::now(), Duration::from_micros(20 * round));
                while start.elapsed() < delay {
                    std::hint::spin_loop();
                }
            }
        })?;
        let ready = wait_for(&board.ready, 1, "the grandchild");
        board.go.store(1, SeqCst);
        ready?;
        wait_for(&board.settled, 2, "the fork")?;
        waitpid(family.0, None).context("waitpid()")?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
