// SPDX-License-Identifier: GPL-2.0

//! Address spaces of the host: locks several of them, and finds their processes.
//!
//! C headers: [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h).

use super::vma::HostVma;
use crate::{
    ffi,
    kernel_ext::{
        gfp::GFP_BOUNDED,
        rwsem::{
            RwSem,
            WriteGuard, //
        },
        sched::cond_resched, //
    },
    snapshot::Comm,
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    current,
    error::to_result,
    mm::Mm,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        aref::ARef,
        rcu, //
    },
    types::NotThreadSafe,
};

/// Holds the `mmap_lock` of several address spaces for writing.
///
/// Only one thread at a time does this, because it holds `nest` for writing: two threads that took
/// the same address spaces in different orders could deadlock. Lockdep accepts the order because of
/// `nest`. The host itself holds two `mmap_lock`s only at fork: the parent's and the child's, and
/// no other thread can find the child before the fork has released it. A [`Tried`] does not wait.
///
/// # Invariants
///
/// This thread has locked each of `locked`, and holds `nest`, for writing.
pub(crate) struct AllMmaps<'a> {
    nest: &'a RwSem,
    /// By key.
    locked: RBTree<usize, ARef<Mm>>,
    _nest: WriteGuard<'a>,
    _not_send: NotThreadSafe,
}

impl<'a> AllMmaps<'a> {
    /// Takes `nest`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed.
    pub(crate) fn begin(nest: &'a RwSem) -> Result<Self> {
        Ok(Self {
            nest,
            locked: RBTree::new(),
            _nest: nest.write_killable()?,
            _not_send: NotThreadSafe,
        })
    }

    /// Returns whether `mm` is locked already.
    pub(crate) fn holds(&self, mm: &Mm) -> bool {
        self.locked.get(&mm.as_raw().addr()).is_some()
    }

    /// Returns whether the address space of `vma` is locked.
    pub(super) fn has(&self, vma: HostVma<'_>) -> bool {
        self.locked.get(&vma.mm_key()).is_some()
    }

    /// Locks another address space. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if this thread is being killed; without `wait`, `EAGAIN` if the lock is
    /// taken. Then it is not locked.
    pub(crate) fn lock(&mut self, mm: ARef<Mm>, wait: bool) -> Result {
        let (key, raw) = (mm.as_raw().addr(), mm.as_raw());
        let node = RBTreeNode::new(key, mm, GFP_BOUNDED)?;
        // SAFETY: `node` holds a reference; by the type invariant `nest` is held.
        to_result(unsafe {
            ffi::shadow_rmap_mmap_write_lock_killable(raw, self.nest.as_ptr(), wait)
        })?;
        // INVARIANT: It was locked just now.
        self.locked.insert(node);
        Ok(())
    }

    /// Returns `mm`, if it is locked.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not.
    pub(crate) fn locked(&self, mm: &Mm) -> Result<LockedMm<'_>> {
        if !self.holds(mm) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant it stays locked for as long as `self` is borrowed.
        Ok(unsafe { LockedMm::from_raw(NonNull::new(mm.as_raw()).ok_or(EINVAL)?) })
    }

    /// `vma_start_write_killable()`: excludes faults that run under the lock of `vma` alone.
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// `EINTR` if this thread is being killed; `EINVAL` if its address space is not locked.
    pub(crate) fn start_write(&self, vma: HostVma<'_>) -> Result {
        if !self.has(vma) {
            return Err(EINVAL);
        }
        // SAFETY: The VMA is not closed; by the type invariant its `mmap_lock` is held for writing.
        to_result(unsafe { ffi::shadow_rmap_vma_start_write_killable(vma.as_ptr()) })
    }
}

impl Drop for AllMmaps<'_> {
    fn drop(&mut self) {
        for mm in self.locked.values() {
            // SAFETY: By the type invariant.
            unsafe { ffi::shadow_rmap_mmap_write_unlock(mm.as_raw()) };
        }
    }
}

/// An address space whose `mmap_lock` is held, for reading at least.
///
/// # Invariants
///
/// The lock is held for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct LockedMm<'a>(NonNull<ffi::mm_struct>, PhantomData<&'a ()>);

impl<'a> LockedMm<'a> {
    /// Says that the `mmap_lock` of `mm` is held.
    ///
    /// # Safety
    ///
    /// It is held for `'a`.
    pub(crate) unsafe fn from_raw(mm: NonNull<ffi::mm_struct>) -> Self {
        // INVARIANT: The caller's promise.
        Self(mm, PhantomData)
    }

    /// Returns the key that identifies it. Keys are compared only.
    pub(crate) fn key(self) -> usize {
        self.0.addr().get()
    }

    /// Returns whether it is the address space of the current process.
    pub(crate) fn is_current(self) -> bool {
        let task = current!();
        task.mm().is_some_and(|mm| mm.as_raw().addr() == self.key())
    }

