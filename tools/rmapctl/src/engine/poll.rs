// SPDX-License-Identifier: GPL-2.0

//! Polling with a deadline, and pidfds.

use super::interrupted;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

/// Returns whether there is something to read.
pub(super) fn has_input(fd: &PollFd<'_>) -> bool {
    fd.revents()
        .is_some_and(|events| events.contains(PollFlags::POLLIN))
}

pub(super) fn ready(fd: &PollFd<'_>) -> bool {
    fd.revents().is_some_and(|events| !events.is_empty())
}

/// Calls poll(2) until an event; fails at the deadline, or if the user interrupts the program.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) -> Result<()> {
    loop {
        if interrupted() {
            bail!("interrupted");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(fds, timeout) {
            Ok(0) if left.is_zero() => bail!("timed out"),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => bail!("poll: {errno}"),
        }
    }
}

pub(super) fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: The call takes two numbers and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(fd).context("pidfd_open")?;
    let fd = i32::try_from(fd).context("pidfd_open")?;
    // SAFETY: The descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
