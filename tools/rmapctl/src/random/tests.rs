// SPDX-License-Identifier: GPL-2.0

//! Tests of the generator.

use super::*;
use crate::scenario::Scenario;

const LIMITS: Limits = Limits {
    steps: 2000,
    check_every: 1,
    max_processes: 12,
    max_pages: 64,
    mode: Mode::Pinned,
    shifts: false,
    fail: false,
};

#[test]
fn the_same_seed_makes_the_same_scenario() {
    let once = generate(7, &LIMITS).expect("generates");
    assert_eq!(once, generate(7, &LIMITS).expect("generates"));
    assert_ne!(once, generate(8, &LIMITS).expect("generates"));
}

/// The mode changes nothing but its line: every step is valid in both modes.
#[test]
fn the_mode_is_the_first_line() {
    let limits = Limits {
        mode: Mode::Mergeable,
        ..LIMITS
    };
    let text = generate(7, &limits).expect("generates");
    Scenario::parse(&text).expect("is valid");
    assert_eq!(text.lines().nth(1), Some("mode mergeable"));
    let without = text.replacen("mode mergeable\n", "", 1);
    assert_eq!(without, generate(7, &LIMITS).expect("generates"));
}

#[test]
fn what_is_made_is_valid_and_has_everything() {
    let mut with_places = 0;
    let mut all = String::new();
    for seed in 0..20 {
        let text = generate(seed, &LIMITS).expect("generates");
        Scenario::parse(&text).expect("is valid");
        for keyword in [
            "map ",
            "touch ",
            "fork ",
            "exit ",
            "exec ",
            "protect ",
            "unmap ",
            "dontneed ",
            "move ",
            " keep",
            " write ",
            " read ",
        ] {
            assert!(text.contains(keyword), "seed {seed} has no `{keyword}`");
        }
        let main_ends =
            |line: &str| line == "exit main" || line.starts_with("dies SIGSEGV touch main ");
        assert!(text.lines().any(main_ends), "seed {seed}: main lives on");
        assert_eq!(
            text.contains(" over "),
            text.contains(" onto "),
            "seed {seed}"
        );
        all.push_str(&text);
        with_places += u32::from(text.contains(" onto "));
        assert_eq!(text.lines().count(), 2 + 2000 + 1);
    }
    for keyword in [
        "advise ",
        " dontfork",
        " dofork",
        " guard",
        " unguard",
        " populate-read",
        " populate-write",
        " pageout",
        " random",
        " normal",
        "\nlock ",
        "unlock ",
        "seal ",
        "poke ",
        " force",
        "pin ",
        "unpin ",
        "thread t ",
        "wait",
        "refused EPERM ",
        "dies SIGSEGV touch ",
        "tree ",
    ] {
        let often = all.matches(keyword).count();
        assert!(often >= 20, "`{keyword}` {often} times in 20 sequences");
    }
    let resized = |line: &&str| line.contains(" to ") && line.contains(" onto ");
    assert!(all.lines().filter(resized).count() >= 20);
    // The others leave holes to the kernel.
    assert!((1..20).contains(&with_places), "{with_places} of 20");
}

#[test]
fn small_limits_are_kept() {
    let limits = Limits {
        max_processes: 1,
        max_pages: 1,
        check_every: 0,
        steps: 200,
        ..LIMITS
    };
    let text = generate(1, &limits).expect("generates");
    Scenario::parse(&text).expect("is valid");
    assert!(!text.contains("\nfork") && !text.contains("check every"));
}

/// Each round begins with new mappings, and ends with a check.
#[test]
fn rounds_of_shifts() {
    let limits = Limits {
        shifts: true,
        steps: 500,
        ..LIMITS
    };
    let mut all = String::new();
    for seed in 0..10 {
        let text = generate(seed, &limits).expect("generates");
        assert_eq!(text, generate(seed, &limits).expect("generates"));
        Scenario::parse(&text).expect("is valid");
        let rounds = text.lines().filter(|line| *line == "check").count();
        assert!(
            (500 / 12..=500 / 4 + 1).contains(&rounds),
            "{rounds} rounds"
        );
        assert_eq!(text.matches("exec main\nmap main ").count(), rounds);
        assert!(text.ends_with("\ncheck\n"));
        all.push_str(&text);
    }
    for keyword in [
        " dontfork",
        " dofork",
        " random",
        " normal",
        " keep",
        " onto ",
        " over ",
        "unmap ",
        "fork ",
        " read ",
        " r\n",
    ] {
        let often = all.matches(keyword).count();
        assert!(often >= 20, "`{keyword}` {often} times in 10 sequences");
    }
}

/// Allocations fail in commands of each kind that can be done again; at the end nothing may be untracked.
#[test]
fn allocations_fail_in_some_commands() {
    let limits = Limits {
        fail: true,
        check_every: 3,
        ..LIMITS
    };
    let mut all = String::new();
    for seed in 0..4 {
        let text = generate(seed, &limits).expect("generates");
        Scenario::parse(&text).expect("is valid");
        assert!(!text.contains("check every"));
        let checks = text.matches("\ncheck untracked>=0\n").count();
        assert_eq!(checks, 2000 / 3);
        let (_, end) = text.rsplit_once("check untracked").expect("checks");
        assert!(
            end.contains("\nexec ") && end.ends_with(" write 1\ncheck\n"),
            "{end}"
        );
        all.push_str(&text);
    }
    for command in [
        "touch", "fork", "map", "protect", "unmap", "dontneed", "advise", "lock",
    ] {
        let often = all
            .lines()
            .filter_map(|line| line.strip_prefix("fail ")?.split_once(' '))
            .filter(|(after, rest)| after.len() < 3 && rest.starts_with(command))
            .count();
        assert!(
            often >= 20,
            "`fail N {command}` {often} times in 4 sequences"
        );
    }
}
