// SPDX-License-Identifier: GPL-2.0

//! R37: an operation that finds no memory leaves nothing half done.

mod common;

use common::{good, start, vma};
use host::random::at;
use host::{Errno, Flags, Host, PAGE_SIZE, Pid};

/// R37: a fork that finds no memory leaves the parent as it was, and nothing behind.
#[test]
fn a_failed_fork_changes_nothing() {
    let (mut host, parent) = start(8);
    host.change_flags(parent, at(3), PAGE_SIZE, Flags::NONE, Flags::WRITE)
        .expect("protect");
    let middle = host.fork(parent).expect("fork");
    host.write(middle, at(1)).expect("write");
    host.fail_allocations(0, 0);
    let child = host.fork(middle).expect("fork");
    let allocations = host.allocations();
    host.exit(child).expect("exit");
    // Read only now: the fork has made the pages of the parent shared, as a failed one may.
    let (before, objects) = (good(&mut host).without_shapes(), host.objects());
    assert!(allocations > 10, "{allocations} allocations");
    for nth in 1..=allocations {
        host.fail_allocations(nth, 1);
        assert_eq!(
            host.fork(middle),
            Err(Errno::ENOMEM),
            "allocation {nth} of {allocations}"
        );
        host.fail_allocations(0, 0);
        assert_eq!(good(&mut host).without_shapes(), before, "allocation {nth}");
        assert_eq!(host.objects(), objects, "allocation {nth}");
    }
    host.fail_allocations(allocations + 1, 1);
    assert!(host.fork(middle).is_ok());
}

/// R37: a merge that finds no memory for the links leaves a VMA without anon_vma without one.
#[test]
fn a_failed_merge_leaves_no_pointer() {
    type Operation = fn(&mut Host, Pid) -> Result<(), Errno>;
    let merges: [(u64, Operation); 2] = [
        // A new VMA fills the gap: the first, without links, grows over it and the last.
        (4, |host, pid| {
            host.map(pid, at(2), 2 * PAGE_SIZE, Flags::PRIVATE)
        }),
        (2, |host, pid| {
            host.change_flags(pid, at(2), 2 * PAGE_SIZE, Flags::WRITE, Flags::NONE)
        }),
    ];
    for (faulted, merge) in merges {
        let mut merged = Vec::new();
        for nth in 1..8 {
            let mut host = Host::new().expect("the host's code");
            let pid = host.spawn();
            host.map(pid, at(faulted), 2 * PAGE_SIZE, Flags::PRIVATE)
                .expect("map");
            host.write(pid, at(faulted)).expect("write");
            if faulted == 2 {
                host.change_flags(pid, at(2), 2 * PAGE_SIZE, Flags::NONE, Flags::WRITE)
                    .expect("protect");
            }
            host.map(pid, at(0), 2 * PAGE_SIZE, Flags::PRIVATE)
                .expect("map");
            assert_eq!(vma(&good(&mut host), pid, 0).anon_vma, None);
            host.fail_allocations(nth, 1);
            let result = merge(&mut host, pid);
            host.fail_allocations(0, 0);
            // The first map() falls back to a VMA of its own; the maple tree warns of how.
            host.problems();
            let graph = good(&mut host);
            assert!(result.is_ok() || result == Err(Errno::ENOMEM));
            merged.push(graph.vmas.len() == 1);
            let none = vma(&graph, pid, 0).anon_vma.is_none();
            assert_eq!(none, graph.vmas.len() > 1, "allocation {nth}");
        }
        assert!(
            merged.contains(&false) && merged.contains(&true),
            "{merged:?}"
        );
    }
}

/// The same for each other operation; a VMA may stay split, or unmapped, but nothing leaks.
#[test]
fn a_failed_operation_leaves_no_link_behind() {
    type Operation = fn(&mut Host, Pid) -> Result<(), Errno>;
    let operations: [(&str, Operation); 6] = [
        ("write", |host, pid| host.write(pid, at(9))),
        ("split", |host, pid| host.unmap(pid, at(2), PAGE_SIZE)),
        ("protect", |host, pid| {
            host.change_flags(pid, at(1), PAGE_SIZE, Flags::NONE, Flags::WRITE)
        }),
        ("move", |host, pid| {
            host.move_to(pid, at(0), PAGE_SIZE, PAGE_SIZE, at(30), false)
        }),
        ("resize", |host, pid| {
            host.resize(pid, at(0), 4 * PAGE_SIZE, 6 * PAGE_SIZE)
        }),
        ("map", |host, pid| {
            host.map(pid, at(1), 2 * PAGE_SIZE, Flags::PRIVATE)
        }),
    ];
    for (name, operation) in operations {
        let mut failures = 0;
        for nth in 1.. {
            let (mut host, parent) = start(4);
            host.map(parent, at(8), 4 * PAGE_SIZE, Flags::PRIVATE)
                .expect("map");
            let pid = host.fork(parent).expect("fork");
            host.fail_allocations(nth, 1);
            let result = operation(&mut host, pid);
            let reached = host.allocations() >= nth;
            host.fail_allocations(0, 0);
            let graph = good(&mut host);
            let lost = host.lost_objects(&graph);
            assert_eq!(lost, Vec::<String>::new(), "{name}, allocation {nth}");
            failures += u32::from(result == Err(Errno::ENOMEM));
            if !reached {
                assert_eq!(result, Ok(()), "{name}");
                break;
            }
        }
        assert!(failures > 0, "{name} never failed");
    }
}
