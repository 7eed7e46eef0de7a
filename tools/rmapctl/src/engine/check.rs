// SPDX-License-Identifier: GPL-2.0

//! Checks, and their output.

use super::Engine;
use crate::kernel::{self, Events, Numbers};
use crate::output::{note, out};
use crate::scenario::{Comparison, Condition, Field, Value};
use anyhow::{Result, bail};

impl Engine<'_> {
    /// Makes a check. `conditions` replace the default conditions on the same fields; `aloud`
    /// prints the numbers even if all conditions hold.
    pub(super) fn check(&mut self, conditions: &[Condition], aloud: bool) -> Result<()> {
        if self.options.no_check {
            return Ok(());
        }
        let check = self.device.check()?;
        self.counts.checks += 1;
        let numbers = Numbers {
            check,
            events: self.new_events()?,
        };
        self.last_check = Some(numbers);
        let worst = &mut self.counts.worst;
        worst.untracked = worst.untracked.max(check.untracked);
        worst.violations = worst.violations.max(check.violations);
        worst.differences = worst.differences.max(check.differences);
        let mut all = conditions.to_vec();
        for field in [Field::Untracked, Field::Violations, Field::Differences] {
            if !conditions.iter().any(|c| c.field == field) {
                all.push(Condition {
                    field,
                    comparison: Comparison::Equal,
                    value: Value::Number(0),
                });
            }
        }
        let unmet = numbers.unmet(&all);
        if unmet.is_some() {
            // A failure is printed even with --quiet.
            out!("{check}")?;
        } else if aloud {
            self.say(&check.to_string())?;
        }
        if check.differences + check.violations > 0 && (aloud || unmet.is_some()) {
            match self.debugfs.read("compare") {
                Ok(text) => print_some(&kernel::complaints(&text))?,
                Err(error) => note!("{error:#}"),
            }
        }
        if check.violations > 0 && (aloud || unmet.is_some()) {
            match self.debugfs.read("rules") {
                Ok(text) => print_broken(&text)?,
                Err(error) => note!("{error:#}"),
            }
        }
        match unmet {
            Some(unmet) if conditions.is_empty() => {
                bail!("check: {unmet}; Documentation/differences.rst says what to do next")
            }
            Some(unmet) => bail!("check: {unmet}"),
            None => Ok(()),
        }
    }

    /// Returns what the module has counted since the last call, if the scenario asks for it.
    pub(super) fn new_events(&mut self) -> Result<Events> {
        if !self.needs.events || self.options.no_check {
            return Ok(Events::default());
        }
        let events = kernel::parse_events(&self.debugfs.read("stats")?)?;
        let before = std::mem::replace(&mut self.events, events);
        Ok(events.since(before))
    }
}

fn print_broken(rules: &str) -> Result<()> {
    for rule in kernel::parse_rules(rules)? {
        if rule.violations > 0 {
            out!(
                "  {} {}: violations={}",
                rule.id,
                rule.title,
                rule.violations
            )?;
        }
    }
    Ok(())
}

fn print_some(lines: &[&str]) -> Result<()> {
    const MOST: usize = 40;
    for line in lines.iter().take(MOST) {
        out!("  {line}")?;
    }
    if lines.len() > MOST {
        out!("  ... and {} lines more", lines.len() - MOST)?;
    }
    Ok(())
}
