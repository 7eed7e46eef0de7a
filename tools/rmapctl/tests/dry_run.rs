// SPDX-License-Identifier: GPL-2.0

//! Runs the program on a file of zeroes, whose private mappings exist on any machine.
//!
//! Without the module there are no checks. These tests show that processes are created, execute
//! their commands, see their own copies of the pages, and have all ended at the end. They compare
//! standard output only: progress goes to standard error, and appears on a slow machine alone.

mod common;

use common::{DRY, Run, make_zeros, rmapctl, run, scenario};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
#[ignore = "needs Linux 6.17"]
fn every_sample_runs() {
    make_zeros();
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
    let files: Vec<String> = [samples.to_owned(), format!("{samples}/failslab")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("samples are there"))
        .map(|entry| entry.expect("readable").path().display().to_string())
        .filter(|path| path.ends_with(".scn"))
        .collect();
    assert!(files.len() >= 8, "only {} samples", files.len());
    let output = rmapctl(&["run", "--quiet"])
        .env("OUT", env!("CARGO_TARGET_TMPDIR"))
        .args(DRY)
        .args(&files)
        .output()
        .expect("runs");
    let run = Run::from(output);
    assert!(run.good, "{}", run.all);
    let last = format!("scenarios: {} ok, 0 failed\n", files.len());
    assert!(run.stdout.ends_with(&last), "{}", run.all);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn random_sequences_run() {
    make_zeros();
    let output = rmapctl(&["random", "--seed=3", "--seeds=3", "--steps=500"])
        .args(DRY)
        .output()
        .expect("runs");
    let run = Run::from(output);
    assert!(run.good, "{}", run.all);
    assert_eq!(
        run.stdout,
        "random: seed=3 steps=500 mode=pinned\nrandom: seed=4 steps=500 mode=pinned\n\
         random: seed=5 steps=500 mode=pinned\n\
         random: 3 sequences, 1506 steps, 0 checks, differences=0 violations=0 untracked=0 ambiguous=0\n"
    );
}

#[test]
#[ignore = "needs Linux 6.17"]
fn a_printed_sequence_runs() {
    let print = ["random", "--seed=5", "--steps=300", "--print"];
    let printed = Run::from(rmapctl(&print).output().expect("runs"));
    let run = run("printed", &printed.stdout);
    assert!(run.good, "{}", run.all);
}

#[test]
fn summaries_count() {
    let run = run(
        "summary",
        "print hello\nmap main m 2\nfork main a b\nexit a\n",
    );
    assert!(run.good, "{}", run.all);
    assert_eq!(
        run.stdout,
        "hello\nFILE: 4 steps, 3 processes, 0 checks, ok\nscenarios: 1 ok, 0 failed\n"
    );
}

#[test]
fn failures_name_the_line_and_the_cause() {
    let cases = [
        (
            "wrong_byte",
            "map main m 4\ntouch main m all write 3\nfork main c\ntouch c m 1..3 read 4",
            "FILE:4: process `c`: page 1 holds 3, expected 4",
        ),
        (
            "not_fatal",
            "map main m 4\n\ndies SIGSEGV touch main m 0",
            "FILE:3: process `main` is alive; expected SIGSEGV to kill it",
        ),
        (
            "other_signal",
            "map main m 4\nprotect main m 0 r\ndies SIGBUS touch main m 0",
            "FILE:3: process `main` was killed by SIGSEGV, expected SIGBUS",
        ),
        (
            "refused",
            "map main m 4\ntouch main m 9",
            "FILE:2: mapping `m` of `main` has pages 0..4; 9 is beyond its end",
        ),
        (
            "refused_by_the_kernel",
            "map main m 4\nprotect main m 1 r\nmove main m all to 8",
            "FILE:3: process `main`: mremap: EFAULT: Bad address",
        ),
    ];
    for (name, scenario, message) in cases {
        let run = run(name, scenario);
        assert!(!run.good, "{name}: {}", run.all);
        assert_eq!(
            run.stdout,
            format!("{message}\nscenarios: 0 ok, 1 failed\n"),
            "{name}"
        );
    }
}

#[test]
fn an_unexpected_death_is_reported() {
    // A mapping of a file that has no such page: the touch causes SIGBUS.
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty");
    std::fs::write(&empty, "").expect("is written");
    let path = scenario("dies", "map main m 1\nfork main c\nfork c d\ntouch d m 0\n");
    let output = rmapctl(&["run", "--no-check"])
        .arg("--device")
        .arg(&empty)
        .arg(&path)
        .output()
        .expect("runs");
    let run = Run::from(output);
    assert!(
        run.stdout.contains(":4: process `d` was killed by SIGBUS"),
        "{}",
        run.all
    );
}

#[test]
fn an_interrupted_run_leaves_no_process() {
    make_zeros();
    let path = scenario(
        "long",
        "map main m 1\nfork main a\nfork a b\nprint running\n\
         repeat 1000000\ntouch b m 0\nend\n",
    );
    let mut child = rmapctl(&["run"])
        .arg(&path)
        .args(DRY)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    let mut text = String::new();
    // The processes exist when this line appears.
    while !text.ends_with("running\n") {
        let length = stdout.read_line(&mut text).expect("readable");
        assert_ne!(length, 0, "{text}");
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill runs");
    assert!(kill.success());
    // All processes inherited the pipe: it ends only when every one of them has ended.
    stdout.read_to_string(&mut text).expect("readable");
    assert!(!child.wait().expect("ends").success());
    assert!(text.contains("interrupted"), "{text}");
}

#[test]
fn the_exit_status_tells_errors_apart() {
    let status = |arguments: &[&str]| rmapctl(arguments).output().expect("runs").status.code();
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["fly"]), Some(2));
    assert_eq!(status(&["run"]), Some(2));
    for arguments in [
        "random --steps=0",
        "run --timeout=0 x",
        "run --timeout=18446744073709551615 x",
        "random --timeout=86401",
        "selftest --limits 2 18446744073709551615",
        "cost --times=4294967295",
    ] {
        let words: Vec<_> = arguments.split(' ').collect();
        assert_eq!(status(&words), Some(2), "{arguments}");
    }
    assert_eq!(status(&["show", "--debugfs=/nonexistent"]), Some(1));
    assert_eq!(status(&["check", "--debugfs=/nonexistent"]), Some(1));
}

