// SPDX-License-Identifier: GPL-2.0

//! The lines of each view, from the text of the module's files.

use crate::graph::Graph;
use crate::kernel::{self, Rule};
use crate::show;
use crate::top::{self, Sort};
use anyhow::Result;

/// How a line is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it is.
    Plain,
    /// A number in it has changed since the last reading.
    Changed,
    /// It tells of a violation, a difference, or another fault.
    Bad,
}

/// A line of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// How it is shown.
    pub mark: Mark,
}

impl Line {
    fn new(text: impl Into<String>, mark: Mark) -> Self {
        Self {
            text: text.into(),
            mark,
        }
    }
}

/// What a view shows: a heading that stays in its place, and lines that can be scrolled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The heading.
    pub heading: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// Shows the chains in `json`.
///
/// # Errors
///
/// It is not a valid graph.
pub fn chains(json: &str) -> Result<View> {
    let graph = Graph::parse(json)?;
    let lines = show::text(&graph, true)
        .lines()
        .map(|line| match line.starts_with("note: ") {
            true => Line::new(line, Mark::Bad),
            false => Line::new(line, Mark::Plain),
        })
        .collect();
    Ok(View {
        heading: Vec::new(),
        lines,
    })
}

/// Shows the families in `json`; `stats` has the sizes of the structures.
///
/// # Errors
///
/// `json` is not a valid graph, or `stats` lacks the sizes.
pub fn families(json: &str, stats: &str, sort: Sort) -> Result<View> {
    let table = top::table(&Graph::parse(json)?, top::sizes(stats)?, sort);
    let lines = table.lines.into_iter();
    Ok(View {
        heading: vec![table.totals, table.heading.to_owned()],
        lines: lines.map(|line| Line::new(line, Mark::Plain)).collect(),
    })
}

/// Shows `rules`; `before` is its text at the last reading.
///
/// # Errors
///
/// A line of either cannot be parsed.
pub fn rules(rules: &str, before: Option<&str>) -> Result<View> {
    let old = before.map_or_else(|| Ok(Vec::new()), kernel::parse_rules)?;
    let line = |rule: &Rule<'_>| {
        let old = old.iter().find(|old| old.id == rule.id);
        let steps = rule
            .steps
            .saturating_sub(old.map_or(rule.steps, |old| old.steps));
        let checks = rule
            .checks
            .saturating_sub(old.map_or(rule.checks, |old| old.checks));
        let mark = match (rule.violations, steps + checks) {
            (0, 0) => Mark::Plain,
            (0, _) => Mark::Changed,
            _ => Mark::Bad,
        };
        let title: String = rule.title.chars().take(28).collect();
        let text = format!(
            "{:3} {title:28}{:>11}{:>8}{:>10}{:>8}{:>11}",
            rule.id,
            rule.steps,
            plus(steps),
            rule.checks,
            plus(checks),
            rule.violations
        );
        Line::new(text, mark)
    };
    Ok(View {
        heading: vec![format!(
            "{:32}{:>11}{:>8}{:>10}{:>8}{:>11}",
            "RULE", "STEPS", "NEW", "CHECKS", "NEW", "VIOLATIONS"
        )],
        lines: kernel::parse_rules(rules)?.iter().map(line).collect(),
    })
}

/// Shows `stats`; `before` is its text at the last reading.
pub fn counters(stats: &str, before: Option<&str>) -> View {
    let line = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        let old = before.and_then(|before| kernel::stat(before, key).ok());
        let change = match (value.parse::<i128>(), old) {
            (Ok(value), Some(old)) => value - i128::from(old),
            _ => 0,
        };
        let (mark, change) = match change {
            0 => (Mark::Plain, String::new()),
            change => (Mark::Changed, format!("{change:+}")),
        };
        let text = format!("{key:34}{value:>16}{change:>14}");
        Some(Line::new(text.trim_end(), mark))
    };
    View {
        heading: vec![format!("{:34}{:>16}{:>14}", "COUNTER", "VALUE", "CHANGE")],
        lines: stats.lines().filter_map(line).collect(),
    }
}

/// Shows what `compare` complains about.
///
/// # Errors
///
/// Its last line lacks a number.
pub fn differences(compare: &str) -> Result<View> {
    let complaints = kernel::complaints(compare).into_iter();
    let mut lines: Vec<_> = complaints.map(|line| Line::new(line, Mark::Bad)).collect();
    let counts = kernel::compare_counts(compare)?;
    if (counts.differences, counts.violations) != (0, 0) {
        lines.push(Line::new(kernel::last_line(compare), Mark::Bad));
    } else if lines.is_empty() {
        lines.push(Line::new("shadow and host are the same", Mark::Plain));
    }
    Ok(View {
        heading: vec![kernel::last_line(compare).to_owned()],
        lines,
    })
}

/// Sums up `rules` and `stats` in one line.
///
/// # Errors
///
/// A line of `rules` cannot be parsed, or `stats` lacks the violations of the structure.
pub fn summary(rules: &str, stats: &str) -> Result<Line> {
    let rules = kernel::parse_rules(rules)?;
    let sum = |f: fn(&Rule<'_>) -> u64| rules.iter().map(f).sum::<u64>();
    let structure = kernel::stat(stats, "structure_violations")?;
    let violations = sum(|rule| rule.violations) + structure;
    let mut text = format!(
        "steps={} checks={} violations={violations}  live:",
        sum(|rule| rule.steps),
        sum(|rule| rule.checks)
    );
    for name in ["anon_vmas", "chains", "pages"] {
        match kernel::stat(stats, &format!("live_{name}")) {
            Ok(number) => text.push_str(&format!(" {name}={number}")),
            Err(_) => text.push_str(&format!(" {name}=?")),
        }
    }
    let mark = match violations {
        0 => Mark::Plain,
        _ => Mark::Bad,
    };
    Ok(Line::new(text, mark))
}

fn plus(change: u64) -> String {
    match change {
        0 => String::new(),
        change => format!("+{change}"),
    }
}
