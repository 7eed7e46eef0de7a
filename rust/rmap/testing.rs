// SPDX-License-Identifier: GPL-2.0

//! Shared by the tests of the core: address spaces of one VMA each, without page tables, and a way to
//! let another thread act between two steps of an operation.
//!
//! No test waits for a race. It names the [`Window`] and what another thread does when the operation
//! is there ([`at`]), so it comes out the same way every time.
//!
//! # Checks of the loaded engine, and the tests in which they fire
//!
//! These tests damage the data under the correct steps, and see one violation of the rule. A check
//! that is taken out of the engine makes its test fail.
//!
//! | rule | check | test |
//! |---|---|---|
//! | R1 | `PageRmap::load`, `anon_vma_key` | `page::damage_of_the_tag_is_noticed` |
//! | R2 | `PageRmap::remove_rmap` | `page::damage_of_the_mapping_is_noticed` |
//! | R3 | `PageRmap::add_new_anon_rmap`, `add_anon_rmap`, `remove_rmap` | `page::damage_of_the_mapcount_is_noticed` |
//! | R5 | `AnonVma::try_get` | `anon_vma::damage_of_an_anon_vma_is_noticed_by_a_pin` |
//! | R5 | `AnonVma::try_lock`, twice | `lookup::damage_of_an_anon_vma_is_noticed_by_a_lock` |
//! | R5 | `FamilyRead::drop` | `family::damage_of_a_locked_anon_vma_is_noticed` |
//! | R6 | `AnonVma::alloc` | `anon_vma::damage_of_a_free_anon_vma_is_noticed` |
//! | R6 | `free_last` | `anon_vma::damage_of_a_dying_anon_vma_is_noticed` |
//! | R9 | `FamilyRead::drop` | `family::damage_of_an_rcu_reader_is_noticed` |
//! | R10 | `wait` | `lookup::damage_of_a_pinned_life_is_noticed` |
//! | R11 | `free` | `lookup::a_put_under_rcu_is_noticed` |
//! | R12 | `is_same`, for a lock and a pin | `lookup::damage_of_a_life_is_noticed` |
//! | R13 | `confirm` | `lookup::damage_of_a_root_is_noticed` |
//! | R13 | `LockedAnonVma::drop` | `family::damage_of_a_locked_root_is_noticed` |
//! | R14 | `AnonVma::adopt` | `anon_vma::damage_by_a_late_adoption_is_noticed` |
//! | R15 | `FamilyWrite::link`, `publish` | `family::damage_by_a_foreign_family_is_noticed` |
//! | R15 | `Vma::unlink_all` | `unlink::damage_of_a_family_is_noticed` |
//! | R15 | `Vma::take_links_of` | `chain::damage_by_a_move_to_another_family_is_noticed` |
//! | R15, R29 | `FamilyWrite::is_linkable`, with lockdep | `family::damage_of_a_write_lock_is_noticed` |
//! | R16 | `free_last` | `anon_vma::damage_of_a_root_is_noticed_by_its_children` |
//! | R17 | `LockedAnonVma::drop` | `family::damage_of_a_locked_life_is_noticed` |
//! | R18 | `AnonVma::lock_read` | `family::damage_of_a_reference_is_noticed_by_a_reader` |
//! | R18 | `FamilyWrite::is_linkable` | `family::damage_by_a_mere_pin_is_noticed` |
//! | R18 | `confirm` | `lookup::damage_by_an_early_unlink_is_noticed` |
//! | R19 | `Vma::move_anon_rmap`, twice | `vma::damage_of_a_page_is_noticed_by_a_move` |
//! | R20 | `PageRmap::add_new_anon_rmap`, `take_mapping_of`, `lead_to` | `page::damage_of_a_new_page_is_noticed` |
//! | R20 | `Vma::add_new_anon_rmap` | `vma::damage_of_a_root_is_noticed_by_a_fault` |
//! | R21 | `anon_vma_clone` | `clone::damage_of_a_number_of_links_is_noticed` |
//! | R22 | `anon_vma_fork` | `fork::damage_of_a_chain_is_noticed` |
//! | R23 | `anon_vma_fork` | `fork::damage_of_a_family_is_noticed`, `damage_of_a_number_of_links_is_noticed` |
//! | R24 | `free_last` | `anon_vma::damage_of_the_counters_is_noticed` |
//! | R24 | `FamilyWrite::deactivate` | `family::damage_of_the_active_count_is_noticed` |
//! | R24 | `anon_vma_clone` | `clone::damage_of_a_reused_anon_vma_is_noticed` |
//! | R25 | `anon_vma_merge` | `merge::damage_of_a_family_is_noticed_by_a_merge` |
//! | R26 | `anon_vma_merge` | `merge::damage_of_a_chain_is_noticed_by_a_merge` |
//! | R26 | `dup_anon_vma` | `merge::damage_of_a_source_is_noticed_by_a_dup` |
//! | R27 | `anon_vma_prepare` | `prepare::damage_of_a_neighbour_is_noticed` |
//! | R28 | `attach` | `prepare::damage_of_a_number_of_links_is_noticed` |
//! | R31 | `FamilyWrite::publish` | `chain::damage_by_a_second_anon_vma_is_noticed`, `clone::damage_of_a_copy_is_noticed` |
//! | R32 | `Vma::set_shift` | `vma::damage_by_a_late_shift_is_noticed` |
//! | R32 | `Vma::set_range`, with `DEBUG_VM` | `vma::damage_of_a_tree_is_noticed` |
//! | R33 | `Vma::unlink_all` | `unlink::damage_of_an_anon_vma_is_noticed` |
//! | R33 | `Vma::drop` | `unlink::damage_by_a_forgotten_unlink_is_noticed` |
//! | R37 | `anon_vma_clone` | `clone::damage_of_a_failed_clone_is_noticed` |
//! | R37 | `undo_dup` | `merge::damage_of_an_undone_dup_is_noticed` |

