// SPDX-License-Identifier: GPL-2.0

//! Bad input against the device, and its limits: what is refused, with which error, and that nothing
//! has changed afterwards; then the corners of the host. A line for each case.

use crate::corners;
use crate::kernel::{Check, Debugfs, Device};
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, munmap};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, Uid, fork, pipe, read, setuid, write};
use std::ffi::c_void;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;

const MAGIC: u8 = 0xA7;
/// Page 0 is never mapped.
const BAD_POINTER: usize = 8;
/// `nobody`.
const NOBODY: u32 = 65534;
const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);
/// Pages of the mapping that is forked beyond the limit.
const FORKED_PAGES: u64 = 4;

/// Prints a line for each case.
#[derive(Default)]
struct Report {
    failed: u32,
}

impl Report {
    /// Passes when there is nothing to complain about.
    fn case(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => println!("ok - {name}"),
            Err(instead) => {
                self.failed += 1;
                println!("not ok - {name}: {instead}");
            }
        }
    }

    /// The call must fail with `errno`, and leave what a check sees as it was.
    fn refused<T>(
        &mut self,
        name: &str,
        device: &Device,
        errno: Errno,
        call: impl FnOnce() -> nix::Result<T>,
    ) {
        let result = device.check().and_then(|before| {
            let result = call();
            Ok((result, before, device.check()?))
        });
        let result = match result {
            Err(error) => Err(format!("{error:#}")),
            Ok((Ok(_), ..)) => Err("it succeeded".to_owned()),
            Ok((Err(other), ..)) if other != errno => Err(format!("{other:?}")),
            Ok((Err(_), before, after)) if before != after => Err(format!("it led to {after}")),
            Ok(_) => Ok(()),
        };
        self.case(&format!("{name}: {errno:?}"), result);
    }

    /// The check must see what `wanted` makes of no mapping.
    fn sees(&mut self, name: &str, device: &Device, wanted: impl FnOnce(&mut Check)) {
        self.case(name, sees(device, wanted));
    }
}

fn sees(device: &Device, wanted: impl FnOnce(&mut Check)) -> Result<(), String> {
    let found = device.check().map_err(|error| format!("{error:#}"))?;
    let mut expected = Check {
        anon_vmas: found.anon_vmas,
        chains: found.chains,
        pages: found.pages,
        ..Check::default()
    };
    wanted(&mut expected);
    match found == expected {
        true => Ok(()),
        false => Err(found.to_string()),
    }
}

/// An ioctl by its number.
fn ioctl(device: &Device, request: u64, argument: usize) -> nix::Result<()> {
    // SAFETY: The requests write at most the structure that `argument` points at, or are refused.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), request, argument) }).map(drop)
}

fn ioctl_mode(device: &Device, mode: u32) -> nix::Result<()> {
    let request = nix::request_code_write!(MAGIC, 2, size_of::<u32>());
    ioctl(device, request, (&raw const mode).addr())
}

/// `mmap()` with nothing tidied up before the kernel sees it.
fn raw_mmap(
    device: &Device,
    length: u64,
    prot: ProtFlags,
    flags: MapFlags,
    offset: i64,
) -> nix::Result<NonNull<c_void>> {
    let fd = device.as_raw_fd();
    // SAFETY: A new mapping at an address that the kernel chooses.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length as usize,
            prot.bits(),
            flags.bits(),
            fd,
            offset,
        )
    };
    match NonNull::new(address) {
        Some(address) if address.as_ptr() != libc::MAP_FAILED => Ok(address),
        _ => Err(Errno::last()),
    }
}

/// A private mapping of the device, until it is dropped.
struct Mapping {
    address: NonNull<c_void>,
    pages: u64,
}

impl Mapping {
    fn new(device: &Device, pages: u64, prot: ProtFlags) -> nix::Result<Self> {
        let address = raw_mmap(device, pages * PAGE_SIZE, prot, MapFlags::MAP_PRIVATE, 0)?;
        Ok(Self { address, pages })
    }

    fn byte(&self, page: u64) -> *mut u8 {
        assert!(page < self.pages, "page {page} of {}", self.pages);
        self.address
            .as_ptr()
            .wrapping_byte_add((page * PAGE_SIZE) as usize)
            .cast()
    }

    fn write(&self, page: u64, byte: u8) {
        // SAFETY: The page is mapped, and only reached through this.
        unsafe { self.byte(page).write_volatile(byte) };
    }

