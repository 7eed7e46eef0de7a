// SPDX-License-Identifier: GPL-2.0

//! Tests of the words over loom: which results are possible.

use kernel::{
    mock::words,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        barrier::{self, smp_mb},
    },
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// Two words, of a type whose relaxed loads are relaxed.
#[derive(Clone)]
struct Pair(Arc<[Atomic<i32>; 2]>);

type Results = Arc<Mutex<BTreeSet<[i32; 2]>>>;

/// Runs two threads in all executions; returns all results of the second, or of both.
fn results(
    first: fn(&[Atomic<i32>; 2]) -> i32,
    second: fn(&[Atomic<i32>; 2]) -> [i32; 2],
    of_both: bool,
) -> BTreeSet<[i32; 2]> {
    let all = Results::default();
    let seen = all.clone();
    loom::model(move || {
        words::forget();
        let pair = Pair(Arc::new([Atomic::new(0), Atomic::new(0)]));
        // The words are known from here on.
        pair.0
            .iter()
            .for_each(|word| assert_eq!(word.load(Relaxed), 0));
        let (one, two) = (pair.clone(), pair);
        let got = Arc::new(Mutex::new([0; 3]));
        let (mine, theirs) = (got.clone(), got.clone());
        let threads = [
            words::spawn(1, move || mine.lock().unwrap()[0] = first(&one.0)),
            words::spawn(2, move || {
                let [a, b] = second(&two.0);
                theirs.lock().unwrap()[1..].copy_from_slice(&[a, b]);
            }),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        let [a, b, c] = *got.lock().unwrap();
        seen.lock()
            .unwrap()
            .insert(if of_both { [a, b] } else { [b, c] });
        words::forget();
    });
    let all = all.lock().unwrap();
    all.clone()
}

fn flag_then_data(pair: &[Atomic<i32>; 2]) -> [i32; 2] {
    [pair[1].load(Acquire), pair[0].load(Relaxed)]
}

#[test]
fn a_relaxed_flag_is_seen_before_its_data() {
    let relaxed = |pair: &[Atomic<i32>; 2]| {
        pair[0].store(1, Relaxed);
        pair[1].store(1, Relaxed);
        0
    };
    assert!(results(relaxed, flag_then_data, false).contains(&[1, 0]));

    let release = |pair: &[Atomic<i32>; 2]| {
        pair[0].store(1, Relaxed);
        pair[1].store(1, Release);
        0
    };
    let all = results(release, flag_then_data, false);
    assert!(all.contains(&[1, 1]) && !all.contains(&[1, 0]), "{all:?}");
}

#[test]
fn a_write_barrier_orders_stores() {
    let barrier = |pair: &[Atomic<i32>; 2]| {
        pair[0].store(1, Relaxed);
        smp_mb(barrier::Write);
        pair[1].store(1, Relaxed);
        0
    };
    let all = results(barrier, flag_then_data, false);
    assert!(all.contains(&[1, 1]) && !all.contains(&[1, 0]), "{all:?}");
}

#[test]
fn only_a_full_barrier_orders_a_store_and_a_load() {
    let all = results(
        |pair| {
            pair[0].xchg(1, Relaxed);
            pair[1].load(Relaxed)
        },
        |pair| {
            pair[1].xchg(1, Relaxed);
            [pair[0].load(Relaxed), 0]
        },
        true,
    );
    assert!(all.contains(&[0, 0]), "{all:?}");
    let all = results(
        |pair| {
            pair[0].xchg(1, Full);
            pair[1].load(Relaxed)
        },
        |pair| {
            pair[1].xchg(1, Full);
            [pair[0].load(Relaxed), 0]
        },
        true,
    );
    assert!(!all.contains(&[0, 0]) && all.len() == 3, "{all:?}");
}

/// Whether the second thread is between its two loads: plain memory for loom.
static BETWEEN: AtomicBool = AtomicBool::new(false);

/// A store is tried between two loads of the other thread, also if its own thread loads the same
/// word first: so what plain memory says at that moment is seen.
#[test]
fn a_load_does_not_hide_those_of_others() {
    let all = results(
        |pair| {
            if pair[1].fetch_add(1, Relaxed) == 0 {
                return 0;
            }
            let value = pair[0].load(Relaxed);
            pair[0].store(value + 1, Relaxed);
            BETWEEN.load(SeqCst).into()
        },
        |pair| {
            pair[1].fetch_add(1, Relaxed);
            pair[0].load(Relaxed);
            BETWEEN.store(true, SeqCst);
            pair[0].load(Relaxed);
            BETWEEN.store(false, SeqCst);
            [0, 0]
        },
        true,
    );
    assert!(all.contains(&[1, 0]), "{all:?}");
}
