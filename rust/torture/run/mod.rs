// SPDX-License-Identifier: GPL-2.0

//! One torture from beginning to end.
//!
//! | module | contents |
//! |---|---|
//! | `threads` | the threads, and the rounds in which they work |
//! | `watch` | the monitor: oracles, the kernel's own reports, the watchdog |
//! | `results` | the verdict, and the text of `results` and `status` |
//!
//! ```text
//!   control --write--> start()
//!                        |
//!            monitor     |      coordinator, for Clean<L> or Busted<L>
//!              |         +--------> |---- a thread that reuses freed memory
//!   every      |                    |---- workers, in rounds of so many actions each:
//!   millisecond:                    |       all work | all wait, the coordinator verifies the forest;
//!   has an oracle reported?         |                | after some rounds all processes exit, and no
//!   has the kernel reported?        |                | object may be left
//!   does any thread make progress?  |
//!              | <----- is over --->|
//!              v
//!           results
//! ```
//!
//! The actions of a thread in a round follow from the seed, the number of the round, and the number
//! of the thread. The first report of an oracle ends a torture, before a bug can do much damage.
//! After a bug was caught the data stays as it is, and so does the module.

mod results;
mod threads;
mod watch;

pub(super) use results::{
    write_results,
    write_status, //
};
pub(super) use threads::start;
pub(super) use watch::watch;

use super::{
    busted::Bust,
    load::{
        Mix,
        ACTIONS, //
    },
    pressure::Mode, //
};
use crate::{
    kernel_ext::{
        complaints::Complaints,
        random::Random, //
    },
    rmap::{
        oracle::{
            self,
            Oracle, //
        },
        rules::{
            self,
            Rule, //
        }, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// The lock of a family, and with it the protocol of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A sleeping lock, as in the kernel from 2011 on.
    RwSem,
    /// A spinning lock, as in the kernel until 2010.
    Spin,
    /// A spinning lock whose holder can be preempted.
    Preemptible,
}

/// All protocols, by name.
pub(super) const PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::RwSem, "rwsem"),
    (Protocol::Spin, "spin"),
    (Protocol::Preemptible, "preemptible"),
];

impl Protocol {
    /// Returns its name in `control`.
    pub(super) fn name(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(protocol, _)| *protocol == self)
            .map_or("?", |(_, name)| name)
    }
}

/// The parameters of a torture.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// The deliberate bug, or [`CORRECT`](super::busted::CORRECT).
    pub(super) bust: &'static Bust,
    /// The load.
    pub(super) mix: Mix,
    /// The lock.
    pub(super) protocol: Protocol,
    /// How it is decided when a thread stays in a window.
    pub(super) mode: Mode,
    /// The seed of all random numbers.
    pub(super) seed: u64,
    /// The number of workers.
    pub(super) threads: usize,
    /// The longest time, in seconds.
    pub(super) secs: u64,
    /// The number of operations; 0 for any number.
    pub(super) ops: usize,
    /// One passage of a window out of so many takes longer, in [`Mode::Random`].
    pub(super) stay: usize,
    /// One allocation of so many fails; 0 for none.
    pub(super) fail: usize,
    /// Milliseconds without progress after which the watchdog reports.
    pub(super) hangs: i64,
}

/// The state of a torture, shared by its threads.
#[pin_data]
pub(crate) struct Run {
    pub(super) plan: Plan,
    begin: Instant<Monotonic>,
    /// The number of the workers' round, from 1 on.
    round: Atomic<usize>,
    /// The number of workers that have finished this round.
    arrived: Atomic<usize>,
    /// Operations that were done, by action.
    done: [Atomic<usize>; ACTIONS.len()],
    /// Actions that were tried, by which the watchdog sees progress.
    beats: Atomic<usize>,
    /// 1 when the threads are to end.
    over: Atomic<usize>,
    /// 1 when the coordinator and all other threads have ended.
    ended: Atomic<usize>,
    /// 1 when the results are complete.
    complete: Atomic<usize>,
    /// The violations of each rule before the torture began.
    violations: [usize; rules::ALL.len()],
    /// The kernel's reports before the torture began.
    complaints: Complaints,
    /// The outcome.
    #[pin]
    outcome: Mutex<Outcome>,
}