#![allow(unsafe_code, reason = "maps pages without page tables")]

use super::{
    anon_vma::{
        AnonVma,
        Cache, //
    },
    clone::{
        anon_vma_clone,
        reusable,
        Operation,
        Reuse, //
    },
    family::LockedAnonVma,
    fork::anon_vma_fork,
    kind::{
        Rmap,
        Windows, //
    },
    mm::{
        Mm,
        MmapWrite, //
    },
    page::PageRmap,
    path,
    prepare::{
        anon_vma_prepare,
        Sharing, //
    },
    unlink::{
        unlink_anon_vmas,
        Emptied, //
    },
    vma::Vma,
    window::Window, //
};
use crate::kernel_ext::{
    interval_tree::Range,
    kthread::KThread,
    random::Random,
    rwonce::ReadWriteOnce,
    typesafe::{
        Pinnable,
        Pinned, //
    },
};
use core::{
    ops::ControlFlow,
    ptr::NonNull, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            AtomicType,
            Relaxed,
            Release, //
        },
        Arc,
        Completion,
        SpinLock, //
    },
    task::Task,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta, //
    },
};

/// A cache, for the address spaces of a test; destroyed with the last of them, when what is left in
/// it is a leak that the kernel reports.
pub(crate) struct World<R: Rmap> {
    /// Where the anon_vmas come from.
    pub(crate) cache: Arc<Cache<R>>,
}

impl<R: Rmap<Space = ()>> World<R> {
    /// A world without address spaces.
    ///
    /// A test that fails leaves its cache behind, also when the module is unloaded, and the kernel
    /// complains of two caches with one name: so each has a random number.
    pub(crate) fn new() -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}_{:x}", R::CACHE, Random::any_seed()))?;
        Ok(Self {
            cache: Arc::new(Cache::with_name(&name)?, GFP_KERNEL)?,
        })
    }

    /// An address space with one VMA.
    pub(crate) fn process(&self, start: usize, last: usize) -> Result<Process<R>> {
        let mm = Arc::pin_init(Mm::new(self.cache.clone(), ()), GFP_KERNEL)?;
        Process::with(mm, start, last)
    }

    /// An address space with one VMA, of eight pages, that maps a page at offset 3.
    pub(crate) fn process_with_page(&self) -> Result<(Process<R>, Arc<PageRmap<R>>)> {
        let page = Arc::new(PageRmap::new(3), GFP_KERNEL)?;
        let process = self.process(0, 7)?;
        process.fault()?;
        process.map(&page);
        Ok((process, page))
    }
}

#[pin_data]
pub(crate) struct TestVma<R: Rmap> {
    #[pin]
    /// What the reverse map knows of it.
    pub(crate) core: Vma<R>,
}

