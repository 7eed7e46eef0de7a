// SPDX-License-Identifier: GPL-2.0

//! `rmapctl`: runs scenarios over `/dev/shadow_rmap`, and shows the chains and checks of the
//! module.
//!
//! Exit status: 0 when everything passed, 1 when something failed, 2 when the command line is
//! wrong.

// Both panic where they cannot write; `output` has others.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod check;
mod child;
mod cli;
mod corners;
mod cost;
mod engine;
mod families;
mod graph;
mod kernel;
mod model;
mod output;
mod pthread;
mod random;
mod scenario;
mod selftest;
mod shared;
mod show;
mod stress;
mod top;
mod watch;
mod worker;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command, CostArgs, RandomArgs, RunArgs, SelftestArgs, StressArgs};
use engine::{Options, counted};
use kernel::{Debugfs, Device, Target};
use output::{note, out};
use scenario::{Scenario, ScenarioError};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Random(args) => random(&args),
        Command::Stress(args) => stress(&args),
        Command::Show(args) => {
            let target = args.target().unwrap_or_else(|error| error.exit());
            show::run(&args, target).map(|()| true)
        }
        Command::Check(args) => match args.host.target(Some(Target::All)) {
            Ok(Some(target)) => return check::host(&args, target),
            Ok(None) => check::shadow(&args),
            Err(error) => error.exit(),
        },
        Command::Top(args) => {
            let times = args.times.or(args.once.then_some(1));
            let done = times.map_or_else(|| watch::top(&args), |times| top::print(&args, times));
            done.map(|()| true)
        }
        Command::Watch(args) => {
            let target = args.host.target(None).unwrap_or_else(|error| error.exit());
            watch::run(&args, target).map(|()| true)
        }
        Command::Selftest(args) => selftest(&args),
        Command::Cost(args) => cost(&args).map(|()| true),
        Command::Worker { inherited, name } => worker::serve(inherited, &name),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if !output::is_closed(&error) {
                note!("rmapctl: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn seed_from_clock() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // 32 bits of each: a short number is easier to copy.
    Ok(u64::from(now.subsec_nanos()) ^ (now.as_secs() & 0xffff_ffff))
}

/// `rmapctl run`. Returns whether every scenario passed.
fn run(args: &RunArgs) -> Result<bool> {
    engine::catch_interrupts()?;
    let options = args.engine.options();
    let (mut good, mut bad) = (0, 0);
    for path in &args.files {
        let label = path.display().to_string();
        let outcome = read_file(path)
            .map_err(|error| format!("{error:#}"))
            .and_then(|text| Scenario::parse(&text).map_err(|error| error.in_file(&label)))
            .and_then(|scenario| {
                if args.parse {
                    return Ok(None);
                }
                let (counts, result) = engine::run(&label, &scenario, &options);
                result.map_err(|error| error.in_file(&label))?;
                Ok(Some(counts))
            });
        match outcome {
            Ok(None) => {
                good += 1;
                out!("{label}: valid")?;
            }
            Ok(Some(counts)) => {
                good += 1;
                out!(
                    "{label}: {}, {}, {}, ok",
                    counted(counts.steps, "step", "steps"),
                    counted(counts.processes, "process", "processes"),
                    counted(counts.checks, "check", "checks")
                )?;
            }
            Err(message) => {
                bad += 1;
                out!("{message}")?;
                if engine::interrupted() || !args.engine.keep_going {
                    break;
                }
            }
        }
    }
    let left = args.files.len() - good - bad;
    let not_run = match left {
        0 => String::new(),
        n => format!(", {n} not run"),
    };
    out!("scenarios: {good} ok, {bad} failed{not_run}")?;
    Ok(bad == 0)
}

/// `rmapctl random`. Returns whether every sequence passed.
fn random(args: &RandomArgs) -> Result<bool> {
    engine::catch_interrupts()?;
    let first = args.seed.map_or_else(seed_from_clock, Ok)?;
    let limits = random::Limits {
        steps: args.steps,
        check_every: args.check_every,
        max_processes: usize::try_from(args.max_processes)?,
        max_pages: args.max_pages,
        mode: args.engine.mode,
        shifts: args.shifts,
        fail: args.fail,
    };
    let options = Options {
        // There are many steps; a check that fails is printed all the same.
        quiet: !args.engine.verbose,
        ..args.engine.options()
    };
    let (mut steps, mut checks, mut failed) = (0, 0, 0);
    let mut worst = kernel::Check::default();
    let mut ambiguous = 0;
    let mut sequences = 0;
    for seed in (0..args.seeds).map(|n| first.wrapping_add(n)) {
        let text = random::generate(seed, &limits).map_err(anyhow::Error::msg)?;
        if args.print {
            anyhow::ensure!(!engine::interrupted(), "interrupted");
            if !output::offer(text)? {
                break;
            }
            continue;
        }
        if !args.engine.quiet {
            out!(
                "random: seed={seed} steps={} mode={}",
                args.steps,
                limits.mode
            )?;
        }
        let label = format!("seed {seed}");
        let scenario = Scenario::parse(&text).map_err(|error| {
            anyhow::anyhow!(
                "the generator wrote an invalid scenario (a bug of rmapctl): {}",
                error.in_file(&label)
            )
        })?;
        let (counts, result) = engine::run(&label, &scenario, &options);
        sequences += 1;
        steps += counts.steps;
        checks += counts.checks;
        worst.untracked = worst.untracked.max(counts.worst.untracked);
        worst.violations = worst.violations.max(counts.worst.violations);
        worst.differences = worst.differences.max(counts.worst.differences);
        ambiguous = ambiguous.max(counts.ambiguous);
        if let Err(error) = result {
            failed += 1;
            explain(seed, args, &text, &error)?;
            if engine::interrupted() || !args.engine.keep_going {
                break;
            }
        }
    }
    if args.print {
        return Ok(true);
    }
    out!(
        "random: {}, {}, {}, differences={} violations={} untracked={} ambiguous={}{}",
        counted(sequences, "sequence", "sequences"),
        counted(steps, "step", "steps"),
        counted(checks, "check", "checks"),
        worst.differences,
        worst.violations,
        worst.untracked,
        ambiguous,
        match failed {
            0 => String::new(),
            n => format!(", {n} failed"),
        }
    )?;
    Ok(failed == 0)
}

/// Prints how a random sequence failed, and the commands that repeat it.
fn explain(seed: u64, args: &RandomArgs, text: &str, error: &ScenarioError) -> Result<()> {
    const LAST: usize = 30;
    let upto = match error.line {
        0 => text.lines().count(),
        line => line,
    };
    out!("the last commands:")?;
    for (index, line) in text.lines().take(upto).enumerate() {
        if index + LAST >= upto {
            out!("{:>6}  {line}", index + 1)?;
        }
    }
    let limits = match args.shifts {
        true => "--shifts".to_owned(),
        false => format!(
            "--check-every {} --max-processes {} --max-pages {}{}",
            args.check_every,
            args.max_processes,
            args.max_pages,
            if args.fail { " --fail" } else { "" }
        ),
    };
    let again = format!(
        "rmapctl random --mode {} --seed {seed} --steps {} {limits}",
        args.engine.mode, args.steps
    );
    out!("repeat it: {again}\nwrite it as a scenario: {again} --print > failed.scn")?;
    // At the end, which is what a log keeps of long output.
    out!("random: FAILED seed={seed}: {}", error.in_file("line"))
}

/// `rmapctl stress`. Returns whether nothing was wrong.
fn stress(args: &StressArgs) -> Result<bool> {
    engine::catch_interrupts()?;
    let settings = stress::Settings {
        device: args.device.device.clone(),
        secs: args.secs,
        processes: args.processes,
        threads: args.threads,
        mode: args.mode,
        seed: args.seed.map_or_else(seed_from_clock, Ok)?,
        oom: args.oom,
    };
    stress::run(&settings, &Debugfs::new(&args.debugfs.debugfs))
}

/// `rmapctl selftest`. Returns whether every case passed.
fn selftest(args: &SelftestArgs) -> Result<bool> {
    let device = &args.device.device;
    let debugfs = Debugfs::new(&args.debugfs.debugfs);
    match args.limits.as_deref() {
        Some(&[max_vmas, max_pages]) => selftest::limits(device, &debugfs, max_vmas, max_pages),
        _ => {
            let refused = selftest::bad_input(device, &args.debugfs.debugfs)?;
            let corners = selftest::corners(device, &debugfs)?;
            Ok(selftest::many(device)? && corners && refused)
        }
    }
}

/// `rmapctl cost`.
fn cost(args: &CostArgs) -> Result<()> {
    cost::run(&Device::open(&args.device.device)?, args.times)
}
