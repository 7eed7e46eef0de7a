// SPDX-License-Identifier: GPL-2.0

//! Random sequences: after each step the host's structures follow the rules.
//!
//! `SOAK_STEPS` and `SOAK_SEED` choose the length and the first seed; `SOAK_TRACE` prints each step
//! before it is done, for a host that crashes.

use host::random::{Random, Step};
use host::verify::is_known;
use host::{Host, verify};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Runs a sequence; returns its last steps and what was wrong after them.
fn sequence(host: &mut Host, seed: u64, steps: u64, done: &mut u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut log = Vec::new();
    let (mut stale, mut failed) = (false, false);
    let trace = std::env::var_os("SOAK_TRACE").is_some();
    for _ in 0..steps {
        let step = Step::choose(&mut random, host);
        if trace {
            eprintln!("{seed} {step:x?}");
        }
        let result = step.run(host);
        if !matches!(step, Step::Fail { .. }) {
            host.fail_allocations(0, 0);
        }
        log.push(format!("{step:x?} -> {result:?}"));
        let graph = host.graph();
        let mut wrong: Vec<String> = verify(&graph).iter().map(ToString::to_string).collect();
        let mut problems = host.problems();
        problems.retain(|problem| !is_known(problem, stale, failed && step.is_mmap()));
        wrong.extend(problems);
        stale = graph.has_stale_offset();
        failed = matches!(step, Step::Fail { .. });
        wrong.extend(host.lost_objects(&graph));
        *done += 1;
        if !wrong.is_empty() {
            let from = log.len().saturating_sub(15);
            return Err(format!(
                "seed {seed}: {}\n{}",
                wrong.join("\n"),
                log[from..].join("\n")
            ));
        }
    }
    Ok(())
}

#[test]
fn random_sequences_follow_the_rules() {
    let total = number("SOAK_STEPS", 100_000);
    let mut seed = number("SOAK_SEED", 1);
    let begin = std::time::Instant::now();
    let mut done = 0;
    while done < total {
        let mut host = Host::new().expect("the host's code");
        sequence(&mut host, seed, 2000.min(total - done), &mut done)
            .unwrap_or_else(|e| panic!("{e}"));
        seed += 1;
        for pid in host.pids() {
            host.exit(pid).expect("a process");
        }
        assert_eq!(host.problems(), Vec::<String>::new());
        assert!(
            host.objects().values().all(|&objects| objects == 0),
            "{:?}",
            host.objects()
        );
    }
    println!(
        "{done} steps, {:.0} a minute",
        done as f64 * 60.0 / begin.elapsed().as_secs_f64()
    );
}
