// SPDX-License-Identifier: GPL-2.0

//! Sequences whose result the rules name.

mod common;

use common::{anon_vma, good, page_of, set, start, vma};
use host::random::at;
use host::{Errno, Flags, Host, PAGE_SIZE, Pid};

#[test]
fn prepare_makes_a_root() {
    let (mut host, pid) = start(4);
    let graph = good(&mut host);
    let (number, root) = anon_vma(&graph, pid, 0);
    assert_eq!((root.root, root.parent), (number, number));
    assert_eq!(
        (root.refcount, root.num_children, root.num_active_vmas),
        (1, 1, 1)
    );
    assert_eq!(vma(&graph, pid, 0).chain, [number]);
    assert_eq!(page_of(&graph, pid, 0).anon_vma, Some(number));
}

#[test]
fn fork_adds_a_child_to_the_links_of_the_parent() {
    let (mut host, parent) = start(4);
    let child = host.fork(parent).expect("fork");
    host.write(child, at(1)).expect("write");
    let grandchild = host.fork(child).expect("fork");
    let graph = good(&mut host);
    let (root, a) = anon_vma(&graph, parent, 0);
    let (middle, b) = anon_vma(&graph, child, 0);
    let (leaf, c) = anon_vma(&graph, grandchild, 0);
    assert_eq!(
        set(&vma(&graph, grandchild, 0).chain),
        set(&[root, middle, leaf])
    );
    assert_eq!(set(&vma(&graph, child, 0).chain), set(&[root, middle]));
    assert_eq!(
        (b.parent, c.parent, b.root, c.root),
        (root, middle, root, root)
    );
    assert_eq!((a.refcount, b.refcount, c.refcount), (3, 1, 1));
    assert_eq!((a.num_children, b.num_children, c.num_children), (2, 1, 0));
    assert_eq!(page_of(&graph, grandchild, 0).mapcount, 3);
    assert_eq!(page_of(&graph, grandchild, 1).anon_vma, Some(middle));
}

/// R24: a grandchild's fork takes the place of the child that has exited.
#[test]
fn fork_reuses_an_anon_vma_with_one_child() {
    let (mut host, parent) = start(4);
    let child = host.fork(parent).expect("fork");
    let grandchild = host.fork(child).expect("fork");
    let middle = anon_vma(&good(&mut host), child, 0).1.clone();
    host.exit(child).expect("exit");
    let last = host.fork(grandchild).expect("fork");
    let graph = good(&mut host);
    let (reused, again) = anon_vma(&graph, last, 0);
    assert_eq!((again.parent, again.num_children), (middle.parent, 1));
    assert_eq!(anon_vma(&graph, grandchild, 0).1.parent, reused);
    assert_eq!(graph.anon_vmas.len(), 3);
}

/// R24: not one that has two.
#[test]
fn fork_does_not_reuse_an_anon_vma_with_two_children() {
    let (mut host, parent) = start(4);
    let child = host.fork(parent).expect("fork");
    let first = host.fork(child).expect("fork");
    host.fork(child).expect("fork");
    host.exit(child).expect("exit");
    let before = good(&mut host).anon_vmas.len();
    let last = host.fork(first).expect("fork");
    let graph = good(&mut host);
    assert_eq!(graph.anon_vmas.len(), before + 1);
    assert_eq!(
        anon_vma(&graph, last, 0).1.parent,
        anon_vma(&graph, first, 0).0
    );
}

/// R19: the last one to have a page takes it along.
#[test]
fn a_write_copies_a_shared_page_and_moves_the_last() {
    let (mut host, parent) = start(4);
    let child = host.fork(parent).expect("fork");
    let root = anon_vma(&good(&mut host), parent, 0).0;
    host.write(child, at(0)).expect("write");
    let graph = good(&mut host);
    let own = anon_vma(&graph, child, 0).0;
    assert_eq!(page_of(&graph, child, 0).anon_vma, Some(own));
    assert_eq!(page_of(&graph, parent, 0).anon_vma, Some(root));
    assert!(!page_of(&graph, parent, 0).exclusive);

    let (mut host, parent) = {
        drop(host);
        start(4)
    };
    let child = host.fork(parent).expect("fork");
    host.exit(parent).expect("exit");
    host.write(child, at(0)).expect("write");
    let graph = good(&mut host);
    let own = anon_vma(&graph, child, 0).0;
    assert_eq!(page_of(&graph, child, 0).anon_vma, Some(own));
    assert!(page_of(&graph, child, 0).exclusive);
    assert_ne!(graph.anon_vmas[own].root, own);
}

#[test]
fn flags_decide_what_a_fork_copies() {
    let (mut host, parent) = start(8);
    for page in [2, 4] {
        host.write(parent, at(page)).expect("write");
    }
    host.change_flags(parent, at(2), PAGE_SIZE, Flags::WIPEONFORK, Flags::NONE)
        .expect("wipe");
    host.change_flags(parent, at(4), PAGE_SIZE, Flags::DONTCOPY, Flags::NONE)
        .expect("dontcopy");
    let child = host.fork(parent).expect("fork");
    let graph = good(&mut host);
    assert_eq!(vma(&graph, child, 2).anon_vma, None);
    assert_eq!(vma(&graph, child, 2).chain, []);
    assert_eq!(graph.page_at(child, at(2)), None);
    assert_eq!(graph.vma_at(child, at(4)), None);
    assert!(graph.page_at(child, at(0)).is_some());
}