/// A VMA and its address space.
pub(crate) struct Process<R: Rmap> {
    /// Its locks.
    pub(crate) mm: Arc<Mm<R>>,
    /// Its VMA.
    pub(crate) vma: Arc<TestVma<R>>,
}

impl<R: Rmap> Clone for Process<R> {
    /// The same VMA, for another thread.
    fn clone(&self) -> Self {
        Self {
            mm: self.mm.clone(),
            vma: self.vma.clone(),
        }
    }
}

impl<R: Rmap<Space = ()>> Process<R> {
    pub(crate) fn with(mm: Arc<Mm<R>>, start: usize, last: usize) -> Result<Self> {
        let core = Vma::new(mm.clone(), Range { start, last }, 0);
        let vma = Arc::pin_init(pin_init!(TestVma { core <- core }), GFP_KERNEL)?;
        Ok(Self { mm, vma })
    }

    /// Another VMA of the same address space.
    pub(crate) fn another(&self, start: usize, last: usize) -> Result<Self> {
        Self::with(self.mm.clone(), start, last)
    }

    pub(crate) fn fault(&self) -> Result {
        anon_vma_prepare(
            &self.vma.core,
            &self.mm.mmap_read(),
            [None, None],
            Sharing::Singleton,
        )
    }

    /// The first fault, where `next` is a VMA that this one could be merged with.
    pub(crate) fn fault_beside(&self, next: &Self) -> Result {
        anon_vma_prepare(
            &self.vma.core,
            &self.mm.mmap_read(),
            [Some(&next.vma.core), None],
            Sharing::Singleton,
        )
    }

    pub(crate) fn fork(&self) -> Result<Self> {
        self.fork_as(Reuse::ByRule)
    }

    pub(crate) fn fork_as(&self, reuse: Reuse) -> Result<Self> {
        let child = self.child()?;
        self.fork_into(&child, reuse)?;
        Ok(child)
    }

    /// The position of the anon_vma that a fork reuses by the rule.
    pub(crate) fn reusable(&self) -> Option<usize> {
        reusable(&self.vma.core, &self.mm.mmap_write())
    }

    /// An address space whose VMA has the range of this one, and is not forked from it yet.
    pub(crate) fn child(&self) -> Result<Self> {
        let range = self.vma.core.range(&self.mm.mmap_read()).ok_or(EINVAL)?;
        Self::with(
            Arc::pin_init(Mm::new(self.mm.shared_cache(), ()), GFP_KERNEL)?,
            range.start,
            range.last,
        )
    }

    /// Forks the VMA into that of a [`child`](Self::child).
    pub(crate) fn fork_into(&self, child: &Self, reuse: Reuse) -> Result {
        let mmap = self.mm.mmap_write();
        anon_vma_fork(
            &child.vma.core,
            &child.mm.mmap_write_nested(),
            &self.vma.core,
            &mmap,
            reuse,
        )
    }

    pub(crate) fn copy(&self, start: usize, last: usize) -> Result<Self> {
        let copy = self.another(start, last)?;
        self.copy_into(&copy)?;
        Ok(copy)
    }

    /// Copies the links to another VMA of the same address space, as a split does.
    pub(crate) fn copy_into(&self, copy: &Self) -> Result {
        let mmap = self.mm.mmap_write();
        anon_vma_clone(
            &copy.vma.core,
            &mmap,
            &self.vma.core,
            &mmap,
            Operation::Copy,
        )
    }

    pub(crate) fn unmap(&self) {
        unlink_anon_vmas(self.emptied(&mut self.mm.mmap_write()));
    }

    /// The VMA, without pages.
    pub(crate) fn emptied<'a, 'm>(&'a self, mmap: &'a mut MmapWrite<'m, R>) -> Emptied<'a, 'm, R> {
        // SAFETY: Incorrect, if the test has left a page mapped: the tests of R18, R21 and R33 do, and
        // keep the anon_vma by a pin, or look the page up only within RCU, or not at all.
        unsafe { Emptied::new(&self.vma.core, mmap) }
    }

    /// A reference on its anon_vma.
    pub(crate) fn pin(&self) -> Option<Pinned<AnonVma<R>>> {
        self.with_anon_vma(|anon_vma| {
            // SAFETY: The reference was just taken.
            let pinned = || unsafe { Pinned::from_raw(NonNull::from(anon_vma)) };
            anon_vma.try_get().then(pinned)
        })?
    }

