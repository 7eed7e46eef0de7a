// SPDX-License-Identifier: GPL-2.0

//! A child process that is killed and waited for when it is no longer needed.

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe, read, write};
use std::fs;
use std::thread;

/// A child process. Dropping it kills it and waits for its end.
pub struct Child(Pid);

impl Child {
    /// Starts a process that executes `run` and ends.
    ///
    /// # Errors
    ///
    /// There is no memory for a process.
    pub fn start(run: impl FnOnce() -> Result<()>) -> Result<Self> {
        // SAFETY: This program has one thread, or others that only touch memory and hold no lock.
        match unsafe { fork() }.context("fork()")? {
            ForkResult::Child => {
                let done = run();
                // SAFETY: Ends the child, and runs no exit handler.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            ForkResult::Parent { child } => Ok(Self(child)),
        }
    }

    /// Starts a process that does some work and waits until this is dropped. Returns when the work
    /// is finished, with its result.
    ///
    /// # Errors
    ///
    /// There is no memory for a process, or no pipe.
    pub fn new(work: impl FnOnce() -> Result<(), String>) -> Result<(Self, Result<(), String>)> {
        let (reader, writer) = pipe().context("pipe")?;
        let child = Self::start(|| {
            let said = work().err().unwrap_or_else(|| "ok".to_owned());
            // After `work`: a change of the user resets this setting.
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            write(&writer, said.as_bytes())?;
            loop {
                nix::unistd::pause();
            }
        })?;
        drop(writer);
        let mut said = [0; 1024];
        let length = read(&reader, &mut said).context("read")?;
        let result = match said.get(..length).unwrap_or_default() {
            b"ok" => Ok(()),
            b"" => Err("the child died".to_owned()),
            text => Err(String::from_utf8_lossy(text).into_owned()),
        };
        Ok((child, result))
    }

    /// Returns its pid.
    pub fn pid(&self) -> Pid {
        self.0
    }

    /// Returns its state, as in `/proc/PID/stat`.
    pub fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn has_ended(&self) -> bool {
        matches!(self.state(), None | Some('Z'))
    }

    /// Waits until `done`, or until the process has ended.
    pub fn wait_until(&self, done: impl Fn() -> bool) {
        while !done() && !self.has_ended() {
            thread::yield_now();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::time::Duration;

    #[test]
    fn the_end_of_a_process_ends_the_wait() {
        let child = Child::start(|| Ok(())).expect("is started");
        child.wait_until(|| false);
        assert!(child.has_ended());
    }

    #[test]
    fn a_child_is_killed_and_waited_for() {
        let child = Child::start(|| {
            thread::sleep(Duration::from_secs(1000));
            Ok(())
        })
        .expect("is started");
        let pid = child.pid();
        assert_eq!(kill(pid, None), Ok(()));
        drop(child);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    }

    #[test]
    fn a_child_reports_what_it_has_done() {
        for result in [Ok(()), Err("no".to_owned())] {
            let (child, reported) = Child::new(|| result.clone()).expect("is started");
            assert_eq!(reported, result);
            assert!(!child.has_ended());
        }
    }
}
