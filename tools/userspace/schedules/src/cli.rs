// SPDX-License-Identifier: GPL-2.0

//! The command line: one search or one replay a process. `scripts/schedules.py` runs it.
//!
//! ```text
//! explore list
//! explore search BUG|none SCENARIO PROTOCOL HOW SEED SCHEDULES SECS FILE|-
//! explore replay FILE
//! ```
//!
//! `as-correct:BUG` judges the steps of a bug as the correct rules are judged: a test of the search.
//! HOW is `random`, `pct:DEPTH`, or `dfs:` with the finest points: `windows`, `calls`, `accesses`.
//! Results are lines of JSON.

use crate::{
    bugs::{PLANS, Plan},
    file::Saved,
    record::Recorded,
    report::{self, Search},
    rmap::rules::Rule,
    scenarios::{self, Scenario},
    schedulers::{How, Replay, grain},
    torture::{
        busted::{self, Bust},
        run::{PROTOCOLS, Protocol},
    },
};
use kernel::mock::schedule;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, scheduler::Scheduler};
use std::time::{Duration, Instant};

/// The most steps of an execution: the longest takes a tenth of it, one of a single thread with the
/// load of a torture.
const MOST_STEPS: usize = 2_000_000;

/// The stack of a task. A fault is handled on it.
const STACK: usize = 256 << 10;

/// Runs the command line.
///
/// # Errors
///
/// Words about what is wrong with it.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => {
            list();
            Ok(())
        }
        [
            "search",
            bug,
            scenario,
            protocol,
            how,
            seed,
            most,
            secs,
            save,
        ] => {
            let (scenario, protocol) = (self::scenario(scenario)?, self::protocol(protocol)?);
            let way = How::parse(how).ok_or_else(|| {
                format!("{how}: not random, pct:DEPTH, dfs:windows, dfs:calls, dfs:accesses")
            })?;
            let seed = number("seed", seed)?;
            let most = usize::try_from(number("number of schedules", most)?).unwrap_or(usize::MAX);
            let time = Duration::from_secs(number("number of seconds", secs)?);
            let as_correct = bug.strip_prefix("as-correct:");
            let bust = self::bug(as_correct.unwrap_or(bug))?;
            let search = Search {
                bust,
                correct: as_correct.is_some() || bust.rule.is_none(),
                scenario: scenario.name,
                protocol: protocol.1,
                scheduler: format!("{how} seed={seed}"),
                grain: way.grain(),
                save: (save != "-").then(|| save.to_owned()),
                begin: Instant::now(),
            };
            let scheduler = Recorded::new(way.scheduler(seed, most), most, time);
            explore(search, scenario, protocol.0, scheduler);
            report::print("clean", "-", "-", "");
            Ok(())
        }
        ["replay", path] => {
            let saved = Saved::read(path)?;
            let scenario = self::scenario(saved.value(path, "scenario")?)?;
            let protocol = self::protocol(saved.value(path, "protocol")?)?;
            let bust = self::bug(saved.value(path, "bug")?)?;
            let search = Search {
                bust,
                correct: bust.rule.is_none(),
                scenario: scenario.name,
                protocol: protocol.1,
                scheduler: "replay".to_owned(),
                grain: grain(saved.value(path, "points")?)
                    .ok_or_else(|| format!("{path}: no such points"))?,
                save: None,
                begin: Instant::now(),
            };
            let replay = Replay::new(saved.seed, saved.choices);
            let replay = Recorded::new(replay, 1, Duration::from_secs(3600));
            explore(search, scenario, protocol.0, replay);
            report::print("clean", "-", "-", "");
            Ok(())
        }
        _ => Err("usage: explore list | search ... | replay FILE, see src/cli.rs".to_owned()),
    }
}

/// Runs a scenario under a scheduler until that has no more schedules. A report ends the process.
fn explore(
    search: Search,
    scenario: &Scenario,
    protocol: Protocol,
    scheduler: impl Scheduler + 'static,
) {
    let bust = search.bust;
    schedule::set_finest(search.grain);
    let run = scenario.run(bust, protocol);
    report::begin(search);
    let mut config = Config::new();
    config.stack_size = STACK;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || run(bust));
}

fn number(what: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text}: not a {what}"))
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    Scenario::find(name).ok_or_else(|| format!("{name}: no such scenario"))
}

fn protocol(name: &str) -> Result<(Protocol, &'static str), String> {
    let found = PROTOCOLS.iter().find(|(_, other)| *other == name);
    found
        .copied()
        .ok_or_else(|| format!("{name}: no such protocol"))
}

fn bug(name: &str) -> Result<&'static Bust, String> {
    if name == busted::CORRECT.name {
        return Ok(&busted::CORRECT);
    }
    let found = busted::ALL.iter().find(|bust| bust.name == name);
    found.ok_or_else(|| format!("{name}: no such bug"))
}

/// Prints scenarios and bugs.
fn list() {
    for scenario in scenarios::ALL {
        println!(
            "{{\"scenario\": {:?}, \"about\": {:?}}}",
            scenario.name, scenario.about
        );
    }
    for bust in busted::ALL {
        let plan = PLANS.iter().find(|(name, _)| *name == bust.name);
        let rule = bust.rule.map_or("-", Rule::name);
        let plan = match plan {
            Some((_, Plan::Search(scenario, protocol, how))) => {
                format!("\"scenario\": {scenario:?}, \"protocol\": {protocol:?}, \"how\": {how:?}")
            }
            Some((_, Plan::Alone(why))) => format!("\"alone\": {why:?}"),
            None => "\"missing\": true".to_owned(),
        };
        println!("{{\"bug\": {:?}, \"rule\": {rule:?}, {plan}}}", bust.name);
    }
}
