// SPDX-License-Identifier: GPL-2.0

//! A process that uses up the memory of the machine, until the kernel's OOM killer ends it.

use super::actor::Arena;
use super::board::Board;
use crate::corners::leave;
use anyhow::{Context, Result};
use nix::libc;
use nix::unistd::{ForkResult, Pid, fork};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fs;
use std::ptr;
use std::thread;
use std::time::Duration;

/// Bytes that are mapped at once.
const PORTION: usize = 32 << 20;
/// Of all processes the kernel kills the one with the highest score first.
const HIGHEST: &str = "1000";

/// Starts it. It has VMAs of the mapping, as the busy processes have.
pub(super) fn start(arena: &Arena<'_>, seed: u64) -> Result<Pid> {
    // SAFETY: This process has one thread.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Without the score another process would be killed.
            if fs::write("/proc/self/oom_score_adj", HIGHEST).is_ok() {
                arena.work(&mut Xoshiro256PlusPlus::seed_from_u64(seed), 20);
                take_memory(arena.board);
            }
            leave()
        }
    }
}

/// Takes memory until the end of the run, or of this process.
fn take_memory(board: &Board) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    while !board.stopped() {
        // SAFETY: A new mapping touches no other memory.
        let at = unsafe { libc::mmap(ptr::null_mut(), PORTION, prot, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            // All is taken, and the kernel has not decided yet.
            thread::sleep(Duration::from_millis(10));
        }
    }
}
