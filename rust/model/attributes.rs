// SPDX-License-Identifier: GPL-2.0

//! What a VMA is besides its addresses and its pages: its flags, and what it maps.
//!
//! C: `vm_flags` of [`include/linux/mm.h`](srctree/include/linux/mm.h), `is_mergeable_vma()` and
//! `anon_vma_compatible()` of [`mm/vma.c`](srctree/mm/vma.c).

use super::space::Prot;

/// Bits of `vm_flags`, with the kernel's values.
///
/// Only those have names that the model acts on. All count when VMAs are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VmFlags(u64);

impl VmFlags {
    /// No bit.
    pub(crate) const NONE: Self = Self(0);
    /// `VM_READ`
    pub(crate) const READ: Self = Self(1 << 0);
    /// `VM_WRITE`
    pub(crate) const WRITE: Self = Self(1 << 1);
    /// `VM_EXEC`
    pub(crate) const EXEC: Self = Self(1 << 2);
    /// `VM_LOCKED`: `mlock()`.
    pub(crate) const LOCKED: Self = Self(1 << 13);
    /// `VM_DONTCOPY`: a fork leaves the VMA out.
    pub(crate) const DONTCOPY: Self = Self(1 << 17);
    /// `VM_ACCOUNT`: its memory is accounted for.
    pub(crate) const ACCOUNT: Self = Self(1 << 20);
    /// `VM_WIPEONFORK`: a fork leaves its pages out.
    pub(crate) const WIPEONFORK: Self = Self(1 << 25);
    /// `VM_SEALED`: `mseal()`. It can be neither unmapped nor moved nor changed.
    pub(crate) const SEALED: Self = Self(1 << 42);

    /// Makes flags of the kernel's bits.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the kernel's bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether any bit of `flags` is set.
    pub(crate) const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// Sets the bits of `flags`.
    pub(crate) const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Clears the bits of `flags`.
    pub(crate) const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Returns the flags of a new private mapping: it is accounted for if it may be written to.
    pub(crate) const fn accounted(self) -> Self {
        if self.has(Self::WRITE) {
            self.with(Self::ACCOUNT)
        } else {
            self
        }
    }
}

/// What must be the same in VMAs that are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Its flags.
    pub(crate) flags: VmFlags,
    /// For a VMA of the file: the offset in the file that address 0 would have. So it is equal in
    /// VMAs at whose boundary the offsets go on. Such a VMA has a `close`.
    pub(crate) file: Option<usize>,
}

impl Attributes {
    /// Those of an anonymous VMA.
    pub(crate) const fn anonymous(flags: VmFlags) -> Self {
        Self { flags, file: None }
    }

    /// Those of a VMA of the file, at whose address `first` offset `pgoff` of the file is.
    pub(crate) const fn of_file(flags: VmFlags, pgoff: usize, first: usize) -> Self {
        Self {
            flags,
            file: Some(pgoff.wrapping_sub(first)),
        }
    }

    /// The same with other flags.
    pub(crate) const fn with_flags(self, flags: VmFlags) -> Self {
        Self { flags, ..self }
    }

    /// Those of the same VMA, moved from `old` to `new`.
    pub(crate) fn moved(self, old: usize, new: usize) -> Self {
        Self {
            file: self.file.map(|at| at.wrapping_add(old).wrapping_sub(new)),
            ..self
        }
    }

    /// Returns the offset in the file of an address.
    pub(crate) fn file_pgoff(self, address: usize) -> Option<usize> {
        self.file.map(|at| at.wrapping_add(address))
    }

    /// `can_merge_remove_vma()`: whether a merge may remove the VMA. The driver counts those that
    /// have a `close`.
    pub(crate) const fn may_go(self) -> bool {
        self.file.is_none()
    }

    /// `anon_vma_compatible()`: whether two neighbours may share an anon_vma. The protection may
    /// differ, because `mprotect()` may make it equal.
    pub(crate) fn may_share(self, other: Self) -> bool {
        const ACCESS: VmFlags = VmFlags::READ.with(VmFlags::WRITE).with(VmFlags::EXEC);
        self.file == other.file && self.flags.without(ACCESS) == other.flags.without(ACCESS)
    }
}

/// Anonymous memory.
impl From<Prot> for Attributes {
    fn from(prot: Prot) -> Self {
        Self::anonymous(if prot.write {
            VmFlags::READ.with(VmFlags::WRITE)
        } else {
            VmFlags::READ
        })
    }
}

/// A change of flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The bits that are set.
    pub(crate) set: VmFlags,
    /// The bits that are cleared.
    pub(crate) clear: VmFlags,
    /// Whether `VM_ACCOUNT` follows.
    pub(crate) accounts: bool,
}

impl Change {
    /// Returns the flags after the change; `plain` says that the VMA is anonymous and has no
    /// anon_vma.
    pub(crate) fn apply(self, old: VmFlags, plain: bool) -> VmFlags {
        let new = old.with(self.set).without(self.clear);
        if !self.accounts || new == old {
            return new;
        }
        if new.has(VmFlags::WRITE) {
            if old.has(VmFlags::WRITE.with(VmFlags::ACCOUNT)) {
                new
            } else {
                new.with(VmFlags::ACCOUNT)
            }
        } else if old.has(VmFlags::ACCOUNT) && plain {
            // What was never written to need not be kept.
            new.without(VmFlags::ACCOUNT)
        } else {
            new
        }
    }
}

/// A change of the protection alone.
impl From<Prot> for Change {
    fn from(prot: Prot) -> Self {
        let (set, clear) = if prot.write {
            (VmFlags::WRITE, VmFlags::NONE)
        } else {
            (VmFlags::NONE, VmFlags::WRITE)
        };
        Self {
            set,
            clear,
            accounts: false,
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/attributes.rs"]
mod tests;
