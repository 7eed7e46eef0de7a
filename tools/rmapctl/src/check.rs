// SPDX-License-Identifier: GPL-2.0

//! `rmapctl check`.

use crate::cli::CheckArgs;
use crate::kernel::{self, Debugfs, HostCheck, Rule, Target};
use crate::output::{self, note};
use crate::read_file;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit status if the host could not be checked. A check that finds a violation has 1.
const NOT_CHECKED: u8 = 2;

/// Checks the shadow. Returns whether there are no differences, violations and untracked VMAs.
pub fn shadow(args: &CheckArgs) -> Result<bool> {
    let debugfs = Debugfs::new(&args.debugfs.debugfs);
    let compare = match &args.compare_file {
        Some(path) => read_file(path)?,
        None => debugfs.read("compare")?,
    };
    let counts = kernel::compare_counts(&compare)?;
    let mut said = String::new();
    for line in kernel::complaints(&compare) {
        let _ = writeln!(said, "{line}");
    }
    output::offer(format!("{said}{}\n", kernel::last_line(&compare)))?;
    let mut violations = counts.violations;
    if args.compare_file.is_none() {
        let rules = debugfs.read("rules")?;
        // No rule counts a violation of the structure.
        let structure = debugfs.stat("structure_violations")?;
        // `compare` tells of its own reading, the other files of all since the module was loaded.
        violations = violations.max(since_load(&rules, structure)?);
    }
    Ok(counts.untracked == 0 && counts.differences == 0 && violations == 0)
}

/// Prints the sums of `rules` and the violations of the structure. Returns all violations.
fn since_load(rules: &str, structure: u64) -> Result<u64> {
    let rules = kernel::parse_rules(rules)?;
    let mut said = String::new();
    for rule in rules.iter().filter(|rule| rule.violations > 0) {
        let Rule {
            id,
            title,
            violations,
            ..
        } = rule;
        let _ = writeln!(said, "{id} {title}: violations={violations}");
    }
    let sum = |number: fn(&Rule<'_>) -> u64| rules.iter().map(number).sum::<u64>();
    let of_rules = sum(|rule| rule.violations);
    let _ = writeln!(
        said,
        "rules: steps={} checks={} violations={of_rules}\nstructure: violations={structure}",
        sum(|rule| rule.steps),
        sum(|rule| rule.checks)
    );
    output::offer(said)?;
    Ok(of_rules + structure)
}

/// Checks the host's own structures, and prints what the module says. Returns the exit status.
pub fn host(args: &CheckArgs, target: Target) -> ExitCode {
    match checked(args, target) {
        Ok(check) if check.violations == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            note!("rmapctl: check of {target}: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

fn checked(args: &CheckArgs, target: Target) -> Result<HostCheck> {
    let text = Debugfs::new(&args.debugfs.debugfs).read_host(target, "check")?;
    let check = kernel::host_check(&text)?;
    output::offer(&text)?;
    if check.mms == 0 {
        bail!("no address space was checked");
    }
    Ok(check)
}
