// SPDX-License-Identifier: GPL-2.0

//! The calls that change or use the memory of a process.

use super::borrow;
use super::protocol::{Answer, Call, PAGE_SIZE};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MRemapFlags, MapFlags, ProtFlags};
use nix::sys::mman::{mlock, mmap, mmap_anonymous, mprotect, mremap, munlock, munmap};
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

/// The number of `mseal()`, which libc does not have.
const SYS_MSEAL: libc::c_long = 462;

/// Makes a call; `device` is the descriptor to map.
pub(super) fn call(device: RawFd, call: &Call) -> Result<Answer> {
    match *call {
        Call::Map {
            pages,
            pgoff,
            prot,
            at,
        } => map(device, pages, pgoff, prot, at),
        Call::Write {
            base,
            ref runs,
            byte,
        } => {
            for page in pages(runs) {
                let address = (base + page * PAGE_SIZE) as *mut u8;
                // SAFETY: The address is in a mapping that nothing in this program refers to.
                // An address that is not accessible kills this process, as requested.
                unsafe { address.write_volatile(byte) };
            }
            Ok(Answer::Done)
        }
        Call::Read {
            base,
            ref runs,
            byte,
        } => {
            for page in pages(runs) {
                let address = (base + page * PAGE_SIZE) as *const u8;
                // SAFETY: As for `Write`; every byte is a valid u8.
                let found = unsafe { address.read_volatile() };
                expect(page, found, byte)?;
            }
            Ok(Answer::Done)
        }
        Call::Protect {
            base,
            ref runs,
            prot,
        } => each(base, runs, "mprotect", |address, length| {
            // SAFETY: The pages belong to the scenario; nothing in this program uses them.
            unsafe { mprotect(address, length, flags(prot)) }
        }),
        Call::Unmap {
            base,
            ref runs,
            reserve,
        } => {
            each(base, runs, "munmap", |address, length| {
                // SAFETY: As for `Protect`.
                unsafe { munmap(address, length) }
            })?;
            for &(first, count) in runs.iter().filter(|_| reserve) {
                keep_free(base + first * PAGE_SIZE, count)?;
            }
            Ok(Answer::Done)
        }
        Call::Advise {
            base,
            ref runs,
            advice,
        } => each(base, runs, "madvise", |address, length| {
            // SAFETY: As for `Protect`.
            Errno::result(unsafe { libc::madvise(address.as_ptr(), length, advice) }).map(drop)
        }),
        Call::Lock {
            base,
            ref runs,
            lock: true,
        } => each(base, runs, "mlock", |address, length| {
            // SAFETY: As for `Protect`.
            unsafe { mlock(address, length) }
        }),
        Call::Lock { base, ref runs, .. } => each(base, runs, "munlock", |address, length| {
            // SAFETY: As for `Protect`.
            unsafe { munlock(address, length) }
        }),
        Call::Seal { base, ref runs } => each(base, runs, "mseal", |address, length| {
            // SAFETY: As for `Protect`; the scenario asks for pages that stay.
            let result = unsafe { libc::syscall(SYS_MSEAL, address.as_ptr(), length, 0) };
            Errno::result(result).map(drop)
        }),
        Call::Poke {
            pid,
            base,
            ref runs,
            byte,
            force,
        } => match force {
            true => poke_by_force(pid, base, runs, byte),
            false => match poke(pid, base, runs, byte) {
                // A kernel without CONFIG_CROSS_MEMORY_ATTACH.
                Err(error) if error.downcast_ref() == Some(&Errno::ENOSYS) => {
                    poke_by_force(pid, base, runs, byte)
                }
                result => result,
            },
        },
        Call::Move {
            address,
            old,
            new,
            onto,
            keep,
            reserve,
        } => {
            let moved = relocate(address, old, new, onto, keep)?;
            // Pages that have grown at their place have left nothing behind.
            if reserve && !keep && moved != address {
                // Once more if the allocation that `fail` lets fail is one of these: the move itself
                // cannot be repeated.
                leave_free(address, old).or_else(|_| leave_free(address, old))?;
            }
            Ok(Answer::Address(moved))
        }
    }
}

