// SPDX-License-Identifier: GPL-2.0

//! Paths through the engine: one counter for all steps and checks that an operation makes.
//!
//! On the short paths a counter for each step would cost more than the step. A path is counted
//! once, at its end, and names the rules whose steps and checks it contains. Tests count the
//! executed checks one by one and compare (`tests/path.rs`), so the lists cannot drift away from
//! the code.

use super::rules::Rule;
use crate::{
    kernel_ext::percpu::Counter,
    stats, //
};
use kernel::fmt;

/// A path, and what one passage stands for.
pub(crate) struct Path {
    counter: Counter,
    steps: &'static [Rule],
    checks: &'static [Rule],
}

impl Path {
    /// Counts a passage. Any context.
    #[inline]
    pub(crate) fn count(&self) {
        self.counter.inc();
    }

    /// Returns how often it was passed.
    pub(crate) fn sum(&self) -> usize {
        self.counter.sum()
    }
}

/// Four paths with successive numbers, which one call counts.
pub(super) struct Run([&'static Path; 4]);

impl Run {
    const fn new(paths: [&'static Path; 4]) -> Self {
        let [a, b, c, d] = paths;
        assert!(a.counter.precedes(b.counter));
        assert!(b.counter.precedes(c.counter));
        assert!(c.counter.precedes(d.counter));
        Self(paths)
    }

    /// Counts `n` passages of each. Any context.
    #[inline]
    pub(super) fn count(&self, n: [usize; 4]) {
        let [first, ..] = self.0;
        first.counter.add_run(n);
    }
}

/// What an unlink counts.
pub(super) static UNLINK_RUN: Run = Run::new([&UNLINK, &UNLINK_LINK, &FREE_ROOT, &FREE_CHILD]);

/// What a clone counts.
pub(super) static CLONE_RUN: Run = Run::new([&CLONE_LINK, &CLONE_COPY, &FORK_REUSE, &FORK_OWN]);

/// The number of the first counter of a path; the numbers below belong to the rules.
const FIRST: u32 = 144;

macro_rules! paths {
    ($($(#[$about:meta])* $index:literal $path:ident steps [$($step:ident)*] checks [$($check:ident)*];)*) => {
        $(
            $(#[$about])*
            pub(crate) static $path: Path = Path {
                counter: Counter::new(FIRST + $index),
                steps: &[$(Rule::$step),*],
                checks: &[$(Rule::$check),*],
            };
        )*

        /// All paths.
        static ALL: &[&Path] = &[$(&$path),*];
    };
}

paths! {
    /// A lookup that took the lock at the first try, and the unlock.
    0 LOOKUP_FAST steps [R4 R9 R10 R12 R13] checks [R1 R5 R5 R12 R13 R18 R17 R13 R5];
    /// A lookup that found the page unmapped.
    1 LOOKUP_UNMAPPED steps [R4] checks [R1];
    /// A lookup of a page that was never anonymous.
    2 LOOKUP_NEVER steps [R4] checks [];
    /// A lookup that found the page unmapped once it had the lock.
    3 LOOKUP_LATE steps [R4 R12] checks [R1 R5 R5 R5];
    /// A lookup that found the lock taken; it goes on with a reference.
    4 LOOKUP_BUSY steps [R4 R10] checks [R1 R5 R5];
    /// A lookup that took a reference instead of the lock, from the beginning.
    5 LOOKUP_PIN steps [R4] checks [R1];
    /// A reference was taken through a page, and is the right one.
    6 PINNED steps [R11 R12] checks [R5 R12];
    /// A reference was taken through a page, or not, and the page was unmapped by then.
    7 PIN_LATE steps [R11 R12] checks [R5];
    /// A wait with a reference that ended with the lock, and the unlock.
    8 WAITED steps [R10] checks [R10 R17 R13 R5];
    /// A wait with a reference that turned out to be the last one.
    9 WAITED_LAST steps [R10] checks [R10 R5];
    /// A family locked for reading by an owner of a reference, and the unlock.
    20 LOCK_READ steps [R15] checks [R18 R17 R13 R5];
    /// An anon_vma was allocated, and freed before a VMA was linked to it.
    21 ALLOC_UNUSED steps [R6] checks [R6];
    /// A root was freed.
    12 FREE_ROOT steps [R6 R11 R17] checks [R24 R6];
    /// A child was freed, and its reference on the root dropped.
    13 FREE_CHILD steps [R6 R11 R16 R17] checks [R24 R16 R6];
    /// A prepare made a new root, linked and published it.
    14 PREPARE steps [R6 R14 R15 R28 R29 R30 R31] checks [R6 R15 R18 R15 R31 R28];
    /// A prepare shared a neighbour's anon_vma.
    15 PREPARE_SHARED steps [R15 R27 R28 R30 R31] checks [R15 R18 R15 R31 R28];
    /// A clone made one link.
    16 CLONE_LINK steps [R21] checks [R15 R18];
    /// A clone within an address space.
    17 CLONE_COPY steps [R15 R30 R31 R37] checks [R21 R15 R31];
    /// A fork reused an anon_vma.
    18 FORK_REUSE steps [R15 R24 R30 R31 R37] checks [R21 R15 R31];
    /// A fork gave the child an anon_vma of its own.
    19 FORK_OWN steps [R6 R14 R15 R15 R16 R22 R23 R24 R29 R30 R31 R37] checks [R6 R21 R14 R5 R15 R18 R15 R31 R22 R23];
    /// A VMA with links was unlinked.
    10 UNLINK steps [R15 R22 R33] checks [R33 R15 R24];
    /// An unlink took one link away.
    11 UNLINK_LINK steps [R33] checks [];
    /// A page got its first PTE.
    22 PAGE_NEW steps [R1 R20] checks [R20 R3 R20];
    /// A page that was read in from swap got its first PTE.
    26 PAGE_READ_IN steps [R1] checks [R20 R3];
    /// A page got one more PTE.
    23 PAGE_ADD steps [R3] checks [R3];
    /// A page lost a PTE.
    24 PAGE_REMOVE steps [R2 R3] checks [R3 R2];
    /// A merge looked through the links of the VMA that goes.
    25 TAKE_LINKS steps [R15] checks [R15];
}

/// Returns how many anon_vmas were allocated.
pub(crate) fn anon_vma_allocs() -> usize {
    PREPARE.sum() + FORK_OWN.sum() + ALLOC_UNUSED.sum()
}

/// Returns how many anon_vmas were freed.
pub(crate) fn anon_vma_frees() -> usize {
    FREE_ROOT.sum() + FREE_CHILD.sum()
}

/// Returns the path of a free, of a root or of a child.
pub(super) fn freed(is_root: bool) -> &'static Path {
    if is_root {
        &FREE_ROOT
    } else {
        &FREE_CHILD
    }
}

/// Returns how many links were made, and how many taken away.
pub(crate) fn links() -> (usize, usize) {
    let made = [&PREPARE, &PREPARE_SHARED, &CLONE_LINK, &FORK_OWN];
    (made.iter().map(|path| path.sum()).sum(), UNLINK_LINK.sum())
}

/// Returns how many lookups there were.
pub(crate) fn lookups() -> usize {
    let paths = [
        &LOOKUP_FAST,
        &LOOKUP_UNMAPPED,
        &LOOKUP_NEVER,
        &LOOKUP_LATE,
        &LOOKUP_BUSY,
        &LOOKUP_PIN,
    ];
    paths.iter().map(|path| path.sum()).sum()
}

/// Writes the `key: value` lines of debugfs `stats` that paths stand for.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (allocs, frees) = (anon_vma_allocs(), anon_vma_frees());
    let (links, unlinked) = links();
    let stale = [&LOOKUP_UNMAPPED, &LOOKUP_NEVER, &LOOKUP_LATE, &PIN_LATE];
    for (name, n) in [
        ("anon_vma_allocs", allocs),
        ("anon_vma_frees", frees),
        (
            "anon_vma_recycles",
            allocs.saturating_sub(stats::ANON_VMA_FIRSTS.sum()),
        ),
        // The sums are taken one after the other, so the second may be larger.
        ("live_anon_vmas", allocs.saturating_sub(frees)),
        ("links_made", links),
        ("links_removed", unlinked),
        ("live_chains", links.saturating_sub(unlinked)),
        ("lookups", lookups()),
        ("stale_lookups", stale.iter().map(|path| path.sum()).sum()),
        ("slow_lookups", LOOKUP_BUSY.sum()),
        ("last_references", WAITED_LAST.sum()),
        ("reuses", FORK_REUSE.sum()),
        ("retries", LOOKUP_BUSY.sum() + stats::PREPARE_RACES.sum()),
    ] {
        writeln!(f, "{name}: {n}")?;
    }
    Ok(())
}

/// Returns how many steps and checks of `rule` all paths stand for.
pub(super) fn counts(rule: Rule) -> (usize, usize) {
    let times = |rules: &[Rule]| rules.iter().filter(|of| **of == rule).count();
    let mut counts = (0, 0);
    for path in ALL {
        let (steps, checks) = (times(path.steps), times(path.checks));
        if steps + checks > 0 {
            let n = path.sum();
            counts.0 += n * steps;
            counts.1 += n * checks;
        }
    }
    counts
}

/// Returns how many checks of each rule the paths stand for.
#[cfg(shadow_rmap_kunit)]
pub(crate) fn declared() -> [usize; super::rules::ALL.len()] {
    core::array::from_fn(|i| {
        super::rules::ALL
            .get(i)
            .map_or(0, |(rule, ..)| counts(*rule).1)
    })
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/tally.rs"]
mod tally;

#[cfg(shadow_rmap_kunit)]
#[path = "tests/path.rs"]
mod tests;
