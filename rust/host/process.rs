// SPDX-License-Identifier: GPL-2.0

//! Processes of the host by their pids, each with its address space.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h).

use super::{
    hold::{
        Hold,
        MMAP_LOCK, //
    },
    vma::HostVma, //
};
use crate::{
    ffi,
    snapshot::Comm, //
};
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    mm::MmWithUserAsync,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// A `struct pid`: it names one process for ever. When the process has ended, and another one has
/// got its number, this is still the pid of the first.
///
/// # Invariants
///
/// This value owns a reference.
pub(crate) struct Pid(NonNull<ffi::pid>);

// SAFETY: A reference on a pid belongs to no thread.
unsafe impl Send for Pid {}
// SAFETY: A shared reference allows only look-ups, which take locks of their own.
unsafe impl Sync for Pid {}

impl Pid {
    /// Finds a thread by its number in the pid namespace of the caller.
    ///
    /// # Errors
    ///
    /// `ESRCH` if there is none.
    pub(crate) fn find(number: i32) -> Result<Self> {
        // SAFETY: No preconditions.
        let pid = unsafe { ffi::find_get_pid(number) };
        // INVARIANT: The function took a reference.
        NonNull::new(pid).map(Self).ok_or(ESRCH)
    }
}

impl Drop for Pid {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::put_pid(self.0.as_ptr()) }
    }
}

/// A process with its address space, which is not torn down while this value exists.
///
/// The last user may be this value. So it is dropped by `mmput_async()`: the address space is then
/// torn down by a work of the kernel, not by this thread.
pub(crate) struct Process {
    /// The pid in the initial namespace; that of the caller's choice if it was found by [`Pid`].
    pub(crate) pid: i32,
    /// The name.
    pub(crate) comm: Comm,
    mm: ARef<MmWithUserAsync>,
}

impl Process {
    /// # Safety
    ///
    /// `mm` is null, or the caller passes a reference of `mmget()` on.
    unsafe fn new(pid: i32, comm: Comm, mm: *mut ffi::mm_struct) -> Option<Self> {
        let mm = NonNull::new(mm)?.cast();
        Some(Self {
            pid,
            comm,
            // SAFETY: The caller's promise; `MmWithUserAsync` is transparent.
            mm: unsafe { ARef::from_raw(mm) },
        })
    }

    /// Returns the process of a thread; `number` is what the caller calls it.
    ///
    /// # Errors
    ///
    /// `ESRCH` if it has ended, `EINVAL` if it is a kernel thread: that has no address space.
    pub(crate) fn of(pid: &Pid, number: i32) -> Result<Self> {
        let mut comm: Comm = [0; 16];
        // SAFETY: By the invariant of `Pid`; `comm` has room for a name.
        unsafe {
            let mm = ffi::shadow_rmap_mm_of_pid(pid.0.as_ptr(), comm.as_mut_ptr().cast());
            Self::new(number, comm, from_err_ptr(mm)?).ok_or(ESRCH)
        }
    }

    /// Locks the address space for reading. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed.
    pub(crate) fn read(&self) -> Result<ReadLocked<'_>> {
        // SAFETY: `mm` holds a reference.
        to_result(unsafe { ffi::shadow_rmap_mmap_read_lock_killable(self.mm.as_raw()) })?;
        // INVARIANT: It was locked just now.
        Ok(ReadLocked {
            process: self,
            hold: Some(Hold::begin(&MMAP_LOCK)),
            _not_send: NotThreadSafe,
        })
    }
}

/// The processes that have an address space, by their pids. An address space that several
/// processes share comes once.
///
/// Those that start later are passed by: so this ends, at whatever rate processes are made.
pub(crate) struct Processes {
    /// The pid to go on from; `None` behind the last one.
    next: Option<i32>,
    /// In ns, as `start_time` of a task.
    began: u64,
}

impl Processes {
    /// Those of now.
    pub(crate) fn now() -> Self {
        Self {
            next: Some(1),
            // SAFETY: No preconditions.
            began: unsafe { ffi::ktime_get() }.unsigned_abs(),
        }
    }
}

impl Iterator for Processes {
    type Item = Process;

    fn next(&mut self) -> Option<Process> {
        let mut number = self.next.take()?;
        let mut comm: Comm = [0; 16];
        // SAFETY: `number` can be written to, and `comm` has room for a name.
        let process = unsafe {
            let name = comm.as_mut_ptr().cast();
            let mm = ffi::shadow_rmap_next_mm(&mut number, self.began, name);
            Process::new(number, comm, mm)
        }?;
        self.next = number.checked_add(1);
        Some(process)
    }
}

/// Holds the `mmap_lock` of a process for reading.
///
/// # Invariants
///
/// The lock is held.
pub(crate) struct ReadLocked<'a> {
    process: &'a Process,
    hold: Option<Hold>,
    _not_send: NotThreadSafe,
}

impl ReadLocked<'_> {
    /// Returns the first VMA that ends behind `address`.
    pub(crate) fn vma_from(&self, address: usize) -> Option<HostVma<'_>> {
        // SAFETY: By the type invariant; VMAs of the address space stay while it is locked.
        unsafe {
            let vma = ffi::find_vma(self.process.mm.as_raw(), address);
            Some(HostVma::from_raw(NonNull::new(vma)?))
        }
    }

    /// Returns whether `vma` is one of this address space.
    pub(crate) fn has(&self, vma: HostVma<'_>) -> bool {
        vma.mm_key() == self.process.mm.as_raw().addr()
    }

    /// Returns whether another thread waits for the lock.
    pub(crate) fn is_contended(&self) -> bool {
        // SAFETY: The process keeps its address space.
        unsafe { ffi::shadow_rmap_mmap_is_contended(self.process.mm.as_raw()) }
    }
}

impl Drop for ReadLocked<'_> {
    fn drop(&mut self) {
        drop(self.hold.take());
        // SAFETY: By the type invariant.
        unsafe { ffi::shadow_rmap_mmap_read_unlock(self.process.mm.as_raw()) };
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/process.rs"]
mod tests;