/// Fails unless `found` is `byte`.
pub(super) fn expect(page: u64, found: u8, byte: Option<u8>) -> Result<()> {
    match byte.filter(|expected| *expected != found) {
        Some(expected) => bail!("page {page} holds {found}, expected {expected}"),
        None => Ok(()),
    }
}

fn flags(prot: u8) -> ProtFlags {
    match prot {
        0 => ProtFlags::PROT_NONE,
        1 => ProtFlags::PROT_READ,
        _ => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    }
}

fn map(device: RawFd, pages: u64, pgoff: u64, prot: u8, at: Option<u64>) -> Result<Answer> {
    let length = NonZeroUsize::new(bytes(pages)?).context("a mapping of no pages")?;
    let offset = i64::try_from(pgoff)
        .ok()
        .and_then(|pgoff| pgoff.checked_mul(PAGE_SIZE as i64))
        .context("the offset is too large")?;
    let (hint, fixed) = match at {
        Some(at) => (Some(pointer(at)?.addr()), MapFlags::MAP_FIXED),
        None => (None, MapFlags::empty()),
    };
    // SAFETY: A new mapping at an address that the kernel chooses, or over pages of the scenario.
    let address = unsafe {
        mmap(
            hint,
            length,
            flags(prot),
            MapFlags::MAP_PRIVATE | fixed,
            borrow(device),
            offset,
        )
    }
    .context("mmap")?;
    Ok(Answer::Address(address.as_ptr() as u64))
}

/// Returns each page of `runs`.
pub(super) fn pages(runs: &[(u64, u64)]) -> impl Iterator<Item = u64> {
    runs.iter().flat_map(|&(first, count)| first..first + count)
}

fn bytes(pages: u64) -> Result<usize> {
    pages
        .checked_mul(PAGE_SIZE)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .context("too many pages")
}

fn pointer(address: u64) -> Result<NonNull<c_void>> {
    NonNull::new(address as *mut c_void).context("an address of 0")
}

/// Makes one call for each run of pages.
fn each(
    base: u64,
    runs: &[(u64, u64)],
    name: &str,
    call: impl Fn(NonNull<c_void>, usize) -> nix::Result<()>,
) -> Result<Answer> {
    for &(first, count) in runs {
        let address = pointer(base + first * PAGE_SIZE)?;
        call(address, bytes(count)?).with_context(|| match count {
            1 => format!("{name} of page {first}"),
            _ => format!("{name} of pages {first}..{}", first + count),
        })?;
    }
    Ok(Answer::Done)
}

/// Takes free addresses, so that the kernel gives them to no other mapping.
fn keep_free(address: u64, pages: u64) -> Result<()> {
    let length = NonZeroUsize::new(bytes(pages)?).context("a mapping of no pages")?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
    let at = Some(pointer(address)?.addr());
    // SAFETY: A new mapping, which replaces none.
    unsafe { mmap_anonymous(at, length, ProtFlags::PROT_NONE, flags) }
        .context("mmap of the addresses left behind")?;
    Ok(())
}

/// Keeps the addresses free from which pages have moved.
fn leave_free(address: u64, pages: u64) -> Result<()> {
    // Without memory the host may have left the old VMA behind, empty.
    // SAFETY: The pages belong to the scenario, and have moved.
    unsafe { munmap(pointer(address)?, bytes(pages)?) }.context("munmap")?;
    keep_free(address, pages)
}

