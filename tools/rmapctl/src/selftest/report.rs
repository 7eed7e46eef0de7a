// SPDX-License-Identifier: GPL-2.0

//! Helpers of the cases: output, unchecked system calls, a mapping.

use crate::kernel::{Check, Device};
use crate::output::out;
use crate::scenario::Mode;
use crate::worker::PAGE_SIZE;
use anyhow::Result;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{
    MRemapFlags, MapFlags, ProtFlags, mmap, mmap_anonymous, mprotect, mremap, munmap,
};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

pub(super) const MAGIC: u8 = 0xA7;
pub(super) const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Prints a line for each case.
#[derive(Default)]
pub(super) struct Report {
    failed: u32,
    /// Why a case could not be printed.
    unwritten: Option<anyhow::Error>,
    /// The kind of mapping, if the cases are tried with each.
    pub(super) mode: Option<Mode>,
}

impl Report {
    /// Prints whether a case passed; `result` has the reason of a failure.
    pub(super) fn case(&mut self, name: &str, result: Result<(), String>) {
        let mode = self.mode.map_or(String::new(), |mode| format!(" ({mode})"));
        let name = format!("{name}{mode}");
        let written = match result {
            Ok(()) => out!("ok - {name}"),
            Err(instead) => {
                self.failed += 1;
                out!("not ok - {name}: {instead}")
            }
        };
        self.unwritten = self.unwritten.take().or(written.err());
    }

    /// Returns whether every case passed.
    ///
    /// # Errors
    ///
    /// A case could not be printed.
    pub(super) fn end(self) -> Result<bool> {
        self.unwritten.map_or(Ok(self.failed == 0), Err)
    }

    /// Passes if `call` fails with `errno` and a check returns the same numbers before and after
    /// it.
    pub(super) fn refused<T>(
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
            Ok((Err(_), before, after)) if before != after => {
                Err(format!("the numbers changed to {after}"))
            }
            Ok(_) => Ok(()),
        };
        self.case(&format!("{name}: {errno:?}"), result);
    }

    /// Passes if a check returns the numbers that `wanted` sets; the others must be 0.
    pub(super) fn sees(&mut self, name: &str, device: &Device, wanted: impl FnOnce(&mut Check)) {
        self.case(name, sees(device, wanted));
    }
}

pub(super) fn sees(device: &Device, wanted: impl FnOnce(&mut Check)) -> Result<(), String> {
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

/// Calls ioctl(2) with any request number.
pub(super) fn ioctl(device: &Device, request: u64, argument: usize) -> nix::Result<()> {
    // SAFETY: The requests write at most the structure that `argument` points at, or are refused.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), request, argument) }).map(drop)
}

pub(super) fn ioctl_mode(device: &Device, mode: u32) -> nix::Result<()> {
    let request = nix::request_code_write!(MAGIC, 2, size_of::<u32>());
    ioctl(device, request, (&raw const mode).addr())
}

/// Calls mmap(2) with unchecked arguments.
pub(super) fn raw_mmap(
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

/// A private mapping of the device; dropping it unmaps it.
pub(super) struct Mapping {
    pub(super) address: NonNull<c_void>,
    pages: u64,
}

impl Mapping {
    pub(super) fn new(device: &Device, pages: u64, prot: ProtFlags) -> nix::Result<Self> {
        let address = raw_mmap(device, pages * PAGE_SIZE, prot, MapFlags::MAP_PRIVATE, 0)?;
        Ok(Self { address, pages })
    }

    /// Maps where there is free space for `room` pages behind it.
    pub(super) fn with_room(device: &Device, pages: u64, room: u64) -> nix::Result<Self> {
        let bytes = |pages: u64| (pages * PAGE_SIZE) as usize;
        let all = NonZeroUsize::new(bytes(pages + room)).ok_or(Errno::EINVAL)?;
        let some = NonZeroUsize::new(bytes(pages)).ok_or(Errno::EINVAL)?;
        let private = MapFlags::MAP_PRIVATE;
        // SAFETY: A new mapping, which is unmapped again; nothing else is mapped there meanwhile, for this
        // process has one thread.
        let address = unsafe {
            let free = mmap_anonymous(None, all, ProtFlags::PROT_NONE, private)?;
            munmap(free, all.get())?;
            let fixed = private | MapFlags::MAP_FIXED_NOREPLACE;
            mmap(free.addr().into(), some, READ_WRITE, fixed, device, 0)?
        };
        Ok(Self { address, pages })
    }

    /// Changes the number of pages without moving the mapping.
    pub(super) fn resize(&mut self, pages: u64) -> nix::Result<()> {
        let bytes = |pages: u64| (pages * PAGE_SIZE) as usize;
        let stay = MRemapFlags::empty();
        // SAFETY: The pages that go are only reached through this.
        unsafe { mremap(self.address, bytes(self.pages), bytes(pages), stay, None) }?;
        self.pages = pages;
        Ok(())
    }

    fn byte(&self, page: u64) -> *mut u8 {
        assert!(page < self.pages, "page {page} of {}", self.pages);
        self.address
            .as_ptr()
            .wrapping_byte_add((page * PAGE_SIZE) as usize)
            .cast()
    }

    /// Changes the protection of one page.
    pub(super) fn protect(&self, page: u64, prot: ProtFlags) -> nix::Result<()> {
        // SAFETY: The page is mapped, and only reached through this.
        unsafe {
            let page = NonNull::new_unchecked(self.byte(page).cast());
            mprotect(page, PAGE_SIZE as usize, prot)
        }
    }

    pub(super) fn write(&self, page: u64, byte: u8) {
        // SAFETY: The page is mapped, and only reached through this.
        unsafe { self.byte(page).write_volatile(byte) };
    }

    pub(super) fn expect(&self, page: u64, byte: u8) -> Result<(), String> {
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
        // SAFETY: A user of the pages borrows the mapping.
        let _ = unsafe { munmap(self.address, length) };
    }
}
