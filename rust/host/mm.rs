// SPDX-License-Identifier: GPL-2.0

//! Address spaces of the host: holding several still, and whose they are.
//!
//! C headers: [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h).

use super::vma::HostVma;
use crate::{
    ffi,
    kernel_ext::rwsem::{
        RwSem,
        WriteGuard, //
    },
    snapshot::Comm,
};
use core::ptr::NonNull;
use kernel::{
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    types::NotThreadSafe,
};

/// `mmap_lock` of several address spaces, held for writing.
///
/// One caller at a time, by way of the lock that `nest` names to lockdep, so that two who take the
/// same address spaces in another order do not wait for each other. Others hold two at fork alone:
/// the parent's, then the child's, which nobody but the fork knows before it is done with it.
pub(crate) struct AllMmaps<'a> {
    nest: &'a RwSem,
    locked: KVVec<ARef<Mm>>,
    _turn: WriteGuard<'a>,
    _not_send: NotThreadSafe,
}

impl<'a> AllMmaps<'a> {
    /// Waits for the caller's turn. Sleeps.
    pub(crate) fn begin(nest: &'a RwSem) -> Self {
        Self {
            nest,
            locked: KVVec::new(),
            _turn: nest.write(),
            _not_send: NotThreadSafe,
        }
    }

    /// Whether `mm` is locked already.
    pub(crate) fn holds(&self, mm: &Mm) -> bool {
        self.locked
            .iter()
            .any(|locked| core::ptr::eq(locked.as_raw(), mm.as_raw()))
    }

    /// Locks one more. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then it is not locked.
    pub(crate) fn lock(&mut self, mm: ARef<Mm>) -> Result {
        self.locked.reserve(1, GFP_KERNEL)?;
        // SAFETY: `mm` is held; `nest` is held by `_turn`.
        unsafe { ffi::shadow_rmap_mmap_write_lock(mm.as_raw(), self.nest.as_ptr()) };
        // Room was made above.
        self.locked.push(mm, GFP_KERNEL)?;
        Ok(())
    }

    /// Keeps faults that run under the lock of `vma` alone away as well. Sleeps.
    pub(crate) fn freeze(&self, vma: HostVma<'_>) {
        // SAFETY: The VMA is not closed, and its `mmap_lock` is held for writing by us.
        unsafe { ffi::shadow_rmap_vma_start_write(vma.as_ptr()) };
    }
}

impl Drop for AllMmaps<'_> {
    fn drop(&mut self) {
        for mm in self.locked.iter().rev() {
            // SAFETY: Locked by us, in `lock`.
            unsafe { ffi::shadow_rmap_mmap_write_unlock(mm.as_raw()) };
        }
    }
}

/// Calls `f` with the address space's key, the id and the name of each process that has one.
///
/// In an RCU read section: `f` must not sleep.
pub(crate) fn for_each_process(mut f: impl FnMut(usize, i32, Comm)) {
    let _rcu = rcu::read_lock();
    let first = &raw mut ffi::init_task;
    // SAFETY: `init_task` is there for ever.
    let mut task = unsafe { ffi::shadow_rmap_next_process(first) };
    while !core::ptr::eq(task, first) {
        let Some(this) = NonNull::new(task) else {
            return;
        };
        // SAFETY: RCU keeps what the list leads to; words and bytes may be torn, not more.
        unsafe {
            let this = this.as_ptr();
            let mm = (&raw const (*this).mm).read_volatile();
            let pid = (&raw const (*this).pid).read_volatile();
            let comm: Comm = (&raw const (*this).comm).cast::<Comm>().read_volatile();
            if !mm.is_null() {
                f(mm.addr(), pid, comm);
            }
            task = ffi::shadow_rmap_next_process(this);
        }
    }
}
