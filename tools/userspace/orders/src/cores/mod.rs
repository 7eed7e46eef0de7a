// SPDX-License-Identifier: GPL-2.0

//! What two threads do: one operation each, as small as it can be.
//!
//! The set-up of an execution does once, alone, what the threads do, so that all words that both
//! use are known: see `kernel::mock::words`.

pub(crate) mod page;
pub(crate) mod slot;
pub(crate) mod vma;

use crate::{
    kernel_ext::{interval_tree::Range, rwsem::RwSem},
    report,
    rmap::{
        anon_vma::Cache,
        kind::{Bare, Rmap},
        mm::Mm,
        oracle,
        page::PageRmap,
        prepare::{Sharing, anon_vma_prepare},
        statics::Statics,
        steps::Correct,
        unlink::{Emptied, unlink_anon_vmas},
        vma::Vma,
    },
};
use kernel::{
    Result,
    alloc::flags::GFP_KERNEL,
    mock::{rcu, slab, words},
    new_spinlock,
    prelude::InPlaceInit,
    sync::{Arc, SpinLock},
};

/// A kind of reverse map with the steps of `F`.
pub(crate) type Kind<F> = Bare<RwSem, F>;

/// What is explored.
pub(crate) struct Core {
    /// Its name.
    pub(crate) name: &'static str,
    /// What the threads do.
    pub(crate) about: &'static str,
    /// One execution, with correct steps.
    pub(crate) correct: fn(),
}

/// All of them, the smallest first.
pub(crate) const ALL: &[Core] = &[
    Core {
        name: "slot",
        about: "a candidate is pinned against the last put, and the next use of the slot (R12)",
        correct: slot::recycle::<true>,
    },
    Core {
        name: "map",
        about: "a first fault maps a page against a lookup (R1, R2, R14)",
        correct: page::map::<Kind<Correct>>,
    },
    Core {
        name: "publish",
        about: "a first fault against a thread that follows vma->anon_vma (R30)",
        correct: vma::publish::<Kind<Correct>>,
    },
    Core {
        name: "links",
        about: "a first fault against a thread that follows the chain (R30)",
        correct: vma::links::<Kind<Correct>>,
    },
    Core {
        name: "share",
        about: "a first fault against the first fault of the VMA beside (R27, R30)",
        correct: vma::share::<Kind<Correct>>,
    },
    Core {
        name: "prepare",
        about: "two first faults of a VMA (R28)",
        correct: vma::prepare::<Kind<Correct>>,
    },
    Core {
        name: "pin",
        about: "a lookup that pins against unmap and unlink (R12, R18)",
        correct: page::pin::<Kind<Correct>>,
    },
    Core {
        name: "wait",
        about: "a lookup that waits for the lock against unmap and unlink (R10, R17)",
        correct: page::wait::<Kind<Correct>>,
    },
];

/// An address space with two VMAs side by side, and a page of the first.
pub(crate) struct World<R: Rmap> {
    pub(super) mm: Arc<Mm<R>>,
    pub(super) vma: Arc<Vma<R>>,
    pub(super) beside: Arc<Vma<R>>,
    pub(super) page: Arc<PageRmap<R>>,
    /// That of the page's PTE.
    pte_lock: Arc<SpinLock<()>>,
}

impl<R: Rmap<Space = ()>> World<R> {
    /// Makes one whose memory was in use before.
    fn new() -> Result<Self> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Arc::pin_init(Mm::new(cache, ()), GFP_KERNEL)?;
        let vma = |start, last, id| {
            let vma = Vma::new(mm.clone(), Range { start, last }, 0, id);
            Arc::pin_init(vma, GFP_KERNEL)
        };
        let world = Self {
            vma: vma(0, 3, 1)?,
            beside: vma(4, 7, 2)?,
            page: Arc::new(PageRmap::new(0), GFP_KERNEL)?,
            pte_lock: Arc::pin_init(new_spinlock!((), "pte"), GFP_KERNEL)?,
            mm,
        };
        for vma in [&world.beside, &world.vma] {
            world.fault(vma, None);
            world.exit(vma);
        }
        drop(world.pte_lock.lock());
        // Accessed for the words to be known.
        let _ = (world.page.mapped(), world.page.is_anon());
        Ok(world)
    }

    /// The first fault of `vma`, which could be merged with `beside`.
    pub(super) fn fault(&self, vma: &Vma<R>, beside: Option<&Vma<R>>) {
        let mmap = self.mm.mmap_read();
        if anon_vma_prepare(vma, &mmap, [beside, None], Sharing::Singleton).is_err() {
            report::failed("no memory");
        }
    }

    /// Maps the page where it was never mapped.
    pub(super) fn map(&self) {
        let mmap = self.mm.mmap_read();
        let _pte = self.pte_lock.lock();
        // SAFETY: The page is unmapped before its VMA is unlinked.
        unsafe { self.vma.add_new_anon_rmap(&self.page, true, &mmap) };
    }

    /// Unmaps the page.
    pub(super) fn unmap(&self) {
        let _pte = self.pte_lock.lock();
        self.page.remove_rmap();
    }

    /// Unlinks a VMA that maps nothing.
    pub(super) fn exit(&self, vma: &Vma<R>) {
        let mut mmap = self.mm.mmap_write();
        // SAFETY: The page is unmapped by now.
        unlink_anon_vmas(unsafe { Emptied::new(vma, &mut mmap) });
    }
}

/// One execution: the set-up, two threads, and a look at what is left.
fn execute<R: Rmap<Space = ()>>(
    set_up: fn(&World<R>),
    first: fn(&World<R>),
    second: fn(&World<R>),
) {
    if try_execute(set_up, first, second).is_err() {
        report::failed("no memory");
    }
}

fn try_execute<R: Rmap<Space = ()>>(
    set_up: fn(&World<R>),
    first: fn(&World<R>),
    second: fn(&World<R>),
) -> Result {
    begin(2);
    // SAFETY: Dropped below, when both threads have ended.
    let statics = unsafe { Statics::create() }?;
    let world = std::sync::Arc::new(World::<R>::new()?);
    set_up(&world);
    let (one, two) = (world.clone(), world.clone());
    both(move || first(&one), move || second(&two));
    if world.page.mapped() {
        world.unmap();
    }
    world.exit(&world.vma);
    world.exit(&world.beside);
    report::look();
    drop(world);
    drop(statics);
    end();
    Ok(())
}

/// Forgets the execution before. `seed` is that of the slab allocator's choices.
fn begin(seed: u64) {
    words::forget();
    slab::set_seed(seed);
    oracle::clear();
}

/// Runs two threads to their ends, and looks whether an oracle has reported.
fn both(first: impl FnOnce() + 'static, second: impl FnOnce() + 'static) {
    let before = words::accesses();
    let threads = [words::spawn(1, first), words::spawn(2, second)];
    for thread in threads {
        if thread.join().is_err() {
            unreachable!("a panic ends the process");
        }
    }
    report::executed(words::accesses() - before);
    report::look();
}

/// Destroys what the execution has left.
fn end() {
    rcu::barrier();
    if slab::slabs() > 0 {
        report::failed("an execution leaves slabs behind");
    }
    words::forget();
}
