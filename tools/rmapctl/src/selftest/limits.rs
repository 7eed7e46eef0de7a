// SPDX-License-Identifier: GPL-2.0

//! Tests of a module that was loaded with small limits.

use super::MODES;
use super::report::{Mapping, READ_WRITE, Report};
use crate::child::Child;
use crate::kernel::{Check, Debugfs, Device};
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::mman::{MmapAdvise, madvise};
use std::path::Path;

/// Pages of the mapping whose fork exceeds the limit.
const FORKED_PAGES: u64 = 4;

/// Tests the limits of a module loaded with these parameters. Returns whether every case passed.
pub fn limits(path: &Path, debugfs: &Debugfs, max_vmas: u64, max_pages: u64) -> Result<bool> {
    anyhow::ensure!(
        (2..=64).contains(&max_vmas) && max_pages >= max_vmas + FORKED_PAGES,
        "MAX_VMAS must be 2 to 64, and MAX_PAGES at least {FORKED_PAGES} more"
    );
    let mut report = Report::default();
    for mode in MODES {
        report.mode = Some(mode);
        let device = Device::open(path)?;
        device.set_mode(mode)?;
        within_limits(&mut report, &device, max_vmas, max_pages)?;
        beyond_max_pages(&mut report, &device, max_pages)?;
        beyond_max_vmas(&mut report, &device, debugfs, max_vmas)?;
    }
    report.end()
}

/// Maps as much as is allowed, and more.
fn within_limits(
    report: &mut Report,
    device: &Device,
    max_vmas: u64,
    max_pages: u64,
) -> Result<()> {
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
    Ok(())
}

/// Grows a mapping in place, for which the kernel asks no driver: it is untracked while the limit of pages
/// is exceeded.
fn beyond_max_pages(report: &mut Report, device: &Device, max_pages: u64) -> Result<()> {
    let other = Mapping::new(device, 2, READ_WRITE).context("mmap()")?;
    let mut grown = Mapping::with_room(device, 4, max_pages).context("mmap() beside free space")?;
    grown.write(0, 1);
    grown
        .resize(max_pages - 2)
        .context("mremap() to the limit")?;
    grown.write(max_pages - 3, 2);
    report.sees("a mapping that grows to the limit", device, |check| {
        check.vmas = 2;
    });
    grown.resize(max_pages - 1).context("mremap() beyond it")?;
    grown.write(max_pages - 2, 3);
    for name in [
        "a mapping that grows beyond the limit: untracked",
        "it still is",
    ] {
        report.sees(name, device, |check| {
            check.vmas = 2;
            check.untracked = 1;
        });
    }
    report.case("its memory works", grown.expect(max_pages - 2, 3));
    drop(other);
    report.sees("within the limit again: tracked", device, |check| {
        check.vmas = 1;
    });
    report.case("the memory is the same", grown.expect(0, 1));
    grown.resize(2).context("mremap() to two pages")?;
    report.sees("a mapping that shrinks", device, |check| check.vmas = 1);
    drop(grown);
    report.sees("nothing is left of it", device, |_| {});
    Ok(())
}

/// Forks although the limit of VMAs is reached: the child's VMA is untracked.
fn beyond_max_vmas(
    report: &mut Report,
    device: &Device,
    debugfs: &Debugfs,
    max_vmas: u64,
) -> Result<()> {
    let mapping = Mapping::new(device, FORKED_PAGES, READ_WRITE).context("mmap()")?;
    mapping.write(0, 1);
    mapping.write(1, 1);
    // These mappings only use up the limit; the child does not inherit them.
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
    report.case(
        "a fork beyond max_vmas: its family is not compared",
        untracked_lines(debugfs).and_then(|lines| match lines {
            0 => Err("all VMAs are compared".to_owned()),
            _ => Ok(()),
        }),
    );
    drop(child);
    report.sees(
        "a fork beyond max_vmas: the child has ended",
        device,
        |check| check.vmas = max_vmas,
    );
    report.case(
        "a fork beyond max_vmas: its family is compared again",
        untracked_lines(debugfs).and_then(|lines| match lines {
            0 => Ok(()),
            n => Err(format!("{n} VMAs are not compared")),
        }),
    );
    // A fork of a VMA that is tracked again is tracked.
    drop(others);
    let (child, result) = Child::new(|| {
        mapping.expect(1, 1)?;
        mapping.write(1, 3);
        mapping.expect(1, 3)
    })?;
    report.case("a fork after that: the memory works", result);
    report.sees("a fork after that: tracked", device, |check| {
        check.vmas = 2;
    });
    drop(child);
    Ok(())
}

/// Returns the number of VMAs that `compare` does not compare.
fn untracked_lines(debugfs: &Debugfs) -> Result<usize, String> {
    let compare = debugfs.read("compare").map_err(|e| format!("{e:#}"))?;
    let untracked = |line: &&str| line.ends_with("untracked, not compared");
    Ok(compare.lines().filter(untracked).count())
}
