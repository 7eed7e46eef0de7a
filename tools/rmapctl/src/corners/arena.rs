// SPDX-License-Identifier: GPL-2.0

//! A reserved range of addresses, in which a case maps the device at fixed places.

use super::Site;
use crate::kernel::{Debugfs, Device, Target, complaints, host_check};
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::mman::{MRemapFlags, MapFlags, ProtFlags};
use nix::sys::mman::{mmap, mmap_anonymous, mprotect, mremap, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;

pub(super) const NONE: ProtFlags = ProtFlags::PROT_NONE;
pub(super) const READ: ProtFlags = ProtFlags::PROT_READ;
pub(super) const READ_WRITE: ProtFlags = READ.union(ProtFlags::PROT_WRITE);
/// Lines of `compare` shown after a failure.
const SHOWN: usize = 4;
/// Pages in the reserved range.
const ARENA: u64 = 1024;

/// An open device, and a reserved range of addresses to map it at.
pub(super) struct Arena<'a> {
    device: Device,
    debugfs: &'a Debugfs,
    base: NonNull<c_void>,
}

// SAFETY: `write` and `read` alone access the pages, one byte at a time, and no two threads access
// one byte at the same time.
unsafe impl Sync for Arena<'_> {}

impl<'a> Arena<'a> {
    pub(super) fn new(site: &Site<'a>) -> Result<Self> {
        let device = Device::open(site.path)?;
        device.set_mode(site.mode)?;
        let length = NonZeroUsize::new(bytes(ARENA)).context("an arena of no page")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap_anonymous(None, length, NONE, MapFlags::MAP_PRIVATE) }
            .context("mmap() of the arena")?;
        Ok(Self {
            device,
            debugfs: site.debugfs,
            base,
        })
    }

    fn at(&self, page: u64) -> NonNull<c_void> {
        assert!(page < ARENA, "page {page} of {ARENA}");
        // SAFETY: Within the arena.
        unsafe { self.base.byte_add(bytes(page)) }
    }

    fn length(&self, pages: &Range<u64>) -> Result<NonZeroUsize> {
        ensure!(
            pages.start < pages.end && pages.end <= ARENA,
            "pages {pages:?}"
        );
        NonZeroUsize::new(bytes(pages.end - pages.start)).context("no page")
    }

    /// Maps the device over these pages.
    pub(super) fn map(&self, pages: Range<u64>) -> Result<()> {
        self.map_at(pages, 0)
    }

    /// Maps the device over these pages, from page `offset` of the device on: VMAs become one only if
    /// the offsets continue.
    pub(super) fn map_at(&self, pages: Range<u64>, offset: i64) -> Result<()> {
        self.map_device(&self.device, pages, offset)
    }

    /// As [`map_at`](Self::map_at), with the open file of another arena.
    pub(super) fn map_device_of(&self, other: &Self, pages: Range<u64>) -> Result<()> {
        self.map_device(&other.device, pages, 0)
    }

    fn map_device(&self, device: &Device, pages: Range<u64>, offset: i64) -> Result<()> {
        let offset = offset * PAGE_SIZE as i64;
        let at = self.at(pages.start).addr();
        let length = self.length(&pages)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: Within the arena, which contains only mappings of this case.
        unsafe { mmap(Some(at), length, READ_WRITE, flags, device, offset) }.context("mmap()")?;
        Ok(())
    }

    pub(super) fn protect(&self, pages: Range<u64>, prot: ProtFlags) -> Result<()> {
        let length = self.length(&pages)?.get();
        // SAFETY: Within the arena, as in `map`.
        unsafe { mprotect(self.at(pages.start), length, prot) }.context("mprotect()")
    }

    pub(super) fn unmap(&self, pages: Range<u64>) -> Result<()> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // A mapping without access takes the place, before another one can.
        // SAFETY: Within the arena, as in `map`.
        unsafe {
            mmap_anonymous(
                Some(self.at(pages.start).addr()),
                self.length(&pages)?,
                NONE,
                flags,
            )
        }
        .context("mmap()")?;
        Ok(())
    }

    /// Moves pages to another place of the arena; `keep` leaves the VMA behind, without its pages.
    pub(super) fn shift(&self, pages: Range<u64>, to: u64, keep: bool) -> Result<()> {
        let length = self.length(&pages)?;
        self.length(&(to..to + pages.end - pages.start))?;
        let mut flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        if keep {
            flags |= MRemapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP);
        }
        let (old, bytes) = (self.at(pages.start), length.get());
        // SAFETY: From the arena to the arena, as in `map`.
        unsafe { mremap(old, bytes, bytes, flags, Some(self.at(to))) }.context("mremap()")?;
        if !keep {
            // Reserves the hole again.
            self.unmap(pages)?;
        }
        Ok(())
    }

    pub(super) fn write(&self, pages: Range<u64>, byte: u8) {
        for page in pages {
            // SAFETY: The case has mapped the page for writing.
            unsafe { self.at(page).cast::<u8>().write_volatile(byte) };
        }
    }

    pub(super) fn read(&self, pages: Range<u64>) {
        for page in pages {
            // SAFETY: The case has mapped the page.
            unsafe { self.at(page).cast::<u8>().read_volatile() };
        }
    }

    /// Returns the number of VMAs of the device, in all processes.
    pub(super) fn vmas(&self) -> Result<u64> {
        Ok(self.device.check()?.vmas)
    }

    /// Checks; fails unless differences, violations and untracked are all 0, and the host's own
    /// structures of this process are in order.
    pub(super) fn check(&self) -> Result<()> {
        let check = self.device.check()?;
        if (check.differences, check.violations, check.untracked) == (0, 0, 0) {
            return self.check_host();
        }
        let mut said = check.to_string();
        match self.debugfs.read("compare") {
            Ok(compare) => {
                for line in complaints(&compare).iter().take(SHOWN) {
                    said.push_str("\n    ");
                    said.push_str(line);
                }
            }
            Err(error) => said.push_str(&format!("\n    {error:#}")),
        }
        bail!(said)
    }

    fn check_host(&self) -> Result<()> {
        let text = self
            .debugfs
            .read_host(Target::Pid(std::process::id()), "check")?;
        let first = text.lines().next().unwrap_or_default();
        ensure!(host_check(&text)?.violations == 0, "the host's: {first}");
        Ok(())
    }
}

impl Drop for Arena<'_> {
    fn drop(&mut self) {
        // SAFETY: A user of the pages borrows the arena.
        let _ = unsafe { munmap(self.base, bytes(ARENA)) };
    }
}

pub(super) const fn bytes(pages: u64) -> usize {
    (pages * PAGE_SIZE) as usize
}
