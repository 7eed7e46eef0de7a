// SPDX-License-Identifier: GPL-2.0

//! Starts workers, watches them, and shrinks what they find.

use std::path::PathBuf;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use crate::action::parse_all;
use crate::process::Process;
use crate::report::{Finding, Report};
use crate::shrink::shrink;
use crate::trial::{Outcome, Trials, differs};

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// For so long, if not 0.
    pub secs: u64,
    /// So many steps, if not 0.
    pub steps: u64,
    /// The seed.
    pub seed: u64,
    /// How many workers.
    pub jobs: u64,
    /// Where the results go.
    pub out: PathBuf,
    /// How the host was compiled.
    pub variant: String,
    /// Whether to go on after a difference.
    pub keep_going: bool,
    /// Whether steps are chosen without looking.
    pub blind: bool,
    /// A step may take so long.
    pub limit: Duration,
}

struct Worker {
    process: Process,
    seed: u64,
    log: PathBuf,
    heard: Instant,
    /// How many steps it is to do, if not 0.
    share: u64,
    steps: u64,
    edges: u64,
    kept: u64,
}

/// What a worker has come to.
enum News {
    None,
    Done,
    Found(Outcome),
}

impl Worker {
    fn start(options: &Options, seed: u64, secs: u64, steps: u64) -> Result<Self, String> {
        let log = options.out.join(format!("run/worker-{seed}.steps"));
        let mut arguments = vec![
            "worker".to_owned(),
            seed.to_string(),
            secs.to_string(),
            steps.to_string(),
            log.display().to_string(),
        ];
        if options.blind {
            arguments.push("--blind".to_owned());
        }
        Ok(Self {
            process: Process::start(&arguments)?,
            seed,
            log,
            heard: Instant::now(),
            share: steps,
            steps: 0,
            edges: 0,
            kept: 0,
        })
    }

    /// Reads what the worker has said since the last call.
    fn news(&mut self, limit: Duration) -> Result<News, String> {
        loop {
            match self.process.lines.try_recv() {
                Ok(line) => {
                    self.heard = Instant::now();
                    if let Some(outcome) = differs(&line) {
                        return Ok(News::Found(outcome));
                    }
                    self.read(&line);
                }
                Err(TryRecvError::Empty) if self.heard.elapsed() > limit => {
                    return Ok(News::Found(Outcome::Dies("the host hangs".to_owned())));
                }
                Err(TryRecvError::Empty) => return Ok(News::None),
                Err(TryRecvError::Disconnected) => return self.ended(),
            }
        }
    }

    fn read(&mut self, line: &str) {
        let Some(numbers) = line.strip_prefix("at\t") else {
            // The host prints, too.
            return;
        };
        let numbers: Vec<u64> = numbers.split('\t').filter_map(|n| n.parse().ok()).collect();
        if let [steps, edges, kept] = numbers[..] {
            (self.steps, self.edges, self.kept) = (steps, edges, kept);
        }
    }

    fn ended(&mut self) -> Result<News, String> {
        let death = self.process.ended()?;
        Ok(death.map_or(News::Done, |death| News::Found(Outcome::Dies(death))))
    }
}

/// Does a run, and writes its results. Returns them.
///
/// # Errors
///
/// A text that says what is missing.
pub fn run(options: &Options) -> Result<Report, String> {
    let begin = Instant::now();
    let share = |all: u64| all.div_ceil(options.jobs);
    let mut workers = Vec::new();
    for job in 0..options.jobs {
        let seed = options.seed.wrapping_mul(1000).wrapping_add(job);
        workers.push(Worker::start(
            options,
            seed,
            options.secs,
            share(options.steps),
        )?);
    }
    let (mut ended_steps, mut branches, mut findings) = (0, 0, Vec::new());
    let mut told = Instant::now();
    while !workers.is_empty() {
        std::thread::sleep(Duration::from_millis(50));
        let mut at = 0;
        while at < workers.len() {
            let news = workers[at].news(options.limit)?;
            if matches!(news, News::None) {
                at += 1;
                continue;
            }
            let worker = workers.swap_remove(at);
            ended_steps += worker.steps;
            branches = branches.max(worker.edges);
            let News::Found(outcome) = news else { continue };
            let seconds = begin.elapsed().as_secs_f64();
            if !options.keep_going {
                ended_steps += workers.drain(..).map(|worker| worker.steps).sum::<u64>();
            }
            let rest = worker.share.saturating_sub(worker.steps);
            let finding = match found(options, worker, outcome, seconds) {
                Ok(finding) => finding,
                Err(error) if findings.is_empty() => return Err(error),
                Err(error) => {
                    // What was found before stays found.
                    println!("fuzz: {error}");
                    workers.clear();
                    break;
                }
            };
            println!("fuzz: {}", finding.words());
            findings.push(finding);
            let left = options.secs.saturating_sub(begin.elapsed().as_secs());
            let is_over = (options.secs > 0 && left == 0) || (options.steps > 0 && rest == 0);
            if options.keep_going && !is_over {
                let seed = options.seed.wrapping_mul(1000) + options.jobs + findings.len() as u64;
                workers.push(Worker::start(options, seed, left, rest)?);
            }
        }
        if told.elapsed() >= Duration::from_secs(5) && !workers.is_empty() {
            told = Instant::now();
            let steps = ended_steps + workers.iter().map(|w| w.steps).sum::<u64>();
            let most = |number: fn(&Worker) -> u64| workers.iter().map(number).max().unwrap_or(0);
            println!(
                "fuzz: {:.0} s, {steps} steps, {} branches, {} sequences kept",
                begin.elapsed().as_secs_f64(),
                most(|worker| worker.edges),
                most(|worker| worker.kept)
            );
        }
    }
    Ok(Report {
        steps: ended_steps,
        seconds: begin.elapsed().as_secs_f64(),
        seed: options.seed,
        variant: options.variant.clone(),
        branches,
        findings,
    })
}

/// Shrinks what a worker has found.
fn found(
    options: &Options,
    mut worker: Worker,
    outcome: Outcome,
    seconds: f64,
) -> Result<Finding, String> {
    // A worker that hangs is ended.
    worker.process.kill();
    let text = std::fs::read_to_string(&worker.log)
        .map_err(|error| format!("{}: {error}", worker.log.display()))?;
    let actions = parse_all(&text)?;
    println!(
        "fuzz: a difference after {} steps; it is being shrunk",
        actions.len()
    );
    let mut trials = Trials::new(options.limit);
    let (steps, outcome) = shrink(&mut trials, &actions, &outcome)
        .map_err(|error| format!("{error}: {}", worker.log.display()))?;
    println!(
        "fuzz: {} steps are left, after {} trials",
        steps.len(),
        trials.tried
    );
    Ok(Finding {
        outcome,
        seed: worker.seed,
        steps,
        seconds,
    })
}