/// The outcome of a torture.
#[derive(Clone, Copy)]
struct Outcome {
    /// Milliseconds until the first report, or the end.
    millis: i64,
    /// Operations until then.
    operations: usize,
    /// Near misses until then.
    near_misses: usize,
    /// Why it could not be run to its end.
    error: Option<Error>,
    /// Lookups until the end that found a mapped page's anon_vma.
    found: usize,
    /// Whether a thread has not ended in time.
    stuck: bool,
    /// The first report: its oracle, and the rule if it is known.
    first: Option<(Oracle, Option<Rule>)>,
    /// The number of reports, by oracle.
    reports: [u32; oracle::ALL.len()],
    /// The number of violations, by rule.
    violations: [usize; rules::ALL.len()],
}

impl Outcome {
    /// The outcome before anything has happened.
    const fn new() -> Self {
        Self {
            millis: 0,
            operations: 0,
            near_misses: 0,
            error: None,
            found: 0,
            stuck: false,
            first: None,
            reports: [0; oracle::ALL.len()],
            violations: [0; rules::ALL.len()],
        }
    }
}

/// Returns the number of violations of each rule since the module was loaded.
fn violations() -> [usize; rules::ALL.len()] {
    let mut counts = [0; rules::ALL.len()];
    for (count, (rule, ..)) in counts.iter_mut().zip(rules::ALL) {
        *count = rule.counts().violations;
    }
    counts
}

/// The usual [`Plan::hangs`].
pub(super) const HANGS: i64 = 4_000;

impl Run {
    /// Makes a torture that has not begun. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(plan: Plan) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                plan,
                begin: Instant::now(),
                round: Atomic::new(0),
                arrived: Atomic::new(0),
                done: [const { Atomic::new(0) }; ACTIONS.len()],
                beats: Atomic::new(0),
                over: Atomic::new(0),
                ended: Atomic::new(0),
                complete: Atomic::new(0),
                violations: violations(),
                complaints: Complaints::now(),
                outcome <- new_mutex!(Outcome::new(), "shadow_rmap::torture_outcome"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns whether the results are complete.
    pub(super) fn is_done(&self) -> bool {
        self.complete.load(Acquire) != 0
    }

    /// Returns whether a thread has not ended in time.
    pub(super) fn is_stuck(&self) -> bool {
        self.outcome.lock().stuck
    }

    /// Lets all threads end.
    pub(super) fn end(&self) {
        self.over.store(1, Release);
    }

    /// Returns whether the threads are to end: an oracle has reported, or the work is done.
    fn is_over(&self) -> bool {
        self.over.load(Acquire) != 0 || oracle::first().is_some()
    }

    /// Returns whether its time is over.
    fn is_late(&self) -> bool {
        self.millis() >= self.plan.secs as i64 * 1_000
    }

    fn millis(&self) -> i64 {
        self.begin.elapsed().as_millis()
    }

    /// Returns the number of operations.
    fn operations(&self) -> usize {
        self.done.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Returns whether it has a deliberate bug.
    pub(super) fn is_busted(&self) -> bool {
        self.plan.bust.rule.is_some()
    }

    fn fail(&self, error: Error) {
        self.outcome.lock().error = Some(error);
        self.end();
    }

    /// Returns a number that follows from the seed, a purpose, and a number.
    fn derived(&self, purpose: usize, number: usize) -> u64 {
        let mixed = self.plan.seed ^ ((purpose as u64) << 40) ^ ((number as u64) << 8);
        Random::new(mixed ^ mixed >> 32).u64()
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/run.rs"]
mod tests;
