// SPDX-License-Identifier: GPL-2.0

//! An address space.

use super::Kind;
use crate::{
    model::{
        attributes::{Attributes, Change, VmFlags},
        mm::Mm,
        space::Prot,
        walk,
    },
    module::Module,
};
use kernel::{Result, error::code::EFAULT};
use std::sync::Arc;

/// An address space in use; addresses are in pages. It exits when it is dropped.
pub struct Space {
    mm: Mm<Kind>,
    /// Dropped last.
    module: Arc<Module>,
}

fn prot(write: bool) -> Prot {
    if write { Prot::WRITE } else { Prot::READ }
}

impl Space {
    pub(super) fn new(mm: Mm<Kind>, module: Arc<Module>) -> Self {
        Self { mm, module }
    }

    pub(super) fn mm(&self) -> &Mm<Kind> {
        &self.mm
    }

    /// Returns the number of addresses.
    pub fn size(&self) -> usize {
        self.mm.size()
    }

    /// `mmap(MAP_FIXED_NOREPLACE)`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is a VMA already, `EINVAL` outside of the address space, `ENOMEM`.
    pub fn map(&self, first: usize, pages: usize, write: bool) -> Result {
        self.mm.map(first, pages, prot(write))
    }

    /// `mmap(MAP_FIXED)` with the kernel's `vm_flags`; with `file` of the file from that offset on,
    /// whose VMAs have a `close`.
    ///
    /// # Errors
    ///
    /// `EPERM` if a VMA there is sealed, `EINVAL`, `ENOMEM`.
    pub fn map_over(&self, first: usize, pages: usize, flags: u64, file: Option<usize>) -> Result {
        let flags = VmFlags::from_bits(flags).accounted();
        let attributes = match file {
            Some(pgoff) => Attributes::of_file(flags, pgoff, first),
            None => Attributes::anonymous(flags),
        };
        self.mm.map_over(first, pages, attributes)
    }

    /// `mprotect()`, `madvise()`, `mlock()`, `mseal()`: sets and clears bits of `vm_flags`.
    ///
    /// # Errors
    ///
    /// `EPERM` if a VMA is sealed, `EINVAL`; `ENOMEM`, also if not all is mapped.
    pub fn change_flags(&self, first: usize, pages: usize, set: u64, clear: u64) -> Result {
        let change = Change {
            set: VmFlags::from_bits(set),
            clear: VmFlags::from_bits(clear),
            accounts: true,
        };
        self.mm.change_flags(first, pages, change)
    }

    /// `mremap()` without flags: another length in the same place.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a VMA, `EPERM` if it is sealed, `EINVAL`; `ENOMEM`, also without room.
    pub fn resize(&self, address: usize, old: usize, new: usize) -> Result {
        self.mm.resize(address, old, new)
    }

    /// `mremap(MREMAP_FIXED)` of any number of VMAs, or to another length; with `keep`,
    /// `MREMAP_DONTUNMAP`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if `from` is not mapped, `EPERM` if a VMA is sealed, `EINVAL`, `ENOMEM`.
    pub fn move_to(&self, from: usize, old: usize, to: usize, new: usize, keep: bool) -> Result {
        self.mm.move_to(from, old, to, new, keep)
    }

    /// `munmap()`.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space, `ENOMEM`.
    pub fn unmap(&self, first: usize, pages: usize) -> Result {
        self.mm.unmap(first, pages)
    }

    /// `mprotect()`.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space; `ENOMEM`, also if not all is mapped.
    pub fn protect(&self, first: usize, pages: usize, write: bool) -> Result {
        self.mm.protect(first, pages, prot(write))
    }

    /// `mremap()` of the VMA at `address`, longer by `pages`, in its place.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a VMA, `EEXIST` if another is in the way, `EINVAL`, `ENOMEM`.
    pub fn grow(&self, address: usize, pages: usize) -> Result {
        self.mm.grow(address, pages)
    }

    /// `mremap(MREMAP_FIXED)`; with `keep`, `MREMAP_DONTUNMAP`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if `old` is not in one VMA, `EINVAL`, `ENOMEM`.
    pub fn remap(&self, old: usize, pages: usize, new: usize, keep: bool) -> Result {
        self.mm.remap(old, pages, new, keep)
    }

    /// `shift_arg_pages()`.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a VMA, `EEXIST` if another is in the way, `EINVAL`, `ENOMEM`.
    pub fn shift(&self, address: usize, pages: usize) -> Result {
        self.mm.shift(address, pages)
    }

    /// `madvise(MADV_DONTNEED)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside of the address space.
    pub fn discard(&self, first: usize, pages: usize) -> Result {
        self.mm.discard(first, pages)
    }

    /// Reads a word of the page at `address`.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a VMA, `EINVAL` beyond the end of the page, `ENOMEM`, `EAGAIN`.
    pub fn read(&self, address: usize, word: usize) -> Result<u64> {
        self.mm.read(address, word)
    }

    /// Writes a word of the page at `address`.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and `EACCES` if the VMA is read-only.
    pub fn write(&self, address: usize, word: usize, value: u64) -> Result {
        self.mm.write(address, word, value)
    }

    /// `fork()`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self::new(self.mm.fork()?, self.module.clone()))
    }

    /// Takes the page at `address` out of all page tables; with `free`, also out of memory. Returns
    /// whether that was possible.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a page, `ENOMEM`.
    pub fn swap_out(&self, address: usize, free: bool) -> Result<bool> {
        let page = self.mm.page_at(address).ok_or(EFAULT)?;
        if free {
            walk::reclaim(&page)
        } else {
            walk::try_to_unmap(&page)
        }
    }

    /// `swapoff()` of the slot at `address`. Returns how many PTEs had it.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a slot, `ENOMEM`.
    pub fn unuse(&self, address: usize) -> Result<usize> {
        walk::unuse(&self.mm.slot_at(address).ok_or(EFAULT)?)
    }

    /// Moves the page at `address` to new memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` without a page, `EAGAIN` if others use it, `ENOMEM`.
    pub fn migrate(&self, address: usize) -> Result {
        let page = self.mm.page_at(address).ok_or(EFAULT)?;
        walk::migrate(&page).map(drop)
    }
}
