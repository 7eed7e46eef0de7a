// SPDX-License-Identifier: GPL-2.0

//! What the tests share.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeSet;

use host::graph::{AnonVma, Graph, Vma};
use host::random::at;
use host::{Flags, Host, PAGE_SIZE, Pid, verify};

/// Returns the host's code with a process that has `pages` pages mapped from page 0, and wrote the
/// first.
pub fn start(pages: u64) -> (Host, Pid) {
    let mut host = Host::new().expect("the host's code");
    let pid = host.spawn();
    host.map(pid, at(0), pages * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    host.write(pid, at(0)).expect("write");
    (host, pid)
}

/// Reads the graph, which follows the rules.
pub fn good(host: &mut Host) -> Graph {
    let graph = host.graph();
    assert_eq!(verify(&graph), vec![]);
    assert_eq!(host.problems(), Vec::<String>::new());
    graph
}

pub fn vma(graph: &Graph, pid: Pid, page: u64) -> &Vma {
    &graph.vmas[graph.vma_at(pid, at(page)).expect("a VMA")]
}

pub fn anon_vma(graph: &Graph, pid: Pid, page: u64) -> (usize, &AnonVma) {
    let number = vma(graph, pid, page).anon_vma.expect("an anon_vma");
    (number, &graph.anon_vmas[number])
}

pub fn set(chain: &[usize]) -> BTreeSet<usize> {
    chain.iter().copied().collect()
}

pub fn page_of(graph: &Graph, pid: Pid, page: u64) -> &host::graph::Page {
    &graph.pages[graph.page_at(pid, at(page)).expect("a page")]
}
