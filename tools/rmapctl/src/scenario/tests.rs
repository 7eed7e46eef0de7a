// SPDX-License-Identifier: GPL-2.0

//! Tests of the scenario language.

use super::*;

fn steps(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    Scenario::parse(text)
        .expect("parses")
        .walk(&mut |line, step| {
            out.push((line, step.to_string()));
            Ok(())
        })
        .expect("walks");
    out
}

fn error(text: &str) -> String {
    Scenario::parse(text)
        .expect_err("must be refused")
        .in_file("f.scn")
}

#[test]
fn every_command_prints_as_it_was_written() {
    let text = "\
mode pinned
map main buf 8
map main far 4 at 16
touch main buf 0..4 write
touch main buf 0..8/2 write 7
touch main buf 0 read 7
fork main child other
protect child buf 2..4 r
dies SIGSEGV touch child buf 2 write
dontneed main buf all
move main buf all to 12
move main far 1..3 as part
move main far 3 as twin keep
move main far 0 to 4 as bigger
unmap main far 3
map main wide 12 none
map main shut 2 ro at 3
map main inner 2 none over wide 4 at 7
map main wide 2 over wide 6
move main inner all to 3 onto wide 8
move main wide 8..10 onto wide 0 keep
protect main wide 0..2 rw
tree main 2 2 write buf 0..2 5
advise main buf all dontfork
advise main buf 0 dofork
advise main buf 1..3 guard
advise main buf 1 unguard
advise main buf 3 populate-read
advise main buf 3 populate-write
advise main buf 3 mergeable
advise main buf 3 pageout
lock main buf 4..6
unlock main buf 4
poke other main buf 0 9
poke other main buf 0
poke other main shut 0 9 force
poke main main shut 0 force
pin main buf 4..6
unpin main
pin main buf 4
unpin main 0
seal main shut all
refused EPERM unmap main shut all
fail 3 fork main late
fail 12 protect main buf 5 r
thread one touch main buf 6..8/2 write 1
thread two protect main buf 9 none
wait one two
thread one unmap main buf 9
wait
check
check differences>0 vmas>=1
check every 3
check every off
expect anon_vmas<=10 chains=4 pages<9
check anon_vmas<=2*vmas chains=vmas opens=0 closes>=opens
show
compare
rules
save chains.dot /tmp/chains.dot
print hello  world
exec main
exit main.* other
exit main";
    let printed: Vec<String> = steps(text).into_iter().map(|(_, s)| s).collect();
    assert_eq!(printed.join("\n"), text);
}

#[test]
fn blocks_and_counters() {
    let text = "map main m 20 # a comment\n\
                repeat 2 as i\n  repeat 2 as j\n    fork main c$i.{j}\n  end\n\
                touch c$i.0 m 0..1${i} write $i\nend\n";
    assert_eq!(
        steps(text),
        [
            (1, "map main m 20"),
            (4, "fork main c0.0"),
            (4, "fork main c0.1"),
            (6, "touch c0.0 m 0..10 write 0"),
            (4, "fork main c1.0"),
            (4, "fork main c1.1"),
            (6, "touch c1.0 m 0..11 write 1"),
        ]
        .map(|(line, text)| (line, text.to_owned()))
    );
}

#[test]
fn environment_in_paths() {
    assert_eq!(
        steps("save chains ${RMAPCTL_TEST_UNSET:-/tmp}/x"),
        [(1, "save chains /tmp/x".to_owned())]
    );
    assert_eq!(
        error("\nsave chains ${RMAPCTL_TEST_UNSET}/x"),
        "f.scn:2: the environment variable RMAPCTL_TEST_UNSET is not set; \
         `${RMAPCTL_TEST_UNSET:-DEFAULT}` gives a default"
    );
}

