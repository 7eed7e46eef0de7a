// SPDX-License-Identifier: GPL-2.0

//! The result of a search: one line of JSON. The first report ends the process.
//!
//! | what happens | oracle |
//! |---|---|
//! | the engine's own oracle reports | that one |
//! | memory is read that another thread initialises meanwhile, as loom sees it | TS |
//! | objects are left in a cache | RL |
//! | all threads wait | WD |

use crate::{
    bugs::Bug,
    rmap::{
        oracle::{self, Oracle},
        rules::{self, Rule},
    },
};
use kernel::mock::panic_text;
use std::{
    panic::PanicHookInfo,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// What a process looks for.
struct Search {
    core: &'static str,
    bug: Option<&'static Bug>,
    begin: Instant,
}

static SEARCH: OnceLock<Search> = OnceLock::new();

/// Executions whose threads have ended.
static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

/// The most accesses of both threads in one execution.
static MOST_ACCESSES: AtomicUsize = AtomicUsize::new(0);

fn search() -> &'static Search {
    let Some(search) = SEARCH.get() else {
        unreachable!("no search has begun");
    };
    search
}

/// Prepares the process: from here on a panic is a report.
pub(crate) fn begin(core: &'static str, bug: Option<&'static Bug>) {
    let begin = Instant::now();
    if SEARCH.set(Search { core, bug, begin }).is_err() {
        unreachable!("one search a process");
    }
    std::panic::set_hook(Box::new(panicked));
}

/// Counts an execution, whose threads made so many accesses.
pub(crate) fn executed(accesses: usize) {
    EXECUTIONS.fetch_add(1, Relaxed);
    MOST_ACCESSES.fetch_max(accesses, Relaxed);
}

/// Ends the search if an oracle of the engine has reported or, with correct steps, a check of a
/// rule has failed.
pub(crate) fn look() {
    if let Some((oracle, rule)) = oracle::first() {
        end(Some(oracle), rule, oracle.words());
    }
    let mut rules = rules::ALL.iter().map(|&(rule, ..)| rule);
    let broken = rules.find(|rule| rule.counts().violations > 0);
    if let (None, Some(rule)) = (search().bug, broken) {
        end(
            Some(Oracle::Topology),
            Some(rule),
            "a check of the rule fails",
        );
    }
}

/// Ends the search: all executions were tried, and nothing was reported.
pub(crate) fn complete() {
    if search().core == "slot" && crate::cores::slot::recycled() == 0 {
        failed("no execution uses the memory again");
    }
    print("clean", None, None, "");
}

/// Ends the process: the search itself has failed.
pub(crate) fn failed(words: &str) -> ! {
    end(None, None, words)
}

fn end(oracle: Option<Oracle>, rule: Option<Rule>, words: &str) -> ! {
    let how = match (oracle, search().bug) {
        (None, _) => "failed",
        (Some(_), None) => "reported",
        (Some(oracle), Some(bug)) if bug.oracles.contains(&oracle) => "caught",
        _ => "finding",
    };
    print(how, oracle, rule, words);
    std::process::exit(0);
}

fn print(how: &str, oracle: Option<Oracle>, rule: Option<Rule>, words: &str) {
    let Search { core, bug, begin } = search();
    println!(
        "{{\"core\": {core:?}, \"bug\": {:?}, \"how\": {how:?}, \"oracle\": {:?}, \"rule\": {:?}, \
         \"words\": {words:?}, \"complete\": {}, \"executions\": {}, \"accesses\": {}, \
         \"milliseconds\": {}}}",
        bug.map_or("none", |bug| bug.name),
        oracle.map_or("-", Oracle::name),
        rule.map_or("-", Rule::name),
        how == "clean",
        EXECUTIONS.load(Relaxed),
        MOST_ACCESSES.load(Relaxed),
        begin.elapsed().as_millis(),
    );
}

/// Ends the search with what a thread panics with.
fn panicked(info: &PanicHookInfo<'_>) {
    let text = panic_text(info);
    let oracle = if text.starts_with("Causality violation") {
        Some(Oracle::TypeStability)
    } else if text.contains("objects remaining") {
        Some(Oracle::Refcount)
    } else if text.starts_with("deadlock") {
        Some(Oracle::Watchdog)
    } else {
        None
    };
    let words = text.lines().next().unwrap_or(text);
    // Places in the sources are no part of the result.
    let words = words.split(", at ").next().unwrap_or(words);
    end(oracle, None, words);
}
