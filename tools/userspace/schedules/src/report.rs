// SPDX-License-Identifier: GPL-2.0

//! What ends a search: the first report of an oracle, in whatever way it comes.
//!
//! | what happens | oracle |
//! |---|---|
//! | the engine's own oracle speaks up, in an operation or at rest | that one |
//! | a sleep where the thread must not, a lock taken twice or released by another thread | LD |
//! | all threads wait, or an execution does not end | WD |
//! | objects are left in a cache | RL |
//! | memory of a slab that was given back is used; memory that is no lock is locked | KA |
//!
//! A report ends the process: the damage stays as it is. Its schedule is written before.

use crate::{
    file,
    record::record,
    rmap::{
        oracle::{self, Oracle},
        rules::Rule,
    },
    torture::busted::Bust,
};
use kernel::{
    bindings::rwsem_trylocks_behind_a_writer,
    mock::{
        panic_text,
        schedule::{self, Grain},
        slab,
    },
};
use std::{panic::PanicHookInfo, sync::OnceLock, time::Instant};

/// What a process looks for, and where it writes.
pub(crate) struct Search {
    /// The bug, or none.
    pub(crate) bust: &'static Bust,
    /// Whether each report is a fault: the steps are correct, or are judged as such.
    pub(crate) correct: bool,
    /// The scenario, the lock, the scheduler with its parameters, in words.
    pub(crate) scenario: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) scheduler: String,
    /// The finest points at which tasks are switched.
    pub(crate) grain: Grain,
    /// Where the schedule of a report goes.
    pub(crate) save: Option<String>,
    pub(crate) begin: Instant,
}

static SEARCH: OnceLock<Search> = OnceLock::new();

/// Prepares the process: from here on a panic or a fault is a report.
pub(crate) fn begin(search: Search) {
    if SEARCH.set(search).is_err() {
        unreachable!("one search a process");
    }
    std::panic::set_hook(Box::new(panicked));
    slab::on_fault(|gone| {
        let words = if gone {
            "memory of a slab is used that was given back"
        } else {
            "a fault outside of slabs"
        };
        end(Some(Oracle::Kernel), None, words)
    });
}

/// Returns whether each report is a fault.
pub(crate) fn is_correct() -> bool {
    SEARCH.get().is_some_and(|search| search.correct)
}

/// Ends the search if an oracle of the engine has reported.
pub(crate) fn look() {
    if let Some((oracle, rule)) = schedule::quietly(oracle::first) {
        end(Some(oracle), rule, oracle.words());
    }
}

/// Ends the search: `oracle` sees harm; without an oracle the search itself has failed.
pub(crate) fn end(oracle: Option<Oracle>, rule: Option<Rule>, words: &str) -> ! {
    let Some(search) = SEARCH.get() else {
        unreachable!("no search has begun");
    };
    let how = match oracle {
        None => "failed",
        Some(_) if search.correct => "reported",
        Some(oracle) if search.bust.oracles.contains(&oracle) => "caught",
        Some(_) => "finding",
    };
    let oracle = oracle.map_or("-", Oracle::name);
    let rule = rule.map_or("-", Rule::name);
    if let Some(path) = &search.save {
        if let Err(error) = file::write(path, search, &record(), oracle, rule, words) {
            eprintln!("error: {path}: {error}");
            std::process::exit(2);
        }
    }
    print(how, oracle, rule, words);
    std::process::exit(0);
}

/// Prints the result of the search: one line, JSON.
pub(crate) fn print(how: &str, oracle: &str, rule: &str, words: &str) {
    let Some(search) = SEARCH.get() else {
        unreachable!("no search has begun");
    };
    let record = record();
    println!(
        "{{\"bug\": {:?}, \"scenario\": {:?}, \"protocol\": {:?}, \"scheduler\": {:?}, \
         \"how\": {how:?}, \"oracle\": {oracle:?}, \"rule\": {rule:?}, \"words\": {words:?}, \
         \"schedules\": {}, \"steps\": {}, \"preemptions\": {}, \"complete\": {}, \
         \"n\": {}, \"k\": {}, \"behind_a_writer\": {}, \"milliseconds\": {}}}",
        search.bust.name,
        search.scenario,
        search.protocol,
        search.scheduler,
        record.schedules,
        record.choices.len(),
        record.preemptions,
        record.complete,
        record.most_tasks,
        record.most_decisions,
        rwsem_trylocks_behind_a_writer(),
        search.begin.elapsed().as_millis(),
    );
}

/// The oracle that reports what a mock or the scheduler panics with, by its beginning.
const PANICS: [(&str, Oracle); 13] = [
    ("splat: sleeping function", Oracle::LockDiscipline),
    ("splat: possible recursive locking", Oracle::LockDiscipline),
    ("splat: spinlock recursion", Oracle::LockDiscipline),
    ("splat: the nest lock is not held", Oracle::LockDiscipline),
    ("splat: rwsem bad magic", Oracle::Kernel),
    ("splat: spinlock bad magic", Oracle::Kernel),
    ("splat: kfree()", Oracle::Kernel),
    ("splat: kmem_cache_free()", Oracle::Kernel),
    ("splat: the maple tree", Oracle::LockDiscipline),
    ("deadlock", Oracle::Watchdog),
    ("exceeded max_steps", Oracle::Watchdog),
    ("splat: rwsem is released by", Oracle::LockDiscipline),
    ("splat: spinlock is released by", Oracle::LockDiscipline),
];

/// Ends the search with what a thread panics with.
fn panicked(info: &PanicHookInfo<'_>) {
    let text = panic_text(info);
    // What an oracle has reported before comes first.
    look();
    let known = PANICS.iter().find(|(begin, _)| text.starts_with(begin));
    let left = text
        .contains("objects remaining")
        .then_some(Oracle::Refcount);
    // Places in the sources are no part of the result.
    let words = text.split(", at ").next().unwrap_or(text);
    end(known.map(|(_, oracle)| *oracle).or(left), None, words);
}
