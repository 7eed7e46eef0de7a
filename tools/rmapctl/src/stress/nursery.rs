// SPDX-License-Identifier: GPL-2.0

//! The parent of the busy processes: it starts them, kills them, and starts others.

use super::actor::{Arena, PAGES};
use super::board::Board;
use super::{Settings, oom, threads, touch};
use crate::corners::leave;
use crate::kernel::Device;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Pages that a visitor maps.
const VISITED: u64 = 32;

/// Keeps `settings.processes` processes busy until the end of the run.
pub(super) fn tend(settings: &Settings, board: &Board, device: &Device) -> Result<()> {
    set_child_subreaper(true).context("prctl()")?;
    touch::survive_faults()?;
    let children = 2 * settings.processes as usize;
    let arena = Arena::new(board, device, children)?;
    arena.map(0, PAGES, 0).context("mmap() of the device")?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
    let mut busy: Vec<Pid> = Vec::new();
    let mut taker = None;
    while !board.stopped() {
        if settings.oom && taker.is_none() {
            match oom::start(&arena, rng.random()) {
                Ok(pid) => taker = Some(pid),
                Err(error) if is_starved(board, &error) => {}
                Err(error) => return Err(error),
            }
        }
        while busy.len() < settings.processes as usize {
            // The next one inherits pages that this process has changed.
            arena.work(&mut rng, 3);
            match start(settings, &arena, rng.random()) {
                Ok(pid) => busy.push(pid),
                Err(error) if is_starved(board, &error) => break,
                Err(error) => return Err(error),
            }
        }
        match rng.random_range(0..4) {
            0 => match visit(board, settings, rng.random()) {
                Err(error) if is_starved(board, &error) => {}
                result => result?,
            },
            1 if !busy.is_empty() => {
                let victim = busy.swap_remove(rng.random_range(0..busy.len()));
                board.kills.fetch_add(1, Relaxed);
                kill(victim, Signal::SIGKILL).context("kill")?;
            }
            _ => {}
        }
        thread::sleep(Duration::from_millis(rng.random_range(1..50)));
        // Orphans of killed processes are children of this one.
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(status) if taker.is_some() && status.pid() == taker => {
                    taker = None;
                    let killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
                    board.ooms.fetch_add(killed.into(), Relaxed);
                }
                Ok(status) => busy.retain(|pid| Some(*pid) != status.pid()),
                Err(errno) => return Err(errno).context("waitpid"),
            }
        }
        // Some were killed while they forked.
        board.children.free_those_of_the_dead();
    }
    Ok(())
}

/// Returns whether the load has failed for want of memory, which is no fault of the module, and
/// counts that.
fn is_starved(board: &Board, error: &anyhow::Error) -> bool {
    let starved = matches!(error.downcast_ref(), Some(Errno::ENOMEM | Errno::EAGAIN));
    board.starved.fetch_add(starved.into(), Relaxed);
    starved
}

/// Starts a busy process.
fn start(settings: &Settings, arena: &Arena<'_>, seed: u64) -> Result<Pid> {
    // SAFETY: This process has one thread.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Nothing waits for its children.
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::SA_NOCLDWAIT, SigSet::empty());
            // SAFETY: The kernel ignores the signal.
            let _ = unsafe { sigaction(Signal::SIGCHLD, &ignore) };
            let work = |thread| {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ thread);
                arena.work(&mut rng, u32::MAX);
            };
            threads::run(settings.threads.into(), &work, &arena.board.starved);
            leave()
        }
    }
}

/// Starts a process that opens the device itself, maps it, forks, checks, and exits.
fn visit(board: &Board, settings: &Settings, seed: u64) -> Result<()> {
    // SAFETY: This process has one thread.
    if let ForkResult::Child = unsafe { fork() }.context("fork")? {
        match visited(board, settings, seed) {
            Ok(true) => {
                board.visits.fetch_add(1, Relaxed);
            }
            Err(error) if is_starved(board, &error) => {}
            Ok(false) | Err(_) => {
                board.bad_visits.fetch_add(1, Relaxed);
            }
        }
        leave()
    }
    Ok(())
}

/// Returns whether the check of another open file finds nothing.
fn visited(board: &Board, settings: &Settings, seed: u64) -> Result<bool> {
    let device = Device::open(&settings.device)?;
    device.set_mode(settings.mode)?;
    let arena = Arena::new(board, &device, 0)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    arena.map(0, VISITED, 0).context("mmap() of a visitor")?;
    arena.work(&mut rng, 20);
    // SAFETY: This process has one thread.
    if let ForkResult::Child = unsafe { fork() }.context("fork")? {
        arena.work(&mut rng, 20);
        leave()
    }
    let check = match device.check_again() {
        Err(Errno::ENOMEM) if settings.oom => return Err(Errno::ENOMEM.into()),
        // The module's own answer is no want of memory of the load.
        Err(_) => return Ok(false),
        Ok(check) => check,
    };
    let untracked = if settings.oom { 0 } else { check.untracked };
    Ok((check.differences, check.violations, untracked) == (0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn want_of_memory_is_counted_and_nothing_else_is() {
        let board = &*Shared::<Board>::new().expect("is mapped");
        let starved = |errno: Errno| is_starved(board, &anyhow::Error::new(errno).context("fork"));
        assert!(starved(Errno::ENOMEM) && starved(Errno::EAGAIN) && !starved(Errno::EINVAL));
        // The module's own answer.
        assert!(!is_starved(board, &anyhow::anyhow!("check: ENOMEM")));
        assert_eq!(board.starved.load(Relaxed), 2);
    }
}
