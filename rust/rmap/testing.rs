// SPDX-License-Identifier: GPL-2.0

//! What the tests of the core share: address spaces of one VMA each, without page tables; and a way
//! to have somebody else act between two steps of an operation.
//!
//! A race is not waited for here.  A test names the [`Window`] that it means, and what another
//! thread does when the operation is just there ([`at`]): each comes out the same way every time.

use super::{
    anon_vma::{
        AnonVma,
        Cache,
        LockedAnonVma,
        PageRmap, //
    },
    chain::Vma,
    kind::Rmap,
    link::{
        anon_vma_clone,
        anon_vma_fork,
        anon_vma_prepare,
        unlink_anon_vmas,
        Operation,
        Reuse,
        Sharing, //
    },
    mm::Mm,
    rules::{
        as_those_of,
        Correct,
        Rules,
        Window, //
    },
};
use crate::{
    kernel_ext::{
        interval_tree::Range,
        kthread::KThread, //
    },
    stats,
};
use core::{
    marker::PhantomData,
    ops::ControlFlow, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
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
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            cache: Arc::new(Cache::new()?, GFP_KERNEL)?,
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
        let mmap = self.mm.mmap_write();
        let range = self.vma.core.range(&mmap).ok_or(EINVAL)?;
        let child = Self::with(
            Arc::pin_init(Mm::new(self.mm.shared_cache(), ()), GFP_KERNEL)?,
            range.start,
            range.last,
        )?;
        anon_vma_fork(
            &child.vma.core,
            &child.mm.mmap_write_nested(),
            &self.vma.core,
            &mmap,
            reuse,
        )?;
        Ok(child)
    }

    pub(crate) fn copy(&self, start: usize, last: usize) -> Result<Self> {
        let copy = self.another(start, last)?;
        let mmap = self.mm.mmap_write();
        anon_vma_clone(
            &copy.vma.core,
            &mmap,
            &self.vma.core,
            &mmap,
            Operation::Copy,
        )?;
        drop(mmap);
        Ok(copy)
    }

    pub(crate) fn unmap(&self) {
        unlink_anon_vmas(&self.vma.core, &mut self.mm.mmap_write());
    }

    /// Maps a new page.
    pub(crate) fn map(&self, page: &PageRmap<R>) {
        self.vma
            .core
            .add_new_anon_rmap(page, true, &self.mm.mmap_read());
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
        self.vma.core.links(&self.mm.mmap_read())
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

/// anon_vmas that are allocated.
pub(crate) fn live() -> usize {
    stats::ANON_VMA_ALLOCS
        .sum()
        .wrapping_sub(stats::ANON_VMA_FREES.sum())
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

/// What another thread does meanwhile.
pub(crate) struct Job<T> {
    thread: KThread,
    done: Arc<Completion>,
    result: Arc<SpinLock<Option<T>>>,
}

impl<T: Send + Unpin + 'static> Job<T> {
    /// Starts a thread that runs `job`.  Sleeps.
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

/// The rules of `B`, under which another thread may act in each window, see [`at`].
pub(crate) struct Hooked<B = Correct>(PhantomData<B>);

impl<B: Rules> Rules for Hooked<B> {
    as_those_of!(B);

    fn window(at: Window) {
        B::window(at);
        passing(at);
    }

    fn allocation() -> Result {
        B::allocation()
    }
}

/// The thread that runs an operation which somebody is to act in; 0 when there is none.
static OWNER: Atomic<usize> = Atomic::new(0);

/// Where that is to be, a [`Window`].
static PLACE: Atomic<u32> = Atomic::new(0);

/// Whose turn it is.
static TURN: Atomic<u32> = Atomic::new(OPERATION);

/// That of the operation; it has not come by.
const OPERATION: u32 = 0;
/// That of who acts.
const ACT: u32 = 1;
/// That of the operation, for good.
const DONE: u32 = 2;

/// A thread is in a window.  Any context.
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

/// What makes a thread this one and no other.
fn me() -> usize {
    Task::current_raw().addr()
}

/// This thread is [`OWNER`].
struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        OWNER.store(0, Release);
    }
}

/// Runs `operation`, by rules that are [`Hooked`]; and where it first passes `window`, another
/// thread runs `act`, to its end, while this one waits, in whatever context it is there.
///
/// Returns what both return.  Sleeps; `act` must not wait for what this thread holds at that place,
/// be it RCU, and neither may assert.
///
/// # Errors
///
/// `ENODATA` if `operation` does not get there, `ETIMEDOUT` if it did not see the end of `act`;
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
