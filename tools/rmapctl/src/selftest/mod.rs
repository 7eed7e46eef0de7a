// SPDX-License-Identifier: GPL-2.0

//! Tests of the device: bad input is refused with the right error and changes nothing; the limits;
//! and the corner cases. Prints one line for each case.

mod host;
mod limits;
mod many;
mod report;

pub use limits::limits;
pub use many::many;

use crate::child::Child;
use crate::corners::{self, Site};
use crate::kernel::{Check, Debugfs, Device};
use crate::scenario::Mode;
use crate::worker::PAGE_SIZE;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::stat::Mode as FileMode;
use nix::unistd::{Uid, read, setuid, write};
use report::{MAGIC, Mapping, READ_WRITE, Report, ioctl, ioctl_mode, raw_mmap, sees};
use std::path::Path;

const MODES: [Mode; 2] = [Mode::Pinned, Mode::Mergeable];
/// Page 0 is never mapped.
const BAD_POINTER: usize = 8;
/// `nobody`.
const NOBODY: u32 = 65534;

/// Tries bad input on a device with the default limits. Returns whether every case passed.
pub fn bad_input(path: &Path, debugfs: &Path) -> Result<bool> {
    let mut report = Report::default();
    let device = &Device::open(path)?;
    bad_mmaps(&mut report, device);
    bad_ioctls(&mut report, device);
    host::cases(&mut report, device, debugfs)?;

    report.refused("read()", device, Errno::EINVAL, || {
        read(device, &mut [0; 8])
    });
    report.refused("write()", device, Errno::EINVAL, || write(device, &[0; 8]));

    let (child, result) = Child::new(|| {
        setuid(Uid::from_raw(NOBODY)).map_err(|errno| format!("setuid: {errno:?}"))?;
        match open(path, OFlag::O_RDWR, FileMode::empty()) {
            Err(Errno::EACCES) => Ok(()),
            Err(other) => Err(format!("{other:?}")),
            Ok(_) => Err("it succeeded".to_owned()),
        }
    })?;
    drop(child);
    report.case("open() by another user than root: EACCES", result);

    for mode in MODES {
        report.mode = Some(mode);
        modes(&mut report, &Device::open(path)?, mode);
    }
    report.end()
}

/// Chooses a mode and maps the device, which fixes the mode.
fn modes(report: &mut Report, device: &Device, mode: Mode) {
    for mode in [Mode::Mergeable, Mode::Pinned, mode] {
        let result = device.set_mode(mode).map_err(|error| format!("{error:#}"));
        report.case(&format!("MODE {mode} before the first mmap()"), result);
    }
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
    for number in [0, 1, 7] {
        let name = format!("MODE number {number} after the first mmap()");
        report.refused(&name, device, Errno::EBUSY, || ioctl_mode(device, number));
    }
    report.case("mprotect() there and back", protect_back(device, mode));
    report.sees("munmap() after that", device, |_| {});
}

/// Protects a page in the middle of a mapping, which splits it, and takes that back: only VMAs of a
/// mergeable mapping become one again.
fn protect_back(device: &Device, mode: Mode) -> Result<(), String> {
    let said = |errno: Errno| format!("{errno:?}");
    let mapping = Mapping::new(device, 4, READ_WRITE).map_err(said)?;
    (0..4).for_each(|page| mapping.write(page, 1));
    mapping.protect(1, ProtFlags::PROT_READ).map_err(said)?;
    sees(device, |check| check.vmas = 3)?;
    mapping.protect(1, READ_WRITE).map_err(said)?;
    (0..4).try_for_each(|page| mapping.expect(page, 1))?;
    sees(device, |check| {
        check.vmas = if mode == Mode::Mergeable { 1 } else { 3 }
    })
}

fn bad_mmaps(report: &mut Report, device: &Device) {
    let private = MapFlags::MAP_PRIVATE;
    report.refused("mmap() MAP_SHARED", device, Errno::EINVAL, || {
        raw_mmap(device, PAGE_SIZE, READ_WRITE, MapFlags::MAP_SHARED, 0)
    });
    report.refused("mmap() of no page", device, Errno::EINVAL, || {
        raw_mmap(device, 0, READ_WRITE, private, 0)
    });
    // As an unsigned offset this is the last page but one.
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
}

/// Runs the corner cases. Returns whether every case passed.
pub fn corners(path: &Path, debugfs: &Debugfs) -> Result<bool> {
    let mut report = Report::default();
    for mode in MODES {
        report.mode = Some(mode);
        let site = Site {
            path,
            debugfs,
            mode,
        };
        for (name, case) in corners::CASES {
            let result = case(&site).map_err(|error| format!("{error:#}"));
            report.case(name, result);
        }
    }
    report.end()
}
