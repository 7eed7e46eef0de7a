// SPDX-License-Identifier: GPL-2.0

//! Each thing that is compared fires when one side has it otherwise, and names its rule.

use std::sync::OnceLock;

use engine::world::State;
use fuzz::action::parse_all;
use fuzz::compare::{self, Difference, states};
use fuzz::shadow::Shadow;
use host::Errno;

/// A state with everything in it: two processes, a chain of two, shared pages, the file, the swap.
fn state() -> State {
    // The engine is loaded once.
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(make).clone()
}

fn make() -> State {
    let steps = "spawn\nmap 0 0 8 rw\nwrite 0 0\nwrite 0 1\nwrite 0 2\nfork 0\nwrite 1 0\n\
                 map-file 1 20 4 300\nwrite 1 21\nswap-out 0 2\n";
    let mut shadow = Shadow::new();
    for action in parse_all(steps).expect("steps") {
        assert_eq!(shadow.run(action.step, 0), (Ok(()), false), "{action}");
    }
    shadow.state()
}

/// Damages the host's side; returns the rules and the words of what is found.
fn found(damage: impl FnOnce(&mut State)) -> Vec<Difference> {
    let shadow = state();
    let mut host = shadow.clone();
    damage(&mut host);
    assert_ne!(shadow, host, "nothing was damaged");
    states(&shadow, &host)
}

#[track_caller]
fn fires(rule: u32, words: &str, damage: impl FnOnce(&mut State)) {
    let found = found(damage);
    let first = found.first().expect("a difference");
    assert_eq!(first.rule, Some(rule), "{found:?}");
    assert!(first.words.contains(words), "{found:?}");
}

#[test]
fn equal_states_are_equal() {
    assert_eq!(states(&state(), &state()), vec![]);
}

#[test]
fn layout() {
    fires(32, "only the host has process 0 0..7", |s| {
        s.vmas[0].last = 6
    });
    fires(32, "only the rules have process 1 20..24", |s| {
        s.vmas.pop();
    });
    fires(32, "process 2 0..8", |s| s.vmas[0].pid = 2);
    fires(32, "only the host has process 0 1..8", |s| {
        s.vmas[0].first = 1
    });
}

#[test]
fn vmas() {
    fires(40, "vm_flags", |s| s.vmas[0].flags ^= 4);
    fires(41, "the anonymous page offset", |s| s.vmas[0].pgoff += 1);
    fires(41, "the file's page offset", |s| s.vmas[2].file = Some(301));
    fires(33, "having an anon_vma", |s| s.vmas[0].anon_vma = None);
    fires(26, "->anon_vma", |s| s.vmas[1].anon_vma = Some(0));
    fires(22, "the order of the chain", |s| s.vmas[1].chain.reverse());
    fires(21, "the chain", |s| {
        s.vmas[1].chain.pop();
    });
}

#[test]
fn anon_vmas() {
    fires(14, "root", |s| s.anon_vmas[1].root = Some(1));
    fires(23, "parent", |s| s.anon_vmas[1].parent = Some(1));
    fires(16, "refcount", |s| s.anon_vmas[0].refcount += 1);
    fires(24, "num_children", |s| s.anon_vmas[0].num_children += 1);
    fires(24, "num_active_vmas", |s| {
        s.anon_vmas[0].num_active_vmas -= 1
    });
    fires(21, "the VMAs in the tree", |s| {
        s.anon_vmas[0].tree.pop();
    });
    fires(24, "the number of anon_vmas", |s| {
        s.anon_vmas.pop();
    });
}

#[test]
fn pages() {
    fires(20, "its anon_vma", |s| s.pages[0].anon_vma = Some(1));
    fires(41, "index", |s| s.pages[0].index += 1);
    fires(3, "mapcount", |s| s.pages[0].mapcount += 1);
    fires(20, "being exclusive", |s| s.pages[0].exclusive ^= true);
}

#[test]
fn page_tables() {
    fires(35, "what the other side has not", |s| {
        s.entries.pop();
    });
    fires(35, "what the other side has not", |s| {
        s.entries[0].address = 7
    });
    fires(35, "what the other side has not", |s| s.entries[0].pid = 7);
    // In the swap on one side only.
    fires(35, "what the other side has not", |s| {
        let entry = s.entries.iter_mut().find(|entry| entry.page.is_none());
        entry.expect("a page in the swap").page = Some(0);
    });
    fires(3, "the page that it shares", |s| {
        s.entries[1].page = Some(0)
    });
}

#[test]
fn results() {
    let refused = Err(Errno::ENOMEM);
    assert_eq!(compare::results(refused, refused), None);
    assert!(compare::results(Ok(()), refused).is_some());
    assert!(compare::results(Err(Errno::EPERM), refused).is_some());
    // Where an allocation failed, the reason may be the other one.
    assert_eq!(compare::failures(Err(Errno::EPERM), refused), None);
    let words = compare::failures(Ok(()), refused)
        .expect("a difference")
        .words;
    assert_eq!(
        words,
        "the host refuses it with errno 12, the shadow does the step"
    );
}

#[test]
fn warnings_name_a_rule() {
    let rule = |text: &str| compare::problem(text).rule;
    assert_eq!(rule("2 locks are held after the operation"), Some(15));
    assert_eq!(
        rule("warning: f(): !__tree->root->rwsem.writers (/x/rmap.c:1)"),
        Some(15)
    );
    assert_eq!(
        rule("warning: f(): anon_vma->num_active_vmas (/x/rmap.c:1)"),
        Some(24)
    );
    for (part, expected) in [
        ("num_children", 24),
        ("atomic_read(&a->refcount) < 1", 16),
        ("!vma->anon_vma", 26),
        ("vm_pgoff != 0", 41),
    ] {
        let text = format!("warning: f(): {part} (/x/rmap.c:1)");
        assert_eq!(rule(&text), Some(expected), "{text}");
    }
    // Neither the name of the function nor that of the file says what is wrong.
    assert_eq!(
        rule("warning: unlink_anon_vmas(): x (/anon_vma/rmap.c:1)"),
        None
    );
}
