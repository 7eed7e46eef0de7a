// SPDX-License-Identifier: GPL-2.0

//! The command line.

mod help;
mod language;

use crate::engine::Options;
use crate::kernel::Target;
use crate::scenario::Mode;
use crate::top::Sort;
use crate::worker;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// The largest pid of Linux, less one (`PID_MAX_LIMIT`).
const MAX_PID: i64 = (1 << 22) - 1;

/// Runs scenarios over /dev/shadow_rmap and shows the anonymous reverse map they build.
#[derive(Debug, Parser)]
#[command(name = "rmapctl", version, after_help = help::EXIT_STATUS)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenario files
    #[command(after_help = language::LANGUAGE)]
    Run(RunArgs),
    /// Run random sequences of valid steps
    Random(RandomArgs),
    /// Check at full speed beside busy processes that come and go, and threads
    Stress(StressArgs),
    /// Draw the chains of the shadow, or of the host
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// Print differences and violations; fail unless differences, violations and untracked are all
    /// 0
    #[command(after_help = help::CHECK)]
    Check(CheckArgs),
    /// List the largest families of the host
    #[command(after_help = help::TOP)]
    Top(TopArgs),
    /// Show chains, families, rules, counters and differences on a terminal
    #[command(after_help = help::WATCH)]
    Watch(WatchArgs),
    /// Try bad input and corner cases on the device, one line for each
    Selftest(SelftestArgs),
    /// Measure what a mapping costs a process, in nanoseconds for each operation
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

/// Where debugfs is.
#[derive(Debug, Args)]
pub struct DebugfsArgs {
    /// The module's folder in debugfs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/sys/kernel/debug/shadow_rmap"
    )]
    pub debugfs: PathBuf,
}

/// How scenarios run.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// The device that the processes of the scenario map
    #[arg(long, value_name = "PATH", default_value = "/dev/shadow_rmap")]
    pub device: PathBuf,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
    /// The kind of mapping, if the scenario has no line `mode`
    #[arg(long, value_enum, default_value_t = Mode::Pinned)]
    pub mode: Mode,
    /// Dry run: make no checks, and skip debugfs if it is missing; use with --device FILE, a long file of zeroes
    #[arg(long)]
    pub no_check: bool,
    /// Print errors and summaries only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print each step before it runs
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Continue with the next scenario or seed after a failure
    #[arg(long)]
    pub keep_going: bool,
    /// Seconds to wait for the answer of a process
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

impl EngineArgs {
    /// The same for the engine.
    pub fn options(&self) -> Options {
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

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Say whether the files are valid, and run nothing
    #[arg(long)]
    pub parse: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Arguments of `random`.
#[derive(Debug, Args)]
pub struct RandomArgs {
    /// The first seed [default: from the clock]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Steps of each sequence
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub steps: u64,
    /// Number of sequences: seeds S, S+1, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Check after this many steps; 0: only at the end
    #[arg(long, default_value_t = 1)]
    pub check_every: u64,
    /// Short rounds in which boundaries between VMAs shift, with one check at the end of each
    #[arg(long, conflicts_with_all = ["check_every", "max_processes", "max_pages"])]
    pub shifts: bool,
    /// Let an allocation fail in some commands, and permit untracked VMAs until the end: every process begins
    /// anew there. The kernel needs CONFIG_FAILSLAB
    #[arg(long, conflicts_with = "shifts")]
    pub fail: bool,
    /// Most processes alive at once
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub max_processes: u64,
    /// Most pages of a mapping
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub max_pages: u64,
    /// Write the sequence as a scenario to standard output, and run nothing
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Arguments of `stress`.
#[derive(Debug, Args)]
pub struct StressArgs {
    /// How long to run; from 5 seconds on until everything has happened once, at most ten times as
    /// long, and no more than 5 minutes longer
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=864_000))]
    pub secs: u64,
    /// Busy processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub processes: u32,
    /// Threads of each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Seed of what the processes do; when they do it is not repeatable [default: from the clock]
    #[arg(long)]
    pub seed: Option<u64>,
    /// The kind of mapping
    #[arg(long, value_enum, default_value_t = Mode::Pinned)]
    pub mode: Mode,
    /// Use up the memory of the machine again and again, so that the kernel kills the process that
    /// does so. VMAs that the shadow has no memory for are no failure then. The run waits for
    /// the kernel to kill one, as it waits for all else
    #[arg(long)]
    pub oom: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

/// The host's own reverse map, instead of the shadow.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// The kernel's own reverse map, of one process
    #[arg(long, value_name = "PID", num_args = 0..=1, value_parser = clap::value_parser!(u32).range(1..=MAX_PID))]
    pub host: Option<Option<u32>>,
    /// The kernel's own reverse map, of all processes
    #[arg(long)]
    pub all: bool,
}

