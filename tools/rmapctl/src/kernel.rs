// SPDX-License-Identifier: GPL-2.0

//! What the module offers: the ioctls of the device, and the files in debugfs.

use crate::scenario::{Condition, Field, Mode};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode as FileMode;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and after what pause, to ask again while the processes do not stand still.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// `struct shadow_rmap_check` of `include/uapi/shadow_rmap.h`.
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
    /// Mappings the shadow gave up.
    pub untracked: u64,
    /// Broken rules.
    pub violations: u64,
    /// Differences between shadow and host.
    pub differences: u64,
}

impl Check {
    /// The number called `field`.
    pub fn get(&self, field: Field) -> u64 {
        match field {
            Field::Vmas => self.vmas,
            Field::AnonVmas => self.anon_vmas,
            Field::Chains => self.chains,
            Field::Pages => self.pages,
            Field::Untracked => self.untracked,
            Field::Violations => self.violations,
            Field::Differences => self.differences,
        }
    }

    /// The first condition that is not met, in words.
    pub fn unmet(&self, conditions: &[Condition]) -> Option<String> {
        let condition = conditions.iter().find(|c| !c.holds(self.get(c.field)))?;
        let name = condition.field.name();
        let found = self.get(condition.field);
        Some(format!("{name}={found}, expected {condition}"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("check:")?;
        for field in Field::ALL {
            write!(f, " {}={}", field.name(), self.get(field))?;
        }
        Ok(())
    }
}

mod ioctl {
    //! The requests, numbered as in the header.

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

impl Device {
    /// Opens the device so that the processes of a scenario inherit it, over `execve` too.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open(path, OFlag::O_RDWR, FileMode::empty()).map_err(|errno| {
            let hint = match errno {
                Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => {
                    " (is the module loaded? insmod shadow_rmap.ko)"
                }
                Errno::EACCES | Errno::EPERM => " (only root may open it)",
                _ => "",
            };
            anyhow::anyhow!("open of {}: {errno}{hint}", path.display())
        })?;
        Ok(Self { fd })
    }

    /// `SHADOW_RMAP_IOC_CHECK`, again while the processes do not stand still.
    pub fn check(&self) -> Result<Check> {
        for attempt in 1.. {
            let mut check = Check::default();
            // SAFETY: The request writes one `Check`, whose layout is that of the header.
            match unsafe { ioctl::check(self.as_raw_fd(), &mut check) } {
                Ok(_) => return Ok(check),
                Err(Errno::EAGAIN) if attempt < TRIES => {
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::EAGAIN) => bail!("check: the processes never stood still (EAGAIN)"),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOTTY) => {
                    bail!("check: this device knows no check (ENOTTY); for a dry run, --no-check")
                }
                Err(errno) => bail!("check: {errno}"),
            }
        }
        unreachable!("the loop has no end")
    }

    /// `SHADOW_RMAP_IOC_MODE`.
    pub fn set_mode(&self, mode: Mode) -> Result<()> {
        let number: u32 = match mode {
            Mode::Pinned => 0,
            Mode::Mergeable => 1,
        };
        // SAFETY: The request reads one u32.
        unsafe { ioctl::mode(self.as_raw_fd(), &number) }
            .with_context(|| format!("mode {mode:?}"))?;
        Ok(())
    }
}

/// The folder of the module in debugfs.
#[derive(Debug, Clone)]
pub struct Debugfs {
    root: PathBuf,
}

impl Debugfs {
    /// The folder at `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Is the folder there?
    pub fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// The text of a file, again while the processes do not stand still.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or what the module has written into it is an error.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.root.join(name);
        for attempt in 1.. {
            let text = fs::read_to_string(&path).map_err(|error| self.explain(&path, &error))?;
            match last_line(&text).strip_prefix("error: ") {
                None => return Ok(text),
                Some(error) if !error.contains("EAGAIN") || attempt >= TRIES => {
                    bail!("{}: the module says {error}", path.display());
                }
                Some(_) => std::thread::sleep(PAUSE),
            }
        }
        unreachable!("the loop has no end")
    }

    /// Writes to a file.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(|error| self.explain(&path, &error))
    }

    fn explain(&self, path: &Path, error: &std::io::Error) -> anyhow::Error {
        let hint = match error.kind() {
            ErrorKind::NotFound if !self.exists() => {
                " (mount debugfs: mount -t debugfs none /sys/kernel/debug; \
                 and load the module: insmod shadow_rmap.ko)"
            }
            ErrorKind::PermissionDenied => " (only root may read it)",
            _ => "",
        };
        anyhow::anyhow!("{}: {error}{hint}", path.display())
    }
}

/// The last line that is not empty.
pub fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
}

/// The lines of `compare` that say anything but that a VMA is the same on both sides.
pub fn complaints(compare: &str) -> Vec<&str> {
    let last = last_line(compare);
    compare
        .lines()
        .filter(|line| *line != last && !line.trim().is_empty() && !line.ends_with(": same"))
        .collect()
}

