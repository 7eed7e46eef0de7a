// SPDX-License-Identifier: GPL-2.0

//! Threads: the pages on which one works belong to it until `wait`.

use super::{Model, Run};
use crate::scenario::{Step, Target};

/// A command that a thread executes.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    process: String,
    mapping: String,
    runs: Vec<Run>,
    /// The command unmaps pages, so that their addresses become free at any time.
    unmaps: bool,
    /// The command changes the contents of pages only, not the VMAs.
    touches: bool,
}

impl Model {
    /// Applies `command`, and notes that `thread` executes it.
    pub(super) fn start_thread(&mut self, thread: &str, command: &Step) -> Result<(), String> {
        if self.threads.contains_key(thread) {
            return Err(format!("there is already a thread `{thread}`"));
        }
        let target = command.target().ok_or("a thread works on pages")?;
        let Target {
            process, mapping, ..
        } = target;
        let runs = self.runs(target)?;
        if runs.len() > crate::worker::MAX_RUNS {
            let most = crate::worker::MAX_RUNS;
            return Err(format!("a thread executes at most {most} calls"));
        }
        self.apply(command)?;
        let thread_of = Thread {
            process: process.clone(),
            mapping: mapping.clone(),
            runs,
            unmaps: matches!(command, Step::Unmap { .. }),
            touches: matches!(command, Step::Touch { .. }),
        };
        self.threads.insert(thread.to_owned(), thread_of);
        Ok(())
    }

    /// Forgets threads that have ended.
    pub(super) fn end_threads(&mut self, threads: &[String]) -> Result<(), String> {
        for thread in self.threads_named(threads)? {
            self.threads.remove(&thread);
        }
        Ok(())
    }

    /// Returns the threads of `wait`: those that it names, or all.
    pub fn threads_named(&self, names: &[String]) -> Result<Vec<String>, String> {
        if names.is_empty() {
            return match self.threads.is_empty() {
                true => Err("no thread runs".to_owned()),
                false => Ok(self.threads.keys().cloned().collect()),
            };
        }
        match names.iter().find(|name| !self.threads.contains_key(*name)) {
            Some(name) => Err(format!("no thread `{name}` runs")),
            None => Ok(names.to_vec()),
        }
    }

    /// Returns the process of a thread that runs.
    pub fn process_of_thread(&self, thread: &str) -> Option<&str> {
        self.threads.get(thread).map(|t| t.process.as_str())
    }

    /// Returns whether a thread runs in another process than `process`.
    pub fn threads_elsewhere(&self, process: &str) -> bool {
        self.threads.values().any(|t| t.process != process)
    }

    /// Fails if a thread has not been waited for at the end of a scenario.
    pub fn all_waited_for(&self) -> Result<(), String> {
        match self.threads.keys().next() {
            Some(name) => Err(format!("thread `{name}` is never waited for")),
            None => Ok(()),
        }
    }

    fn refuse(&self, what: &str, running: impl Fn(&Thread) -> bool) -> Result<(), String> {
        match self.threads.iter().find(|(_, thread)| running(thread)) {
            Some((name, _)) => Err(format!("{what} thread `{name}`: `wait {name}` first")),
            None => Ok(()),
        }
    }

    /// Fails if a thread works on one of these pages.
    pub(super) fn no_thread_at(
        &self,
        process: &str,
        map: &str,
        runs: &[Run],
    ) -> Result<(), String> {
        let overlap = |a: &Run, b: &Run| a.first < b.first + b.count && b.first < a.first + a.count;
        self.refuse("these pages may be in use by", |thread| {
            (thread.process.as_str(), thread.mapping.as_str()) == (process, map)
                && thread
                    .runs
                    .iter()
                    .any(|a| runs.iter().any(|b| overlap(a, b)))
        })
    }

    /// Fails if a thread runs in `process`, which is about to end or to be replaced.
    pub(super) fn no_thread_in(&self, process: &str) -> Result<(), String> {
        self.refuse("the process has", |thread| thread.process == process)
    }

    /// Fails if a thread of `process` unmaps pages, whose addresses a new mapping might take.
    pub(super) fn no_unmapping_in(&self, process: &str) -> Result<(), String> {
        self.refuse("addresses may be released by", |thread| {
            thread.process == process && thread.unmaps
        })
    }

    /// Fails if a thread of `process` changes VMAs, so that it is open which ones a child gets.
    /// Pages that a thread touches have an unknown content in the child.
    pub(super) fn forkable(&self, process: &str) -> Result<Vec<(String, Run)>, String> {
        self.refuse("the VMAs may be changed by", |thread| {
            thread.process == process && !thread.touches
        })?;
        let of_process = self.threads.values().filter(|t| t.process == process);
        Ok(of_process
            .flat_map(|t| t.runs.iter().map(|run| (t.mapping.clone(), *run)))
            .collect())
    }
}