impl HostArgs {
    /// Returns the processes; `None` means the shadow. `--host` alone means `default`.
    ///
    /// # Errors
    ///
    /// The options contradict each other, or `--host` needs a PID.
    pub fn target(&self, default: Option<Target>) -> Result<Option<Target>, clap::Error> {
        let refuse = |kind, text| Err(Cli::command().error(kind, text));
        match (self.host, self.all) {
            (None, false) => Ok(None),
            (Some(Some(pid)), false) => Ok(Some(Target::Pid(pid))),
            (None | Some(None), true) => Ok(Some(Target::All)),
            (Some(None), false) if default.is_some() => Ok(default),
            (Some(None), false) => refuse(
                ErrorKind::MissingRequiredArgument,
                "--host needs a PID, or --all",
            ),
            (Some(Some(_)), true) => refuse(
                ErrorKind::ArgumentConflict,
                "--host PID and --all cannot be used together",
            ),
        }
    }
}

/// How `show` prints a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text: the anon_vmas as trees
    Tree,
    /// The text of chains.json
    Json,
    /// The text of chains.dot, for Graphviz
    Dot,
    /// A picture, drawn by the program dot of Graphviz
    Svg,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A saved chains.json, or - for standard input [default: chains.json in debugfs]
    #[arg(conflicts_with_all = ["host", "all"])]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub host: HostArgs,
    /// How to print the graph
    #[arg(long, value_enum, default_value_t = Format::Tree)]
    pub format: Format,
    /// Do not truncate lists
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

impl ShowArgs {
    /// Returns the processes; `None` means the shadow, or a file.
    ///
    /// # Errors
    ///
    /// The options contradict each other.
    pub fn target(&self) -> Result<Option<Target>, clap::Error> {
        if self.file.is_some() && matches!(self.format, Format::Dot | Format::Svg) {
            let text = "a saved chains.json can be shown with --format tree or json only";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, text));
        }
        self.host.target(None)
    }
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print one table, and end
    #[arg(long, conflicts_with = "times")]
    pub once: bool,
    /// Print so many tables, and end
    #[arg(short = 'n', value_name = "TIMES", value_parser = clap::value_parser!(u64).range(1..))]
    pub times: Option<u64>,
    /// Seconds between two tables
    #[arg(long, short, value_name = "SECS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub delay: u64,
    /// The column to sort by, the largest first
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t = Sort::Vmas)]
    pub sort: Sort,
    /// Families to print; 0: all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub rows: usize,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub host: HostArgs,
    /// Seconds between two readings
    #[arg(long, short, value_name = "SECS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub delay: u64,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub host: HostArgs,
    /// A saved copy of `compare` to read instead of debugfs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "all"])]
    pub compare_file: Option<PathBuf>,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

/// Where the device is.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// The device
    #[arg(long, value_name = "PATH", default_value = "/dev/shadow_rmap")]
    pub device: PathBuf,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Test the limits instead: the values that the module was loaded with
    #[arg(long, num_args = 2, value_names = ["MAX_VMAS", "MAX_PAGES"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub limits: Option<Vec<u64>>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub debugfs: DebugfsArgs,
}

/// Arguments of `cost`.
#[derive(Debug, Args)]
pub struct CostArgs {
    /// How often to do each operation
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub times: u32,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
