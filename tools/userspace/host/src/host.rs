// SPDX-License-Identifier: GPL-2.0

//! Processes over the host's code.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ffi::{self, Library, Mm, Shared, Vma};
use crate::tables::{Entry, Tables};

/// The size of a page, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// A process: the number that [`Host::spawn`] and [`Host::fork`] return.
pub type Pid = usize;

/// A positive error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Errno(pub i32);

impl Errno {
    /// `EPERM`
    pub const EPERM: Self = Self(1);
    /// `ENOMEM`
    pub const ENOMEM: Self = Self(12);
    /// `EFAULT`: no VMA is there.
    pub const EFAULT: Self = Self(14);
    /// `EACCES`: the VMA forbids it.
    pub const EACCES: Self = Self(13);
    /// `ESRCH`: no such process.
    pub const ESRCH: Self = Self(3);
}

/// Bits of `vm_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    /// `VM_READ`
    pub const READ: Self = Self(1 << 0);
    /// `VM_WRITE`
    pub const WRITE: Self = Self(1 << 1);
    /// `VM_EXEC`
    pub const EXEC: Self = Self(1 << 2);
    /// `VM_LOCKED`, as after mlock().
    pub const LOCKED: Self = Self(1 << 13);
    /// `VM_RAND_READ`, as after madvise(MADV_RANDOM).
    pub const RANDOM: Self = Self(1 << 16);
    /// `VM_DONTCOPY`, as after madvise(MADV_DONTFORK).
    pub const DONTCOPY: Self = Self(1 << 17);
    /// `VM_WIPEONFORK`, as after madvise(MADV_WIPEONFORK).
    pub const WIPEONFORK: Self = Self(1 << 25);
    /// `VM_SEALED`, as after mseal().
    pub const SEALED: Self = Self(1 << 42);
    /// No bit.
    pub const NONE: Self = Self(0);
    /// What a private mapping of a process has: read and write, now and later.
    pub const PRIVATE: Self = Self(0b111_0011);
}

/// The host's code is one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The host's code, with its processes.
///
/// Each operation is one system call or fault, decided by the code of the kernel's tree. A process
/// that still lives when the value is dropped exits then.
pub struct Host {
    pub(crate) library: Library,
    pub(crate) shared: Shared,
    processes: Vec<Option<Mm>>,
    problems: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Host {
    /// Loads the shared object that `HOST_LIBRARY` names.
    ///
    /// # Errors
    ///
    /// A text that says what is missing.
    pub fn new() -> Result<Self, String> {
        let path = std::env::var_os("HOST_LIBRARY")
            .map(PathBuf::from)
            .ok_or("HOST_LIBRARY is not set: it names what scripts/host_userspace.py prints")?;
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let library = Library::open(&path)?;
        let shared = Shared::start(library, Tables::new(library));
        library.fail_allocations(0, 0);
        library.end_step();
        ffi::take_warnings();
        Ok(Self {
            library,
            shared,
            processes: Vec::new(),
            problems: Vec::new(),
            _alone: alone,
        })
    }

    /// Returns the pids of the processes that live.
    pub fn pids(&self) -> Vec<Pid> {
        (0..self.processes.len())
            .filter(|&pid| self.processes[pid].is_some())
            .collect()
    }

    pub(crate) fn mm(&self, pid: Pid) -> Result<Mm, Errno> {
        self.processes
            .get(pid)
            .copied()
            .flatten()
            .ok_or(Errno::ESRCH)
    }

    fn add(&mut self, mm: Mm) -> Pid {
        let free = self.processes.iter().position(Option::is_none);
        let pid = free.unwrap_or(self.processes.len());
        if free.is_none() {
            self.processes.push(None);
        }
        self.processes[pid] = Some(mm);
        pid
    }

    /// Ends an operation: RCU callbacks run, warnings and forgotten locks become problems.
    fn step<T>(&mut self, result: T) -> T {
        let held = self.library.end_step();
        if held != 0 {
            self.problems
                .push(format!("{held} locks are held after the operation"));
        }
        self.problems.extend(
            ffi::take_warnings()
                .into_iter()
                .map(|w| format!("warning: {w}")),
        );
        result
    }

    fn errno(result: i64) -> Result<u64, Errno> {
        // The kernel's IS_ERR_VALUE().
        if (-4095..0).contains(&result) {
            Err(Errno(-result as i32))
        } else {
            Ok(result as u64)
        }
    }

    /// Returns the warnings of the host's code, and the locks that it forgot, since the last call.
    pub fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Makes a process without mappings.
    pub fn spawn(&mut self) -> Pid {
        let mm = self.library.mm_new();
        self.add(mm)
    }

    /// mmap(): private, anonymous, at a fixed address.
    pub fn map(&mut self, pid: Pid, start: u64, len: u64, flags: Flags) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = Self::errno(self.library.map(mm, start, len, flags.0, None));
        self.step(result.map(drop))
    }

