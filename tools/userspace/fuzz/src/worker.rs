// SPDX-License-Identifier: GPL-2.0

//! The process that does the steps. It may crash with the host: what it has done is in a file.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use host::random::Random;

use crate::action::{Action, parse_all};
use crate::choose::Chooser;
use crate::compare::Difference;
use crate::corpus::{Corpus, Planned};
use crate::pair::{self, Pair};

/// A sequence has so many steps: then all processes exit, and the next one begins.
const LENGTH: usize = 250;

/// How often a worker says where it is.
const REPORT: Duration = Duration::from_millis(500);

/// What a worker is to do.
pub struct Orders {
    /// The seed of all choices.
    pub seed: u64,
    /// It ends after so many steps, if not 0.
    pub steps: u64,
    /// It ends after so many seconds, if not 0.
    pub secs: u64,
    /// Whether it keeps sequences, and looks where something is.
    pub guided: bool,
}

/// Writes the steps of the present sequence to a file, each before it is done.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    fn new(path: &Path) -> Result<Self, String> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { file, at: 0 })
    }

    fn restart(&mut self) -> Result<(), String> {
        self.at = 0;
        self.file.set_len(0).map_err(|error| error.to_string())
    }

    fn add(&mut self, action: Action) -> Result<(), String> {
        let line = format!("{action}\n");
        let written = self.file.write_all_at(line.as_bytes(), self.at);
        self.at += line.len() as u64;
        written.map_err(|error| error.to_string())
    }
}

/// Prints a line to the parent, which reads it at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        // The parent has gone.
        std::process::exit(2);
    }
}

fn say_differs(step: usize, found: &[Difference]) {
    // The first that is about a rule, and what else there is.
    let first = found
        .iter()
        .position(|difference| difference.rule.is_some());
    let Some(first) = found.get(first.unwrap_or(0)) else {
        return;
    };
    let rule = first.rule.map_or("-".to_owned(), |rule| rule.to_string());
    let others = found.iter().filter(|&other| other != first);
    let others: Vec<String> = others.take(3).map(ToString::to_string).collect();
    let also = if others.is_empty() { "" } else { "; also " };
    say(&format!(
        "differs\t{step}\t{rule}\t{}{also}{}",
        first.words,
        others.join("; ")
    ));
}

/// Does random sequences until the time or the steps are over, or until something differs. Returns
/// whether something did.
///
/// # Errors
///
/// A text that says what is missing.
pub fn work(orders: &Orders, log: &Path) -> Result<bool, String> {
    let begin = Instant::now();
    let mut random = Random::new(orders.seed);
    let mut corpus = Corpus::default();
    let mut log = Log::new(log)?;
    let (mut steps, mut reported) = (0, Instant::now());
    let over = |steps: u64| {
        (orders.steps != 0 && steps >= orders.steps)
            || (orders.secs != 0 && begin.elapsed() >= Duration::from_secs(orders.secs))
    };
    loop {
        let plan = if orders.guided {
            corpus.plan(&mut random, LENGTH)
        } else {
            vec![Planned::New; LENGTH]
        };
        let mut pair = Pair::new()?;
        let mut done = Vec::new();
        let (mut edges, mut useful) = (pair.edges(), 0);
        log.restart()?;
        let mut chooser = Chooser::new(&mut random, orders.guided);
        for planned in plan {
            let action = match planned {
                Planned::Known(action) => action,
                Planned::New => chooser.next(&pair),
            };
            done.push(action);
            log.add(action)?;
            let result = pair.step(action);
            steps += 1;
            if pair.edges() > edges {
                edges = pair.edges();
                useful = done.len();
            }
            if let Err(found) = result {
                say(&format!("at\t{steps}\t{edges}\t{}", corpus.len()));
                say_differs(done.len(), &found);
                return Ok(true);
            }
            if reported.elapsed() >= REPORT || over(steps) {
                reported = Instant::now();
                say(&format!("at\t{steps}\t{edges}\t{}", corpus.len()));
            }
            if over(steps) {
                break;
            }
        }
        if let Some(wrong) = pair.end() {
            say_differs(done.len(), &[wrong]);
            return Ok(true);
        }
        if over(steps) {
            return Ok(false);
        }
        if useful > 0 {
            corpus.add(&done[..useful], &mut random);
        }
    }
}

/// Does the sequences that come on standard input, each ended by a line `run`, and says of each
/// whether something differs. Ends at the first that does, because the host is damaged then.
///
/// # Errors
///
/// What is wrong in a sequence.
pub fn try_sequences() -> Result<(), String> {
    let mut text = String::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        if line != "run" {
            text.push_str(&line);
            text.push('\n');
            continue;
        }
        let actions = parse_all(&text)?;
        text.clear();
        if pair::run(&actions, say_differs)? {
            return Ok(());
        }
        say("same");
    }
    Ok(())
}
