// SPDX-License-Identifier: GPL-2.0

//! The rules of the anonymous reverse map, and how often each was followed, checked and found
//! broken.
//!
//! A *step* is a place where the engine does what a rule demands. A *check* is a look that is
//! independent of the step, stays in the engine that is loaded, and can fail. They are counted
//! apart. A rule that no check of the engine can see at run time has `checks=0`;
//! `Documentation/rules.rst` says where it is checked instead.
//!
//! A violation is counted, and the first one of each rule is printed to the kernel log. It never
//! stops the machine.

use super::path;
use crate::kernel_ext::percpu::Counter;
use kernel::{
    fmt,
    prelude::*, //
};

macro_rules! rules {
    ($($rule:ident $title:literal;)*) => {
        /// A rule's number, see `Documentation/rules.rst`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Rule {
            $(
                #[doc = $title]
                $rule,
            )*
        }

        /// All rules, in order.
        pub(crate) const ALL: &[(Rule, &str, &str)] =
            &[$((Rule::$rule, stringify!($rule), $title)),*];
    };
}

rules! {
    R1 "anon tag and pointer are one word";
    R2 "mapping stays after the last unmap";
    R3 "mapcount is atomic and equals the PTEs";
    R4 "mapcount proves liveness only for an instant";
    R5 "type-safe memory until the RCU reader ends";
    R6 "constructed once, freed in that state";
    R7 "no poison, no destructor, destroy after RCU";
    R8 "the cache is never merged";
    R9 "spinning lock: RCU until after unlock";
    R10 "sleeping lock: trylock, else pin and sleep";
    R11 "never put a reference under RCU";
    R12 "page_mapped before and after locking";
    R13 "root is read once and undone on that root";
    R14 "root is set before publication and stays";
    R15 "only the root's lock protects the family";
    R16 "each non-root holds a reference on its root";
    R17 "wait for the root lock before freeing";
    R18 "links, not pins, keep an anon_vma meaningful";
    R19 "a mapped page moves only to a descendant";
    R20 "shared new pages use the root";
    R21 "every VMA mapping a page is linked to it";
    R22 "newest to oldest, the root is freed last";
    R23 "fork clones all links, then adds its own";
    R24 "fork reuses only a childless idle ancestor";
    R25 "merge keeps every link of both sides";
    R26 "equal anon_vma means equal chains";
    R27 "prepare shares only a singleton chain";
    R28 "prepare tests again under the locks";
    R29 "lock even a fresh anon_vma before linking";
    R30 "publish with release";
    R31 "under mmap read lock only NULL to pointer";
    R32 "ranges change only outside the tree";
    R33 "unlink resets vma->anon_vma";
    R34 "lock order: mmap, page, root, page table";
    R35 "walkers verify the PTE";
    R36 "moving PTEs needs the rmap lock";
    R37 "a failed clone leaves nothing behind";
    R38 "take all locks: every root once";
    R39 "swapoff finds users through the anon_vma";
    R40 "PTE flags change at a merge under the root lock";
    R41 "index is the anon page offset of its place";
}

/// The most rules that the counters have room for.
const MOST: u32 = 48;

const _: () = assert!(ALL.len() as u32 <= MOST);

/// How often a rule was followed, checked and found broken.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// How often the engine did what the rule demands.
    pub(crate) steps: usize,
    /// How often a look that is independent of the step was made.
    pub(crate) checks: usize,
    /// How many of those found the rule broken.
    pub(crate) violations: usize,
}

impl Rule {
    fn steps(self) -> Counter {
        Counter::new_masked(self as u32)
    }

    fn checks(self) -> Counter {
        Counter::new_masked(MOST + self as u32)
    }

    fn violations(self) -> Counter {
        Counter::new_masked(2 * MOST + self as u32)
    }

    /// Returns the rule's name as printed, `R12`.
    pub(crate) fn name(self) -> &'static str {
        ALL.get(self as usize).map_or("R?", |rule| rule.1)
    }

    /// Counts a step. Any context.
    #[inline]
    pub(crate) fn step(self) {
        self.steps().inc();
    }

    /// Counts a check and, unless it `holds`, a violation. Returns `holds`. Any context.
    #[inline]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn check(self, holds: bool) -> bool {
        self.checks().inc();
        self.guard(holds)
    }

    /// As [`check`](Self::check), on a path whose [`Path`](path::Path) counts the check: a counter
    /// of its own would be measurable there.
    #[inline(always)]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn holds(self, holds: bool) -> bool {
        #[cfg(shadow_rmap_kunit)]
        expected::executed(self);
        self.guard(holds)
    }

    /// Counts a violation unless `holds`, and no check: for looks that only keep the machine alive
    /// when something is broken already. Returns `holds`. Any context.
    #[inline(always)]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn guard(self, holds: bool) -> bool {
        if !holds {
            self.violated();
        }
        holds
    }

    /// Counts a violation, and prints the first one of each rule.
    #[cold]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn violated(self) {
        #[cfg(shadow_rmap_kunit)]
        if expected::is_silenced() || expected::is(self) {
            return;
        }
        self.violations().inc();
        if self.violations().sum() == 1 {
            pr_warn!("first violation of {}, see debugfs rules\n", self.name());
        }
    }

    /// Returns how often the rule was followed, checked and found broken.
    pub(crate) fn counts(self) -> Counts {
        let (steps, checks) = path::counts(self);
        Counts {
            steps: self.steps().sum() + steps,
            checks: self.checks().sum() + checks,
            violations: self.violations().sum(),
        }
    }
}

