// SPDX-License-Identifier: GPL-2.0

//! The rules of the anonymous reverse map, numbered once and for all, and how often each was
//! checked and found broken.
//!
//! A check costs one per-CPU addition.  A violation is counted, and the first one of each rule
//! told in the kernel log; it never stops the machine.

#[cfg(shadow_rmap_torture)]
use crate::kernel_ext::rwonce::ReadWriteOnce;
use crate::{
    kernel_ext::percpu::Counter,
    stats, //
};
use kernel::{
    fmt,
    macros::paste,
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

    /// As [`check`](Self::check) where passes are counted elsewhere: on paths where even that would
    /// be felt, see [`implied`](Self::implied).
    #[inline(always)]
    pub(crate) fn holds(self, holds: bool) -> bool {
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
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn expect_violations<T>(self, f: impl FnOnce() -> T) -> (T, usize) {
        let before = self.violations().sum();
        EXPECTED.fetch_add(1, Relaxed);
        let result = f();
        EXPECTED.fetch_sub(1, Relaxed);
        let n = self.violations().sum() - before;
        self.violations().add(n.wrapping_neg());
        if let Some(shown) = SHOWN_BROKEN.get(self as usize) {
            shown.fetch_add(n, Relaxed);
        }
        (result, n)
    }

    /// How often the rule was checked by what is counted as something else: a counter for each
    /// check would be felt there.
    fn implied(self) -> usize {
        let lookups = || stats::LOOKUPS.sum();
        let allocs = || stats::ANON_VMA_ALLOCS.sum();
        let frees = || stats::ANON_VMA_FREES.sum();
        let links = || stats::CHAIN_ALLOCS.sum();
        match self {
            // Each lookup that is not stale at once checks these.
            Rule::R4 | Rule::R5 | Rule::R12 | Rule::R13 => {
                lookups().saturating_sub(stats::STALE_LOOKUPS.sum())
            }
            Rule::R10 => stats::SLOW_LOOKUPS.sum(),
            // Allocated and freed.
            Rule::R6 => allocs() + frees(),
            Rule::R14 | Rule::R29 => allocs(),
            Rule::R11 | Rule::R16 | Rule::R17 => frees(),
            // Linked.
            Rule::R15 | Rule::R18 | Rule::R34 => links(),
            // Each fork that does not reuse an anon_vma checks R23, and these.
            Rule::R21 | Rule::R22 => Rule::R23.checks().sum(),
            // Published: by a prepare, a copy, a fork.
            Rule::R30 | Rule::R31 => {
                let published = [Rule::R28, Rule::R21, Rule::R23].map(|rule| rule.checks().sum());
                published.iter().sum::<usize>() + stats::REUSES.sum()
            }
            _ => 0,
        }
    }

    /// How often the rule was checked, and how often it did not hold.
    pub(crate) fn counts(self) -> (usize, usize) {
        (
            self.checks().sum() + self.implied(),
            self.violations().sum(),
        )
    }
}

/// Not 0 while a test breaks a rule on purpose.
static EXPECTED: Atomic<i32> = Atomic::new(0);

/// How often a test has broken each rule on purpose, and its check has fired.
#[cfg(shadow_rmap_kunit)]
static SHOWN_BROKEN: [Atomic<usize>; ALL.len()] = [const { Atomic::new(0) }; ALL.len()];

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

/// Writes to debugfs `stats` how many rules the tests have broken on purpose and seen found out,
/// and which they have not.
#[cfg(shadow_rmap_kunit)]
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

macro_rules! windows {
    ($($(#[$about:meta])* $window:ident;)*) => {
        /// A place between two steps that a rule holds together.
        ///
        /// Correct rules have nothing there; a test or a torture may have somebody else act just then.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Window {
            $($(#[$about])* $window,)*
        }

        /// Their names, in order.
        #[cfg(shadow_rmap_torture)]
        pub(crate) const WINDOWS: &[&str] = &[$(stringify!($window)),*];
    };
}

windows! {
    /// A page that is anonymous gets its `mapping` in two stores (never by correct rules, R1).
    MappingStored;
    /// A lookup has read `mapping` and holds RCU, and has looked at nothing else (R4, R5).
    Found;
    /// A lookup has read the root, and has not locked it yet (R13).
    RootRead;
    /// A lookup has the lock, and does not know yet whether it is the right one (R12).
    Locked;
    /// A lookup has left RCU with a lock that turns out to be the wrong one (never by correct rules,
    /// R9).
    RcuLeft;
    /// A lookup has a reference, and does not know yet whether it is the right one (R11, R12).
    Referenced;
    /// A lookup has a reference, and has left RCU; it will wait for the lock (R10).
    Pinned;
    /// A lookup has what it wanted; whoever asked for it is about to walk (R9, R18).
    Confirmed;
    /// A lookup has the lock of what others have references on, and no VMA is linked to (R17, R18).
    Outlived;
    /// A walker has looked at one VMA, and has not come to the next (R36).
    BetweenVmas;
    /// A move has its destination, and its PTEs are still where they were (R36).
    DestinationReady;
    /// A VMA is elsewhere, and its PTEs are still where they were (never by correct rules, R36).
    RangeMoved;
    /// The last reference is gone, and nobody has been waited for yet (R17).
    LastPut;
    /// A prepare has seen that the VMA has no anon_vma, and has locked nothing yet (R28).
    PrepareTested;
    /// A clone has linked all, and has published nothing (R30, R31).
    Linked;
    /// A merge has published an anon_vma, and linked nothing (never by correct rules, R31).
    Published;
    /// A fork has cloned the links, and the copy has no anon_vma of its own yet (R23).
    Cloned;
    /// A VMA is in none of its trees, and its range has not changed yet (R32).
    OutOfTrees;
    /// A VMA has been hidden, and its page tables are still there (R33).
    Unlinked;
    /// A PTE has been cleared, and the mapcount not been lowered yet (R3).
    PteCleared;
    /// A merge has chosen the survivor, and no links have moved (R25, R26).
    MergeChosen;
    /// A page has been taken out of all page tables, and is nowhere else yet (R18).
    PageUnmapped;
}

macro_rules! switches {
    ($d:tt $($(#[$about:meta])* $switch:ident;)*) => { paste! {
        /// The rules that the engine obeys, as constants: each `false` is a deliberate bug.
        ///
        /// [`Correct`] is the only implementation that a module for use has.  The engine asks by the
        /// function of each constant, which is resolved when the module is compiled: nothing is
        /// tested at run time, but by the one type that is all deliberate bugs in turn.
        pub(crate) trait Rules: Send + Sync + 'static {
            $(
                $(#[$about])*
                const $switch: bool = true;

                $(#[$about])*
                #[inline(always)]
                fn [<$switch:lower>]() -> bool {
                    Self::$switch
                }
            )*

            /// Somebody is at this place.  May be called in any context that the engine is in there.
            #[inline(always)]
            fn window(_at: Window) {}

            /// Whether the allocation that the engine is about to make may go ahead.  Sleeps.
            ///
            /// # Errors
            ///
            /// `ENOMEM` where it is to fail.
            #[inline(always)]
            fn allocation() -> Result {
                Ok(())
            }
        }

        /// The constants of [`Rules`], by number.
        #[cfg(shadow_rmap_torture)]
        #[allow(
            clippy::upper_case_acronyms,
            non_camel_case_types,
            reason = "named as what they number"
        )]
        #[derive(Clone, Copy)]
        enum Switch {
            $($switch,)*
        }

        /// Which constants are `false` in `B`: a bit for each.
        #[cfg(shadow_rmap_torture)]
        pub(crate) const fn broken_by<B: Rules>() -> u64 {
            0 $(| (!B::$switch as u64) << Switch::$switch as u32)*
        }

        /// All constants as those of `$rules`.
        #[cfg(shadow_rmap_kunit)]
        macro_rules! as_those_of {
            ($d rules:ident) => {
                $(const $switch: bool = $d rules::$switch;)*
            };
        }
        #[cfg(shadow_rmap_kunit)]
        pub(crate) use as_those_of;

        /// Whatever is broken at the moment, and somebody in each window.
        #[cfg(shadow_rmap_torture)]
        impl Rules for AtRunTime {
            $(
                fn [<$switch:lower>]() -> bool {
                    BROKEN.read_once() & 1 << Switch::$switch as u32 == 0
                }
            )*

            fn window(at: Window) {
                crate::torture::pressure::pass(at);
            }

            fn allocation() -> Result {
                crate::torture::pressure::allocate()
            }
        }
    } };
}

/// The rules of a torture: all deliberate bugs in turn, or none, with somebody in each window.
///
/// An engine for each bug would be the same machine code a hundred times over; this one asks at run
/// time.  It is another engine than that of [`Correct`], which knows nothing of it.
#[cfg(shadow_rmap_torture)]
pub(crate) struct AtRunTime;

/// See [`broken_by`].
#[cfg(shadow_rmap_torture)]
static BROKEN: Atomic<u64> = Atomic::new(0);

#[cfg(shadow_rmap_torture)]
impl AtRunTime {
    /// Breaks what `switches` says, see [`broken_by`], and nothing else.  Nobody obeys these rules
    /// meanwhile.
    pub(crate) fn set(switches: u64) {
        BROKEN.write_once(switches);
    }
}

switches! { $
    /// [`Rule::R1`]: pointer and tag are stored at once.
    ONE_STORE;
    /// [`Rule::R2`]: the last unmap leaves `mapping` alone.
    MAPPING_STAYS;
    /// [`Rule::R3`]: a PTE that is replaced is counted once.
    UNMAP_COUNTS_ONCE;
    /// [`Rule::R4`]: nothing is looked into that is not mapped.
    FIRST_CHECK;
    /// [`Rule::R5`]: the cache is type-safe.
    TYPESAFE;
    /// [`Rule::R6`]: an object is given back in the state that it was constructed in.
    FREED_CLEAN;
    /// [`Rule::R7`]: destroying the cache waits for RCU.
    DESTROY_WAITS;
    /// [`Rule::R8`]: the cache is this type's alone.
    OWN_CACHE;
    /// [`Rule::R9`]: under a spinning lock, RCU is held until after unlock.
    RCU_UNTIL_UNLOCK;
    /// [`Rule::R10`]: who waited with the last reference gets nothing.
    LAST_REFERENCE;
    /// [`Rule::R11`]: references are put outside RCU.
    PUT_OUTSIDE_RCU;
    /// [`Rule::R12`]: the page is looked at again once the lock or the reference is taken.
    SECOND_CHECK;
    /// [`Rule::R12`]: what is looked at again is the page, not the reference count.
    ASKS_THE_PAGE;
    /// [`Rule::R15`]: the root's lock is taken for the whole family.
    ROOT_LOCK;
    /// [`Rule::R16`]: a child holds its root.
    CHILD_HOLDS_ROOT;
    /// [`Rule::R16`]: a child is freed before it lets go of its root.
    CHILD_GOES_FIRST;
    /// [`Rule::R17`]: freeing waits for who holds the root's lock.
    FREE_WAITS;
    /// [`Rule::R18`]: the anon_vma of a page that migrates is pinned.
    PINS_TO_MIGRATE;
    /// [`Rule::R20`]: a page that others may map as well goes to the root.
    SHARED_TO_ROOT;
    /// [`Rule::R21`], [`Rule::R23`]: fork links the child to each anon_vma of its parent.
    FORK_CLONES_ALL_LINKS;
    /// [`Rule::R21`]: where a boundary shifts into an unfaulted VMA, that one inherits the links.
    COPIES_ON_SHIFT;
    /// [`Rule::R21`]: links are copied to the VMA that grows, from the one that shrinks.
    COPIES_FORWARD;
    /// [`Rule::R21`]: an unfaulted VMA that a moved one is merged into inherits the links.
    COPIES_ON_MOVE;
    /// [`Rule::R22`]: a new link stands first.
    NEWEST_FIRST;
    /// [`Rule::R23`]: fork gives the child an anon_vma of its own.
    FORK_MAKES_OWN;
    /// [`Rule::R24`]: fork reuses what it may.
    REUSES;
    /// [`Rule::R24`]: fork reuses only what no VMA is active in, and has at most one child.
    REUSE_ONLY_IDLE;
    /// [`Rule::R24`]: nothing but fork reuses an anon_vma.
    REUSES_AT_FORK_ONLY;
    /// [`Rule::R25`]: a merge moves the links over that only the one that goes has.
    MERGE_MOVES_LINKS;
    /// [`Rule::R25`]: a merge moves a link over only where the survivor has none like it.
    MERGE_LINKS_ONCE;
    /// [`Rule::R26`]: two different anon_vmas are never merged.
    MERGE_NEEDS_EQUAL;
    /// [`Rule::R26`]: an unfaulted VMA does not inherit the links of a fork child.
    FORKED_STAY_APART;
    /// [`Rule::R27`]: prepare shares only the anon_vma of a chain of one.
    SHARE_ONLY_SINGLETON;
    /// [`Rule::R28`]: prepare tests again under the locks.
    TEST_AGAIN;
    /// [`Rule::R29`]: what is new is locked before it is linked.
    LOCK_NEW;
    /// [`Rule::R30`]: an anon_vma is published when it is linked, not before.
    PUBLISH_LAST;
    /// [`Rule::R31`]: a merge locks its VMAs before it gives one of them an anon_vma.
    MERGE_LOCKS_FIRST;
    /// [`Rule::R32`]: a range changes outside of all trees.
    RANGE_OUT_OF_TREES;
    /// [`Rule::R33`]: a VMA without links has no anon_vma.
    UNLINK_RESETS;
    /// [`Rule::R35`]: a walker asks the page table.
    WALK_ASKS_PTE;
    /// [`Rule::R36`]: PTEs are moved under the family's lock where the order does not help.
    MOVE_LOCKS;
    /// [`Rule::R36`]: so it is where all PTEs of a VMA are moved at once.
    BULK_MOVE_LOCKS;
    /// [`Rule::R36`]: where exec moves its stack, a walker sees the VMA and its PTEs at one place.
    RANGE_MOVES_WITH_PTES;
    /// [`Rule::R37`]: a failed clone leaves nothing behind.
    CLONE_UNDOES;
    /// [`Rule::R37`]: a merge that fails after a clone takes the links away again.
    MERGE_UNDOES;
    /// [`Rule::R38`]: taking all locks takes each root once.
    TAKE_ROOT_ONCE;
    /// [`Rule::R39`]: swapoff walks the anon_vma that the page was in.
    UNUSE_WALKS;
}

/// Every rule holds.
pub(crate) struct Correct;

impl Rules for Correct {}
