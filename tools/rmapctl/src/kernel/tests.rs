// SPDX-License-Identifier: GPL-2.0

//! Tests of what the module prints, and of the numbers of its ioctls.

use super::*;
use crate::scenario::Condition;
use std::fs;

const COMPARE: &str = "vma 1 (pid 41 main) [0x10000, 0x14000): same\n\
                       vma 2 (pid 42 child) [0x10000, 0x14000): root: host 1, shadow 2\n\
                       violation of R15: vma 2 has two roots\n\
                       compare: vmas=2 anon_vmas=2 chains=3 pages=9 untracked=0 violations=0 \
                       differences=1\n";

#[test]
fn the_ioctls_are_those_of_the_header() {
    // _IOR and _IOW of a 56-byte and a 4-byte argument, magic 0xA7.
    assert_eq!(size_of::<Check>(), 56);
    assert_eq!(
        nix::request_code_read!(0xA7u8, 1, size_of::<Check>()),
        0x8038_a701
    );
    assert_eq!(
        nix::request_code_write!(0xA7u8, 2, size_of::<u32>()),
        0x4004_a702
    );
}

#[test]
fn the_last_line_of_compare_is_parsed() {
    assert_eq!(
        complaints(COMPARE),
        [
            "vma 2 (pid 42 child) [0x10000, 0x14000): root: host 1, shadow 2",
            "violation of R15: vma 2 has two roots",
        ]
    );
    let counts = compare_counts(COMPARE).expect("has a last line");
    assert_eq!((counts.vmas, counts.pages, counts.differences), (2, 9, 1));
    assert_eq!(counts.violations, 1);
    let counted = COMPARE.replace("violations=0", "violations=7");
    assert_eq!(compare_counts(&counted).expect("parses").violations, 7);
    let twice = COMPARE.replace("untracked=0", "untracked=0 ambiguous=2");
    assert_eq!(ambiguous(&twice).expect("parses"), 2);
    assert!(ambiguous(COMPARE).is_err());
    for bad in ["", "violations=oops", "violations=-1"] {
        assert!(compare_counts(&COMPARE.replace("violations=0", bad)).is_err());
    }
    assert!(compare_counts("compare: vmas=1\n").is_err());
    assert!(compare_counts("").is_err());
}

#[test]
fn debugfs_errors_name_the_cause_and_the_fix() {
    let root = std::env::temp_dir().join(format!("rmapctl-debugfs-{}", std::process::id()));
    fs::create_dir_all(&root).expect("is made");
    let debugfs = Debugfs::new(&root);
    let error = debugfs.read("rules").expect_err("must fail").to_string();
    assert!(
        error.contains("No such file") && !error.contains("insmod"),
        "{error}"
    );
    fs::remove_dir_all(&root).expect("is removed");
    let error = debugfs.read("rules").expect_err("must fail").to_string();
    assert!(error.contains("insmod"), "{error}");
}

#[test]
fn rules_are_compact() {
    let text = "R1 bit 0 means anon steps=90 checks=12 violations=0\n\
                R2 stays set steps=0 checks=0 violations=0\n\
                R24 reuse at fork, checks=never steps=0 checks=3 violations=1\n\
                R30 publish with release steps=5 checks=0 violations=0\n";
    assert_eq!(
        compact_rules(text).expect("parses"),
        "R1 checks=12   R24 checks=3 violations=1   R30 checks=0"
    );
    let rules = parse_rules(text).expect("parses");
    assert_eq!(rules[2].title, "reuse at fork, checks=never");
    assert_eq!((rules[0].title, rules[0].steps), ("bit 0 means anon", 90));
    for bad in [
        "",
        "R1 title steps=1 checks=1 violations=oops\n",
        "R1 title checks=1 violations=0\n",
        "rule title steps=1 checks=1 violations=0\n",
    ] {
        assert!(parse_rules(bad).is_err(), "{bad}");
        assert!(compact_rules(bad).is_err(), "{bad}");
        assert_eq!(
            parse_rules(&format!("{text}{bad}")).is_err(),
            !bad.is_empty()
        );
    }
}

#[test]
fn an_unmet_condition_is_described() {
    let numbers = Numbers {
        check: Check {
            anon_vmas: 9,
            vmas: 4,
            differences: 2,
            ..Check::default()
        },
        events: Events {
            opens: 3,
            closes: 1,
        },
    };
    let unmet = |text: &str| numbers.unmet(&[text.parse::<Condition>().expect("parses")]);
    assert_eq!(
        unmet("differences=0"),
        Some("differences=2, expected differences=0".to_owned())
    );
    assert_eq!(
        unmet("anon_vmas<=2*vmas"),
        Some("anon_vmas=9, expected anon_vmas<=2*vmas with vmas=4".to_owned())
    );
    for holds in [
        "differences>=2",
        "anon_vmas>2*vmas",
        "opens=3*closes",
        "closes<opens",
    ] {
        assert_eq!(unmet(holds), None, "{holds}");
    }
}

#[test]
fn callbacks_are_counted_from_one_check_to_the_next() {
    let stats = |forks, closes| {
        format!(
            "events_map: 9\nevents_fork: {forks}\nevents_split: 2\nevents_move: 1\nevents_close: {closes}\n"
        )
    };
    let before = parse_events(&stats(4, 5)).expect("parses");
    let after = parse_events(&stats(6, 9)).expect("parses");
    assert_eq!(
        before,
        Events {
            opens: 7,
            closes: 5
        }
    );
    assert_eq!(
        after.since(before),
        Events {
            opens: 2,
            closes: 4
        }
    );
    assert!(parse_events("events_fork: 1\n").is_err());
}

#[test]
fn a_number_of_stats_is_found_by_its_whole_name() {
    let stats = "live_pages_peak: 9\nlive_pages: 4\nnames: R1 R2\n";
    assert_eq!(stat(stats, "live_pages").expect("is there"), 4);
    for absent in ["live", "pages", "names"] {
        let error = stat(stats, absent).expect_err("no number").to_string();
        assert!(
            error.ends_with(&format!("no line `{absent}: N`")),
            "{error}"
        );
    }
}
