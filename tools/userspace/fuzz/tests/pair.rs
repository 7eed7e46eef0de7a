// SPDX-License-Identifier: GPL-2.0

//! Both sides at once. `HOST_LIBRARY` names the host's code.

use engine::world::State;
use fuzz::action::{Action, parse_all};
use fuzz::choose::Chooser;
use fuzz::compare::{Difference, of_host, states};
use fuzz::pair::{Pair, run};
use fuzz::scenario::scenario;
use fuzz::shadow::Shadow;
use host::random::{Random, at};
use host::{Field, Host, PAGE_SIZE, Target, Value};

fn steps(text: &str) -> Vec<Action> {
    parse_all(text).expect("steps")
}

/// Each kind of step, with its result: the same on both sides.
#[test]
fn each_kind_of_step_is_the_same() {
    let all = steps(
        "spawn\nmap 0 0 8 rw\nmap 0 8 4 r\nmap-file 0 20 8 300\nwrite 0 1\nread 0 2\nwrite 0 21\n\
         change 0 2 4 4 0\nchange 0 2 4 0 4\nfork 0\nwrite 1 1\nwrite 0 1\nswap-out 0 1\nread 0 1\n\
         move 0 0 4 4 30\nmove 0 20 8 3 34\nmove 0 30 2 2 36 keep\nresize 0 8 4 6\nresize 0 8 6 1\n\
         unmap 0 1 40\nspawn\nexit 1\nexit 0\nwrite 7 1\n",
    );
    let differs = run(&all, |step, found| panic!("step {step}: {found:?}"));
    assert_eq!(differs, Ok(false));
}

/// Random steps are written as scenarios to the folder `SCENARIOS`, if it is set: scripts/fuzz_test.py
/// parses them. Steps that both sides refuse are left out, as shrinking leaves them out.
#[test]
fn random_steps_have_scenarios() {
    let folder = std::env::var_os("SCENARIOS").map(std::path::PathBuf::from);
    for seed in 1..=60 {
        let mut random = Random::new(seed);
        let mut chooser = Chooser::new(&mut random, true);
        let mut pair = Pair::new().expect("the host's code");
        let mut done = Vec::new();
        for _ in 0..200 {
            let action = Action {
                fail: 0,
                ..chooser.next(&pair)
            };
            let before = (pair.pids(), pair.state().clone());
            // What has no word, or only with other effects, is not done.
            let text = scenario(&[done.as_slice(), &[action]].concat(), "random steps");
            if text.contains("# no word for: ") {
                continue;
            }
            assert_eq!(pair.step(action), Ok(()), "seed {seed}");
            if (pair.pids(), pair.state()) != (before.0, &before.1) {
                done.push(action);
            }
        }
        assert_eq!(pair.end(), None);
        assert!(done.len() > 20, "seed {seed}: {} steps", done.len());
        if let Some(folder) = &folder {
            let text = scenario(&done, "random steps");
            std::fs::write(folder.join(format!("{seed}.scn")), text).expect("writes");
        }
    }
}

/// Wherever the host's allocation fails, what it has done is one of the permitted outcomes.
#[test]
fn each_failure_is_permitted() {
    let before = "spawn\nmap 0 0 12 rw\nwrite 0 0\nwrite 0 4\nwrite 0 8\nmap 0 14 4 r\nfork 0\n\
                  write 1 4\nmap-file 1 30 4 30\nwrite 1 30\nmap 1 44 2 rw\n";
    let last = [
        "map 1 12 2 rw",
        "map 1 3 5 rw",
        "unmap 1 2 4",
        "unmap 1 1 12",
        "change 1 3 4 4 0",
        "change 1 8 10 4 0",
        "move 1 4 2 2 20",
        "move 1 2 14 14 40",
        "move 1 4 4 2 24",
        "move 1 4 2 2 24 keep",
        "resize 1 0 12 14",
        "write 1 30",
        "write 1 44",
        "fork 1",
        "fork 0",
    ];
    for last in last {
        let mut failed = 0;
        for fail in 0..40 {
            let mut pair = Pair::new().expect("the host's code");
            let mut all = steps(before);
            all.extend(steps(&format!("fail {fail} {last}")));
            for action in all {
                assert_eq!(pair.step(action), Ok(()), "fail {fail} {last}");
            }
            failed += u32::from(pair.failed());
            assert_eq!(pair.end(), None, "fail {fail} {last}");
        }
        // A write to a VMA that has an anon_vma allocates nothing.
        assert_eq!(failed > 0, last != "write 1 30", "{last}: {failed}");
    }
}

