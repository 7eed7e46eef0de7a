// SPDX-License-Identifier: GPL-2.0

//! Files of steps, scenarios, the corpus.

use fuzz::action::{Action, SIZE, parse_all};
use fuzz::corpus::{Corpus, Planned};
use fuzz::scenario::scenario;
use host::random::{PROCESSES, Random};

const ALL: &str = "spawn\nmap 0 3 5 rw\nmap 0 9 1 r\nfail 3 map-file 0 20 8 300\nunmap 0 22 2\nwrite 0 4\n\
                   read 0 4\nswap-out 0 4\nchange 0 9 1 4398046511104 0\nchange 0 3 2 0 2\n\
                   move 0 3 2 4 30\nmove 0 5 2 2 40 keep\nresize 0 30 4 6\nfork 0\nexit 1\n";

#[test]
fn what_is_written_is_read_again() {
    let actions = parse_all(ALL).expect("steps");
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    assert_eq!(text, ALL);
    assert_eq!(parse_all(&format!("# a comment\n\n  {ALL}")), Ok(actions));
}

#[test]
fn bad_lines_are_named() {
    for (line, expected) in [
        ("jump 0", "line 2: `jump 0`: unknown step `jump`"),
        (
            "map 0 3",
            "line 2: `map 0 3`: expected a number, found the end of the line",
        ),
        ("map 0 3 5 x", "line 2: `map 0 3 5 x`: expected rw or r"),
        ("write 0 4 4", "line 2: `write 0 4 4`: unexpected `4`"),
        (
            "write 0 64",
            "line 2: `write 0 64`: beyond the 64 pages that a process has",
        ),
        (
            "unmap 0 3 0",
            "line 2: `unmap 0 3 0`: beyond the 64 pages that a process has",
        ),
    ] {
        assert_eq!(
            parse_all(&format!("spawn\n{line}\n")),
            Err(expected.to_owned())
        );
    }
    assert_eq!(SIZE, 64);
}

#[test]
fn a_scenario_has_a_line_for_each_step() {
    let text = scenario(&parse_all(ALL).expect("steps"), "R21: words");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "# SPDX-License-Identifier: GPL-2.0",
            "#",
            "# R21: words",
            "",
            "mode pinned",
            "check every 1",
            "fork main p0",
            "map p0 m 66",
            "unmap p0 m 0..65",
            "map p0 m 5 over m 3 at 3",
            "map p0 m 1 ro over m 9 at 9",
            "fail 2 map p0 m 8 over m 20 at 300",
            "unmap p0 m 22..24",
            "touch p0 m 4..5 write",
            "touch p0 m 4..5 read",
            "advise p0 m 4..5 pageout",
            "seal p0 m 9..10",
            "protect p0 m 3..5 r",
            "move p0 m 3..5 to 4 onto m 30",
            "move p0 m 5..7 onto m 40 keep",
            "# no word for: resize 0 30 4 6",
            "fork p0 p1",
            "exit p1",
        ]
    );
}

/// Returns the lines of a scenario behind the first process.
fn commands(steps: &str) -> Vec<String> {
    let text = scenario(&parse_all(steps).expect("steps"), "words");
    text.lines().skip(9).map(str::to_owned).collect()
}

/// Flags that change together are changed one after the other; what has no word stays a comment.
#[test]
fn each_flag_has_its_command() {
    assert_eq!(
        commands(
            "spawn\nmap 0 3 5 rw\nchange 0 3 2 65536 2\nchange 0 3 2 131074 65536\nchange 0 3 2 4 2\n\
             change 0 3 2 8192 0\nchange 0 3 2 4398046511104 2\nchange 0 3 2 2 0\nunmap 0 3 2\nmap 0 2 4 rw\nmove 0 3 2 2 30\n"
        ),
        [
            "map p0 m 5 over m 3 at 3",
            "protect p0 m 3..5 r",
            "advise p0 m 3..5 random",
            "advise p0 m 3..5 normal",
            "protect p0 m 3..5 rw",
            "advise p0 m 3..5 dontfork",
            "# no word for: change 0 3 2 4 2",
            "# no word for: change 0 3 2 8192 0",
            "protect p0 m 3..5 r",
            "seal p0 m 3..5",
            "# no word for: change 0 3 2 2 0",
            "# no word for: unmap 0 3 2",
            "# no word for: map 0 2 4 rw",
            "# no word for: move 0 3 2 2 30",
        ]
    );
}

/// A step over a hole does what the host does: a change ends there, a move and an unmap go on.
#[test]
fn holes_are_left_out() {
    assert_eq!(
        commands(
            "spawn\nmap 0 2 2 rw\nmap 0 6 2 rw\nchange 0 2 6 0 2\nchange 0 4 4 0 2\nmove 0 2 6 6 20\n\
             move 0 4 6 6 30\nmove 0 20 6 8 30\nmove 0 20 6 6 22\nfail 1 unmap 0 0 64\nunmap 0 0 64\n"
        ),
        [
            "map p0 m 2 over m 2 at 2",
            "map p0 m 2 over m 6 at 6",
            "protect p0 m 2..4 r",
            "move p0 m 2..4 onto m 20",
            "move p0 m 6..8 onto m 24",
            "# no word for: move 0 4 6 6 30",
            "# no word for: move 0 20 6 8 30",
            "# no word for: move 0 20 6 6 22",
            "# no word for: fail 1 unmap 0 0 64",
            "unmap p0 m 20..22",
            "unmap p0 m 24..26",
        ]
    );
}

/// A child has no place for pages that it did not get.
#[test]
fn pages_of_the_parent_alone_have_no_place() {
    assert_eq!(
        commands(
            "spawn\nmap 0 2 2 rw\nmap 0 6 2 rw\nchange 0 2 2 131072 0\nfork 0\nmap 1 2 2 rw\n\
             move 1 6 1 1 3\nmap 1 9 2 rw\nunmap 1 0 10\n"
        ),
        [
            "map p0 m 2 over m 2 at 2",
            "map p0 m 2 over m 6 at 6",
            "advise p0 m 2..4 dontfork",
            "fork p0 p1",
            "# no word for: map 1 2 2 rw",
            "# no word for: move 1 6 1 1 3",
            "map p1 m 2 over m 9 at 9",
            "unmap p1 m 6..8",
            "unmap p1 m 9..10",
        ]
    );
}

/// There are no more processes than [`PROCESSES`]: what would make another one is not done.
#[test]
fn processes_beyond_the_bound_are_left_out() {
    let steps = format!("{}fork 0\n", "spawn\n".repeat(PROCESSES + 1));
    let text = scenario(&parse_all(&steps).expect("steps"), "words");
    assert_eq!(text.matches("fork main ").count(), PROCESSES);
    assert_eq!(text.matches("fork ").count(), PROCESSES);
}

#[test]
fn the_corpus_changes_its_members() {
    let (mut corpus, mut random) = (Corpus::default(), Random::new(1));
    assert_eq!(corpus.plan(&mut random, 9), [Planned::New; 9]);
    let member = parse_all(ALL).expect("steps");
    corpus.add(&member, &mut random);
    let mut kept = 0;
    let mut others = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let plan = corpus.plan(&mut random, 40);
        assert_eq!(plan.len(), 40);
        let known: Vec<Action> = plan
            .iter()
            .filter_map(|planned| match planned {
                Planned::Known(action) => Some(*action),
                Planned::New => None,
            })
            .collect();
        kept += usize::from(known.len() > 4);
        others.insert(known.iter().map(|a| format!("{a};")).collect::<String>());
    }
    assert!(kept > 50 && others.len() > 50, "{kept}, {}", others.len());
}
