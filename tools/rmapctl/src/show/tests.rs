// SPDX-License-Identifier: GPL-2.0

//! Tests of the drawing.

use super::*;
use crate::graph::tests::FORKS;

#[test]
fn three_generations() {
    let graph = Graph::parse(FORKS).expect("valid");
    let expected = "\
anon_vma 1 (root) refcount=3 num_children=2 num_active_vmas=1 pages=2  vmas: main/1 child/2 grand/3
├─ anon_vma 2 refcount=1 num_children=1 num_active_vmas=1              vmas: child/2 grand/3
│  └─ anon_vma 3 refcount=1 num_children=0 num_active_vmas=1           vmas: grand/3
└─ anon_vma 4 refcount=1 num_children=0 num_active_vmas=0              vmas: none
main   pid  41  vma 1 pgoff [0..8)  anon_vma 1, chain 1
child  pid  42  vma 2 pgoff [0..8)  anon_vma 2, chain 2 -> 1
grand  pid 107  vma 3 pgoff [0..2)  anon_vma 3, chain 3 -> 2 -> 1
                vma 4 pgoff [2..8)  no anon_vma
";
    assert_eq!(render(&graph, false), expected);
}

#[test]
fn long_lists_are_truncated_without_full() {
    let names: Vec<String> = (0..10).map(|i| format!("a{i}")).collect();
    assert_eq!(list(&names, " ", false), "a0 a1 a2 a3 a4 a5 a6 a7 ... +2");
    assert!(list(&names, " ", true).ends_with("a9"));
}

#[test]
fn a_link_on_one_side_is_noted() {
    let text = FORKS.replacen(r#""vmas":[2,3]}"#, r#""vmas":[2]}"#, 1);
    let drawn = render(&Graph::parse(&text).expect("valid"), false);
    assert!(
        drawn.ends_with("note: vma 3 links anon_vma 2, but the tree of anon_vma 2 lacks vma 3\n"),
        "{drawn}"
    );
}

#[test]
fn an_empty_graph_is_a_graph() {
    let text = r#"{"version":1,"source":"shadow","mms":[],"anon_vmas":[],"pages":[]}"#;
    assert_eq!(
        render(&Graph::parse(text).expect("valid"), false),
        "no anon_vmas\n"
    );
}
