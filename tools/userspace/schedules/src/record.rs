// SPDX-License-Identifier: GPL-2.0

//! The choices of an execution, and the numbers of a search.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What is known of a search so far.
pub(crate) struct Record {
    /// Executions that were begun.
    pub(crate) schedules: usize,
    /// The seed of the present execution, for the choices of the slab allocator.
    pub(crate) seed: u64,
    /// The tasks that were chosen in the present execution, in order.
    pub(crate) choices: Vec<u8>,
    /// How often, of these, another task was chosen although the running one could have gone on.
    pub(crate) preemptions: usize,
    /// Choices between two tasks or more, in the present execution.
    decisions: usize,
    /// The most of those in one execution: `k` of PCT.
    pub(crate) most_decisions: usize,
    /// Whether the scheduler has no more schedules: all have been tried.
    pub(crate) complete: bool,
    /// The most tasks of one execution: `n` of PCT.
    pub(crate) most_tasks: usize,
}

static RECORD: Mutex<Record> = Mutex::new(Record {
    schedules: 0,
    seed: 0,
    choices: Vec::new(),
    preemptions: 0,
    decisions: 0,
    most_decisions: 0,
    complete: false,
    most_tasks: 0,
});

/// Returns the record of this process. It is not held while the engine runs.
pub(crate) fn record() -> MutexGuard<'static, Record> {
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A scheduler whose choices are recorded, and which begins no execution after `end`.
pub(crate) struct Recorded<S> {
    inner: S,
    /// The scheduler ends after so many executions by itself.
    most: usize,
    end: Instant,
}

impl<S: Scheduler> Recorded<S> {
    /// Records the choices of `inner`, which makes at most `most` schedules, for `time` at most.
    pub(crate) fn new(inner: S, most: usize, time: Duration) -> Self {
        Self {
            inner,
            most,
            end: Instant::now() + time,
        }
    }
}

impl<S: Scheduler> Scheduler for Recorded<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        if Instant::now() > self.end {
            return None;
        }
        let schedule = self.inner.new_execution();
        let mut record = record();
        let Some(schedule) = schedule else {
            record.complete = record.schedules < self.most;
            return None;
        };
        record.schedules += 1;
        record.seed = schedule.seed;
        record.choices.clear();
        record.preemptions = 0;
        record.decisions = 0;
        Some(schedule)
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let next = self.inner.next_task(runnable, current, is_yielding)?;
        let could_go_on =
            current.filter(|current| runnable.iter().any(|task| task.id() == *current));
        let mut record = record();
        let number = usize::from(next);
        record.choices.push(u8::try_from(number).unwrap_or(u8::MAX));
        record.preemptions += usize::from(!is_yielding && could_go_on.is_some_and(|it| it != next));
        record.decisions += usize::from(runnable.len() > 1);
        record.most_decisions = record.most_decisions.max(record.decisions);
        record.most_tasks = record.most_tasks.max(number + 1);
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}