/// What is wrong on the host's side alone is found, and so is what is left at the end.
#[test]
fn a_host_that_is_wrong_by_itself_is_found() {
    let before = "spawn\nmap 0 0 8 rw\nwrite 0 0\nfork 0\nwrite 1 0\n";
    let mut pair = Pair::new().expect("the host's code");
    for action in steps(before) {
        assert_eq!(pair.step(action), Ok(()));
    }
    let anon_vma = Target::AnonVma(1, at(0));
    let damage = pair
        .host()
        .damage(anon_vma, Field::Refcount, Value::Number(7));
    let found = pair.step(steps("read 0 0\n")[0]).expect_err("a difference");
    pair.host().repair(damage);
    assert!(
        found.iter().any(|f| f.words.starts_with("the host: ")),
        "{found:?}"
    );

    drop(pair);

    // The host refuses what the shadow does, because it has the pages no more.
    let mut pair = Pair::new().expect("the host's code");
    for action in steps(before) {
        assert_eq!(pair.step(action), Ok(()));
    }
    pair.host()
        .unmap(0, at(0), 8 * PAGE_SIZE)
        .expect("unmapped");
    let found = pair
        .step(steps("write 0 1\n")[0])
        .expect_err("a difference");
    assert!(
        found
            .iter()
            .any(|f| f.words.contains("refuses it with errno")),
        "{found:?}"
    );
}

/// What no failing allocation explains is a difference, also in a step in which one failed.
#[test]
fn other_outcomes_are_not_permitted() {
    let mut pair = Pair::new().expect("the host's code");
    for action in steps("spawn\nmap 0 0 8 rw\nwrite 0 0\n") {
        assert_eq!(pair.step(action), Ok(()));
    }
    // The host has another page, so no outcome of the step is the host's.
    pair.host().write(0, at(5)).expect("a write");
    let found = pair.step(steps("fail 1 unmap 0 2 2\n")[0]);
    assert!(found.is_err());
    // As a step that goes well the same is a difference in the page table.
    let found = pair
        .step(steps("unmap 0 2 2\n")[0])
        .expect_err("a difference");
    assert!(
        found.iter().any(|difference| difference.rule == Some(35)),
        "{found:?}"
    );
}

/// Damages the host after some steps; returns what is found.
fn damaged(target: Target, field: Field, value: u64) -> Vec<Difference> {
    let (mut host, mut shadow) = (Host::new().expect("the host's code"), Shadow::new());
    for action in steps("spawn\nmap 0 0 8 rw\nwrite 0 0\nwrite 0 1\nfork 0\nwrite 1 0\n") {
        assert_eq!(
            action.step.run(&mut host),
            shadow.run(action.step, 0).0,
            "{action}"
        );
    }
    let compare = |host: &mut Host, ours: &State| states(ours, &of_host(&host.graph()));
    let ours = shadow.state();
    assert_eq!(compare(&mut host, &ours), vec![]);
    let damage = host.damage(target, field, Value::Number(value));
    let found = compare(&mut host, &ours);
    host.repair(damage);
    assert_eq!(compare(&mut host, &ours), vec![]);
    found
}

/// The host's own structures reach the comparison.
#[test]
fn a_damaged_host_differs() {
    let anon_vma = Target::AnonVma(1, at(0));
    let page = Target::Page(1, at(0));
    for (target, field, value, rule) in [
        (anon_vma, Field::Refcount, 7, 16),
        (anon_vma, Field::NumChildren, 7, 24),
        (anon_vma, Field::NumActiveVmas, 7, 24),
        (page, Field::FolioIndex, 7, 41),
        (page, Field::FolioMapcount, 7, 3),
    ] {
        let found = damaged(target, field, value);
        assert_eq!(
            found.first().and_then(|f| f.rule),
            Some(rule),
            "{field:?}: {found:?}"
        );
    }
}

/// Documentation/fuzz.rst: without memory to unmap the source of a move it stays mapped, without
/// pages, and is not accounted for.
#[test]
fn a_source_that_stays_loses_its_account() {
    const ACCOUNT: u64 = 1 << 20;
    let mut stays = Vec::new();
    for fail in 1..20 {
        let mut pair = Pair::new().expect("the host's code");
        let text = format!("spawn\nmap 0 0 8 rw\nwrite 0 2\nfail {fail} move 0 2 2 2 20\n");
        for action in steps(&text) {
            assert_eq!(pair.step(action), Ok(()));
        }
        let state = pair.state();
        let source = state
            .vmas
            .iter()
            .find(|vma| (vma.first..=vma.last).contains(&2));
        let moved = state.entries.iter().all(|entry| entry.address == 20);
        if let (Some(source), true) = (source, moved) {
            assert_eq!(source.flags & ACCOUNT, 0);
            stays.push(fail);
        }
    }
    assert!(stays.contains(&7), "{stays:?}");
}
