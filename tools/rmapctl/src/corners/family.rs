// SPDX-License-Identifier: GPL-2.0

//! A child with its descendants, and what they share.

use crate::shared::Shareable;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, setpgid};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Seconds after which a process of a family kills itself.
const LAST_RESORT: u32 = 1800;

/// The state that the processes of a family share.
pub(super) struct Board {
    /// 1 once the grandchild has written its pages.
    pub(super) ready: AtomicU32,
    /// 1: now fork and exit.
    pub(super) go: AtomicU32,
    /// The number of processes that have finished their part.
    pub(super) settled: AtomicU32,
}

// SAFETY: The fields are atomic numbers.
unsafe impl Shareable for Board {}

/// A child with its descendants. Dropping this kills them; orphans become children of this process.
pub struct Family(pub(super) Pid);

impl Family {
    /// Forks; the child runs `life` and exits.
    pub fn new(life: impl FnOnce()) -> Result<Self> {
        set_child_subreaper(true).context("prctl()")?;
        // SAFETY: This program has one thread.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                let _ = setpgid(Pid::this(), Pid::this());
                life();
                leave()
            }
            ForkResult::Parent { child } => {
                // Parent and child both set the group: either may run first.
                let _ = setpgid(child, child);
                Ok(Self(child))
            }
        }
    }
}

impl Family {
    /// Returns the process group of the child and its descendants.
    pub fn group(&self) -> Pid {
        self.0
    }

    /// Returns whether the child has ended.
    pub fn has_ended(&self) -> bool {
        let status = waitpid(self.0, Some(WaitPidFlag::WNOHANG));
        !matches!(status, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = killpg(self.0, Signal::SIGKILL);
        let group = Pid::from_raw(-self.0.as_raw());
        // SIGKILL has been sent to all, so the loop ends. The children of a dead process are
        // children of this one before their parent is reaped.
        while matches!(waitpid(group, None), Ok(_) | Err(Errno::EINTR)) {}
        let _ = set_child_subreaper(false);
    }
}

/// Ends a process of a family.
pub fn leave() -> ! {
    // SAFETY: Ends this process only, and runs no exit handler.
    unsafe { libc::_exit(0) }
}

/// Reports that the process has finished its part, and waits for its death.
pub(super) fn settle(board: &Board) -> ! {
    // SAFETY: The alarm has no handler and kills this process if no other process does.
    unsafe { libc::alarm(LAST_RESORT) };
    board.settled.fetch_add(1, SeqCst);
    loop {
        nix::unistd::pause();
    }
}
