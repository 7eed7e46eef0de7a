// SPDX-License-Identifier: GPL-2.0

//! The interface for drivers.

use engine::world::{self, Space, World};
use kernel::{
    Result,
    error::code::{EFAULT, ENOMEM},
    mock::{alloc, context},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tests count objects of all worlds: one at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asserts that address spaces are right, and that nothing has been complained of.
fn assert_clean(spaces: &[&Space]) {
    let verdict = world::verify(spaces).expect("memory");
    assert_eq!(verdict.first, None);
    assert_eq!((verdict.violations, world::violations()), (0, 0));
    assert_eq!(context::take_splat(), None);
}

/// A fork, as the graph shows it: the child's VMA has the parent's link, and its own.
#[test]
fn a_fork_in_a_graph() -> Result {
    let _turn = turn();
    let world = World::new()?;
    let parent = world.space(16, false)?;
    parent.map(0, 4, true)?;
    parent.write(1, 0, 7)?;
    let child = parent.fork()?;
    child.write(1, 0, 8)?;
    let graph = world::graph(&[&parent, &child])?;
    let vmas: Vec<_> = graph.vmas().collect();
    let anon_vmas: Vec<_> = graph.anon_vmas().collect();

    let [of_parent, of_child] = vmas[..] else {
        panic!("{} VMAs", vmas.len());
    };
    assert_eq!(
        (of_parent.start, of_parent.end, of_child.mm),
        (0, 4 << 12, 1)
    );
    let (root, own) = (of_parent.anon_vma.unwrap(), of_child.anon_vma.unwrap());
    assert_eq!(of_parent.chain, [root]);
    let mut chain = of_child.chain.to_vec();
    chain.sort_unstable();
    let mut expected = [root, own];
    expected.sort_unstable();
    assert_eq!(chain, expected);
    assert_eq!((anon_vmas[own].root, anon_vmas[own].parent), (root, root));
    assert_eq!(anon_vmas[root].vmas.len(), 2);
    assert_eq!(graph.pages().count(), 2);
    assert!(
        graph
            .pages()
            .all(|page| page.mapcount == 1 && page.mapped_by.len() == 1)
    );
    assert!(
        graph
            .json()
            .starts_with("{\"version\":1,\"source\":\"shadow\"")
    );
    assert!(graph.text().contains("anon_vma"));
    assert_eq!((parent.read(1, 0)?, child.read(1, 0)?), (7, 8));
    assert_clean(&[&parent, &child]);
    Ok(())
}

/// All that an address space can do; nothing is left in the end.
#[test]
fn all_steps() -> Result {
    let _turn = turn();
    let before = world::numbers();
    let world = World::new()?;
    for shared in [false, true] {
        let space = world.space(64, shared)?;
        space.map(8, 8, true)?;
        for address in 8..16 {
            space.write(address, 0, address as u64)?;
        }
        space.protect(10, 2, false)?;
        let child = space.fork()?;
        space.protect(10, 2, true)?;
        space.grow(8, 4)?;
        space.shift(8, 2)?;
        space.remap(6, 3, 40, false)?;
        child.unmap(12, 1)?;
        assert!(child.swap_out(13, true)?);
        assert!(child.unuse(13)? >= 1);
        child.migrate(14)?;
        space.discard(14, 2)?;
        assert_eq!(child.read(13, 0)?, 13);
        assert_eq!(space.read(40, 0)?, 8);
        assert_eq!(space.swap_out(63, false), Err(EFAULT));
        assert_ne!(world::numbers(), before);
        assert_clean(&[&space, &child]);
    }
    world.shrink();
    assert_eq!(world::numbers(), before);
    Ok(())
}

/// A step to be repeated.
type Action = fn(&Space) -> Result;

/// Each allocation of each step fails once, below all code that may forget to ask for that: the
/// step says `ENOMEM`, or does without, and all is right afterwards.
#[test]
fn no_allocation_is_taken_for_granted() -> Result {
    let _turn = turn();
    let actions: &[(&str, Action)] = &[
        ("map", |space| space.map(40, 4, true)),
        ("map beside", |space| space.map(20, 4, true)),
        ("fault", |space| space.write(30, 0, 1)),
        ("split", |space| space.unmap(10, 2)),
        ("protect", |space| space.protect(12, 2, false)),
        ("grow", |space| space.grow(8, 2)),
        ("remap", |space| space.remap(9, 4, 50, false)),
        ("shift", |space| space.shift(30, 2)),
        ("fork", |space| space.fork().map(drop)),
        ("swap out", |space| space.swap_out(9, true).map(drop)),
        ("migrate", |space| space.migrate(9)),
    ];
    for (name, action) in actions {
        let mut failures = 0;
        for n in 1.. {
            assert!(n < 1000, "{name} has no end");
            let before = world::numbers();
            let world = World::new()?;
            let space = world.space(64, false)?;
            space.map(8, 12, true)?;
            space.map(28, 4, true)?;
            for address in 8..20 {
                space.write(address, 0, 1)?;
            }
            let child = space.fork()?;
            let (result, failed) = alloc::nth(n, || action(&space));
            assert!(
                matches!(result, Ok(()) | Err(ENOMEM)),
                "{name}, {n}: {result:?}"
            );
            failures += usize::from(failed);
            assert_clean(&[&space, &child]);
            drop((space, child, world));
            assert_eq!(world::numbers(), before, "{name}, {n}");
            if !failed {
                assert_eq!(result, Ok(()), "{name}");
                break;
            }
        }
        assert!(failures > 0, "{name} allocates nothing");
    }
    Ok(())
}

/// Threads that fork, write and exit at once, in one family.
#[test]
fn threads_in_one_family() -> Result {
    let _turn = turn();
    let world = World::new()?;
    let space = world.space(16, false)?;
    space.map(0, 8, true)?;
    for address in 0..8 {
        space.write(address, 0, 1)?;
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (space, world) = (&space, &world);
            scope.spawn(move || {
                for round in 0..50 {
                    let child = space.fork().expect("memory");
                    child.write(round % 8, 1, thread).expect("mapped");
                    let _ = space.swap_out(round % 8, false);
                    let _ = child.migrate((round + 1) % 8);
                    assert_eq!(child.read(round % 8, 1), Ok(thread));
                    drop(child);
                    world.shrink();
                }
            });
        }
    });
    assert_clean(&[&space]);
    Ok(())
}
