// SPDX-License-Identifier: GPL-2.0

//! Tests of the program: what it searches, what it saves, what it refuses.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs the program. Returns its exit status, and what it prints.
fn explore(arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_explore"))
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

/// Returns the value of a key of a line of JSON, without quotes.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\": "))?;
    Some(match rest.strip_prefix('"') {
        Some(text) => text.split('"').next()?,
        None => rest.split([',', '}']).next()?,
    })
}

fn source(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(top.join(path)).expect("a source file")
}

/// Returns the types that are deliberate bugs by their comments, in all files of `busted/` but
/// `live.rs`, whose bugs only the comparison with a host shows.
fn bugs_of_the_sources() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../rust/torture/busted");
    let mut bugs = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        if entry.file_name() == "live.rs" {
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("a file");
        let mut about = false;
        for line in text.lines() {
            about |= line.starts_with("/// Deliberate bug:");
            if let Some(name) = line.strip_prefix("pub(crate) struct ") {
                if std::mem::take(&mut about) {
                    bugs.insert(name.trim_end_matches(';').to_owned());
                }
            }
        }
    }
    bugs
}

/// Each bug of the sources is searched, or is said to need no search; and nothing else is.
#[test]
fn all_bugs_have_a_plan() {
    let (code, list, _) = explore(&["list"]);
    assert_eq!(code, 0);
    assert!(!list.contains("\"missing\""), "{list}");
    let listed: BTreeSet<String> = list
        .lines()
        .filter_map(|line| value(line, "bug").map(str::to_owned))
        .collect();
    let sources = bugs_of_the_sources();
    assert!(sources.len() > 40, "only {} bugs", sources.len());
    assert_eq!(listed, sources);

    let plans = source("src/bugs.rs");
    // A name is the first word of its line, which rustfmt may have broken.
    let planned: BTreeSet<String> = plans
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches('(').strip_prefix('"'))
        .filter_map(|line| line.split('"').next().map(str::to_owned))
        .collect();
    assert_eq!(planned, sources);
}

/// Searches a bug that is found at once, and returns the file of its schedule and the result.
fn saved(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.schedule"));
    let text = path.to_string_lossy().into_owned();
    let search = [
        "search",
        "SkipsSecondCheck",
        "recycle",
        "rwsem",
        "pct:3",
        "1",
        "100000",
        "60",
    ];
    let (code, result, _) = explore(&[&search[..], &[&text]].concat());
    assert_eq!(
        (code, value(&result, "how")),
        (0, Some("caught")),
        "{result}"
    );
    (path, result)
}

/// A schedule leads to the same report at the same step; another schedule does not.
#[test]
fn a_schedule_replays() {
    let (path, found) = saved("replays");
    let file = path.to_string_lossy().into_owned();
    for _ in 0..3 {
        let (code, again, _) = explore(&["replay", &file]);
        assert_eq!(code, 0);
        for key in ["how", "oracle", "rule", "words", "steps", "preemptions"] {
            assert_eq!(value(&again, key), value(&found, key), "{key}");
        }
    }
    let text = fs::read_to_string(&path).expect("the file");
    let (head, tasks) = text.split_once("tasks: ").expect("a line of tasks");
    for (name, other, how) in [
        ("shorter", "0x2".to_owned(), "no report"),
        (
            "unknown",
            format!("99 {}", tasks.trim_end()),
            "does not fit",
        ),
    ] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.schedule"));
        fs::write(&path, format!("{head}tasks: {other}\n")).expect("it is written");
        let (code, result, _) = explore(&["replay", &path.to_string_lossy()]);
        assert_eq!((code, value(&result, "how")), (0, Some(how)), "{result}");
    }
}

/// A seed makes the same schedules again.
#[test]
fn a_seed_is_repeated() {
    let (first, _) = saved("first");
    let (second, _) = saved("second");
    let [first, second] = [first, second].map(|path| fs::read_to_string(path).expect("a file"));
    assert_eq!(first, second);
}

/// The correct rules are clean where the bug is found.
#[test]
fn the_correct_rules_are_clean() {
    let (code, result, _) = explore(&[
        "search", "none", "recycle", "rwsem", "pct:3", "1", "500", "60", "-",
    ]);
    assert_eq!(
        (code, value(&result, "how")),
        (0, Some("clean")),
        "{result}"
    );
    assert_eq!(value(&result, "schedules"), Some("500"));
    assert_eq!(value(&result, "complete"), Some("false"));
}