/// `check --compare-file` judges a saved comparison: differences, violations and untracked VMAs
/// fail.
#[test]
fn a_saved_comparison_is_judged() {
    let judge = |name: &str, text: &str| {
        let path = scenario(name, text);
        Run::from(
            rmapctl(&["check", "--compare-file", &path])
                .output()
                .expect("runs"),
        )
    };
    let last = "compare: vmas=1 anon_vmas=1 chains=1 pages=1 untracked=0 ambiguous=0 violations=0 \
                differences=0\n";
    let same = format!("vma 2 (pid 5 main) [0x1000, 0x2000): same\n{last}");
    assert!(judge("same", &same).good);
    assert!(!judge("violation", &format!("violation of R21: page 1\n{last}")).good);
    assert!(!judge("different", &same.replace("differences=0", "differences=1")).good);
    assert!(!judge("untracked", &same.replace("untracked=0", "untracked=1")).good);
}

/// Runs the program with this standard output. Returns its exit status, and what it has printed on
/// standard error.
fn print_to(stdout: Stdio, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = rmapctl(arguments)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = child.stderr.take().expect("is piped");
    let status = child.wait().expect("ends");
    // Every process of a scenario has inherited the pipe. If one is left this read would wait.
    fcntl(&stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("is set");
    let mut text = String::new();
    let read = stderr.read_to_string(&mut text);
    read.expect("no process is left");
    (status.code(), text)
}

fn full() -> Stdio {
    let file = File::options().write(true).open("/dev/full");
    file.expect("is opened").into()
}

fn closed() -> Stdio {
    let (_, writer) = nix::unistd::pipe().expect("is made");
    writer.into()
}

#[test]
fn each_command_says_that_it_cannot_write() {
    make_zeros();
    let steps = scenario("full", "map main m 1\nfork main a b\nprint x\n");
    let graph = scenario(
        "empty-graph",
        r#"{"version":1,"source":"host","mms":[],"anon_vmas":[],"pages":[]}"#,
    );
    let compare = "compare: vmas=1 anon_vmas=1 chains=1 pages=1 untracked=0 violations=0 ";
    let same = scenario("same-output", &format!("{compare}differences=0\n"));
    let other = scenario("other-output", &format!("{compare}differences=1\n"));
    let device = DRY[1];
    let print = ["random", "--print", "--seed=1", "--steps=9"];
    // The status if nothing more is read.
    for (command, status) in [
        (vec!["run", &steps], 1),
        (vec!["random", "--seed=1", "--steps=9"], 1),
        (print.to_vec(), 0),
        (vec!["show", &graph], 0),
        (vec!["check", "--compare-file", &same], 0),
        (vec!["check", "--compare-file", &other], 1),
        (vec!["cost", "--times=1", device], 0),
    ] {
        let mut arguments = command.clone();
        if matches!(command[0], "run" | "random") {
            arguments.extend(DRY);
        }
        let (code, text) = print_to(full(), &arguments);
        assert_eq!(code, Some(1), "{command:?}: {text}");
        assert!(
            text.contains("standard output: No space"),
            "{command:?}: {text}"
        );
        let (code, text) = print_to(closed(), &arguments);
        assert_eq!((code, text.as_str()), (Some(status), ""), "{command:?}");
    }
}

#[test]
fn a_message_that_cannot_be_written_changes_nothing() {
    let output = rmapctl(&["show", "/nonexistent"]).stderr(full()).output();
    assert_eq!(output.expect("runs").status.code(), Some(1));
}
