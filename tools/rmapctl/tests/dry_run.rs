// SPDX-License-Identifier: GPL-2.0

//! Runs the real program over `/dev/zero`, whose private mappings any machine has.
//!
//! Without the module there is nothing to check; what is tested is that processes are made, do what
//! they are told, see their own copies of the pages, and are all gone at the end.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn rmapctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmapctl"));
    command.args(arguments);
    command
}

const DRY: [&str; 5] = [
    "--no-check",
    "--device=/dev/zero",
    "--debugfs=/nonexistent",
    "--timeout=20",
    "--keep-going",
];

/// Runs `text` as a scenario in a file of its own; the output calls the file `FILE`.
fn run(name: &str, text: &str) -> (bool, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.scn"));
    std::fs::write(&path, text).expect("the scenario is written");
    let path = path.display().to_string();
    let output = rmapctl(&["run", &path]).args(DRY).output().expect("runs");
    let text = both(&output).replace(&path, "FILE");
    (output.status.success(), text)
}

fn both(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_sample_runs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
    let files: Vec<String> = std::fs::read_dir(folder)
        .expect("samples are there")
        .map(|entry| entry.expect("readable").path().display().to_string())
        .filter(|path| path.ends_with(".scn"))
        .collect();
    let output = rmapctl(&["run", "--quiet"])
        .env("OUT", env!("CARGO_TARGET_TMPDIR"))
        .args(DRY)
        .args(&files)
        .output()
        .expect("runs");
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.ends_with(&format!("scenarios: {} ok, 0 failed\n", files.len())),
        "{text}"
    );
}

#[test]
fn random_sequences_run() {
    let output = rmapctl(&["random", "--seed=3", "--seeds=3", "--steps=500"])
        .args(DRY)
        .output()
        .expect("runs");
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    let last =
        "random: 3 sequences, 1506 steps, 0 checks, differences=0 violations=0 untracked=0\n";
    assert!(text.starts_with("random: seed=3 steps=500\n"), "{text}");
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn what_is_printed_can_be_run() {
    let print = ["random", "--seed=5", "--steps=300", "--print"];
    let output = rmapctl(&print).output().expect("runs");
    let (good, text) = run("printed", &both(&output));
    assert!(good, "{text}");
}

#[test]
fn summaries_count() {
    let (good, text) = run(
        "summary",
        "print hello\nmap main m 2\nfork main a b\nexit a\n",
    );
    assert!(good);
    assert_eq!(
        text,
        "hello\nFILE: 4 steps, 3 processes, 0 checks, ok\nscenarios: 1 ok, 0 failed\n"
    );
}

#[test]
fn failures_speak() {
    let cases = [
        (
            "wrong_byte",
            "map main m 4\ntouch main m all write 3\nfork main c\ntouch c m 1..3 read 4",
            "FILE:4: process `c`: page 1 holds 3, expected 4",
        ),
        (
            "not_fatal",
            "map main m 4\n\ndies SIGSEGV touch main m 0",
            "FILE:3: process `main` is alive, expected SIGSEGV to kill it",
        ),
        (
            "other_signal",
            "map main m 4\nprotect main m 0 r\ndies SIGBUS touch main m 0",
            "FILE:3: process `main` was killed by SIGSEGV, expected SIGBUS",
        ),
        (
            "refused",
            "map main m 4\ntouch main m 9",
            "FILE:2: mapping `m` of `main` has 4 pages; 9 is beyond",
        ),
        (
            "refused_by_the_kernel",
            "map main m 4\nprotect main m 1 r\nmove main m all to 8",
            "FILE:3: process `main`: mremap: EFAULT: Bad address",
        ),
    ];
    for (name, scenario, message) in cases {
        let (good, text) = run(name, scenario);
        assert!(!good, "{name}: {text}");
        assert_eq!(
            text,
            format!("{message}\nscenarios: 0 ok, 1 failed\n"),
            "{name}"
        );
    }
}

#[test]
fn a_process_that_dies_by_itself_is_noticed() {
    // A mapping of a file that has no such page: the touch is a SIGBUS that nobody expects.
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty");
    std::fs::write(&empty, "").expect("is written");
    let scenario = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dies.scn");
    std::fs::write(
        &scenario,
        "map main m 1\nfork main c\nfork c d\ntouch d m 0\n",
    )
    .expect("is written");
    let output = rmapctl(&["run", "--no-check"])
        .arg("--device")
        .arg(&empty)
        .arg(&scenario)
        .output()
        .expect("runs");
    let text = both(&output);
    assert!(
        text.contains(":4: process `d` was killed by SIGBUS"),
        "{text}"
    );
}

#[test]
fn an_interrupted_run_leaves_nobody() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("long.scn");
    let text = "map main m 1\nfork main a\nfork a b\nrepeat 10000000\ntouch b m 0\nend\n";
    std::fs::write(&path, text.replace("10000000", "1000000")).expect("is written");
    let child = rmapctl(&["run"])
        .arg(&path)
        .args(DRY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let started = Instant::now();
    // The static check of a million steps comes first; give the processes time to be there.
    std::thread::sleep(Duration::from_secs(3));
    let pid = child.id().to_string();
    let kill = Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill runs");
    assert!(kill.success());
    let output = child.wait_with_output().expect("ends");
    let text = both(&output);
    assert!(!output.status.success());
    // The pipes were inherited: they close only when every process has gone.
    assert!(text.contains("interrupted"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn usage_errors_are_told_apart() {
    let status = |arguments: &[&str]| rmapctl(arguments).output().expect("runs").status.code();
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["fly"]), Some(2));
    assert_eq!(status(&["run"]), Some(2));
    assert_eq!(status(&["random", "--steps=0"]), Some(2));
    assert_eq!(status(&["show", "--debugfs=/nonexistent"]), Some(1));
    assert_eq!(status(&["check", "--debugfs=/nonexistent"]), Some(1));
}
