// SPDX-License-Identifier: GPL-2.0

//! Schedules as files.
//!
//! A line is `key: value`. `tasks` are the choices of the scheduler from the first to the last, by
//! the numbers of the tasks: 0 is the one that sets the scenario up, the others are numbered in the
//! order in which they are started. `3x5` is task 3, five times.

use crate::{record::Record, report::Search, schedulers::grain_name};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// Writes the schedule of a report.
pub(crate) fn write(
    path: &str,
    search: &Search,
    record: &Record,
    oracle: &str,
    rule: &str,
    words: &str,
) -> std::io::Result<()> {
    let mut text = String::new();
    let lines = [
        ("bug", search.bust.name),
        ("scenario", search.scenario),
        ("protocol", search.protocol),
        ("points", grain_name(search.grain)),
        ("found by", &search.scheduler),
        ("oracle", oracle),
        ("rule", rule),
        ("words", words),
    ];
    for (key, value) in lines {
        let _ = writeln!(text, "{key}: {}", value.replace('\n', " "));
    }
    let _ = writeln!(text, "preemptions: {}", record.preemptions);
    let _ = writeln!(text, "seed: {}", record.seed);
    let _ = writeln!(text, "tasks: {}", pack(&record.choices));
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Writes choices in short.
fn pack(choices: &[u8]) -> String {
    let runs = choices.chunk_by(|a, b| a == b);
    let runs: Vec<String> = runs
        .map(|run| match run.len() {
            1 => run[0].to_string(),
            many => format!("{}x{many}", run[0]),
        })
        .collect();
    runs.join(" ")
}

/// Reads them again.
fn unpack(text: &str) -> Option<Vec<u8>> {
    let mut choices = Vec::new();
    for run in text.split_whitespace() {
        let (task, many) = run.split_once('x').unwrap_or((run, "1"));
        let many = many
            .parse()
            .ok()
            .filter(|many| (1..=1 << 20).contains(many))?;
        choices.extend(std::iter::repeat_n(task.parse::<u8>().ok()?, many));
    }
    Some(choices)
}

/// A schedule that was read from a file.
pub(crate) struct Saved {
    values: BTreeMap<String, String>,
    pub(crate) seed: u64,
    pub(crate) choices: Vec<u8>,
}

impl Saved {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Words about what is wrong with it.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let (key, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("{path}:{}: not `key: value`", number + 1))?;
            values.insert(key.to_owned(), value.to_owned());
        }
        let mut saved = Self {
            values,
            seed: 0,
            choices: Vec::new(),
        };
        let seed = saved.value(path, "seed")?.parse();
        saved.seed = seed.map_err(|_| format!("{path}: the seed is no number"))?;
        saved.choices = unpack(saved.value(path, "tasks")?)
            .ok_or_else(|| format!("{path}: the tasks are not `3x5 1 2 ...`"))?;
        Ok(saved)
    }

    /// Returns a value.
    ///
    /// # Errors
    ///
    /// Words if there is none.
    pub(crate) fn value(&self, path: &str, key: &str) -> Result<&str, String> {
        let value = self.values.get(key).map(String::as_str);
        value.ok_or_else(|| format!("{path}: no line `{key}: ...`"))
    }
}