    /// Maps a new page. Returns whether it was done.
    pub(crate) fn map(&self, page: &PageRmap<R>) -> bool {
        self.map_as(page, true)
    }

    /// Maps a new page, which is `exclusive` or not. Returns whether it was done.
    pub(crate) fn map_as(&self, page: &PageRmap<R>, exclusive: bool) -> bool {
        let mmap = self.mm.mmap_read();
        // SAFETY: The tests unmap the page before the VMA is unlinked, or see to it that it is not
        // looked up afterwards.
        unsafe { self.vma.core.add_new_anon_rmap(page, exclusive, &mmap) }
    }

    /// Gives a page that this VMA alone maps to its own anon_vma. Returns whether that is allowed.
    pub(crate) fn move_page(&self, page: &PageRmap<R>) -> bool {
        // SAFETY: The tests map each such page once.
        unsafe { self.vma.core.move_anon_rmap(page, &self.mm.mmap_read()) }
    }

    pub(crate) fn with_anon_vma<T>(&self, f: impl FnOnce(&AnonVma<R>) -> T) -> Option<T> {
        self.vma.core.anon_vma(&self.mm.mmap_read()).map(f)
    }

    pub(crate) fn locked<T>(&self, f: impl FnOnce(&LockedAnonVma<'_, R>) -> T) -> Option<T> {
        self.with_anon_vma(|anon_vma| f(&anon_vma.lock_read()))
    }

    pub(crate) fn write_locked<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        self.with_anon_vma(|anon_vma| {
            let family = anon_vma.lock_write();
            let result = f();
            drop(family);
            result
        })
    }

    pub(crate) fn key(&self) -> Option<usize> {
        self.with_anon_vma(AnonVma::key)
    }

    pub(crate) fn root(&self) -> Option<usize> {
        self.with_anon_vma(|anon_vma| anon_vma.root().key())
    }

    pub(crate) fn parent(&self) -> Option<usize> {
        self.with_anon_vma(AnonVma::parent_key)
    }

    pub(crate) fn links(&self) -> usize {
        self.vma.core.nr_links()
    }

    /// How many VMAs a walk of `first..=last` visits.
    pub(crate) fn visited(&self, first: usize, last: usize) -> usize {
        let mut n = 0;
        self.locked(|anon_vma| {
            anon_vma.for_each_vma(first, last, |_| {
                n += 1;
                ControlFlow::<()>::Continue(())
            })
        });
        n
    }

    /// References, children, active VMAs, and VMAs in the tree of its anon_vma.
    pub(crate) fn facts(&self) -> [usize; 4] {
        let counts = self.locked(|anon_vma| {
            [
                usize::try_from(anon_vma.refcount()).unwrap_or(usize::MAX),
                anon_vma.num_children(),
                anon_vma.num_active_vmas(),
            ]
        });
        let [refs, children, active] = counts.unwrap_or_default();
        [refs, children, active, self.visited(0, usize::MAX)]
    }
}

/// Runs `f` while `word` has another value, and repairs the damage.
pub(crate) fn damaged<V: AtomicType + Copy, T>(
    word: &Atomic<V>,
    value: V,
    f: impl FnOnce() -> T,
) -> T {
    let right = word.read_once();
    word.write_once(value);
    let result = f();
    word.write_once(right);
    result
}

/// Maps a page once more, as another PTE does.
pub(crate) fn map_again<R: Rmap>(page: &PageRmap<R>) {
    // SAFETY: The tests unmap the page before its VMAs are unlinked, or see to it that it is not looked
    // up afterwards.
    unsafe { page.add_anon_rmap() };
}

/// Returns how many anon_vmas are allocated.
pub(crate) fn live() -> usize {
    path::anon_vma_allocs().wrapping_sub(path::anon_vma_frees())
}

