// SPDX-License-Identifier: GPL-2.0

//! The files of the module in debugfs.

use super::{Check, Events};
use crate::scenario::Field;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The module's folder in debugfs.
#[derive(Debug, Clone)]
pub struct Debugfs {
    root: PathBuf,
}

impl Debugfs {
    /// Names the folder `root`, which need not exist.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Returns whether the folder exists.
    pub fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// Returns the path of a file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        self.try_read(name)
            .map_err(|error| self.explain(&path, &error))
    }

    /// Reads a file; the error is the kernel's.
    pub fn try_read(&self, name: &str) -> std::io::Result<String> {
        fs::read_to_string(self.path(name))
    }

    /// Returns the number `key` of the file `stats`.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read); there is no such number.
    pub fn stat(&self, key: &str) -> Result<u64> {
        stat(&self.read("stats")?, key)
    }

    /// Adds what to do about it to an error.
    pub(super) fn explain(&self, path: &Path, error: &std::io::Error) -> anyhow::Error {
        let hint = match error.kind() {
            ErrorKind::NotFound if !self.exists() => {
                " (load the module: insmod shadow_rmap.ko; \
                 mount debugfs: mount -t debugfs none /sys/kernel/debug)"
            }
            ErrorKind::PermissionDenied => " (run rmapctl as root)",
            _ => "",
        };
        anyhow::anyhow!("{}: {error}{hint}", path.display())
    }
}

/// Returns the last line that is not empty.
pub fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
}

/// Returns the lines of `compare`, without the last and without those that end with `: same`.
pub fn complaints(compare: &str) -> Vec<&str> {
    let last = last_line(compare);
    compare
        .lines()
        .filter(|line| *line != last && !line.trim().is_empty() && !line.ends_with(": same"))
        .collect()
}

/// Returns the numbers of the last line of `compare`.
///
/// Of violations, the larger number counts: that of the last line, or of their lines.
///
/// # Errors
///
/// The line does not begin with `compare:`, or lacks a number.
pub fn compare_counts(compare: &str) -> Result<Check> {
    let get = |field: Field| number(compare, field.name());
    Ok(Check {
        vmas: get(Field::Vmas)?,
        anon_vmas: get(Field::AnonVmas)?,
        chains: get(Field::Chains)?,
        pages: get(Field::Pages)?,
        untracked: get(Field::Untracked)?,
        violations: lines_of_violations(compare).max(get(Field::Violations)?),
        differences: get(Field::Differences)?,
    })
}

/// Returns the number of events with two permitted outcomes, from the last line of `compare`.
///
/// # Errors
///
/// As [`compare_counts`].
pub fn ambiguous(compare: &str) -> Result<u64> {
    number(compare, "ambiguous")
}

/// Returns the number `name` of the last line of `compare`.
fn number(compare: &str, name: &str) -> Result<u64> {
    let last = last_line(compare);
    last.strip_prefix("compare:")
        .with_context(|| format!("the last line of compare is `{last}`"))?
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .and_then(|value| value.parse().ok())
        .with_context(|| format!("the last line of compare has no {name}=N: `{last}`"))
}

/// Counts the violations that `compare` lists.
fn lines_of_violations(compare: &str) -> u64 {
    let lines = compare.lines();
    lines
        .filter(|line| line.starts_with("violation of "))
        .count() as u64
}

/// Returns the number `key` of the text of `stats`.
///
/// # Errors
///
/// There is no line `key: N`.
pub fn stat(stats: &str, key: &str) -> Result<u64> {
    stats
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("the debugfs file `stats` has no line `{key}: N`"))
}

/// Returns the callbacks of the host that `stats` counts.
///
/// # Errors
///
/// `stats` lacks one of the counters.
pub fn parse_events(stats: &str) -> Result<Events> {
    let get = |key| stat(stats, key);
    Ok(Events {
        opens: get("events_fork")? + get("events_split")? + get("events_move")?,
        closes: get("events_close")?,
    })
}

/// A line of `rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<'a> {
    /// `R12`.
    pub id: &'a str,
    /// The title of the rule.
    pub title: &'a str,
    /// How often the engine did what the rule demands.
    pub steps: u64,
    /// How often an independent look asked whether the rule held.
    pub checks: u64,
    /// How often it did not hold.
    pub violations: u64,
}

/// Parses `rules`.
///
/// # Errors
///
/// A line is not `R12 <title> steps=N checks=N violations=N`, or there is none.
pub fn parse_rules(text: &str) -> Result<Vec<Rule<'_>>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let rules: Vec<_> = lines
        .map(|line| {
            parse_rule(line).with_context(|| {
                format!(
                    "the debugfs file `rules` has the line `{line}`, which is not \
                     `R<number> <title> steps=N checks=N violations=N`"
                )
            })
        })
        .collect::<Result<_>>()?;
    ensure!(!rules.is_empty(), "the debugfs file `rules` is empty");
    Ok(rules)
}

fn parse_rule(line: &str) -> Option<Rule<'_>> {
    let (id, rest) = line.trim().split_once(' ')?;
    id.strip_prefix('R')?.parse::<u32>().ok()?;
    let (rest, violations) = rest.rsplit_once("violations=")?;
    let (rest, checks) = rest.rsplit_once("checks=")?;
    let (title, steps) = rest.rsplit_once("steps=")?;
    Some(Rule {
        id,
        title: title.trim(),
        steps: steps.trim().parse().ok()?,
        checks: checks.trim().parse().ok()?,
        violations: violations.trim().parse().ok()?,
    })
}

/// Lists the rules that were exercised, several on a line.
///
/// # Errors
///
/// As [`parse_rules`].
pub fn compact_rules(text: &str) -> Result<String> {
    const WIDTH: usize = 78;
    let mut out = String::new();
    let mut column = 0;
    for rule in parse_rules(text)?
        .iter()
        .filter(|rule| rule.steps + rule.checks + rule.violations > 0)
    {
        let word = match rule.violations {
            0 => format!("{} checks={}", rule.id, rule.checks),
            n => format!("{} checks={} violations={n}", rule.id, rule.checks),
        };
        if column > 0 && column + 3 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push_str("   ");
            column += 3;
        }
        column += word.len();
        out.push_str(&word);
    }
    Ok(match out.is_empty() {
        true => "no rule has been exercised yet".to_owned(),
        false => out,
    })
}
