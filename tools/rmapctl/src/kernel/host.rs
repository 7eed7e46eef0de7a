// SPDX-License-Identifier: GPL-2.0

//! The files of the module that show and check the kernel's own reverse map.

use super::{Debugfs, last_line};
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};

/// The processes to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One process.
    Pid(u32),
    /// Every process that has an address space.
    All,
}

impl Target {
    /// What is written to the module for it.
    fn number(self) -> u32 {
        match self {
            Target::Pid(pid) => pid,
            Target::All => 0,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Pid(pid) => write!(f, "pid {pid}"),
            Target::All => f.write_str("all processes"),
        }
    }
}

/// The last line of `host/check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostCheck {
    /// Address spaces looked at.
    pub mms: u64,
    /// Violations found.
    pub violations: u64,
}

impl Debugfs {
    /// Reads the file `name` of the folder `host`, for `target`.
    ///
    /// The file `host/pid` is one for all readers. It stays locked from the choice of the process
    /// to the end of reading, so that two programs that lock it do not disturb each other. Then it
    /// has the process that it had before, or every process if that one has ended.
    ///
    /// # Errors
    ///
    /// The module is not loaded, has no such file, or refuses the process.
    pub fn read_host(&self, target: Target, name: &str) -> Result<String> {
        let refused = |path: &str, error: Error| self.refused(target, path, &error);
        let file = self
            .open_pid()
            .map_err(|error| refused("host/pid", error))?;
        let mut file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| anyhow!("lock of host/pid: {errno}"))?;
        let chosen = self.path("host/pid");
        let before = fs::read(&chosen).map_err(|error| refused("host/pid", error))?;
        file.write_all(format!("{}\n", target.number()).as_bytes())
            .map_err(|error| refused("host/pid", error))?;
        let path = format!("host/{name}");
        let text = fs::read_to_string(self.path(&path));
        if !before.is_empty() {
            fs::write(&chosen, before)
                .or_else(|_| fs::write(&chosen, "0\n"))
                .map_err(|error| refused("host/pid", error))?;
        }
        text.map_err(|error| refused(&path, error))
    }

    /// Has the module check the kernel's own reverse map, by one open file: other readers choose for
    /// themselves.
    ///
    /// # Errors
    ///
    /// The module is not loaded, or refuses; `ENOMEM`.
    pub fn one_answer(&self, target: Target) -> std::io::Result<String> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path("host/check"))?;
        match file.write_all(format!("{}\n", target.number()).as_bytes()) {
            // There are violations, which are read.
            Err(error) if error.raw_os_error() == Some(Errno::EUCLEAN as i32) => {}
            result => result?,
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    fn open_pid(&self) -> std::io::Result<File> {
        OpenOptions::new().write(true).open(self.path("host/pid"))
    }

    /// Explains why a file of the folder `host` cannot be used.
    fn refused(&self, target: Target, name: &str, error: &Error) -> anyhow::Error {
        let errno = error.raw_os_error().map(Errno::from_raw);
        match (errno, target) {
            (Some(Errno::ESRCH), Target::Pid(pid)) => {
                anyhow!("there is no process {pid} (ESRCH)")
            }
            (Some(Errno::EINVAL), Target::Pid(pid)) => {
                anyhow!("process {pid} has no address space: it is a kernel thread (EINVAL)")
            }
            (Some(Errno::EFBIG), Target::All) => {
                anyhow!("the graph of all processes is too large (EFBIG): choose one process")
            }
            (Some(Errno::EINTR), _) => anyhow!("{name}: interrupted (EINTR)"),
            _ if error.kind() == ErrorKind::NotFound && self.exists() => anyhow!(
                "{}: {error} (the loaded module does not show the host's reverse map)",
                self.path(name).display()
            ),
            _ => self.explain(&self.path(name), error),
        }
    }
}

/// Returns the numbers of the last line of `host/check`.
///
/// # Errors
///
/// The line does not begin with `host check:`, or lacks a number.
pub fn host_check(text: &str) -> Result<HostCheck> {
    let last = last_line(text);
    let Some(rest) = last.strip_prefix("host check:") else {
        bail!("the last line of host/check is `{last}`");
    };
    let get = |name: &str| {
        rest.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("the last line of host/check has no {name}=N: `{last}`"))
    };
    Ok(HostCheck {
        mms: get("mms")?,
        violations: get("violations")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_host_check_is_parsed() {
        let text = "violation of R15: ...\n\
                    host check: mms=3 vmas=9 anon_vmas=4 chains=11 violations=1\n";
        let check = host_check(text).expect("parses");
        assert_eq!((check.mms, check.violations), (3, 1));
        for bad in ["", "compare: mms=1 violations=0\n", "host check: mms=1\n"] {
            assert!(host_check(bad).is_err(), "{bad}");
        }
        assert!(host_check("host check: mms=1 violations=x\n").is_err());
    }

    #[test]
    fn a_pid_is_chosen_for_one_read() {
        let root = std::env::temp_dir().join(format!("rmapctl-host-{}", std::process::id()));
        let debugfs = Debugfs::new(&root);
        let error = |target| {
            format!(
                "{:#}",
                debugfs.read_host(target, "check").expect_err("fails")
            )
        };
        assert!(error(Target::All).contains("insmod"));
        fs::create_dir_all(&root).expect("is made");
        assert!(error(Target::All).contains("does not show the host's reverse map"));
        fs::create_dir_all(root.join("host")).expect("is made");
        fs::write(root.join("host/pid"), "").expect("is written");
        assert!(error(Target::Pid(77)).contains("host/check"));
        fs::write(root.join("host/check"), "text").expect("is written");
        assert_eq!(
            debugfs.read_host(Target::Pid(77), "check").expect("reads"),
            "text"
        );
        assert_eq!(fs::read(root.join("host/pid")).expect("reads"), b"77\n");
        // Then it has what it had.
        fs::write(root.join("host/pid"), "5\n").expect("is written");
        debugfs.read_host(Target::Pid(77), "check").expect("reads");
        assert_eq!(fs::read(root.join("host/pid")).expect("reads"), b"5\n");
        fs::remove_dir_all(&root).expect("is removed");
    }

    #[test]
    fn a_refusal_names_the_process() {
        let debugfs = Debugfs::new(&std::env::temp_dir());
        let refused = |target, errno: Errno| {
            let error = Error::from_raw_os_error(errno as i32);
            debugfs.refused(target, "host/chains", &error).to_string()
        };
        assert_eq!(
            refused(Target::Pid(9), Errno::ESRCH),
            "there is no process 9 (ESRCH)"
        );
        assert_eq!(
            refused(Target::Pid(2), Errno::EINVAL),
            "process 2 has no address space: it is a kernel thread (EINVAL)"
        );
        assert_eq!(
            refused(Target::All, Errno::EFBIG),
            "the graph of all processes is too large (EFBIG): choose one process"
        );
        assert!(refused(Target::All, Errno::EPERM).contains("run rmapctl as root"));
        assert!(refused(Target::All, Errno::ENOMEM).contains("host/chains"));
    }
}
