// SPDX-License-Identifier: GPL-2.0

//! The program that `scripts/fuzz.py` runs.

#![deny(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz::action::parse_all;
use fuzz::report::{Finding, Report};
use fuzz::run::{Options, run};
use fuzz::shrink::shrink;
use fuzz::trial::{Outcome, Trials};
use fuzz::worker::{Orders, try_sequences, work};

const USAGE: &str = "usage: fuzz run SECS STEPS SEED JOBS OUT VARIANT [--keep-going] [--blind]
       fuzz replay FILE OUT VARIANT
       fuzz worker SEED SECS STEPS LOG [--blind]
       fuzz try
HOST_LIBRARY names the shared object of scripts/host_userspace.py.";

/// A step may take so long: with sanitizers, and beside other work, too.
const LIMIT: Duration = Duration::from_secs(20);

fn number(arguments: &[String], at: usize) -> Result<u64, String> {
    let text = arguments.get(at).ok_or(USAGE)?;
    text.parse().map_err(|_| format!("{text}: not a number"))
}

fn word(arguments: &[String], at: usize) -> Result<&str, String> {
    Ok(arguments.get(at).map(String::as_str).ok_or(USAGE)?)
}

fn replay(file: &str, variant: &str) -> Result<Report, String> {
    let begin = Instant::now();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let actions = parse_all(&text).map_err(|error| format!("{file}: {error}"))?;
    if actions.is_empty() {
        return Err(format!("{file}: no steps"));
    }
    let mut trials = Trials::new(LIMIT);
    let outcome = trials.outcome(&actions)?;
    let steps = match outcome {
        Outcome::Differs(step, _) => step,
        _ => actions.len(),
    };
    let mut findings = Vec::new();
    if outcome != Outcome::Same {
        let (shrunk, outcome) = shrink(&mut trials, &actions, &outcome)?;
        let finding = Finding {
            outcome,
            seed: 0,
            steps: shrunk,
            seconds: begin.elapsed().as_secs_f64(),
        };
        println!("fuzz: {}", finding.words());
        findings.push(finding);
    }
    Ok(Report {
        steps: steps as u64,
        seconds: begin.elapsed().as_secs_f64(),
        seed: 0,
        variant: variant.to_owned(),
        branches: 0,
        findings,
    })
}

/// Writes the results, and says the last line.
fn end(report: &Report, out: &Path) -> Result<ExitCode, String> {
    report.write(out)?;
    for (number, finding) in report.findings.iter().enumerate() {
        let name = out.join(finding.name(number));
        println!("fuzz: {}.steps, {}.scn", name.display(), name.display());
    }
    println!(
        "fuzz: steps={} differences={}",
        report.steps,
        report.findings.len()
    );
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}

fn command(arguments: &[String]) -> Result<ExitCode, String> {
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    match word(arguments, 0)? {
        "run" => {
            let options = Options {
                secs: number(arguments, 1)?,
                steps: number(arguments, 2)?,
                seed: number(arguments, 3)?,
                jobs: number(arguments, 4)?.max(1),
                out: PathBuf::from(word(arguments, 5)?),
                variant: word(arguments, 6)?.to_owned(),
                keep_going: flag("--keep-going"),
                blind: flag("--blind"),
                limit: LIMIT,
            };
            if (options.secs, options.steps) == (0, 0) {
                return Err("SECS and STEPS are both 0: that has no end".to_owned());
            }
            end(&run(&options)?, &options.out)
        }
        "replay" => {
            let report = replay(word(arguments, 1)?, word(arguments, 3)?)?;
            end(&report, Path::new(word(arguments, 2)?))
        }
        "worker" => {
            let orders = Orders {
                seed: number(arguments, 1)?,
                secs: number(arguments, 2)?,
                steps: number(arguments, 3)?,
                guided: !flag("--blind"),
            };
            let differs = work(&orders, Path::new(word(arguments, 4)?))?;
            Ok(ExitCode::from(u8::from(differs)))
        }
        "try" => try_sequences().map(|()| ExitCode::SUCCESS),
        _ => Err(USAGE.to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    command(&arguments).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
