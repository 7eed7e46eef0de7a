// SPDX-License-Identifier: GPL-2.0

//! The device and its ioctls.

use crate::scenario::{Condition, Field, Mode, Value};
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode as FileMode;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Check {
    /// Live VMAs of this open file.
    pub vmas: u64,
    /// Shadow anon_vmas linked to them.
    pub anon_vmas: u64,
    /// Links between the two.
    pub chains: u64,
    /// Anonymous pages mapped.
    pub pages: u64,
    /// VMAs that the shadow does not follow.
    pub untracked: u64,
    /// Violations of all rules since the module was loaded.
    pub violations: u64,
    /// Differences between shadow and host.
    pub differences: u64,
}

/// Callbacks of the host that the module has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// `open`: forks, splits and moves of a VMA.
    pub opens: u64,
    /// `close`.
    pub closes: u64,
}

impl Events {
    /// Returns what came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            opens: self.opens.saturating_sub(before.opens),
            closes: self.closes.saturating_sub(before.closes),
        }
    }
}

/// The numbers that conditions are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The result of the check.
    pub check: Check,
    /// The callbacks since the check before.
    pub events: Events,
}

impl Numbers {
    /// Returns the number `field`.
    pub fn get(&self, field: Field) -> u64 {
        let check = &self.check;
        match field {
            Field::Vmas => check.vmas,
            Field::AnonVmas => check.anon_vmas,
            Field::Chains => check.chains,
            Field::Pages => check.pages,
            Field::Untracked => check.untracked,
            Field::Violations => check.violations,
            Field::Differences => check.differences,
            Field::Opens => self.events.opens,
            Field::Closes => self.events.closes,
        }
    }

    /// Returns the first condition that is not met, in words.
    pub fn unmet(&self, conditions: &[Condition]) -> Option<String> {
        let get = |field| self.get(field);
        let condition = conditions.iter().find(|c| !c.holds(get))?;
        let name = condition.field.name();
        let mut unmet = format!("{name}={}, expected {condition}", get(condition.field));
        if let Value::Times(_, other) = condition.value {
            unmet.push_str(&format!(" with {}={}", other.name(), get(other)));
        }
        Some(unmet)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("check:")?;
        let numbers = Numbers {
            check: *self,
            events: Events::default(),
        };
        for field in Field::OF_CHECK {
            write!(f, " {}={}", field.name(), numbers.get(field))?;
        }
        Ok(())
    }
}

mod ioctl {
    //! The requests, with the numbers of the header.

    const MAGIC: u8 = 0xA7;
    nix::ioctl_read!(check, MAGIC, 1, super::Check);
    nix::ioctl_write_ptr!(mode, MAGIC, 2, u32);
}

/// The open device.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How often a check is made that ends with `EAGAIN`; each may take a second.
const MOST_CHECKS: u32 = 20;

impl Device {
    /// Opens the device so that the processes of a scenario inherit it, over `execve` too.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open(path, OFlag::O_RDWR, FileMode::empty()).map_err(|errno| {
            let hint = match errno {
                Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => {
                    " (load the module first: insmod shadow_rmap.ko)"
                }
                Errno::EACCES | Errno::EPERM => " (run rmapctl as root)",
                _ => "",
            };
            anyhow::anyhow!("open of {}: {errno}{hint}", path.display())
        })?;
        Ok(Self { fd })
    }

    /// `SHADOW_RMAP_IOC_CHECK`, which a signal may interrupt.
    pub fn try_check(&self) -> nix::Result<Check> {
        let mut check = Check::default();
        // SAFETY: The request writes one `Check`, whose layout is that of the header.
        unsafe { ioctl::check(self.as_raw_fd(), &mut check) }?;
        Ok(check)
    }

    /// `SHADOW_RMAP_IOC_CHECK`, again if a signal interrupts it, and some times if pages migrate all the time
    /// or new processes do not end.
    pub fn check(&self) -> Result<Check> {
        let said = |errno| anyhow::anyhow!("check: {errno}{}", other_device(errno));
        self.check_again().map_err(said)
    }

    /// The same, with the error as the kernel gives it.
    pub fn check_again(&self) -> nix::Result<Check> {
        again(|| self.try_check())
    }

    /// `SHADOW_RMAP_IOC_MODE`.
    pub fn set_mode(&self, mode: Mode) -> Result<()> {
        let number: u32 = match mode {
            Mode::Pinned => 0,
            Mode::Mergeable => 1,
        };
        // SAFETY: The request reads one u32.
        unsafe { ioctl::mode(self.as_raw_fd(), &number) }.map_err(|errno| {
            let hint = match errno {
                Errno::EBUSY => " (set the mode before the first map)",
                _ => other_device(errno),
            };
            anyhow::anyhow!("mode {mode}: {errno}{hint}")
        })?;
        Ok(())
    }
}

/// Explains the error of a file that does not know the requests.
fn other_device(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOTTY => {
            " (this is not the device of shadow_rmap; `run` and `random` need --no-check for a dry \
             run with it)"
        }
        _ => "",
    }
}

/// Checks until it comes through, or ends with an error that another check need not have.
fn again<T>(mut check: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match check() {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if tries < MOST_CHECKS => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what comes of checks that end like this, and how many were made.
    fn after(ends: impl IntoIterator<Item = nix::Result<u32>>) -> (nix::Result<u32>, usize) {
        let mut ends = ends.into_iter();
        let mut made = 0;
        let result = again(|| {
            made += 1;
            ends.next().expect("no more checks are made")
        });
        (result, made)
    }

    #[test]
    fn a_check_is_made_again() {
        use Errno::{EAGAIN, EINTR, ENOMEM};
        let most = MOST_CHECKS as usize;
        assert_eq!(after([Ok(7)]), (Ok(7), 1));
        assert_eq!(after([Err(EAGAIN), Err(EINTR), Ok(7)]), (Ok(7), 3));
        assert_eq!(after([Err(EAGAIN), Err(ENOMEM)]), (Err(ENOMEM), 2));
        assert_eq!(after(vec![Err(EAGAIN); most]), (Err(EAGAIN), most));
        let signals = vec![Err(EINTR); 3 * most];
        assert_eq!(
            after(signals.into_iter().chain([Ok(7)])),
            (Ok(7), 3 * most + 1)
        );
    }
}
