// SPDX-License-Identifier: GPL-2.0

//! `rmapctl check`.

use crate::cli::CheckArgs;
use crate::kernel::{self, Debugfs, HostCheck, Target};
use crate::read_file;
use anyhow::{Result, bail};
use std::io::Write;
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
    for line in kernel::complaints(&compare) {
        println!("{line}");
    }
    println!("{}", kernel::last_line(&compare));
    let mut violations = counts.violations;
    if args.compare_file.is_none() {
        let text = debugfs.read("rules")?;
        let rules = kernel::parse_rules(&text)?;
        for rule in rules.iter().filter(|rule| rule.violations > 0) {
            println!("{} {}: violations={}", rule.id, rule.title, rule.violations);
        }
        let of_rules: u64 = rules.iter().map(|rule| rule.violations).sum();
        let steps: u64 = rules.iter().map(|rule| rule.steps).sum();
        let checks: u64 = rules.iter().map(|rule| rule.checks).sum();
        println!("rules: steps={steps} checks={checks} violations={of_rules}");
        // No rule counts a violation of the structure.
        let structure = debugfs.stat("structure_violations")?;
        println!("structure: violations={structure}");
        // `compare` tells of its own reading, the other files of all since the module was loaded.
        violations = violations.max(of_rules + structure);
    }
    Ok(counts.untracked == 0 && counts.differences == 0 && violations == 0)
}

/// Checks the host's own structures, and prints what the module says. Returns the exit status.
pub fn host(args: &CheckArgs, target: Target) -> ExitCode {
    match checked(args, target) {
        Ok(check) if check.violations == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rmapctl: check of {target}: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

fn checked(args: &CheckArgs, target: Target) -> Result<HostCheck> {
    let text = Debugfs::new(&args.debugfs.debugfs).read_host(target, "check")?;
    let check = kernel::host_check(&text)?;
    // A closed pipe, as in `rmapctl check --host | head`, is not an error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if check.mms == 0 {
        bail!("no address space was checked");
    }
    Ok(check)
}
