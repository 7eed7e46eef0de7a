// SPDX-License-Identifier: GPL-2.0

//! The rules of the anonymous reverse map, numbered once and for all, and how often each was
//! checked and found broken.
//!
//! A check costs one per-CPU addition.  A violation is counted, and the first one of each rule
//! told in the kernel log; it never stops the machine.

use crate::prim::percpu::Counter;
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
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
}

/// Where the violations' counters begin; the checks' begin at 0.
const VIOLATIONS: u32 = 40;

impl Rule {
    fn checks(self) -> Counter {
        Counter::new_masked(self as u32)
    }

    fn violations(self) -> Counter {
        Counter::new_masked(VIOLATIONS + self as u32)
    }

    /// The rule's name as printed, `R12`.
    pub(crate) fn name(self) -> &'static str {
        ALL.get(self as usize).map_or("R?", |rule| rule.1)
    }

    /// Counts a check of this rule and, unless `holds`, a violation.  Returns `holds`.
    ///
    /// Any context.
    #[inline]
    pub(crate) fn check(self, holds: bool) -> bool {
        self.checks().inc();
        if !holds {
            self.violated();
        }
        holds
    }

    /// Counts `n` checks that held.
    #[inline]
    pub(crate) fn checked(self, n: usize) {
        self.checks().add(n);
    }

    /// Counts a violation, and says so in the kernel log the first time.
    #[cold]
    pub(crate) fn violated(self) {
        self.violations().inc();
        // Told when it is the first: the count is what matters, and the log stays readable.
        if self.violations().sum() == 1 && EXPECTED.load(Relaxed) == 0 {
            pr_warn!("{} does not hold, see debugfs rules\n", self.name());
        }
    }

    /// Runs `f`, which is expected to break this rule, and counts the violations as if they had not
    /// been: the tests' own are none.  Returns what `f` does, and how many there were.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn expect_violations<T>(self, f: impl FnOnce() -> T) -> (T, usize) {
        let before = self.violations().sum();
        EXPECTED.fetch_add(1, Relaxed);
        let result = f();
        EXPECTED.fetch_sub(1, Relaxed);
        let n = self.violations().sum() - before;
        self.violations().add(n.wrapping_neg());
        (result, n)
    }

    /// How often the rule was checked, and how often it did not hold.
    pub(crate) fn counts(self) -> (usize, usize) {
        (self.checks().sum(), self.violations().sum())
    }
}

/// Not 0 while a test breaks a rule on purpose.
static EXPECTED: Atomic<i32> = Atomic::new(0);

/// All violations of all rules since the module was loaded.
pub(crate) fn violations() -> usize {
    ALL.iter().map(|rule| rule.0.counts().1).sum()
}

/// Writes debugfs `rules`: `R12 <title> checks=N violations=N`.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (rule, name, title) in ALL {
        let (checks, violations) = rule.counts();
        writeln!(f, "{name} {title} checks={checks} violations={violations}")?;
    }
    Ok(())
}

/// The rules that the engine obeys, as constants: each `false` is a deliberate bug.
///
/// [`Correct`] is the only implementation outside `torture/busted.rs`, and what it does not
/// override is resolved when the module is compiled: nothing is tested at run time.
pub(crate) trait Rules: 'static {
    /// [`Rule::R23`]: fork links the child to each anon_vma of its parent.
    const FORK_CLONES_ALL_LINKS: bool = true;
}

/// Every rule holds.
pub(crate) struct Correct;

impl Rules for Correct {}