#[test]
fn errors_name_their_line() {
    for (text, expected) in [
        (
            "map main m 4\nfly main",
            "f.scn:2: `fly` is not a command; `rmapctl run --help` lists them",
        ),
        (
            "touch main m 0",
            "f.scn:1: process `main` has no mapping `m`",
        ),
        ("map bob m 4", "f.scn:1: there is no process `bob`"),
        (
            "map main m 4\nexit main\ntouch main m 0",
            "f.scn:3: process `main` has ended",
        ),
        (
            "map main m 4\ntouch main m 3..3",
            "f.scn:2: the range 3..3 is empty",
        ),
        (
            "map main m 4\ntouch main m 2..5",
            "f.scn:2: mapping `m` of `main` has pages 0..4; 2..5 is beyond its end",
        ),
        (
            "map main m 4\nunmap main m 1\ntouch main m 0..2",
            "f.scn:3: page 1 of `m` in `main` has been unmapped or moved away",
        ),
        (
            "map main m 4\nprotect main m 1 r\ntouch main m 1",
            "f.scn:3: page 1 of `m` in `main` is protected (r): writing it kills \
             the process; write `dies SIGSEGV touch ...` if this is intended",
        ),
        (
            "map main m 4\nmap main m 4",
            "f.scn:2: process `main` already has a mapping `m`",
        ),
        (
            "map main m 4\nfork main main",
            "f.scn:2: there is already a process `main`",
        ),
        ("repeat 2\nshow", "f.scn:1: `repeat` without `end`"),
        ("show\nend", "f.scn:2: `end` without `repeat`"),
        (
            &"repeat 1\n".repeat(60_000),
            "f.scn:65: more than 64 blocks inside each other",
        ),
        (
            "repeat 0\nshow\nend",
            "f.scn:1: `repeat` takes 1 to 10000000, not 0",
        ),
        (
            "map main m$i 4",
            "f.scn:1: `m$i` uses a counter; put the line inside `repeat N as COUNTER` ... `end`",
        ),
        ("expect vmas=1", "f.scn:1: `expect` needs a check before it"),
        (
            "check bugs=0",
            "f.scn:1: `bugs` is not a key of a check; the keys are: vmas, anon_vmas, chains, \
             pages, untracked, violations, differences, opens, closes",
        ),
        (
            "map main m 4\nmove main m 0..2",
            "f.scn:2: a part of a mapping moves under a new name: `move P M RANGE as NAME`",
        ),
        (
            "map main m 4\nmove main m all keep",
            "f.scn:2: what `keep` leaves behind has the old name and the old size: \
             `move P M RANGE as NAME keep`, or `onto M PAGE keep`",
        ),
        (
            "map main m 4\nunmap main m 1\nmove main m all",
            "f.scn:3: the pages to move are not contiguous; move each part by itself",
        ),
        ("map main m 4 5", "f.scn:1: `map`: unexpected argument `5`"),
        (
            "map main m",
            "f.scn:1: `map`: expected a number of pages, found the end of line",
        ),
        (
            "map main m 4\ntouch main m 0 write 256",
            "f.scn:2: `256` is not a byte: 0 to 255",
        ),
        (
            "map main m 4\ntree main 9 3 write m 0",
            "f.scn:2: a tree makes 1 to 4096 processes",
        ),
        (
            "map main m 4\nmode mergeable",
            "f.scn:2: `mode` comes before the first `map`",
        ),
        (
            "exit other*",
            "f.scn:1: no process has a name like `other*`",
        ),
    ] {
        assert_eq!(error(text), expected, "for {text:?}");
    }
}

/// Each file in `samples/bad-input` names the expected error in a comment.
#[test]
fn bad_samples_are_refused_with_their_error() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/bad-input");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("samples/bad-input is there") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("# expected: "))
            .expect("a line `# expected: `");
        let found = Scenario::parse(&text).expect_err("must be refused");
        assert_eq!(found.in_file("FILE"), expected, "for {}", path.display());
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} bad samples");
}

#[test]
fn good_samples_are_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("samples are there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|e| e == "scn") {
            let text = std::fs::read_to_string(&path).expect("readable");
            if let Err(error) = Scenario::parse(&text) {
                panic!("{}", error.in_file(&path.display().to_string()));
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} samples");
}