    /// Returns the VMA at `address`.
    pub(crate) fn vma_at(self, address: usize) -> Option<HostVma<'a>> {
        // SAFETY: By the type invariant VMAs stay for `'a`.
        unsafe {
            let vma = ffi::shadow_rmap_vma_lookup(self.0.as_ptr(), address);
            Some(HostVma::from_raw(NonNull::new(vma)?))
        }
    }

    /// Returns the VMA with these key and private number, if the tree of VMAs has it between the
    /// addresses `within`.
    pub(super) fn find(
        self,
        key: usize,
        number: usize,
        within: (usize, usize),
    ) -> Option<HostVma<'a>> {
        self.vmas_within(within)
            .find(|vma| vma.key() == key && vma.private_number() == number)
    }

    /// Returns the VMAs with addresses in the range, in order of address.
    fn vmas_within(self, (start, end): (usize, usize)) -> impl Iterator<Item = HostVma<'a>> {
        let mut address = start;
        core::iter::from_fn(move || {
            cond_resched();
            // SAFETY: By the type invariant VMAs stay for `'a`.
            let vma = NonNull::new(unsafe { ffi::find_vma(self.0.as_ptr(), address) })?;
            // SAFETY: As above.
            let vma = unsafe { HostVma::from_raw(vma) };
            address = vma.end();
            (vma.start() < end).then_some(vma)
        })
    }

    /// Calls `f` for each VMA, in order of address.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    pub(crate) fn for_each_vma(self, mut f: impl FnMut(HostVma<'a>) -> Result) -> Result {
        self.vmas_within((0, usize::MAX)).try_for_each(&mut f)
    }
}

/// Holds the `mmap_lock` of an address space, taken without waiting: so it may be taken whatever
/// `mmap_lock` is held.
///
/// # Invariants
///
/// The lock is held, and `unlock` releases it.
pub(crate) struct Tried {
    mm: ARef<Mm>,
    unlock: unsafe extern "C" fn(*mut ffi::mm_struct),
    _not_send: NotThreadSafe,
}

impl Tried {
    /// Tries to lock `mm`, which may have ended, for reading. A thread may have removed VMAs of it, and
    /// not yet unlinked them.
    pub(crate) fn read(mm: &ARef<Mm>) -> Option<Self> {
        // SAFETY: `mm` holds a reference.
        let locked = unsafe { ffi::shadow_rmap_mmap_read_trylock(mm.as_raw()) };
        // INVARIANT: It was locked.
        locked.then(|| Self {
            mm: mm.clone(),
            unlock: ffi::shadow_rmap_mmap_read_unlock,
            _not_send: NotThreadSafe,
        })
    }

    /// Tries to lock `mm`, which may have ended, for writing.
    pub(crate) fn write(mm: &ARef<Mm>) -> Option<Self> {
        // SAFETY: `mm` holds a reference.
        let locked = unsafe { ffi::shadow_rmap_mmap_write_trylock(mm.as_raw()) };
        // INVARIANT: It was locked.
        locked.then(|| Self {
            mm: mm.clone(),
            unlock: ffi::shadow_rmap_mmap_write_unlock,
            _not_send: NotThreadSafe,
        })
    }

    /// Returns the address space.
    pub(crate) fn mm(&self) -> Result<LockedMm<'_>> {
        // SAFETY: By the type invariant it is locked for as long as `self` is borrowed.
        Ok(unsafe { LockedMm::from_raw(NonNull::new(self.mm.as_raw()).ok_or(EINVAL)?) })
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { (self.unlock)(self.mm.as_raw()) };
    }
}

/// Returns a number that changes with most changes of the VMAs of `mm`, and is never 0: from the
/// number of VMAs, and that of their pages. `None` once the process has ended.
pub(crate) fn fingerprint(mm: &Mm) -> Option<usize> {
    // SAFETY: `mm` exists; the words are read once.
    let (users, pages, vmas) = unsafe {
        let mm = &raw const (*mm.as_raw()).__bindgen_anon_1;
        (
            (&raw const (*mm).mm_users.counter).read_volatile(),
            (&raw const (*mm).total_vm).read_volatile(),
            (&raw const (*mm).map_count).read_volatile(),
        )
    };
    (users > 0).then(|| (pages.rotate_left(32) ^ vmas as usize).max(1))
}

/// Returns `map_count`: the number of VMAs of any kind.
pub(crate) fn map_count(mm: &Mm) -> usize {
    // SAFETY: `mm` exists; the word is read once.
    unsafe { (&raw const (*mm.as_raw()).__bindgen_anon_1.map_count).read_volatile() as usize }
}

/// Returns `mm_users`: the number of threads and other users of an address space; 0 once the
/// mappings are being removed.
pub(crate) fn users(mm: &Mm) -> i32 {
    // SAFETY: `mm` exists; the word is read once.
    unsafe { (&raw const (*mm.as_raw()).__bindgen_anon_1.mm_users.counter).read_volatile() }
}

/// Returns whether the `mmap_lock` of `mm` is held, for reading or writing, by any thread now.
pub(crate) fn is_locked(mm: &Mm) -> bool {
    // SAFETY: `mm` exists; its lock is only looked at.
    unsafe { ffi::shadow_rmap_mmap_is_locked(mm.as_raw()) }
}

/// Returns whether the `mmap_lock` of `mm` is held for writing by any thread now.
pub(crate) fn is_write_locked(mm: &Mm) -> bool {
    // SAFETY: As above.
    unsafe { ffi::shadow_rmap_mmap_is_write_locked(mm.as_raw()) }
}

/// Returns whether this thread is being killed.
pub(crate) fn is_being_killed() -> bool {
    // SAFETY: No preconditions.
    unsafe { ffi::shadow_rmap_fatal_signal_pending() }
}

/// Calls `f` for each process that has an address space, with its key, the pid and the name.
///
/// `f` runs in an RCU read section, and must not sleep.
pub(crate) fn for_each_process(mut f: impl FnMut(usize, i32, Comm)) {
    let _rcu = rcu::read_lock();
    let first = &raw mut ffi::init_task;
    // SAFETY: `init_task` is static.
    let mut task = unsafe { ffi::shadow_rmap_next_process(first) };
    while !core::ptr::eq(task, first) {
        let Some(this) = NonNull::new(task) else {
            return;
        };
        // SAFETY: RCU keeps the tasks of the list. The name may change while it is read, which
        // gives a mixture of two names.
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