/// Waits, ten seconds at most.
pub(crate) fn wait_for(mut done: impl FnMut() -> bool) -> Result {
    for _ in 0..10_000 {
        if done() {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    Err(ETIMEDOUT)
}

/// A thread that runs a closure, and its result.
pub(crate) struct Job<T> {
    thread: KThread,
    done: Arc<Completion>,
    result: Arc<SpinLock<Option<T>>>,
}

impl<T: Send + Unpin + 'static> Job<T> {
    /// Starts a thread that runs `job`. Sleeps.
    pub(crate) fn start(job: impl FnOnce() -> T + Send + 'static) -> Result<Self> {
        let done = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let result: Arc<SpinLock<_>> = Arc::pin_init(new_spinlock!(None), GFP_KERNEL)?;
        let (finished, place) = (done.clone(), result.clone());
        let thread = KThread::spawn(fmt!("shadow_rmap/test"), move |_| {
            let value = job();
            *place.lock() = Some(value);
            finished.complete_all();
        })?;
        Ok(Self {
            thread,
            done,
            result,
        })
    }

    /// Waits until the thread has ended, with all that it had.
    pub(crate) fn join(self) -> Result<T> {
        self.done.wait_for_completion();
        drop(self.thread);
        let mut result = self.result.lock();
        result.take().ok_or(EINTR)
    }
}

/// Windows in which another thread may act, see [`at`].
pub(crate) struct Hooked;

impl Windows for Hooked {
    fn window(at: Window) {
        passing(at);
    }
}

/// The thread that runs the operation of [`at`]; 0 when there is none.
static OWNER: Atomic<usize> = Atomic::new(0);

/// The [`Window`] in which the other thread acts.
static PLACE: Atomic<u32> = Atomic::new(0);

/// Which of the two threads goes on.
static TURN: Atomic<u32> = Atomic::new(OPERATION);

/// The operation, which has not been in the window.
const OPERATION: u32 = 0;
/// The thread that acts.
const ACT: u32 = 1;
/// The operation, and the other thread has acted.
const DONE: u32 = 2;

/// Lets the other thread act if this is the operation's thread, in its window. Any context.
fn passing(at: Window) {
    let expected = OWNER.load(Relaxed) == me() && PLACE.load(Relaxed) == at as u32;
    if !expected || TURN.load(Relaxed) != OPERATION {
        return;
    }
    TURN.store(ACT, Release);
    // Ten seconds: before the kernel takes this for a stall.
    for _ in 0..1_000_000 {
        if TURN.load(Acquire) == DONE {
            return;
        }
        udelay(Delta::from_micros(10));
    }
}

/// Returns a number that identifies this thread.
fn me() -> usize {
    Task::current_raw().addr()
}

/// Makes this thread no [`OWNER`] any more when it is dropped.
struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        OWNER.store(0, Release);
    }
}

/// Runs `operation`, of a kind whose windows are [`Hooked`]. When it first passes `window`, it waits,
/// in the context that it has there, while another thread runs `act` to its end.
///
/// Returns what both return. Sleeps. `act` must not wait for what `operation` holds in that window, a
/// grace period included, and neither may assert. Violations belong to the thread that makes them:
/// where `act` makes one, it is expected there.
///
/// # Errors
///
/// `ENODATA` if `operation` does not pass the window, `ETIMEDOUT` if it did not see the end of `act`;
/// `ENOMEM`.
pub(crate) fn at<T, A: Send + Unpin + 'static>(
    window: Window,
    act: impl FnOnce() -> A + Send + 'static,
    operation: impl FnOnce() -> T,
) -> Result<(T, A)> {
    wait_for(|| OWNER.cmpxchg(0, me(), Acquire).is_ok())?;
    let owner = Owner;
    PLACE.store(window as u32, Relaxed);
    TURN.store(OPERATION, Relaxed);
    let result = Arc::pin_init(new_spinlock!(None), GFP_KERNEL)?;
    let theirs: Arc<SpinLock<Option<A>>> = result.clone();
    let thread = KThread::spawn(fmt!("shadow_rmap/act"), move |stop| {
        while TURN.load(Acquire) != ACT {
            if stop.requested() {
                return;
            }
            fsleep(Delta::from_micros(50));
        }
        let acted = act();
        *theirs.lock() = Some(acted);
        TURN.store(DONE, Release);
    })?;
    let operated = operation();
    let turn = TURN.load(Relaxed);
    drop(thread);
    drop(owner);
    let acted = result.lock().take();
    match (turn, acted) {
        (DONE, Some(acted)) => Ok((operated, acted)),
        (OPERATION, _) => Err(ENODATA),
        _ => Err(ETIMEDOUT),
    }
}