/// The numbers of the last line of `compare`.
///
/// # Errors
///
/// The line does not begin with `compare:`, or lacks a number.
pub fn compare_counts(compare: &str) -> Result<Check> {
    let last = last_line(compare);
    let rest = last
        .strip_prefix("compare:")
        .with_context(|| format!("the last line of compare is `{last}`"))?;
    let get = |field: Field| -> Result<u64> {
        let name = field.name();
        rest.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("the last line of compare has no {name}=N: `{last}`"))
    };
    Ok(Check {
        vmas: get(Field::Vmas)?,
        anon_vmas: get(Field::AnonVmas)?,
        chains: get(Field::Chains)?,
        pages: get(Field::Pages)?,
        untracked: get(Field::Untracked)?,
        violations: 0,
        differences: get(Field::Differences)?,
    })
}

/// A line of `rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<'a> {
    /// `R12`.
    pub id: &'a str,
    /// What the rule says.
    pub title: &'a str,
    /// How often it was checked.
    pub checks: u64,
    /// How often it was found broken.
    pub violations: u64,
}

/// The lines of `rules`: `R12 <title> checks=N violations=N`. Other lines are left out.
pub fn parse_rules(text: &str) -> Vec<Rule<'_>> {
    text.lines()
        .filter_map(|line| {
            let (id, rest) = line.trim().split_once(' ')?;
            let (rest, violations) = rest.rsplit_once("violations=")?;
            let (title, checks) = rest.rsplit_once("checks=")?;
            Some(Rule {
                id,
                title: title.trim(),
                checks: checks.trim().parse().ok()?,
                violations: violations.trim().parse().ok()?,
            })
        })
        .collect()
}

/// The rules that were checked, several to a line.
pub fn compact_rules(text: &str) -> String {
    const WIDTH: usize = 78;
    let mut out = String::new();
    let mut column = 0;
    for rule in parse_rules(text).iter().filter(|rule| rule.checks > 0) {
        let word = match rule.violations {
            0 => format!("{} checks={}", rule.id, rule.checks),
            n => format!("{} checks={} violations={n}", rule.id, rule.checks),
        };
        if column > 0 && column + 3 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push_str("   ");
            column += 3;
        }
        column += word.len();
        out.push_str(&word);
    }
    match out.is_empty() {
        true => "no rule has been checked yet".to_owned(),
        false => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPARE: &str = "vma 1 (pid 41 main) [0x10000, 0x14000): same\n\
                           vma 2 (pid 42 child) [0x10000, 0x14000): root: host 1, shadow 2\n\
                           violation of R15: vma 2 has two roots\n\
                           compare: vmas=2 anon_vmas=2 chains=3 pages=9 untracked=0 differences=1\n";

    #[test]
    fn the_ioctls_are_those_of_the_header() {
        // _IOR and _IOW of a 56-byte and a 4-byte argument, magic 0xA7.
        assert_eq!(size_of::<Check>(), 56);
        assert_eq!(
            nix::request_code_read!(0xA7u8, 1, size_of::<Check>()),
            0x8038_a701
        );
        assert_eq!(
            nix::request_code_write!(0xA7u8, 2, size_of::<u32>()),
            0x4004_a702
        );
    }

    #[test]
    fn compare_is_understood() {
        assert_eq!(
            complaints(COMPARE),
            [
                "vma 2 (pid 42 child) [0x10000, 0x14000): root: host 1, shadow 2",
                "violation of R15: vma 2 has two roots",
            ]
        );
        let counts = compare_counts(COMPARE).expect("has a last line");
        assert_eq!((counts.vmas, counts.pages, counts.differences), (2, 9, 1));
        assert!(compare_counts("compare: vmas=1\n").is_err());
        assert!(compare_counts("").is_err());
    }

    #[test]
    fn debugfs_errors_speak() {
        let root = std::env::temp_dir().join(format!("rmapctl-debugfs-{}", std::process::id()));
        fs::create_dir_all(&root).expect("is made");
        fs::write(root.join("chains"), "error: ENOMEM\n").expect("is written");
        let debugfs = Debugfs::new(&root);
        let error = debugfs.read("chains").expect_err("must fail").to_string();
        assert!(error.ends_with("chains: the module says ENOMEM"), "{error}");
        let error = debugfs.read("rules").expect_err("must fail").to_string();
        assert!(
            error.contains("No such file") && !error.contains("insmod"),
            "{error}"
        );
        fs::remove_dir_all(&root).expect("is removed");
        let error = debugfs.read("rules").expect_err("must fail").to_string();
        assert!(error.contains("insmod"), "{error}");
    }

    #[test]
    fn rules_are_compact() {
        let text = "R1 bit 0 means anon checks=12 violations=0\nR2 stays set checks=0 violations=0\n\
                    R24 reuse at fork, checks=never checks=3 violations=1\n";
        assert_eq!(
            compact_rules(text),
            "R1 checks=12   R24 checks=3 violations=1"
        );
        assert_eq!(parse_rules(text)[2].title, "reuse at fork, checks=never");
    }

    #[test]
    fn conditions_speak() {
        let check = Check {
            differences: 2,
            ..Check::default()
        };
        let zero: Condition = "differences=0".parse().expect("parses");
        assert_eq!(
            check.unmet(&[zero]),
            Some("differences=2, expected differences=0".to_owned())
        );
        let some: Condition = "differences>=2".parse().expect("parses");
        assert_eq!(check.unmet(&[some]), None);
    }
}