/// Moves `old` pages, which become `new` pages, to `onto` or to an address of the kernel's choice.
///
/// A mapping that grows may stay at its address if there is room behind it. Otherwise the pages go
/// to an address that was free before, so that they are really moved. `keep` leaves the old place
/// mapped, without its pages. Returns the address of the pages.
fn relocate(address: u64, old: u64, new: u64, onto: Option<u64>, keep: bool) -> Result<u64> {
    let from = pointer(address)?;
    let (old_bytes, new_bytes) = (bytes(old)?, bytes(new)?);
    let mut flags = MRemapFlags::MREMAP_MAYMOVE;
    let to = match onto {
        Some(onto) => Some(pointer(onto)?),
        None if new > old => None,
        None => {
            let room = NonZeroUsize::new(new_bytes).context("a mapping of no pages")?;
            // SAFETY: A new mapping at an address that the kernel chooses.
            let room =
                unsafe { mmap_anonymous(None, room, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
            Some(room.context("mmap of a free place")?)
        }
    };
    if to.is_some() {
        flags |= MRemapFlags::MREMAP_FIXED;
    }
    if keep {
        flags |= MRemapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP);
    }
    // SAFETY: The pages belong to the scenario; nothing in this program uses them. The target is
    // free, or belongs to the scenario as well.
    let moved = unsafe { mremap(from, old_bytes, new_bytes, flags, to) }.context("mremap")?;
    Ok(moved.as_ptr() as u64)
}

/// Writes to the pages of another process by `process_vm_writev()`.
fn poke(pid: i32, base: u64, runs: &[(u64, u64)], byte: u8) -> Result<Answer> {
    for page in pages(runs) {
        let mut byte = byte;
        let local = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let remote = libc::iovec {
            iov_base: pointer(base + page * PAGE_SIZE)?.as_ptr(),
            iov_len: 1,
        };
        // SAFETY: One byte is read from `byte`; the target belongs to the scenario.
        let written = unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) };
        Errno::result(written).with_context(|| format!("process_vm_writev of page {page}"))?;
    }
    Ok(Answer::Done)
}

/// Writes to the pages of another process by its file `mem`, whatever their protection is.
fn poke_by_force(pid: i32, base: u64, runs: &[(u64, u64)], byte: u8) -> Result<Answer> {
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let path = format!("/proc/{pid}/mem");
    let file = File::options().write(true).open(&path);
    let file = file.map_err(errno).with_context(|| path.clone())?;
    for page in pages(runs) {
        file.write_all_at(&[byte], base + page * PAGE_SIZE)
            .map_err(errno)
            .with_context(|| {
                format!(
                    "write of page {page} to {path} (a page that is not writable needs a kernel \
                     with proc_mem.force_override=always)"
                )
            })?;
    }
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps a page with free room behind it, writes to it, and grows it to three pages.
    fn grow(reserve: bool) -> Result<Answer> {
        let room = NonZeroUsize::new(bytes(3)?).context("room")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping at an address that the kernel chooses; what is unmapped is its own.
        let base = unsafe {
            let base = mmap_anonymous(None, room, prot, MapFlags::MAP_PRIVATE)?;
            munmap(base.byte_add(bytes(1)?), bytes(2)?)?;
            base.as_ptr() as u64
        };
        let write = Call::Write {
            base,
            runs: vec![(0, 1)],
            byte: 7,
        };
        call(-1, &write)?;
        let grow = Call::Move {
            address: base,
            old: 1,
            new: 3,
            onto: None,
            keep: false,
            reserve,
        };
        call(-1, &grow)
    }

    #[test]
    fn pages_that_grow_stay_mapped() -> Result<()> {
        for reserve in [false, true] {
            let answer = grow(reserve)?;
            let Answer::Address(base) = answer else {
                panic!("{answer:?}");
            };
            let mut bytes = [1; 3 * PAGE_SIZE as usize];
            File::open("/proc/self/mem")?.read_exact_at(&mut bytes, base)?;
            assert_eq!((bytes[0], bytes[bytes.len() - 1]), (7, 0));
        }
        Ok(())
    }
}
