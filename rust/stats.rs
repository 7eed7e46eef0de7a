// SPDX-License-Identifier: GPL-2.0

//! The names of the per-CPU counters, and the text of debugfs `stats`.

use crate::{
    kernel_ext::percpu::Counter,
    rmap::chain::SIZES, //
};
use kernel::fmt;

/// Counters `0..FIRST` belong to the rules, see `rmap/rules.rs`.
const FIRST: u32 = 80;

macro_rules! stats {
    ($($(#[$doc:meta])* $index:literal $name:ident $text:literal;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: Counter = Counter::new(FIRST + $index);
        )*
        const ALL: &[(&str, &Counter)] = &[$(($text, &$name)),*];
    };
}

stats! {
    /// anon_vmas handed out by the cache.
    0 ANON_VMA_ALLOCS "anon_vma_allocs";
    /// anon_vmas given back to the cache.
    1 ANON_VMA_FREES "anon_vma_frees";
    /// Allocations of a slot that had never been an anon_vma before: the others are recycled.
    2 ANON_VMA_FIRSTS "anon_vma_firsts";
    /// Chain links handed out by their cache.
    3 CHAIN_ALLOCS "chain_allocs";
    /// Chain links given back.
    4 CHAIN_FREES "chain_frees";
    /// Lookups from a page to its anon_vma.
    5 LOOKUPS "lookups";
    /// Lookups that found the page unmapped, before or after locking.
    6 STALE_LOOKUPS "stale_lookups";
    /// Lookups that could not have the lock at once and slept for it.
    7 SLOW_LOOKUPS "slow_lookups";
    /// Lookups that were left with the last reference.
    8 LAST_REFERENCES "last_references";
    /// Frees that found the root locked, and waited for that reader.
    9 LOCKED_FREES "locked_frees";
    /// Prepares that lost the race for a VMA.
    10 PREPARE_RACES "prepare_races";
    /// Forks that reused an anon_vma.
    11 REUSES "reuses";
    /// VMAs that were given up, for want of memory or above a limit.
    12 UNTRACKED "untracked";
    /// Callbacks from the host: mmap, open, close, fault.
    13 EVENT_MAP "events_map";
    /// Forks of a VMA.
    14 EVENT_FORK "events_fork";
    /// Splits of a VMA.
    15 EVENT_SPLIT "events_split";
    /// Moves of a VMA.
    16 EVENT_MOVE "events_move";
    /// VMAs closed.
    17 EVENT_CLOSE "events_close";
    /// Faults.
    18 EVENT_FAULT "events_fault";
    /// Checks of an open file or of all.
    19 CHECKS "checks";
    /// Forks that reused another ancestor than the rule would have, or none: the host had decided
    /// while a relative was exiting.
    23 LATE_REUSES "late_reuses";
    /// Pages that a write has moved to an ancestor, handed out again by a fork.
    22 MOVES_TO_ANCESTOR "moves_to_ancestor";
    /// Shadow pages made.
    20 PAGES_ALLOCATED "pages_allocated";
    /// Shadow pages given back.
    21 PAGES_FREED "pages_freed";
    /// Pages read in from swap.
    24 SWAP_INS "swap_ins";
    /// Pages written to swap.
    25 SWAP_OUTS "swap_outs";
    /// Swap slots made.
    26 SLOTS_ALLOCATED "swap_slots_allocated";
    /// Swap slots given back.
    27 SLOTS_FREED "swap_slots_freed";
    /// Pages moved to new memory.
    28 MIGRATIONS "migrations";
    /// Walks from a page to those who map it.
    29 WALKS "walks";
    /// Walks that came to a VMA twice, and were given up.
    30 UNBOUNDED_WALKS "unbounded_walks";
    /// Near misses of tortures.
    31 NEAR_MISSES "near_misses";
}

/// Writes `key: value` lines.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (name, counter) in ALL {
        writeln!(f, "{name}: {}", counter.sum())?;
    }
    for (name, born, dead) in [
        ("anon_vma_recycles", &ANON_VMA_ALLOCS, &ANON_VMA_FIRSTS),
        ("live_anon_vmas", &ANON_VMA_ALLOCS, &ANON_VMA_FREES),
        ("live_chains", &CHAIN_ALLOCS, &CHAIN_FREES),
        ("live_pages", &PAGES_ALLOCATED, &PAGES_FREED),
        ("live_swap_slots", &SLOTS_ALLOCATED, &SLOTS_FREED),
    ] {
        // The sums are taken one after the other: freed may be ahead.
        writeln!(f, "{name}: {}", born.sum().saturating_sub(dead.sum()))?;
    }
    let retries = SLOW_LOOKUPS.sum() + PREPARE_RACES.sum();
    writeln!(f, "retries: {retries}")?;
    for (name, ours, host) in SIZES {
        writeln!(f, "bytes_{name}: {ours}")?;
        writeln!(f, "bytes_host_{name}: {host}")?;
    }
    #[cfg(shadow_rmap_kunit)]
    crate::rmap::rules::show_broken(f)?;
    Ok(())
}
