// SPDX-License-Identifier: GPL-2.0

//! The names of the per-CPU counters, and the text of debugfs `stats`.

use crate::kernel_ext::percpu::Counter;
use kernel::fmt;

/// Counters `0..FIRST` belong to the rules and paths, see `rmap/rules.rs` and `rmap/path.rs`.
const FIRST: u32 = 184;

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
    /// Allocations of a slot that had never been an anon_vma before: the others are recycled.
    2 ANON_VMA_FIRSTS "anon_vma_firsts";
    /// Frees that found the root locked, and waited for that reader.
    9 LOCKED_FREES "locked_frees";
    /// Frees that were put off, because the thread must not sleep.
    32 DEFERRED_FREES "deferred_frees";
    /// Frees that were put off and had no memory for that: each is a leak.
    33 LEAKED_FREES "leaked_frees";
    /// Prepares that lost the race for a VMA.
    10 PREPARE_RACES "prepare_races";
    /// VMAs that became untracked: there was no memory for them, or they were above a limit.
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
    /// Merges of a VMA into another one, of which no callback tells.
    44 EVENT_MERGE "events_merge";
    /// VMAs that were found to be gone otherwise, without a callback.
    45 EVENT_VANISH "events_vanish";
    /// Faults.
    18 EVENT_FAULT "events_fault";
    /// Checks of an open file or of all.
    19 CHECKS "checks";
    /// Forks for which two outcomes were permitted, because a related process exited or forked at
    /// the same time; the shadow followed the host.
    23 AMBIGUOUS "ambiguous";
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
    /// Walks from a page to the VMAs that map it.
    29 WALKS "walks";
    /// Walks that came to a VMA twice, and were stopped.
    30 UNBOUNDED_WALKS "unbounded_walks";
    /// VMAs of the host that a check gave up, because another task waited for a lock for too long.
    46 HOST_LEFT_OUT "host_left_out";
    /// Near misses of a torture, see `Documentation/torture.rst`.
    31 NEAR_MISSES "near_misses";
}

/// Writes `key: value` lines.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (name, counter) in ALL {
        writeln!(f, "{name}: {}", counter.sum())?;
    }
    for (name, born, dead) in [
        ("live_pages", &PAGES_ALLOCATED, &PAGES_FREED),
        ("live_swap_slots", &SLOTS_ALLOCATED, &SLOTS_FREED),
    ] {
        // The sums are taken one after the other, so the second may be larger.
        writeln!(f, "{name}: {}", born.sum().saturating_sub(dead.sum()))?;
    }
    Ok(())
}
