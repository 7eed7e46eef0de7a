// SPDX-License-Identifier: GPL-2.0

//! Each check of `verify()` notices what it is for: damage to the host's own structures, and where
//! these cannot be damaged without a crash, to the graph.

use host::Field::*;
use host::Target::*;
use host::Value::{Number, Of};
use host::random::at;
use host::{Field, Flags, Graph, Host, PAGE_SIZE, Target, Value, verify};

const PARENT: usize = 0;
const CHILD: usize = 1;
const OTHER: usize = 2;

/// A family of two with two VMAs each, and a stranger.
fn family() -> Host {
    let mut host = Host::new().expect("the host's code");
    assert_eq!(host.spawn(), PARENT);
    host.map(PARENT, at(0), 8 * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    for page in [0, 5, 7] {
        host.write(PARENT, at(page)).expect("write");
    }
    host.change_flags(PARENT, at(4), 4 * PAGE_SIZE, Flags::RANDOM, Flags::NONE)
        .expect("split");
    assert_eq!(host.fork(PARENT), Ok(CHILD));
    host.write(CHILD, at(5)).expect("write");
    assert_eq!(host.spawn(), OTHER);
    host.map(OTHER, at(0), 2 * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    host.write(OTHER, at(0)).expect("write");
    assert_eq!(verify(&host.graph()), vec![]);
    host
}

fn reported(graph: &Graph, rule: u32, part: &str) {
    let found = verify(graph);
    assert!(
        found
            .iter()
            .any(|v| v.rule == rule && v.what.contains(part)),
        "R{rule} ({part}) is not among {found:#?}"
    );
}

/// Damages a field; the check of this rule says so with these words; repairs it.
fn fires(rule: u32, part: &str, object: Target, field: Field, value: Value) {
    let mut host = family();
    let damage = host.damage(object, field, value);
    let graph = host.graph();
    host.repair(damage);
    reported(&graph, rule, part);
    host.problems();
    assert_eq!(verify(&host.graph()), vec![]);
}

/// The same with a change of the graph.
fn fires_on_graph(rule: u32, part: &str, change: fn(&mut Graph)) {
    let mut graph = family().graph();
    change(&mut graph);
    reported(&graph, rule, part);
}

#[test]
fn r1_tag() {
    fires(
        1,
        "tag",
        Page(PARENT, at(0)),
        FolioMapping,
        Of(AnonVmaOfPage(PARENT, at(0))),
    );
}

#[test]
fn r3_mapcount() {
    fires(3, "mapcount", Page(PARENT, at(0)), FolioMapcount, Number(1));
}

#[test]
fn r14_root_is_no_root() {
    fires(
        14,
        "is no root",
        AnonVma(PARENT, at(0)),
        Root,
        Of(AnonVma(CHILD, at(0))),
    );
}

#[test]
fn r14_parent_of_another_family() {
    fires(
        14,
        "has another root",
        AnonVma(CHILD, at(0)),
        Parent,
        Of(AnonVma(OTHER, at(0))),
    );
}

#[test]
fn r15_two_roots() {
    fires(
        15,
        "of 2 roots",
        AnonVma(CHILD, at(0)),
        Root,
        Of(AnonVma(OTHER, at(0))),
    );
}

#[test]
fn r15_locked() {
    fires_on_graph(15, "is locked", |graph| graph.anon_vmas[0].locked = true);
}

#[test]
fn r16_refcount() {
    fires(16, "refcount", AnonVma(PARENT, at(0)), Refcount, Number(1));
    fires(16, "refcount", AnonVma(CHILD, at(0)), Refcount, Number(2));
}

#[test]
fn r18_no_vma_linked() {
    fires_on_graph(18, "no VMA is linked", |graph| {
        graph.anon_vmas[0].tree.clear()
    });
}

#[test]
fn r18_page_of_no_anon_vma() {
    fires(
        18,
        "leads to no anon_vma",
        Page(OTHER, at(0)),
        FolioMapping,
        Number(0x1001),
    );
}

#[test]
fn r20_exclusive_and_shared() {
    fires_on_graph(20, "is exclusive", |graph| {
        for page in &mut graph.pages {
            page.exclusive = true;
        }
    });
}

#[test]
fn r21_linked_twice() {
    fires(
        21,
        "linked twice",
        Link(CHILD, at(0), 0),
        LinkAnonVma,
        Of(AnonVma(PARENT, at(0))),
    );
}

#[test]
fn r21_not_in_the_tree() {
    fires(
        21,
        "0 times in the tree",
        Link(CHILD, at(0), 0),
        LinkVma,
        Of(Vma(OTHER, at(0))),
    );
}

#[test]
fn r21_member_of_a_vma_that_is_not_linked() {
    fires(
        21,
        "which is not linked",
        Link(CHILD, at(0), 0),
        LinkVma,
        Of(Vma(OTHER, at(0))),
    );
}

#[test]
fn r21_entry_without_anon_vma() {
    fires(
        21,
        "has no anon_vma",
        Vma(OTHER, at(0)),
        VmaAnonVma,
        Number(0),
    );
}

#[test]
fn r21_entry_of_another_family() {
    let stranger = Of(AnonVma(OTHER, at(0)));
    fires(
        21,
        "is not linked to anon_vma",
        Page(PARENT, at(0)),
        FolioMapping,
        stranger,
    );
}

#[test]
fn r23_root_with_a_parent() {
    fires(
        23,
        "but parent",
        AnonVma(PARENT, at(0)),
        Parent,
        Of(AnonVma(CHILD, at(0))),
    );
}

#[test]
fn r24_num_children() {
    fires(
        24,
        "num_children",
        AnonVma(PARENT, at(0)),
        NumChildren,
        Number(1),
    );
}

#[test]
fn r24_num_active_vmas() {
    fires(
        24,
        "num_active_vmas",
        AnonVma(PARENT, at(0)),
        NumActiveVmas,
        Number(1),
    );
}

#[test]
fn r26_equal_anon_vma_and_other_chain() {
    fires_on_graph(26, "but other chains", |graph| {
        let vma = graph.vma_at(PARENT, at(5)).expect("a VMA");
        let another = usize::from(graph.vmas[vma].chain[0] == 0);
        graph.vmas[vma].chain.push(another);
    });
}

#[test]
fn r32_vmas_overlap() {
    fires_on_graph(32, "follows", |graph| graph.vmas[1].start -= PAGE_SIZE);
}

#[test]
fn r32_tree_out_of_order() {
    fires(
        32,
        "not in order",
        Vma(PARENT, at(0)),
        VmaAnonPgoff,
        Number(1 << 20),
    );
}

#[test]
fn r32_subtree_last() {
    fires(
        32,
        "subtree_last",
        Link(PARENT, at(0), 0),
        LinkSubtreeLast,
        Number(0),
    );
}

#[test]
fn r33_pointer_and_chain() {
    fires(33, "chain", Vma(PARENT, at(0)), VmaAnonVma, Number(0));
}

#[test]
fn r33_entry_in_no_vma() {
    fires(
        33,
        "is in no VMA",
        Vma(PARENT, at(0)),
        VmaStart,
        Number(at(1)),
    );
}

#[test]
fn r35_walk() {
    fires(
        35,
        "does not come there",
        Page(PARENT, at(0)),
        FolioIndex,
        Number(1 << 20),
    );
}

#[test]
fn r41_index() {
    fires(
        41,
        "index",
        Page(PARENT, at(0)),
        FolioIndex,
        Number(at(1) / PAGE_SIZE),
    );
}

/// A warning of the host's own code is a problem. Nothing is repaired: the anon_vma is gone.
#[test]
fn warnings_of_the_host_are_reported() {
    let mut host = family();
    host.damage(AnonVma(OTHER, at(0)), NumChildren, Number(7));
    host.exit(OTHER).expect("exit");
    let problems = host.problems();
    assert!(
        problems.iter().any(|p| p.contains("num_children")),
        "{problems:?}"
    );
}

/// An object that nothing leads to is lost.
#[test]
fn lost_objects_are_reported() {
    let mut host = family();
    let graph = host.graph();
    assert_eq!(host.lost_objects(&graph), Vec::<String>::new());
    for forget in [
        |graph: &mut Graph| drop(graph.vmas.pop()),
        |graph: &mut Graph| drop(graph.anon_vmas.pop()),
        |graph: &mut Graph| graph.vmas[0].chain.clear(),
    ] {
        let mut less = graph.clone();
        forget(&mut less);
        assert!(!host.lost_objects(&less).is_empty());
    }
}