    /// mmap(): private, of a file whose VMAs have a `close`, as those of `/dev/shadow_rmap`.
    pub fn map_file(
        &mut self,
        pid: Pid,
        start: u64,
        len: u64,
        flags: Flags,
        pgoff: u64,
    ) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = Self::errno(self.library.map(mm, start, len, flags.0, Some(pgoff)));
        self.step(result.map(drop))
    }

    /// munmap().
    pub fn unmap(&mut self, pid: Pid, start: u64, len: u64) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = Self::errno(self.library.unmap(mm, start, len).into());
        self.step(result.map(drop))
    }

    /// mprotect(), madvise(), mlock(), mseal(): sets and clears flags of a range without holes.
    pub fn change_flags(
        &mut self,
        pid: Pid,
        start: u64,
        len: u64,
        set: Flags,
        clear: Flags,
    ) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = self
            .library
            .change_flags(mm, start, start + len, set.0, clear.0);
        self.step(Self::errno(result.into()).map(drop))
    }

    /// mremap() to a fixed address: moves, and grows or shrinks.
    pub fn move_to(
        &mut self,
        pid: Pid,
        from: u64,
        old_len: u64,
        new_len: u64,
        to: u64,
        keep: bool,
    ) -> Result<(), Errno> {
        const MAYMOVE_FIXED: u64 = 3;
        const DONTUNMAP: u64 = 4;
        let mm = self.mm(pid)?;
        let flags = MAYMOVE_FIXED | if keep { DONTUNMAP } else { 0 };
        let result = Self::errno(self.library.remap(mm, from, old_len, new_len, flags, to));
        self.step(result.map(drop))
    }

    /// mremap() in place: grows or shrinks.
    pub fn resize(&mut self, pid: Pid, at: u64, old_len: u64, new_len: u64) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = Self::errno(self.library.remap(mm, at, old_len, new_len, 0, 0));
        self.step(result.map(drop))
    }

    /// fork(): returns the child.
    pub fn fork(&mut self, pid: Pid) -> Result<Pid, Errno> {
        let parent = self.mm(pid)?;
        let child = self.library.mm_new();
        let result = Self::errno(self.library.fork(child, parent).into());
        if let Err(error) = result {
            // A failed dup_mmap() leaves an mm that mmput() takes down.
            self.library.exit(child);
            self.step(());
            self.library.mm_free(child);
            return Err(error);
        }
        let child = self.add(child);
        self.step(Ok(child))
    }

    /// The end of a process.
    pub fn exit(&mut self, pid: Pid) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        self.processes[pid] = None;
        self.library.exit(mm);
        self.step(());
        self.library.mm_free(mm);
        Ok(())
    }

    pub(crate) fn vma(&self, mm: Mm, address: u64) -> Result<(Vma, ffi::VmaData), Errno> {
        let vma = self
            .library
            .vma_at_or_after(mm, address)
            .ok_or(Errno::EFAULT)?;
        let data = self.library.vma(vma);
        if data.start > address {
            return Err(Errno::EFAULT);
        }
        Ok((vma, data))
    }

    /// A write to an address: nothing, a new page, a copy, a page from the swap, or a page that the
    /// process has alone and that moves to its own anon_vma.
    pub fn write(&mut self, pid: Pid, address: u64) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let result = self.fault(mm, address);
        self.step(result)
    }

    fn fault(&mut self, mm: Mm, address: u64) -> Result<(), Errno> {
        let address = address & !(PAGE_SIZE - 1);
        let (vma, data) = self.vma(mm, address)?;
        if data.flags & Flags::WRITE.0 == 0 {
            return Err(Errno::EACCES);
        }
        if let Some(Entry::Swap(slot)) = self.shared.with(|tables| tables.entry(mm, address)) {
            self.shared
                .with(|tables| tables.swap_in(vma, address, slot));
        }
        if let Some(Entry::Page(folio)) = self.shared.with(|tables| tables.entry(mm, address)) {
            let page = self.library.folio(folio);
            if page.exclusive {
                return Ok(());
            }
            if page.mapcount == 1 && !self.shared.with(|tables| tables.in_swap(folio)) {
                self.library.folio_move(folio, vma);
                return Ok(());
            }
        }
        Self::errno(self.library.prepare(vma).into())?;
        self.shared.with(|tables| tables.map_new(vma, address));
        Ok(())
    }

    /// A read of an address: it brings a page back from the swap, and else changes nothing.
    pub fn read(&mut self, pid: Pid, address: u64) -> Result<(), Errno> {
        let mm = self.mm(pid)?;
        let address = address & !(PAGE_SIZE - 1);
        let (vma, _) = self.vma(mm, address)?;
        if let Some(Entry::Swap(slot)) = self.shared.with(|tables| tables.entry(mm, address)) {
            self.shared
                .with(|tables| tables.swap_in(vma, address, slot));
        }
        self.step(Ok(()))
    }

    /// Returns the addresses of a process that have a page or are in the swap.
    pub fn entries(&mut self, pid: Pid) -> Vec<u64> {
        let Ok(mm) = self.mm(pid) else {
            return Vec::new();
        };
        self.shared
            .with(|tables| tables.of(mm).map(|(address, _)| address).collect())
    }

    /// Reclaim: the page at an address goes to the swap, in every process that has it. Returns in
    /// how many entries it was.
    pub fn swap_out(&mut self, pid: Pid, address: u64) -> Result<usize, Errno> {
        let mm = self.mm(pid)?;
        let address = address & !(PAGE_SIZE - 1);
        let entries = match self.shared.with(|tables| tables.entry(mm, address)) {
            Some(Entry::Page(folio)) => self.shared.with(|tables| tables.swap_out(folio)),
            _ => return Err(Errno::EFAULT),
        };
        self.step(Ok(entries))
    }

    /// Makes allocations fail from now on: those numbered `first..first + count`, from 1.
    /// `fail_allocations(0, 0)` ends it.
    pub fn fail_allocations(&mut self, first: u64, count: u64) {
        self.library.fail_allocations(first, count);
    }

    /// Returns the number of allocations since the last call of [`Self::fail_allocations`].
    pub fn allocations(&self) -> u64 {
        self.library.allocations()
    }

    /// Returns how many branches of the host's code were taken since the program began: pairs of
    /// basic blocks that ran one after the other. 0 with the variant `coverage`.
    pub fn edges(&self) -> u64 {
        self.library.edges()
    }

    /// Returns the number of objects of each slab cache of the host's code.
    pub fn objects(&self) -> BTreeMap<String, u64> {
        self.library.caches().into_iter().collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.library.fail_allocations(0, 0);
        for pid in self.pids() {
            // It is one of those that live.
            let _ = self.exit(pid);
        }
        self.library.end_step();
    }
}