/// R25 (1), R26: what a split has made a merge undoes.
#[test]
fn a_split_and_its_merge() {
    let (mut host, pid) = start(8);
    let before = good(&mut host).without_shapes();
    host.change_flags(pid, at(3), 2 * PAGE_SIZE, Flags::NONE, Flags::WRITE)
        .expect("protect");
    let graph = good(&mut host);
    let (root, counters) = anon_vma(&graph, pid, 0);
    assert_eq!((graph.vmas.len(), counters.num_active_vmas), (3, 3));
    assert!(
        [3, 5]
            .iter()
            .all(|&page| vma(&graph, pid, page).chain == [root])
    );
    assert_eq!(host.write(pid, at(3)), Err(Errno::EACCES));
    host.change_flags(pid, at(3), 2 * PAGE_SIZE, Flags::WRITE, Flags::NONE)
        .expect("protect");
    assert_eq!(good(&mut host).without_shapes(), before);
}

/// R25 (3): the neighbour without anon_vma gets the links.
#[test]
fn a_merge_gives_links_to_the_survivor() {
    let mut host = Host::new().expect("the host's code");
    let pid = host.spawn();
    host.map(pid, at(0), 2 * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    host.map(pid, at(4), 2 * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    host.write(pid, at(4)).expect("write");
    host.map(pid, at(2), 2 * PAGE_SIZE, Flags::PRIVATE)
        .expect("map");
    let graph = good(&mut host);
    assert_eq!(graph.vmas.len(), 1);
    assert_eq!(vma(&graph, pid, 0).chain.len(), 1);
}

/// R26: two VMAs with anon_vmas of their own stay two.
#[test]
fn different_anon_vmas_do_not_merge() {
    let (mut host, pid) = start(2);
    let len = 2 * PAGE_SIZE;
    // Other flags keep prepare from taking that of the neighbour.
    host.map(pid, at(2), len, Flags(Flags::PRIVATE.0 | Flags::RANDOM.0))
        .expect("map");
    host.write(pid, at(2)).expect("write");
    host.change_flags(pid, at(2), len, Flags::NONE, Flags::RANDOM)
        .expect("madvise");
    let graph = good(&mut host);
    assert_eq!(vma(&graph, pid, 0).flags, vma(&graph, pid, 2).flags);
    assert_eq!(graph.vmas.len(), 2);
    assert_ne!(anon_vma(&graph, pid, 0).0, anon_vma(&graph, pid, 2).0);
}

/// Moves two pages away, maps two others behind their old place, and moves them back.
fn move_beside_an_unfaulted_mapping(host: &mut Host, pid: Pid) {
    let len = 2 * PAGE_SIZE;
    host.move_to(pid, at(0), len, len, at(20), false)
        .expect("move");
    host.map(pid, at(2), len, Flags::PRIVATE).expect("map");
    host.move_to(pid, at(20), len, len, at(0), true)
        .expect("move");
}

/// R21: a mapping that merges where it moves brings its links.
#[test]
fn a_moved_mapping_brings_its_links() {
    let (mut host, pid) = start(2);
    move_beside_an_unfaulted_mapping(&mut host, pid);
    let graph = good(&mut host);
    let joined = vma(&graph, pid, 0);
    assert_eq!((joined.start, joined.end), (at(0), at(4)));
    assert_eq!(joined.chain.len(), 1);
}

/// R26: one that was forked does not merge where it moves.
#[test]
fn a_moved_mapping_that_was_forked_does_not_merge() {
    let (mut host, parent) = start(2);
    let child = host.fork(parent).expect("fork");
    host.write(child, at(0)).expect("write");
    move_beside_an_unfaulted_mapping(&mut host, child);
    let graph = good(&mut host);
    assert_eq!(vma(&graph, child, 0).chain.len(), 2);
    assert_eq!(vma(&graph, child, 0).end, at(2));
    assert_eq!(vma(&graph, child, 2).anon_vma, None);
}

/// R27: prepare takes the neighbour's anon_vma, but not that of a VMA that was forked.
#[test]
fn prepare_reuses_that_of_a_neighbour_with_one_link() {
    let (mut host, parent) = start(4);
    host.map(
        parent,
        at(4),
        4 * PAGE_SIZE,
        Flags(Flags::PRIVATE.0 & !Flags::WRITE.0),
    )
    .expect("map");
    let child = host.fork(parent).expect("fork");
    for pid in [parent, child] {
        host.change_flags(pid, at(5), PAGE_SIZE, Flags::WRITE, Flags::NONE)
            .expect("protect");
        host.change_flags(pid, at(4), PAGE_SIZE, Flags(1 << 2), Flags::WRITE)
            .expect("protect");
        host.change_flags(pid, at(4), PAGE_SIZE, Flags::WRITE, Flags::NONE)
            .expect("protect");
        host.write(pid, at(4)).expect("write");
    }
    let graph = good(&mut host);
    assert_eq!(anon_vma(&graph, parent, 4).0, anon_vma(&graph, parent, 0).0);
    assert_ne!(anon_vma(&graph, child, 4).0, anon_vma(&graph, child, 0).0);
}

/// R41: a page goes to another address with its index.
#[test]
fn a_move_keeps_the_index() {
    let (mut host, pid) = start(4);
    let index = page_of(&good(&mut host), pid, 0).index;
    host.move_to(pid, at(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, at(20), false)
        .expect("move");
    let graph = good(&mut host);
    assert_eq!(page_of(&graph, pid, 20).index, index);
    assert_eq!(vma(&graph, pid, 20).anon_pgoff, index);
    assert_eq!(graph.vma_at(pid, at(0)), None);
    host.move_to(pid, at(20), 2 * PAGE_SIZE, 2 * PAGE_SIZE, at(30), true)
        .expect("move");
    let graph = good(&mut host);
    assert_eq!(vma(&graph, pid, 20).anon_vma, None);
    assert_eq!(page_of(&graph, pid, 30).index, index);
}

#[test]
fn a_mapping_grows_and_shrinks_in_place() {
    let (mut host, pid) = start(4);
    host.resize(pid, at(0), 4 * PAGE_SIZE, 6 * PAGE_SIZE)
        .expect("grow");
    assert_eq!(vma(&good(&mut host), pid, 0).end, at(6));
    host.resize(pid, at(0), 6 * PAGE_SIZE, PAGE_SIZE)
        .expect("shrink");
    assert_eq!(vma(&good(&mut host), pid, 0).end, at(1));
}

#[test]
fn a_sealed_mapping_stays() {
    let (mut host, pid) = start(4);
    host.change_flags(pid, at(1), PAGE_SIZE, Flags::SEALED, Flags::NONE)
        .expect("seal");
    let before = good(&mut host);
    assert_eq!(host.unmap(pid, at(1), PAGE_SIZE), Err(Errno::EPERM));
    let wanted = host.change_flags(pid, at(1), PAGE_SIZE, Flags::NONE, Flags::WRITE);
    assert_eq!(wanted, Err(Errno::EPERM));
    assert_eq!(good(&mut host), before);
}

/// R41: 7.3 leaves a wiped child the offset of a mapping that was moved, and warns of it later. A
/// tree that does not is better; what follows a fault is right in both.
#[test]
fn a_wiped_child_of_a_moved_mapping() {
    let (mut host, parent) = start(4);
    let len = 4 * PAGE_SIZE;
    host.move_to(parent, at(0), len, len, at(20), false)
        .expect("move");
    host.change_flags(parent, at(20), len, Flags::WIPEONFORK, Flags::NONE)
        .expect("wipe");
    let child = host.fork(parent).expect("fork");
    let graph = good(&mut host);
    let stale = vma(&graph, child, 20).pgoff != at(20) / PAGE_SIZE;
    host.unmap(child, at(21), PAGE_SIZE).expect("unmap");
    let warned = host
        .problems()
        .iter()
        .any(|problem| problem.contains("assert_sane_pgoff()"));
    assert_eq!(stale, warned);
    host.write(child, at(22)).expect("write");
    assert_ne!(
        anon_vma(&good(&mut host), child, 22).0,
        anon_vma(&graph, parent, 20).0
    );
}

/// R20: a page that others may share belongs to the root.
#[test]
fn the_swap_gives_a_shared_page_to_the_root() {
    let (mut host, parent) = start(4);
    let child = host.fork(parent).expect("fork");
    host.write(child, at(1)).expect("write");
    let grandchild = host.fork(child).expect("fork");
    let root = anon_vma(&good(&mut host), parent, 0).0;
    assert_eq!(host.swap_out(child, at(1)), Ok(2));
    assert_eq!(page_number(&mut host, child, 1), None);
    host.read(child, at(1)).expect("read");
    let graph = good(&mut host);
    assert_eq!(page_of(&graph, child, 1).anon_vma, Some(root));
    assert!(!page_of(&graph, child, 1).exclusive);
    host.read(grandchild, at(1)).expect("read");
    let graph = good(&mut host);
    assert_eq!(page_of(&graph, child, 1).mapcount, 2);
    assert_eq!(
        graph.page_at(child, at(1)),
        graph.page_at(grandchild, at(1))
    );
}

fn page_number(host: &mut Host, pid: Pid, page: u64) -> Option<usize> {
    good(host).page_at(pid, at(page))
}

/// A VMA of the file has a `close`: a merge does not remove it.
#[test]
fn a_vma_with_close_is_not_merged_away() {
    let mut host = Host::new().expect("the host's code");
    let pid = host.spawn();
    for page in [0, 4, 2] {
        let len = 2 * PAGE_SIZE;
        host.map_file(pid, at(page), len, Flags::PRIVATE, 100 + page)
            .expect("map");
    }
    // The one in the middle grows the first; the last would have to go.
    assert_eq!(good(&mut host).vmas.len(), 2);
}
