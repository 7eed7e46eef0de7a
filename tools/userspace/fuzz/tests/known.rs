// SPDX-License-Identifier: GPL-2.0

//! Warnings of the host's code that are known, each with the steps that show it
//! (Documentation/host-userspace.rst). `HOST_LIBRARY` names the host's code.

use fuzz::action::parse_all;
use host::Host;
use host::verify::is_known;

/// Does the steps on the host, and returns what its code warns of in the last one.
fn warnings(steps: &str) -> Vec<String> {
    let mut host = Host::new().expect("the host's code");
    let mut last = Vec::new();
    for action in parse_all(steps).expect("steps") {
        assert_eq!(last, Vec::<String>::new(), "before {action}");
        host.fail_allocations(action.fail, u64::from(action.fail > 0));
        // A step in which an allocation fails may fail.
        let _ = action.step.run(&mut host);
        host.fail_allocations(0, 0);
        last = host.problems();
    }
    last
}

/// Fails unless these are warnings, all known in these circumstances and in no other ones.
fn all_known(problems: &[String], (stale, starved): (bool, bool)) {
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(is_known(problem, stale, starved), "{problem}");
        assert!(!is_known(problem, !stale, !starved), "{problem}");
    }
}

#[test]
fn a_child_is_wiped_after_a_move() {
    let steps = "spawn\nmap 0 0 4 rw\nwrite 0 1\nmove 0 0 4 4 30\nchange 0 30 4 33554432 0\nfork 0\n\
                 change 1 31 1 65536 0\n";
    all_known(&warnings(steps), (true, false));
    // Without the move the page offset is that of the place.
    let steps =
        "spawn\nmap 0 0 4 rw\nwrite 0 1\nchange 0 0 4 33554432 0\nfork 0\nchange 1 1 1 65536 0\n";
    assert_eq!(warnings(steps), Vec::<String>::new());
}

#[test]
fn no_memory_to_grow_the_vma_below() {
    let before = "spawn\nmap 0 0 4 rw\nmap 0 6 4 rw\nwrite 0 7\n";
    let steps = format!("{before}fail 1 map 0 4 2 rw\n");
    all_known(&warnings(&steps), (false, true));
    // With memory the three become one.
    assert_eq!(
        warnings(&format!("{before}map 0 4 2 rw\n")),
        Vec::<String>::new()
    );
}