/// Returns how many violations of all rules there were since the module was loaded.
pub(crate) fn violations() -> usize {
    ALL.iter().map(|rule| rule.0.counts().violations).sum()
}

/// Writes debugfs `rules`: `R12 <title> steps=N checks=N violations=N`.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (rule, name, title) in ALL {
        let Counts {
            steps,
            checks,
            violations,
        } = rule.counts();
        writeln!(
            f,
            "{name} {title} steps={steps} checks={checks} violations={violations}"
        )?;
    }
    Ok(())
}

#[cfg(shadow_rmap_kunit)]
pub(crate) use expected::show_broken;

/// Violations that a test makes on purpose.
#[cfg(shadow_rmap_kunit)]
pub(crate) mod expected {
    use super::*;
    use core::{
        array,
        panic::Location, //
    };
    use kernel::{
        sync::atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        task::Task, //
    };

    /// A test expects violations of `rule` by thread `task`.
    struct Expectation {
        /// The thread; 0 while the place is free.
        task: Atomic<usize>,
        rule: Atomic<u32>,
        seen: Atomic<usize>,
    }

    /// So many expectations at a time: threads, and rules within rules.
    static EXPECTATIONS: [Expectation; 16] = [const {
        Expectation {
            task: Atomic::new(0),
            rule: Atomic::new(0),
            seen: Atomic::new(0),
        }
    }; 16];

    /// How often a test has broken each rule on purpose, and seen its check fire.
    static SHOWN_BROKEN: [Atomic<usize>; ALL.len()] = [const { Atomic::new(0) }; ALL.len()];

    /// How often each rule's [`Rule::holds`] was executed.
    static EXECUTED: [Atomic<usize>; ALL.len()] = [const { Atomic::new(0) }; ALL.len()];

    fn me() -> usize {
        Task::current_raw().addr()
    }

    /// Counts an execution of [`Rule::holds`].
    pub(super) fn executed(rule: Rule) {
        if let Some(n) = EXECUTED.get(rule as usize) {
            n.fetch_add(1, Relaxed);
        }
    }

    /// Returns how often each rule's [`Rule::holds`] was executed.
    pub(crate) fn executions() -> [usize; ALL.len()] {
        array::from_fn(|i| EXECUTED.get(i).map_or(0, |n| n.load(Relaxed)))
    }

    /// Returns whether the module was told to leave out the check that the caller is.
    ///
    /// So `scripts/silence.py` shows for each check that a test fails without it. The check is
    /// known by the name of its file, in the upper half of the number, and its line.
    #[track_caller]
    pub(super) fn is_silenced() -> bool {
        let place = Location::caller();
        let name = place.file().rsplit('/').next().unwrap_or_default();
        let file = name.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        crate::silence() == u64::from(file) << 32 | u64::from(place.line())
    }

    /// Returns whether this thread expects a violation of `rule`; counts it if so.
    pub(super) fn is(rule: Rule) -> bool {
        let mine = EXPECTATIONS.iter().find(|expectation| {
            expectation.task.load(Acquire) == me() && expectation.rule.load(Relaxed) == rule as u32
        });
        if let Some(expectation) = mine {
            expectation.seen.fetch_add(1, Relaxed);
        }
        mine.is_some()
    }

    impl Rule {
        /// Runs `f`, expecting violations of this rule by the calling thread; they are not counted.
        /// Returns what `f` returns, and their number.
        ///
        /// Violations by other threads, and of other rules, count as always. At most 16 calls at a
        /// time; one more counts what it should expect.
        pub(crate) fn expect_violations<T>(self, f: impl FnOnce() -> T) -> (T, usize) {
            // A place is taken in two steps: nothing matches before `rule` is set.
            let place = EXPECTATIONS
                .iter()
                .find(|expectation| expectation.task.cmpxchg(0, usize::MAX, Acquire).is_ok());
            if let Some(place) = place {
                place.rule.store(self as u32, Relaxed);
                place.seen.store(0, Relaxed);
                place.task.store(me(), Release);
            }
            let result = f();
            let n = place.map_or(0, |place| {
                let n = place.seen.load(Relaxed);
                place.task.store(0, Release);
                n
            });
            if let Some(shown) = SHOWN_BROKEN.get(self as usize) {
                shown.fetch_add(n, Relaxed);
            }
            (result, n)
        }
    }

    /// Writes to debugfs `stats` how many rules the tests have broken and seen noticed, and which
    /// they have not.
    pub(crate) fn show_broken(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = || {
            ALL.iter()
                .zip(&SHOWN_BROKEN)
                .filter(|(_, shown)| shown.load(Relaxed) == 0)
        };
        let n = others().count();
        writeln!(f, "rules_shown_broken: {}", ALL.len() - n)?;
        if n == 0 {
            return Ok(());
        }
        write!(f, "rules_not_shown_broken:")?;
        for (rule, _) in others() {
            write!(f, " {}", rule.1)?;
        }
        writeln!(f)
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/rules.rs"]
mod tests;
