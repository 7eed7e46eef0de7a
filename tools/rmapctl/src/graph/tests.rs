// SPDX-License-Identifier: GPL-2.0

//! Graphs for the tests of this program, and tests of the parser.

use super::*;

/// Three generations, as the shadow prints them.
pub(crate) const FORKS: &str = r#"{"version":1,"source":"shadow","mms":[
    {"id":1,"pid":41,"comm":"main","vmas":[
        {"id":1,"start":4096,"end":36864,"pgoff":0,"anon_vma":1,"chain":[1]}]},
    {"id":2,"pid":42,"comm":"child","vmas":[
        {"id":2,"start":"0x1000","end":"0x9000","pgoff":0,"anon_vma":2,"chain":[2,1]}]},
    {"id":3,"pid":107,"comm":"grand","vmas":[
        {"id":3,"start":4096,"end":12288,"pgoff":0,"anon_vma":3,"chain":[3,2,1]},
        {"id":4,"start":12288,"end":36864,"pgoff":2,"anon_vma":null,"chain":[]}]}],
    "anon_vmas":[
    {"id":1,"root":1,"parent":1,"refcount":3,"num_children":2,"num_active_vmas":1,"vmas":[1,2,3]},
    {"id":2,"root":1,"parent":1,"refcount":1,"num_children":1,"num_active_vmas":1,"vmas":[2,3]},
    {"id":3,"root":1,"parent":2,"refcount":1,"num_children":0,"num_active_vmas":1,"vmas":[3]},
    {"id":4,"root":1,"parent":1,"refcount":1,"num_children":0,"num_active_vmas":0,"vmas":[]}],
    "pages":[{"id":1,"anon_vma":1,"index":0,"mapcount":2},
             {"id":2,"anon_vma":1,"index":1,"mapcount":0}]}"#;

/// Three processes, two families, and a VMA without an anon_vma, as the host's graph has them.
pub(crate) const HOST: &str = r#"{"version":1,"source":"host","mms":[
    {"id":1,"pid":1,"comm":"init","vmas":[
        {"id":2,"start":93824992231424,"end":93824992239616,"pgoff":22906492244,"anon_vma":1,"chain":[1]},
        {"id":3,"start":93824992239616,"end":93824992374784,"pgoff":22906492246,"anon_vma":1,"chain":[1]}]},
    {"id":4,"pid":52,"comm":"sh","vmas":[
        {"id":5,"start":93824992231424,"end":93824992374784,"pgoff":22906492244,"anon_vma":2,"chain":[2,1]},
        {"id":6,"start":140737488216064,"end":140737488351232,"pgoff":34359738334,"anon_vma":5,"chain":[5]}]},
    {"id":7,"pid":107,"comm":"sh","vmas":[
        {"id":8,"start":93824992231424,"end":93824992239616,"pgoff":22906492244,"anon_vma":3,"chain":[3,2,1]},
        {"id":9,"start":93824992239616,"end":93824992374784,"pgoff":22906492246,"anon_vma":4,"chain":[4,1]},
        {"id":10,"start":140737488216064,"end":140737488351232,"pgoff":34359738334,"anon_vma":null,"chain":[]}]}],
    "anon_vmas":[
    {"id":1,"root":1,"parent":1,"refcount":4,"num_children":3,"num_active_vmas":2,"vmas":[2,3,5,8,9]},
    {"id":2,"root":1,"parent":1,"refcount":1,"num_children":1,"num_active_vmas":1,"vmas":[5,8]},
    {"id":3,"root":1,"parent":2,"refcount":1,"num_children":0,"num_active_vmas":1,"vmas":[8]},
    {"id":4,"root":1,"parent":1,"refcount":1,"num_children":0,"num_active_vmas":1,"vmas":[9]},
    {"id":5,"root":5,"parent":5,"refcount":1,"num_children":1,"num_active_vmas":1,"vmas":[6]}]}"#;

fn refused(from: &str, to: &str) -> String {
    let text = FORKS.replacen(from, to, 1);
    assert_ne!(text, FORKS);
    format!("{:#}", Graph::parse(&text).expect_err("must be refused"))
}

#[test]
fn an_invalid_graph_is_refused() {
    assert_eq!(
        refused(r#""version":1"#, r#""version":2"#),
        "chains.json has version 2; this rmapctl reads version 1"
    );
    assert_eq!(
        refused("[3,2,1]", "[3,2,9]"),
        "vma 3 refers to anon_vma 9, which is not listed"
    );
    assert_eq!(
        refused(r#""id":2,"pid""#, r#""id":1,"pid""#),
        "the process id 1 occurs twice"
    );
    let ring = refused(
        r#""id":2,"root":1,"parent":1"#,
        r#""id":2,"root":1,"parent":3"#,
    );
    // Which anon_vma of the ring is named first is not fixed.
    assert!(
        ring.ends_with(" has no root: its ancestors form a ring"),
        "{ring}"
    );
    assert!(Graph::parse("{}").is_err());
}

#[test]
fn counters_may_have_wrapped_around() {
    let wrapped = HOST.replacen(
        "\"num_children\":3",
        "\"num_children\":18446744073709551613",
        1,
    );
    let graph = Graph::parse(&wrapped).expect("valid");
    assert_eq!(graph.anon_vmas[0].num_children, (1 << 64) - 3);
}
