// SPDX-License-Identifier: GPL-2.0

//! Tests of the program: what it finds, and what it refuses.

use std::process::Command;

/// Runs the program. Returns its exit status, and what it prints.
fn orders(arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_orders"))
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        done.status.code().unwrap_or(-1),
        text(&done.stdout),
        text(&done.stderr),
    )
}

/// Explores, and returns the result.
fn result(what: &str, name: &str) -> String {
    let (status, output, errors) = orders(&[what, name]);
    assert_eq!(status, 0, "{errors}");
    output.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_relaxed_publication_is_found_and_a_release_is_not() {
    let relaxed = result("bug", "RelaxedPublication");
    assert!(relaxed.contains("\"how\": \"caught\""), "{relaxed}");
    assert!(relaxed.contains("\"oracle\": \"TS\""), "{relaxed}");

    let release = result("correct", "publish");
    assert!(release.contains("\"how\": \"clean\""), "{release}");
    assert!(release.contains("\"complete\": true"), "{release}");
    assert!(!release.contains("\"executions\": 1,"), "{release}");
}

#[test]
fn a_link_without_its_barrier_is_found() {
    let found = result("bug", "LinkWithoutBarrier");
    assert!(found.contains("Causality violation"), "{found}");
}

#[test]
fn the_slot_is_used_again_and_asked_about() {
    let believed = result("bug", "BelievesSlot");
    assert!(believed.contains("\"oracle\": \"LI\""), "{believed}");
    let asked = result("correct", "slot");
    assert!(asked.contains("\"how\": \"clean\""), "{asked}");
}

#[test]
fn each_bug_has_a_core() {
    let (_, list, _) = orders(&["list"]);
    let cores: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("{\"core\": "))
        .filter_map(|line| line.split(',').next())
        .collect();
    let bugs: Vec<&str> = list.lines().filter(|line| line.contains("bug")).collect();
    assert!(!bugs.is_empty() && !cores.is_empty(), "{list}");
    for bug in bugs {
        let core = bug.split("\"core\": ").nth(1).expect("a core");
        assert!(cores.contains(&core.trim_end_matches('}')), "{bug}");
    }
}

#[test]
fn what_is_unknown_is_refused() {
    for (arguments, words) in [
        (&["bug", "Nothing"][..], "error: Nothing: no such bug"),
        (&["correct", "Nothing"], "error: Nothing: no such core"),
        (&[], "error: usage:"),
    ] {
        let (status, _, errors) = orders(arguments);
        assert_eq!(status, 2);
        assert!(errors.starts_with(words), "{errors}");
    }
}
