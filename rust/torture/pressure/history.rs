// SPDX-License-Identifier: GPL-2.0

//! The last windows that each thread has passed, for the results.

use super::MOST_THREADS;
use crate::rmap::{
    oracle,
    window::{
        Window,
        WINDOWS, //
    },
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The number of passages that are kept of each thread. Each thread has its own: the one that
/// stayed between two steps is of interest, and the others have passed hundreds of windows by then.
const REMEMBERED: usize = 16;

/// The last passages of each thread: the number of the passage among those of all threads, and the
/// window; see [`recent`].
static HISTORY: [[Atomic<usize>; REMEMBERED]; MOST_THREADS] =
    [const { [const { Atomic::new(0) }; REMEMBERED] }; MOST_THREADS];

/// The number of passages until an oracle reported.
static PASSAGES: Atomic<usize> = Atomic::new(0);

/// The bits of a word of [`HISTORY`] for the window.
const WINDOW_BITS: u32 = 8;

/// Remembers that thread `i` has come to `at`, until the first report.
pub(super) fn remember(i: usize, at: Window) {
    if oracle::first().is_some() {
        return;
    }
    let when = PASSAGES.fetch_add(1, Relaxed) + 1;
    // Only this thread writes here: the oldest passage has the lowest number.
    let oldest = HISTORY
        .get(i)
        .and_then(|own| own.iter().min_by_key(|word| word.load(Relaxed)));
    if let Some(oldest) = oldest {
        oldest.store(when << WINDOW_BITS | at as usize, Relaxed);
    }
}

/// A passage of a window.
pub(in super::super) struct Passage {
    /// Its number among those of all threads.
    pub(in super::super) when: usize,
    /// The number of the thread.
    pub(in super::super) thread: usize,
    /// The name of the window.
    pub(in super::super) window: &'static str,
}

/// Returns the first passage after `when` that is remembered.
pub(in super::super) fn recent(when: usize) -> Option<Passage> {
    let all = HISTORY
        .iter()
        .enumerate()
        .flat_map(|(thread, own)| own.iter().map(move |word| (word.load(Relaxed), thread)));
    let (word, thread) = all
        .filter(|(word, _)| word >> WINDOW_BITS > when)
        .min_by_key(|(word, _)| *word)?;
    Some(Passage {
        when: word >> WINDOW_BITS,
        thread,
        window: WINDOWS.get(word & ((1 << WINDOW_BITS) - 1))?,
    })
}

/// Forgets all passages.
pub(super) fn reset() {
    for passage in HISTORY.iter().flatten() {
        passage.store(0, Relaxed);
    }
    PASSAGES.store(0, Relaxed);
}
