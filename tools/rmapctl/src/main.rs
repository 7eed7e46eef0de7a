// SPDX-License-Identifier: GPL-2.0

//! `rmapctl`: runs scenarios over `/dev/shadow_rmap`, and shows what the module makes of them.
//!
//! Exit status: 0 when all is well, 1 when something failed, 2 for a command line that makes no
//! sense.

mod corners;
mod cost;
mod engine;
mod kernel;
mod model;
mod random;
mod scenario;
mod selftest;
mod show;
mod worker;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use engine::{Options, counted};
use kernel::{Debugfs, Device};
use scenario::{Mode, Scenario, ScenarioError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const AFTER_HELP: &str = "\
The language of scenarios, a command a line, `#` begins a comment; RANGE is N, A..B, A..B/S or all:
  map P M PAGES [at PGOFF]               fork P CHILD...        exec P       exit P...   (P or STEM*)
  touch P M RANGE [write|read] [BYTE]    dies SIGNAL touch ...  tree P DEPTH CHILDREN write M RANGE
  protect P M RANGE rw|r|none            unmap P M RANGE        dontneed P M RANGE
  move P M RANGE [to PAGES] [as NAME]    mode pinned|mergeable
  repeat N [as i] ... $i ... end         check [CONDITION...]   check every N|off
  expect CONDITION...                    show   compare   rules   save FILE PATH   print TEXT
A CONDITION is KEY=N, KEY>N, KEY>=N, KEY<N or KEY<=N about a number that `check` prints.";

/// Runs scenarios over /dev/shadow_rmap and shows the anonymous reverse map they build.
#[derive(Debug, Parser)]
#[command(name = "rmapctl", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenario files
    #[command(after_help = AFTER_HELP)]
    Run(RunArgs),
    /// Run random sequences of steps, each of them valid
    Random(RandomArgs),
    /// Draw the shadow's chains, or the host's
    Show(ShowArgs),
    /// Print the differences and violations; succeeds when there are none
    Check(CheckArgs),
    /// Try bad input and corner cases against the device, a line for each
    Selftest(SelftestArgs),
    /// Measure what a mapping costs: nanoseconds for each operation
    Cost(CostArgs),
    /// A process of a scenario (internal)
    #[command(hide = true)]
    Worker {
        #[command(flatten)]
        inherited: worker::Inherited,
        #[arg(long)]
        name: String,
    },
}

#[derive(Debug, Args)]
struct DebugfsArgs {
    /// The module's folder in debugfs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/sys/kernel/debug/shadow_rmap"
    )]
    debugfs: PathBuf,
}

#[derive(Debug, Args)]
struct EngineArgs {
    /// The device that the scenario's processes map
    #[arg(long, value_name = "PATH", default_value = "/dev/shadow_rmap")]
    device: PathBuf,
    #[command(flatten)]
    debugfs: DebugfsArgs,
    /// The kind of mapping [default: what the module prefers]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// A dry run, with any file or /dev/zero for a device: no ioctl, and no debugfs where there is none
    #[arg(long)]
    no_check: bool,
    /// Print errors and summaries only
    #[arg(long, short)]
    quiet: bool,
    /// Print each step before it runs
    #[arg(long, short, conflicts_with = "quiet")]
    verbose: bool,
    /// Go on with the next scenario or seed after a failure
    #[arg(long)]
    keep_going: bool,
    /// How long to wait for the answer of a process, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

impl EngineArgs {
    fn options(&self) -> Options {
        Options {
            device: self.device.clone(),
            debugfs: self.debugfs.debugfs.clone(),
            mode: self.mode,
            no_check: self.no_check,
            quiet: self.quiet,
            verbose: self.verbose,
            timeout: Duration::from_secs(self.timeout),
        }
    }
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Args)]
struct RandomArgs {
    /// The first seed [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Steps of each sequence
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// How many sequences: seeds S, S+1, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Check after this many steps; 0: only at the end
    #[arg(long, default_value_t = 1)]
    check_every: u64,
    /// Processes alive at once
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=1000))]
    max_processes: u64,
    /// Pages of a mapping
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_pages: u64,
    /// Write the sequence as a scenario to standard output, and run nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// A saved chains.json, or - for standard input [default: the one in debugfs]
    #[arg(conflicts_with_all = ["host", "pid"])]
    file: Option<PathBuf>,
    /// The host's own chains, of the processes last chosen in host/pid
    #[arg(long)]
    host: bool,
    /// Choose a process for --host first; 0: all
    #[arg(long, requires = "host")]
    pid: Option<u32>,
    /// Cut no list short
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    debugfs: DebugfsArgs,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A saved copy of `compare` to judge, in place of debugfs
    #[arg(long, value_name = "FILE")]
    compare_file: Option<PathBuf>,
    #[command(flatten)]
    debugfs: DebugfsArgs,
}

#[derive(Debug, Args)]
struct DeviceArgs {
    /// The device
    #[arg(long, value_name = "PATH", default_value = "/dev/shadow_rmap")]
    device: PathBuf,
}

#[derive(Debug, Args)]
struct SelftestArgs {
    /// Try the limits of a module that was loaded with these parameters instead
    #[arg(long, num_args = 2, value_names = ["MAX_VMAS", "MAX_PAGES"])]
    limits: Option<Vec<u64>>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    debugfs: DebugfsArgs,
}

