// SPDX-License-Identifier: GPL-2.0

//! Scenarios: a few threads, each with one or two operations that a rule keeps apart.
//!
//! A scenario sets up what the threads share, starts them, waits for them, and verifies what is
//! left at rest.
//!
//! | module | contents |
//! |---|---|
//! | `lookup` | from a page to its anon_vma, while the page is unmapped |
//! | `family` | prepare, fork and exit |
//! | `vmas` | merges, splits and moves against walks and faults |
//!
//! `alone` is in [`torture`](crate::torture): it uses the load of a torture.

mod family;
mod lookup;
mod vmas;

use crate::{
    execution,
    kernel_ext::rwsem::RwSem,
    model::{Model, Modelled, mm::Mm, page::Page, space::Prot},
    report,
    rmap::{
        anon_vma::Cache, lock::Spin, lookup::page_lock_anon_vma, prepare::Sharing, steps::Correct,
    },
    torture::{Chosen, Points, alone, busted::Bust, preemptible::Preemptible, run::Protocol},
};
use core::ops::ControlFlow;
use kernel::{
    Result,
    alloc::flags::GFP_KERNEL,
    mock::{rcu, schedule::thread},
    sync::Arc,
};

/// What the threads of a scenario share: the cache of their anon_vmas.
pub(crate) struct World<R: Modelled>(Arc<Cache<R>>);

impl<R: Modelled> World<R> {
    /// Makes a world without address spaces.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Cache::new()?, GFP_KERNEL)?))
    }

    /// Makes a process, with `pages` writable pages from address 0 on, of which the first `written`
    /// were written to.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn process(&self, pages: usize, written: usize) -> Result<Arc<Mm<R>>> {
        let mm = Mm::new(&self.0, SIZE, Sharing::Singleton)?;
        mm.map(0, pages, Prot::WRITE)?;
        for address in 0..written {
            mm.write(address, 0, 1)?;
        }
        Ok(Arc::new(mm, GFP_KERNEL)?)
    }

    /// Gives the memory of anon_vmas without objects back, as soon as readers let it.
    fn give_back(&self) {
        self.0.shrink();
        rcu::barrier();
    }

    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The number of addresses of a process.
const SIZE: usize = 16;

/// Starts a thread. Its operation may fail because the other threads were faster.
fn start<R: Modelled>(
    world: &World<R>,
    job: impl FnOnce(&World<R>) -> Result + Send + 'static,
) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || {
        let _ = job(&world);
        report::look();
    })
}

/// Waits for threads.
fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        if thread.join().is_err() {
            unreachable!("a panic ends the process");
        }
    }
}

/// Locks a page's anon_vma, and walks its VMAs.
fn look_up<R: Modelled>(page: &Page<R>) {
    let index = page.rmap.index();
    if let Some(anon_vma) = page_lock_anon_vma(&page.rmap) {
        let _: ControlFlow<()> = anon_vma.for_each_vma(index, index, |_| ControlFlow::Continue(()));
    }
}

/// A scenario under one of the locks, with or without a bug.
type Run = fn(&'static Bust);

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the threads do.
    pub(crate) about: &'static str,
    /// By the numbers of [`Protocol`]: with the correct steps, and with those of a bug.
    runs: [[Run; 2]; 3],
}

impl Scenario {
    /// Returns the function that runs it once: without a bug it is the engine with the correct
    /// steps, as it is loaded.
    pub(crate) fn run(&self, bust: &Bust, protocol: Protocol) -> Run {
        self.runs[protocol as usize][usize::from(bust.rule.is_some())]
    }

    /// Finds one by its name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|scenario| scenario.name == name)
    }
}

macro_rules! scenarios {
    ($($module:ident::$function:ident $name:literal $about:literal;)*) => {
        /// All scenarios.
        pub(crate) const ALL: &[Scenario] = &[
            $(Scenario {
                name: $name,
                about: $about,
                runs: [
                    scenarios!(@runs $module::$function, RwSem),
                    scenarios!(@runs $module::$function, Spin),
                    scenarios!(@runs $module::$function, Preemptible),
                ],
            },)*
        ];
    };
    (@runs $module:ident::$function:ident, $Lock:ty) => {
        [
            |bust| execution::run::<Model<$Lock, Correct, Points>>(bust, $module::$function),
            |bust| execution::run::<Model<$Lock, Chosen, Points>>(bust, $module::$function),
        ]
    };
}

scenarios! {
    lookup::recycle "recycle" "a lookup against an exit, and another process that takes the memory";
    lookup::give_back "give-back" "a lookup against an exit after which the memory is given back";
    lookup::pin "pin" "two lookups that pin and wait against the last put";
    lookup::readers "readers" "two lookups against an exit, and another process";
    lookup::child "child" "a lookup and a pin of a child's page against the child's exit";
    lookup::migrate "migrate" "a migration against an exit, and another process";
    lookup::swap_in "swap-in" "a discard against a fault that maps the page again";
    lookup::take_over "take-over" "a page moves to a child's anon_vma against a lookup";
    family::prepare "prepare" "two first faults of a VMA, and a walk";
    family::fork "fork" "a fork and a fault against a walk that unmaps";
    family::exit "exit" "a parent and its child exit against a fork and a walk";
    family::take_all "take-all" "all locks of two relatives against a change of PTEs";
    vmas::merge "merge" "a boundary shifts into an empty VMA against a fault and a walk";
    vmas::split "split" "a VMA splits and merges against a walk and a fault";
    vmas::move_back "move-back" "PTEs move to before their place against a walk";
    vmas::move_all "move-all" "a whole page table moves to before its place against a walk";
    vmas::shift "shift" "exec moves its stack against a walk";
    lookup::small_recycle "small-recycle" "as recycle, two threads, all schedules";
    lookup::small_give_back "small-give-back" "as give-back, two threads, all schedules";
    lookup::small_child "small-child" "as child, two threads, all schedules";
    alone::alone "alone" "one thread with the load of a torture";
}
