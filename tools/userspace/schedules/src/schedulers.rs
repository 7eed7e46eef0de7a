// SPDX-License-Identifier: GPL-2.0

//! The schedulers: shuttle's own, and one that does as a file says.

use crate::report;
use kernel::mock::schedule::Grain;
use shuttle::scheduler::{
    DfsScheduler, PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId,
};

/// All grains, by name.
const GRAINS: [(Grain, &str); 3] = [
    (Grain::Window, "windows"),
    (Grain::Call, "calls"),
    (Grain::Access, "accesses"),
];

/// Returns the name of a grain.
pub(crate) fn grain_name(grain: Grain) -> &'static str {
    let found = GRAINS.iter().find(|(other, _)| *other == grain);
    found.map_or("?", |(_, name)| name)
}

/// Returns the grain of a name.
pub(crate) fn grain(name: &str) -> Option<Grain> {
    let found = GRAINS.iter().find(|(_, other)| *other == name);
    found.map(|(grain, _)| *grain)
}

/// A way to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Each choice at random.
    Random,
    /// By priorities, for bugs of this depth.
    Pct(usize),
    /// All schedules that differ at points of this grain and coarser ones.
    DepthFirst(Grain),
}

impl How {
    /// Reads `random`, `pct:DEPTH`, `dfs:windows`, `dfs:calls` or `dfs:accesses`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "random" => Some(Self::Random),
            Some(("dfs", finest)) => grain(finest).map(Self::DepthFirst),
            Some(("pct", depth)) => {
                let depth = depth
                    .parse()
                    .ok()
                    .filter(|depth| (1..=16).contains(depth))?;
                Some(Self::Pct(depth))
            }
            _ => None,
        }
    }

    /// Makes the scheduler, for so many schedules at most.
    pub(crate) fn scheduler(self, seed: u64, most: usize) -> Box<dyn Scheduler + Send> {
        match self {
            Self::Random => Box::new(RandomScheduler::new_from_seed(seed, most)),
            Self::Pct(depth) => Box::new(PctScheduler::new_from_seed(seed, depth, most)),
            Self::DepthFirst(_) => Box::new(Fair(DfsScheduler::new(Some(most), false))),
        }
    }

    /// Returns the finest points at which it switches.
    pub(crate) fn grain(self) -> Grain {
        match self {
            Self::DepthFirst(grain) => grain,
            Self::Random | Self::Pct(_) => Grain::Access,
        }
    }
}

/// Chooses another task where the running one yields, if there is one.
///
/// A thread yields in a loop that waits for another thread. Without this, there would be a schedule
/// for each number of rounds of that loop, and all of them do the same.
struct Fair(DfsScheduler);

impl Scheduler for Fair {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.0.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let others: Vec<&Task> = runnable
            .iter()
            .copied()
            .filter(|task| !is_yielding || Some(task.id()) != current)
            .collect();
        let tasks = if others.is_empty() { runnable } else { &others };
        self.0.next_task(tasks, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Chooses the tasks of a file.
pub(crate) struct Replay {
    seed: u64,
    choices: Vec<u8>,
    next: usize,
    begun: bool,
}

impl Replay {
    pub(crate) fn new(seed: u64, choices: Vec<u8>) -> Self {
        Self {
            seed,
            choices,
            next: 0,
            begun: false,
        }
    }
}

impl Scheduler for Replay {
    fn new_execution(&mut self) -> Option<Schedule> {
        let first = !std::mem::replace(&mut self.begun, true);
        first.then(|| Schedule::new(self.seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        _current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let Some(choice) = self.choices.get(self.next) else {
            // The file ends where the report was.
            println!("{{\"how\": \"no report\", \"steps\": {}}}", self.next);
            std::process::exit(0);
        };
        self.next += 1;
        let task = runnable
            .iter()
            .find(|task| usize::from(task.id()) == usize::from(*choice));
        let Some(task) = task else {
            println!("{{\"how\": \"does not fit\", \"steps\": {}}}", self.next);
            std::process::exit(0);
        };
        Some(task.id())
    }

    fn next_u64(&mut self) -> u64 {
        report::end(None, None, "the schedule has no random numbers")
    }
}