#[derive(Debug, Args)]
struct CostArgs {
    /// How often each operation is done
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Random(args) => random(&args),
        Command::Show(args) => show(&args).map(|()| true),
        Command::Check(args) => check(&args),
        Command::Selftest(args) => selftest(&args),
        Command::Cost(args) => cost(&args).map(|()| true),
        Command::Worker { inherited, name } => worker::serve(inherited, &name),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rmapctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// `rmapctl run`: true when every file went well.
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
                let (counts, result) = engine::run(&label, &scenario, &options);
                result.map_err(|error| error.in_file(&label))?;
                Ok(counts)
            });
        match outcome {
            Ok(counts) => {
                good += 1;
                println!(
                    "{label}: {}, {}, {}, ok",
                    counted(counts.steps, "step", "steps"),
                    counted(counts.processes, "process", "processes"),
                    counted(counts.checks, "check", "checks")
                );
            }
            Err(message) => {
                bad += 1;
                println!("{message}");
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
    println!("scenarios: {good} ok, {bad} failed{not_run}");
    Ok(bad == 0)
}

/// `rmapctl random`: true when every sequence went well.
fn random(args: &RandomArgs) -> Result<bool> {
    engine::catch_interrupts()?;
    let first = match args.seed {
        Some(seed) => seed,
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            // Short enough to be read aloud.
            u64::from(now.subsec_nanos()) ^ (now.as_secs() & 0xffff_ffff)
        }
    };
    let limits = random::Limits {
        steps: args.steps,
        check_every: args.check_every,
        max_processes: usize::try_from(args.max_processes)?,
        max_pages: args.max_pages,
    };
    let options = Options {
        // The steps are many and their checks speak only when something is wrong.
        quiet: !args.engine.verbose,
        ..args.engine.options()
    };
    let (mut steps, mut checks, mut failed) = (0, 0, 0);
    let mut worst = kernel::Check::default();
    let mut sequences = 0;
    for seed in (0..args.seeds).map(|n| first.wrapping_add(n)) {
        let text = random::generate(seed, &limits).map_err(anyhow::Error::msg)?;
        if args.print {
            std::io::stdout().write_all(text.as_bytes())?;
            continue;
        }
        if !args.engine.quiet {
            println!("random: seed={seed} steps={}", args.steps);
        }
        let label = format!("seed {seed}");
        let scenario = Scenario::parse(&text).map_err(|error| {
            anyhow::anyhow!(
                "the generator made a bad scenario: {}",
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
        if let Err(error) = result {
            failed += 1;
            explain(seed, args, &text, &error);
            if engine::interrupted() || !args.engine.keep_going {
                break;
            }
        }
    }
    if args.print {
        return Ok(true);
    }
    println!(
        "random: {}, {}, {}, differences={} violations={} untracked={}{}",
        counted(sequences, "sequence", "sequences"),
        counted(steps, "step", "steps"),
        counted(checks, "check", "checks"),
        worst.differences,
        worst.violations,
        worst.untracked,
        match failed {
            0 => String::new(),
            n => format!(", {n} failed"),
        }
    );
    Ok(failed == 0)
}

/// Says how a random sequence failed and how to make it fail again.
fn explain(seed: u64, args: &RandomArgs, text: &str, error: &ScenarioError) {
    const LAST: usize = 30;
    println!("random: FAILED seed={seed}: {}", error.in_file("line"));
    let upto = match error.line {
        0 => text.lines().count(),
        line => line,
    };
    println!("the last commands:");
    for (index, line) in text.lines().take(upto).enumerate() {
        if index + LAST >= upto {
            println!("{:>6}  {line}", index + 1);
        }
    }
    let again = format!(
        "rmapctl random --seed {seed} --steps {} --check-every {} --max-processes {} --max-pages {}",
        args.steps, args.check_every, args.max_processes, args.max_pages
    );
    println!("again: {again}\nas a scenario: {again} --print > failed.scn");
}

/// `rmapctl show`.
fn show(args: &ShowArgs) -> Result<()> {
    let debugfs = Debugfs::new(&args.debugfs.debugfs);
    let text = match &args.file {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("standard input")?;
            text
        }
        Some(path) => read_file(path)?,
        None if args.host => {
            if let Some(pid) = args.pid {
                debugfs.write("host/pid", &pid.to_string())?;
            }
            debugfs.read("host/chains.json")?
        }
        None => debugfs.read("chains.json")?,
    };
    let drawn = show::render(&show::Graph::parse(&text)?, args.full);
    // Whoever pipes this into `head` has seen enough.
    let _ = std::io::stdout().write_all(drawn.as_bytes());
    Ok(())
}

/// `rmapctl check`: true when nothing differs, is broken or was given up.
fn check(args: &CheckArgs) -> Result<bool> {
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
    let mut violations = 0;
    if args.compare_file.is_none() {
        let text = debugfs.read("rules")?;
        let rules = kernel::parse_rules(&text);
        if rules.is_empty() {
            bail!("`rules` lists no rule");
        }
        for rule in rules.iter().filter(|rule| rule.violations > 0) {
            println!("{} {}: violations={}", rule.id, rule.title, rule.violations);
        }
        violations = rules.iter().map(|rule| rule.violations).sum();
        let checks: u64 = rules.iter().map(|rule| rule.checks).sum();
        println!("rules: checks={checks} violations={violations}");
    }
    Ok(counts.untracked == 0 && counts.differences == 0 && violations == 0)
}

/// `rmapctl selftest`: true when every case was as it should be.
fn selftest(args: &SelftestArgs) -> Result<bool> {
    let device = &args.device.device;
    match args.limits.as_deref() {
        Some(&[max_vmas, max_pages]) => selftest::limits(device, max_vmas, max_pages),
        _ => {
            let refused = selftest::bad_input(device)?;
            let debugfs = Debugfs::new(&args.debugfs.debugfs);
            Ok(selftest::corners(device, &debugfs) && refused)
        }
    }
}

/// `rmapctl cost`.
fn cost(args: &CostArgs) -> Result<()> {
    cost::run(&Device::open(&args.device.device)?, args.times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
