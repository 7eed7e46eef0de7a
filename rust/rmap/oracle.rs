// SPDX-License-Identifier: GPL-2.0

//! What notices that a rule has been broken by what has come of it.
//!
//! The check of a rule ([`Rule::check`]) may ask whether a step was taken: a lock held, a page
//! asked again. Leaving it out does no harm by itself, most of the time. An oracle looks at what
//! must be true whatever steps were taken, and where it is not, something has gone wrong already:
//! that is what a torture waits for.

use super::rules::Rule;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

macro_rules! oracles {
    ($($(#[$about:meta])* $oracle:ident $name:literal $words:literal;)*) => {
        /// A way to notice harm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Oracle {
            $($(#[$about])* $oracle,)*
        }

        /// All of them, in order, by name and in words.
        pub(crate) const ALL: &[(Oracle, &str, &str)] =
            &[$((Oracle::$oracle, $name, $words)),*];
    };
}

oracles! {
    /// An object is what it is taken for: its magic, and the life that it was found in.
    TypeStability "TS" "memory is not, or no longer, the anon_vma that it is taken for";
    /// What is unlocked is what was locked.
    LockIdentity "LI" "the lock that is held is not that of the anon_vma that it was taken for";
    /// A walk finds all PTEs.
    WalkCompleteness "WC" "a page is mapped where no walk finds it";
    /// A walk ends.
    BoundedWalk "BW" "a walk came to one VMA twice";
    /// References and counters go up and down together, and nothing is left in the end.
    Refcount "RL" "a reference, a counter or an object is lost or left over";
    /// The mapcount of a page is the number of its PTEs.
    Mapcount "MC" "a mapcount is not the number of PTEs";
    /// Lockdep, `might_sleep()`, and what asks for a lock as they do.
    LockDiscipline "LD" "a lock is missing, or something sleeps that must not";
    /// Threads make progress.
    Watchdog "WD" "a thread hangs";
    /// The graph is the one that the rules make.
    Topology "TD" "VMAs, links and anon_vmas are not related as they must be";
    /// The tag of a mapping is read with its pointer.
    Tag "TG" "an anonymous page is taken for another, by its tag";
    /// The kernel's own complaints: KASAN, list and slab checks, a fault.
    Kernel "KA" "the kernel complains";
}

/// The first that spoke up since [`clear`], and of which rule: see [`pack`].
static FIRST: Atomic<u32> = Atomic::new(0);

/// How often each spoke up since [`clear`].
static REPORTS: [Atomic<u32>; ALL.len()] = [const { Atomic::new(0) }; ALL.len()];

/// No oracle.
const NONE: u32 = 0;

/// Both in one word, which is not [`NONE`].
fn pack(oracle: Oracle, rule: Option<Rule>) -> u32 {
    (oracle as u32 + 1) << 16 | rule.map_or(0, |rule| rule as u32 + 1)
}

impl Oracle {
    /// Its name: two letters.
    pub(crate) fn name(self) -> &'static str {
        ALL.get(self as usize).map_or("?", |oracle| oracle.1)
    }

    /// What it says.
    pub(crate) fn words(self) -> &'static str {
        ALL.get(self as usize).map_or("?", |oracle| oracle.2)
    }

    /// Speaks up unless `holds`, for `rule` must have been broken. Returns `holds`.
    ///
    /// As [`Rule::holds`]: passes are not counted. Any context.
    #[inline(always)]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn holds(self, rule: Rule, holds: bool) -> bool {
        if !rule.holds(holds) {
            self.report(Some(rule));
        }
        holds
    }

    /// Reports unless `holds`, for looks that no counter counts, see [`Rule::guard`]. Returns
    /// `holds`. Any context.
    #[inline(always)]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn guard(self, rule: Rule, holds: bool) -> bool {
        if !holds {
            rule.violated();
            self.report(Some(rule));
        }
        holds
    }

    /// As [`holds`](Self::holds), and counts the check for `rule`, as [`Rule::check`] does.
    #[inline]
    #[cfg_attr(shadow_rmap_kunit, track_caller)]
    pub(crate) fn check(self, rule: Rule, holds: bool) -> bool {
        if !rule.check(holds) {
            self.report(Some(rule));
        }
        holds
    }

    /// Speaks up. Any context.
    #[cold]
    pub(crate) fn report(self, rule: Option<Rule>) {
        if let Some(reports) = REPORTS.get(self as usize) {
            reports.fetch_add(1, Relaxed);
        }
        // The first report stays.
        let _ = FIRST.cmpxchg(NONE, pack(self, rule), Relaxed);
    }

    /// How often it spoke up since [`clear`].
    pub(crate) fn reports(self) -> u32 {
        REPORTS
            .get(self as usize)
            .map_or(0, |reports| reports.load(Relaxed))
    }
}

/// Returns the oracle of the first report since [`clear`], and its rule if it has one. Any context.
pub(crate) fn first() -> Option<(Oracle, Option<Rule>)> {
    let word = FIRST.load(Relaxed);
    let oracle = ALL.get((word >> 16).checked_sub(1)? as usize)?.0;
    let rule = (word & 0xffff)
        .checked_sub(1)
        .and_then(|rule| super::rules::ALL.get(rule as usize))
        .map(|rule| rule.0);
    Some((oracle, rule))
}

/// How often all of them spoke up since [`clear`].
pub(crate) fn reports() -> u32 {
    ALL.iter().map(|oracle| oracle.0.reports()).sum()
}

/// Forgets all that was said.
pub(crate) fn clear() {
    for reports in &REPORTS {
        reports.store(0, Relaxed);
    }
    FIRST.store(NONE, Relaxed);
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/oracle.rs"]
mod tests;