/// A trylock fails beside a reader, because a writer waits (R10).
#[test]
fn a_lookup_is_refused_beside_a_reader() {
    let result = search("none", "readers", "random", "200");
    assert_eq!(value(&result, "how"), Some("clean"), "{result}");
    let refused = value(&result, "behind_a_writer").and_then(|number| number.parse().ok());
    assert!(refused > Some(0_u32), "{result}");
}

/// A small scenario comes to its end.
#[test]
fn all_schedules_are_tried() {
    let (code, result, _) = explore(&[
        "search",
        "none",
        "small-child",
        "rwsem",
        "dfs:windows",
        "1",
        "1000000",
        "120",
        "-",
    ]);
    assert_eq!(
        (code, value(&result, "how"), value(&result, "complete")),
        (0, Some("clean"), Some("true")),
        "{result}"
    );
}

fn search(bug: &str, scenario: &str, how: &str, most: &str) -> String {
    let (code, result, _) = explore(&["search", bug, scenario, "rwsem", how, "1", most, "60", "-"]);
    assert_eq!(code, 0, "{result}");
    result
}

/// Steps that are judged as the correct ones are reported: by an oracle, or by a check of a rule.
#[test]
fn the_correct_rules_can_be_reported() {
    let result = search("as-correct:SkipsSecondCheck", "recycle", "pct:3", "100000");
    assert_eq!(value(&result, "how"), Some("reported"), "{result}");
    let result = search("as-correct:ClearsMapping", "prepare", "random", "1");
    assert_eq!(
        (value(&result, "how"), value(&result, "words")),
        (Some("reported"), Some("a check of the rule fails")),
        "{result}"
    );
}

/// The scenarios that no plan names see harm, too.
#[test]
fn each_scenario_can_report() {
    for (bug, scenario) in [
        ("LinksLast", "fork"),
        ("ForgetsRootLink", "exit"),
        ("TakesRootsAgain", "take-all"),
        ("UnmapsTwice", "split"),
    ] {
        let result = search(bug, scenario, "random", "100");
        assert!(
            matches!(value(&result, "how"), Some("caught" | "finding")),
            "{scenario}: {result}"
        );
    }
}

/// What is wrong is said in one line.
#[test]
fn bad_input_is_refused() {
    let tail = ["random", "1", "1", "1", "-"];
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad.schedule");
    let bad = file.to_string_lossy().into_owned();
    let head = "bug: none\nscenario: pin\nprotocol: rwsem\npoints: accesses\n";
    let mut cases = vec![
        (vec![], "usage: "),
        (vec!["search", "No", "pin", "rwsem"], "No: no such bug"),
        (
            vec!["search", "none", "no", "rwsem"],
            "no: no such scenario",
        ),
        (vec!["search", "none", "pin", "no"], "no: no such protocol"),
        (vec!["replay", "/nowhere"], "/nowhere: No such file"),
    ];
    for (arguments, words) in &mut cases {
        if arguments.first() == Some(&"search") {
            arguments.extend(tail);
        }
        let (code, _, error) = explore(arguments);
        assert_eq!(code, 2, "{arguments:?}");
        assert!(error.starts_with(&format!("error: {words}")), "{error}");
    }
    for (text, words) in [
        ("nonsense\n", ":1: not `key: value`"),
        ("seed: 1\n", ": no line `tasks: ...`"),
        ("seed: x\ntasks: 1\n", ": the seed is no number"),
        ("seed: 1\ntasks: 1x0\n", ": the tasks are not"),
        ("seed: 1\ntasks: 300\n", ": the tasks are not"),
        ("seed: 1\ntasks: 1x9999999999\n", ": the tasks are not"),
    ] {
        fs::write(
            &file,
            format!("{}{text}", if text == "nonsense\n" { "" } else { head }),
        )
        .expect("it is written");
        let (code, _, error) = explore(&["replay", &bad]);
        assert_eq!(code, 2, "{text}");
        assert!(
            error.starts_with(&format!("error: {bad}{words}")),
            "{error}"
        );
    }
}