    fn expect(&self, page: u64, byte: u8) -> Result<(), String> {
        // SAFETY: As in `write`.
        match unsafe { self.byte(page).read_volatile() } {
            found if found == byte => Ok(()),
            found => Err(format!("page {page} holds {found}, not {byte}")),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let length = (self.pages * PAGE_SIZE) as usize;
        // SAFETY: Whoever uses the pages borrows this.
        let _ = unsafe { munmap(self.address, length) };
    }
}

/// A child that does something, says how it went, and stays until this is dropped.
pub struct Child(Pid);

impl Child {
    /// Forks; returns when the child has done `work`.
    pub fn new(work: impl FnOnce() -> Result<(), String>) -> Result<(Self, Result<(), String>)> {
        let (reader, writer) = pipe().context("pipe")?;
        // SAFETY: This program has one thread, or others that only touch memory and hold no lock.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                let said = work().err().unwrap_or_else(|| "ok".to_owned());
                // After `work`, which may lose it by becoming another user.
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                let _ = write(&writer, said.as_bytes());
                loop {
                    nix::unistd::pause();
                }
            }
            ForkResult::Parent { child } => {
                drop(writer);
                let child = Self(child);
                let mut said = [0; 1024];
                let length = read(&reader, &mut said).context("read")?;
                let result = match said.get(..length).unwrap_or_default() {
                    b"ok" => Ok(()),
                    b"" => Err("the child died".to_owned()),
                    text => Err(String::from_utf8_lossy(text).into_owned()),
                };
                Ok((child, result))
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// What a device with the usual limits refuses: true when all is as it should be.
pub fn bad_input(path: &Path) -> Result<bool> {
    let mut report = Report::default();
    let device = &Device::open(path)?;
    bad_mmaps(&mut report, device);
    bad_ioctls(&mut report, device);

    report.refused("read()", device, Errno::EINVAL, || {
        read(device, &mut [0; 8])
    });
    report.refused("write()", device, Errno::EINVAL, || write(device, &[0; 8]));

    let (child, result) = Child::new(|| {
        setuid(Uid::from_raw(NOBODY)).map_err(|errno| format!("setuid: {errno:?}"))?;
        match open(path, OFlag::O_RDWR, Mode::empty()) {
            Err(Errno::EACCES) => Ok(()),
            Err(other) => Err(format!("{other:?}")),
            Ok(_) => Err("it succeeded".to_owned()),
        }
    })?;
    drop(child);
    report.case("open() by another user than root: EACCES", result);

    let mode = ioctl_mode(device, 0).map_err(|errno| format!("{errno:?}"));
    report.case("MODE pinned before the first mmap()", mode);
    for (name, prot) in [
        ("PROT_NONE", ProtFlags::PROT_NONE),
        ("PROT_READ", ProtFlags::PROT_READ),
    ] {
        let result = Mapping::new(device, 4, prot)
            .map_err(|errno| format!("{errno:?}"))
            .and_then(|mapping| {
                if prot == ProtFlags::PROT_READ {
                    mapping.expect(3, 0)?;
                }
                sees(device, |check| check.vmas = 1)
            });
        report.case(&format!("mmap() {name}"), result);
        report.sees(&format!("munmap() {name}"), device, |_| {});
    }
    report.refused(
        "MODE pinned after the first mmap()",
        device,
        Errno::EBUSY,
        || ioctl_mode(device, 0),
    );
    Ok(report.failed == 0)
}

fn bad_mmaps(report: &mut Report, device: &Device) {
    let private = MapFlags::MAP_PRIVATE;
    report.refused("mmap() MAP_SHARED", device, Errno::EINVAL, || {
        raw_mmap(device, PAGE_SIZE, READ_WRITE, MapFlags::MAP_SHARED, 0)
    });
    report.refused("mmap() of no page", device, Errno::EINVAL, || {
        raw_mmap(device, 0, READ_WRITE, private, 0)
    });
    // The kernel takes the offset for an unsigned one: this is its last page but one.
    let offset = -2 * PAGE_SIZE as i64;
    report.refused(
        "mmap() beyond the last offset",
        device,
        Errno::EOVERFLOW,
        || raw_mmap(device, 4 * PAGE_SIZE, READ_WRITE, private, offset),
    );
}

fn bad_ioctls(report: &mut Report, device: &Device) {
    let check = nix::request_code_read!(MAGIC, 1, size_of::<Check>());
    let mode = nix::request_code_write!(MAGIC, 2, size_of::<u32>());
    let mut buffer = [0u64; 8];
    let buffer = buffer.as_mut_ptr().addr();
    for (name, request, argument, errno) in [
        (
            "an unknown ioctl of ours",
            nix::request_code_none!(MAGIC, 3),
            buffer,
            Errno::ENOTTY,
        ),
        (
            "an ioctl of another magic",
            nix::request_code_read!(0xA8u8, 1, size_of::<Check>()),
            buffer,
            Errno::ENOTTY,
        ),
        (
            "CHECK with another structure size",
            nix::request_code_read!(MAGIC, 1, size_of::<Check>() + 8),
            buffer,
            Errno::EINVAL,
        ),
        (
            "CHECK in the other direction",
            nix::request_code_write!(MAGIC, 1, size_of::<Check>()),
            buffer,
            Errno::EINVAL,
        ),
        (
            "MODE with another structure size",
            nix::request_code_write!(MAGIC, 2, size_of::<u64>()),
            buffer,
            Errno::EINVAL,
        ),
        (
            "CHECK with a bad pointer",
            check,
            BAD_POINTER,
            Errno::EFAULT,
        ),
        ("MODE with a bad pointer", mode, BAD_POINTER, Errno::EFAULT),
    ] {
        report.refused(name, device, errno, || ioctl(device, request, argument));
    }
    report.refused("MODE number 7", device, Errno::EINVAL, || {
        ioctl_mode(device, 7)
    });
    report.refused("MODE mergeable", device, Errno::EOPNOTSUPP, || {
        ioctl_mode(device, 1)
    });
}

/// What the host does unannounced: true when the shadow has followed all of it.
pub fn corners(path: &Path, debugfs: &Debugfs) -> bool {
    let mut report = Report::default();
    for (name, case) in corners::CASES {
        let result = case(path, debugfs).map_err(|error| format!("{error:#}"));
        report.case(name, result);
    }
    report.failed == 0
}

/// What a module loaded with these parameters refuses: true when all is as it should be.
pub fn limits(path: &Path, max_vmas: u64, max_pages: u64) -> Result<bool> {
    anyhow::ensure!(
        (2..=64).contains(&max_vmas) && max_pages >= max_vmas + FORKED_PAGES,
        "MAX_VMAS must be 2 to 64, and MAX_PAGES at least {FORKED_PAGES} more"
    );
    let mut report = Report::default();
    let device = &Device::open(path)?;
    let map = |pages| Mapping::new(device, pages, READ_WRITE);
    let done = |result: nix::Result<Mapping>| result.map(drop).map_err(|e| format!("{e:?}"));

    let mappings: nix::Result<Vec<Mapping>> = (0..max_vmas).map(|_| map(1)).collect();
    let mut mappings = mappings.context("mmap() of as many VMAs as are allowed")?;
    report.sees("as many VMAs as are allowed", device, |check| {
        check.vmas = max_vmas;
    });
    report.refused("mmap() of one VMA more", device, Errno::ENOMEM, || map(1));
    mappings.pop();
    report.case("mmap() after a munmap()", done(map(1)));
    drop(mappings);
    report.sees("all unmapped", device, |_| {});

    let all = map(max_pages).context("mmap() of as many pages as are allowed")?;
    report.refused("mmap() of one page more", device, Errno::ENOSPC, || map(1));
    drop(all);
    report.refused(
        "mmap() of too many pages at once",
        device,
        Errno::ENOSPC,
        || map(max_pages + 1),
    );
    report.case("mmap() of all pages after a munmap()", done(map(max_pages)));
    report.sees("all unmapped again", device, |_| {});

    beyond_max_vmas(&mut report, device, max_vmas)?;
    Ok(report.failed == 0)
}

/// A fork that would need one VMA too many: the child goes without a shadow.
fn beyond_max_vmas(report: &mut Report, device: &Device, max_vmas: u64) -> Result<()> {
    let mapping = Mapping::new(device, FORKED_PAGES, READ_WRITE).context("mmap()")?;
    mapping.write(0, 1);
    mapping.write(1, 1);
    // The others only fill the limit: the child does not get them.
    let mut others = Vec::new();
    for _ in 1..max_vmas {
        let other = Mapping::new(device, 1, READ_WRITE).context("mmap()")?;
        // SAFETY: The page is mapped, and its content does not change.
        unsafe { madvise(other.address, PAGE_SIZE as usize, MmapAdvise::MADV_DONTFORK) }
            .context("madvise()")?;
        others.push(other);
    }
    let (child, result) = Child::new(|| {
        mapping.expect(0, 1)?;
        mapping.expect(2, 0)?;
        mapping.write(1, 2);
        mapping.write(2, 2);
        mapping.expect(0, 1)?;
        mapping.expect(1, 2)?;
        mapping.expect(2, 2)
    })?;
    report.case("a fork beyond max_vmas: the child's memory works", result);
    let result = (mapping.expect(0, 1))
        .and_then(|()| mapping.expect(1, 1))
        .and_then(|()| mapping.expect(2, 0));
    report.case("a fork beyond max_vmas: so does the parent's", result);
    let wanted = |check: &mut Check| {
        check.vmas = max_vmas;
        check.untracked = 1;
    };
    report.sees("a fork beyond max_vmas: untracked", device, wanted);
    drop(child);
    // What was given up stays counted.
    report.sees(
        "a fork beyond max_vmas: the child has ended",
        device,
        wanted,
    );
    Ok(())
}
