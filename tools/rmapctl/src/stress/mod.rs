// SPDX-License-Identifier: GPL-2.0

//! `rmapctl stress`: busy processes over one mapping, and everything that may disturb them.
//!
//! A process of its own starts the busy processes, kills some of them, and starts others
//! ([`nursery`]). This process watches meanwhile ([`observers`]): it checks, checks the host's own
//! reverse map, reads the files of debugfs, and asks the kernel to unload the module. A difference,
//! a violation, an unload or, unless memory is used up on purpose, an untracked VMA ends the run,
//! with the last events: what ran at the same time cannot be repeated.

mod actor;
mod board;
mod nursery;
mod observers;
mod oom;
mod slots;
mod threads;
mod touch;

use crate::corners::Family;
use crate::engine::interrupted;
use crate::kernel::{Check, Debugfs, Device};
use crate::output::{note, out};
use crate::scenario::Mode;
use crate::shared::Shared;
use anyhow::{Context, Result, ensure};
use board::Board;
use observers::Observers;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(5);
/// Bytes of the stack of an observer. The observers are threads of the standard library: they start
/// before the load has used up any memory.
const STACK: usize = 256 << 10;
/// Events and lines of `compare` that are printed after a failure.
const SHOWN: usize = 40;

/// For how long the last check is made again, until one comes through and no VMA is left. The kernel keeps the
/// address space of an ended process while it moves its pages between memory nodes.
const LAST_CHECKS: Duration = Duration::from_secs(60);
/// A run of so many seconds must have seen everything at least once.
const ENOUGH: u64 = 5;
/// A run that waits for that, or for the kernel to kill a process for want of memory, takes so many
/// times as long at most, and no more than so many seconds longer: on a busy machine little happens
/// in a second.
const LONGEST: u64 = 10;
const LONGER: u64 = 300;

/// The arguments of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The device.
    pub device: PathBuf,
    /// How long to run.
    pub secs: u64,
    /// Busy processes.
    pub processes: u32,
    /// Threads of each.
    pub threads: u32,
    /// The kind of mapping.
    pub mode: Mode,
    /// What the processes do is random, but the same for the same seed. When they do it is not.
    pub seed: u64,
    /// Whether a process uses up the memory of the machine, again and again.
    pub oom: bool,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            secs,
            processes,
            threads,
            mode,
            seed,
            oom,
            ..
        } = self;
        write!(
            f,
            "secs={secs} processes={processes} threads={threads} mode={mode} seed={seed}{}",
            if *oom { " oom" } else { "" }
        )
    }
}

/// Runs. Returns whether nothing was wrong.
pub fn run(settings: &Settings, debugfs: &Debugfs) -> Result<bool> {
    let device = Device::open(&settings.device)?;
    // The kernel is asked to unload the module: it must be the one that is in use.
    device.check()?;
    device.set_mode(settings.mode)?;
    let board = &*Shared::<Board>::new()?;
    out!("stress: {settings}")?;
    let family = Family::new(|| {
        if let Err(error) = nursery::tend(settings, board, &device) {
            note!("rmapctl: stress: {error:#}");
        }
    })?;
    let observers = Observers::new(&device, debugfs, board, family.group(), settings.oom);
    let started = Instant::now();
    let mut wrong = thread::scope(|scope| {
        let start = |work: fn(&Observers<'_>)| {
            let observers = &observers;
            let thread = Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, move || work(observers));
            thread.map(drop).context("a thread of an observer")
        };
        let wrong = start(|observers| observers.check())
            .and_then(|()| start(|observers| observers.read()))
            .and_then(|()| start(|observers| observers.check_host()))
            .and_then(|()| start(|observers| observers.unload()))
            .map(|()| watch(settings, board, &observers, &family, started));
        board.stop.store(true, Relaxed);
        observers.stop.store(true, Relaxed);
        wrong
    })?;
    let secs = started.elapsed().as_secs_f64();
    drop(family);
    // Nothing runs any more: the last check sees what is left.
    let last = last_check(&observers);
    let found = observers.wrong();
    wrong = wrong.or_else(|| bad_visit(board)).or_else(|| match last {
        None => Some("the last check has not come through".to_owned()),
        Some(check) if check.vmas > 0 => Some(format!("VMAs are left at the end: {check}")),
        Some(_) => None,
    });
    if !interrupted() {
        wrong = wrong.or_else(|| still_missing(settings, board, &observers));
    }
    out!("stress: {}", observers.summary(board, secs))?;
    let Some((wrong, compare)) = found.or(wrong.map(|wrong| (wrong, Vec::new()))) else {
        ensure!(!interrupted(), "interrupted");
        return Ok(true);
    };
    out!("stress: FAILED: {wrong}\nthe last operations:")?;
    let events = board.last_events();
    for event in events.iter().skip(events.len().saturating_sub(SHOWN)) {
        out!("  {event}")?;
    }
    for line in compare.iter().take(SHOWN) {
        out!("{line}")?;
    }
    // The end of a long output is what is looked at first.
    out!("stress: FAILED: {wrong}")?;
    Ok(false)
}

/// Returns the first check that finds no VMA, or the last one that has come through.
fn last_check(observers: &Observers<'_>) -> Option<Check> {
    let (begin, mut last) = (Instant::now(), None);
    loop {
        last = observers.check_once().or(last);
        let done = last.is_some_and(|check| check.vmas == 0);
        if done || interrupted() || begin.elapsed() > LAST_CHECKS {
            return last;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Returns what has not happened yet, and must have happened at the end.
fn still_missing(settings: &Settings, board: &Board, observers: &Observers<'_>) -> Option<String> {
    if settings.oom && board.ooms.load(Relaxed) == 0 {
        return Some("no process was killed for want of memory".to_owned());
    }
    // A short run may end before everything has happened once.
    if settings.secs < ENOUGH {
        return None;
    }
    observers.idle().or_else(|| {
        let idle = board.operations.load(Relaxed) == 0 || board.kills.load(Relaxed) == 0;
        idle.then(|| "the busy processes did nothing, or none was killed".to_owned())
    })
}

/// Returns what a process that has opened the device itself has found.
fn bad_visit(board: &Board) -> Option<String> {
    let bad = board.bad_visits.load(Relaxed) > 0;
    bad.then(|| "the check of another open file has failed or found something".to_owned())
}

/// Prints progress until the time is over, or something is wrong. Returns what the observers do not
/// see.
fn watch(
    settings: &Settings,
    board: &Board,
    observers: &Observers<'_>,
    family: &Family,
    started: Instant,
) -> Option<String> {
    let mut next = PROGRESS;
    let over = || {
        let elapsed = started.elapsed().as_secs();
        let most = (settings.secs * LONGEST).min(settings.secs + LONGER);
        elapsed >= settings.secs
            && (elapsed >= most || still_missing(settings, board, observers).is_none())
    };
    while !over() && !interrupted() {
        thread::sleep(Duration::from_millis(20));
        if observers.wrong().is_some() {
            return None;
        }
        if let Some(bad) = bad_visit(board) {
            return Some(bad);
        }
        if family.has_ended() {
            return Some("the busy processes have ended".to_owned());
        }
        if started.elapsed() >= next {
            next += PROGRESS;
            note!(
                "stress: {}",
                observers.summary(board, started.elapsed().as_secs_f64())
            );
        }
    }
    None
}
