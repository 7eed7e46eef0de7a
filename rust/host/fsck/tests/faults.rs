// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the check of the host: each damage to real structures is found.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_host_fsck)]
mod suite {
    use super::super::{
        notes::Look,
        patience::Patience,
        world::{
            Raw,
            World, //
        },
        Notes,
        Scope, //
    };
    use crate::snapshot::sample;
    use core::ptr;
    use kernel::{
        prelude::*,
        str::CString,
        time::Delta, //
    };

    /// What a healthy world says of its three VMAs: each anon_vma is examined at its first link.
    const HEALTHY: [&str; 3] = [
        "chains=1 anon_vmas=1\n",
        "chains=2 anon_vmas=1\n",
        "chains=3 anon_vmas=1\n",
    ];

    /// An address at which there is no memory.
    const NOWHERE: usize = 0xdead_0000_0000_0000;

    #[test]
    fn no_fault() -> Result {
        let mut world = World::new()?;
        for (vma, expected) in HEALTHY.into_iter().enumerate() {
            assert!(sample::is(&world.examine(vma)?, expected));
        }
        Ok(())
    }

    /// A fork has put the link to the new anon_vma on the chain, and not yet in the tree.
    #[test]
    fn a_fork_that_is_going_on() -> Result {
        let mut world = World::new()?;
        world.put_on_chain(6, 2, 3);
        let raw = world.raw();
        let (new, parent) = (
            ptr::from_mut(&mut raw.anon_vmas[3]),
            ptr::from_mut(&mut raw.anon_vmas[1]),
        );
        raw.anon_vmas[3].parent = parent;
        raw.anon_vmas[3].root = raw.anon_vmas[1].root;
        raw.anon_vmas[3].num_active_vmas = 1;
        // VMA 2 has been cloned from VMA 1, and has no link to anon_vma 2 in this case.
        raw.vmas[2].anon_vma = new.cast();
        raw.anon_vmas[2].num_active_vmas = 0;
        for (vma, expected) in HEALTHY.into_iter().take(2).enumerate() {
            assert!(sample::is(&world.examine(vma)?, expected));
        }
        Ok(())
    }

    /// A host that changes a tree without the lock does so between two looks at it.
    #[test]
    fn a_change_without_the_lock() -> Result {
        let changed = |entries, change: fn(&mut Raw)| World::new()?.has_changed(0, entries, change);
        assert!(!changed(3, |_| {})?);
        assert!(changed(2, |_| {})?);
        assert!(changed(4, |_| {})?);
        assert!(changed(3, |raw| raw.anon_vmas[0].num_children = 3)?);
        assert!(changed(3, |raw| raw.anon_vmas[0].num_active_vmas = 0)?);
        assert!(changed(3, |raw| {
            raw.anon_vmas[0].rb_root.rb_leftmost = ptr::null_mut();
        })?);
        // References are taken and dropped without the lock.
        assert!(!changed(3, |raw| raw.anon_vmas[0].refcount.counter = 9)?);
        Ok(())
    }

    /// All anon_vmas of the chain are looked at again: VMA 2 is linked to 2, 0 and 1.
    #[test]
    fn the_second_look() -> Result {
        assert!(World::new()?.look_again(2, |_| {})?.is_empty());
        let said = World::new()?.look_again(2, |raw| {
            raw.anon_vmas[2].num_active_vmas = 0;
            raw.anon_vmas[1].num_children = 7;
        })?;
        let expected = b"\
R15 anon_vma 1 of its chain: it or its tree has changed, though its root's lock was held
R15 anon_vma 3 of its chain: it or its tree has changed, though its root's lock was held
";
        assert_eq!(&*said, expected);
        Ok(())
    }

    /// One VMA of an address space has the longer hold, if there is to be one: another one each
    /// time.
    #[test]
    fn the_longer_hold() -> Result {
        let mut places = [0; 8];
        let mut notes = Notes::new(1, Delta::from_millis(1))?;
        for _ in 0..8 {
            notes.begin();
            let held = (0..20).map(|_| notes.holds_here());
            let mut held = held.enumerate().filter(|(_, held)| *held);
            places[held.next().map_or(0, |(place, _)| place)] += 1;
            assert!(held.next().is_none());
        }
        assert_eq!(places, [1; 8]);
        let mut never = Notes::new(1, Delta::ZERO)?;
        never.begin();
        assert!((0..20).all(|_| !never.holds_here()));
        Ok(())
    }

    /// A check gives up when it has been too long, and another task waits.
    #[test]
    fn others_wait() -> Result {
        let steps = |patience: &Patience<'_>, n| (0..n).find_map(|_| patience.breathe().err());
        let hour = Delta::from_secs(3600);
        assert_eq!(steps(&Patience::of(hour, &|| true), 1000), None);
        assert_eq!(steps(&Patience::of(Delta::ZERO, &|| false), 1000), None);
        let late = Patience::of(Delta::ZERO, &|| true);
        // All loops of a look are counted together.
        assert_eq!(steps(&late, 63), None);
        assert_eq!(late.breathe(), Err(EAGAIN));
        let mut notes = Notes::new(1, Delta::ZERO)?;
        assert_eq!(notes.look_of(Err(EINTR)), Err(EINTR));
        assert_eq!(notes.look_of(Ok(())), Ok(Look::Whole));
        assert_eq!(notes.counts.left_out, 0);
        assert_eq!(notes.look_of(Err(EAGAIN)), Ok(Look::GivenUp));
        assert_eq!(notes.counts.left_out, 1);
        Ok(())
    }

    #[test]
    fn counters() -> Result {
        assert!(broken(
            0,
            |raw| {
                raw.anon_vmas[0].num_children = 3;
                raw.anon_vmas[0].num_active_vmas = 2;
                raw.anon_vmas[0].refcount.counter = 2;
            },
            "R24 anon_vma 1 of its chain: num_children is 3, linked anon_vmas whose parent it is: 2\n\
             R24 anon_vma 1 of its chain: num_active_vmas is 2, VMAs whose anon_vma it is: 1\n\
             R16 anon_vma 1 of its chain: refcount is 2, its links and those whose root it is make 3\n\
             chains=1 anon_vmas=1\n",
        )?);
        assert!(broken(
            1,
            |raw| raw.anon_vmas[1].num_children = 0,
            "R24 anon_vma 1 of its chain: num_children is 0, linked anon_vmas whose parent it is: 1\n\
             chains=2 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// Fork names the root as the parent, or the child itself.
    #[test]
    fn parents() -> Result {
        assert!(broken(
            1,
            |raw| raw.anon_vmas[2].parent = raw.anon_vmas[2].root,
            "R24 anon_vma 1 of its chain: num_children is 1, linked anon_vmas whose parent it is: 0\n\
             chains=2 anon_vmas=1\n",
        )?);
        assert!(broken(
            2,
            |raw| raw.anon_vmas[2].parent = ptr::from_mut(&mut raw.anon_vmas[2]),
            "R14 anon_vma 1 of its chain: it is its own parent, but not a root\n\
             R24 anon_vma 1 of its chain: num_children is 0, linked anon_vmas whose parent it is: 1\n\
             chains=3 anon_vmas=1\n",
        )?);
        assert!(broken(
            2,
            |raw| raw.anon_vmas[2].parent = ptr::from_mut(&mut raw.anon_vmas[3]),
            "R23 anon_vma 1 of its chain: its parent is not on the chain\n\
             chains=3 anon_vmas=1\n",
        )?);
        Ok(())
    }

    #[test]
    fn roots() -> Result {
        assert!(broken(
            2,
            |raw| {
                raw.anon_vmas[2].root = ptr::from_mut(&mut raw.anon_vmas[2]);
            },
            "R15 anon_vma 1 of its chain: it has another root than the VMA's anon_vma\n\
             R14 anon_vma 1 of its chain: it is a root with a parent\n\
             chains=3 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// A link that is in no tree has a node that was never written: whatever was there.
    #[test]
    fn a_link_in_no_tree() -> Result {
        for above in [0, 1, NOWHERE] {
            assert!(broken(
                2,
                |raw| {
                    raw.anon_vmas[2].rb_root.rb_root.rb_node = ptr::null_mut();
                    raw.anon_vmas[2].rb_root.rb_leftmost = ptr::null_mut();
                    raw.links[3].rb.__rb_parent_color = above;
                },
                "R21 anon_vma 1 of its chain: the VMA is not in its tree\n\
                 chains=3 anon_vmas=0\n",
            )?);
            assert!(broken(
                2,
                |raw| {
                    raw.links[2].rb.rb_right = ptr::null_mut();
                    raw.links[4].rb.__rb_parent_color = above;
                },
                "R21 anon_vma 2 of its chain: the VMA is not in its tree\n\
                 chains=3 anon_vmas=1\n",
            )?);
        }
        Ok(())
    }

    /// A tree keeps the link of a VMA that has dropped it from its chain.
    #[test]
    fn an_entry_that_is_on_no_chain() -> Result {
        assert!(broken(
            0,
            |raw| {
                // The chain of VMA 2 passes link 4, that to the root.
                raw.links[3].same_vma.next = &raw mut raw.links[5].same_vma;
            },
            "structure anon_vma 1 of its chain: entry 3 of its tree is not on the chain of its VMA\n\
             chains=1 anon_vmas=1\n",
        )?);
        Ok(())
    }

    #[test]
    fn chains() -> Result {
        assert!(broken(
            0,
            |raw| {
                let head = &raw mut raw.vmas[0].anon_vma_chain;
                (
                    raw.vmas[0].anon_vma_chain.next,
                    raw.vmas[0].anon_vma_chain.prev,
                ) = (head, head);
            },
            "R33 it has an anon_vma, but no chain\nchains=0 anon_vmas=0\n",
        )?);
        assert!(broken(
            0,
            |raw| raw.vmas[0].anon_vma = ptr::from_mut(&mut raw.anon_vmas[3]).cast(),
            "structure its anon_vma is not on its chain of 1\n\
             R24 anon_vma 1 of its chain: num_active_vmas is 1, VMAs whose anon_vma it is: 0\n\
             chains=1 anon_vmas=1\n",
        )?);
        assert!(broken(
            1,
            |raw| raw.links[2].vma = ptr::from_mut(&mut raw.vmas[0]),
            "structure link 2 of its chain is one of another VMA\n\
             chains=2 anon_vmas=1\n",
        )?);
        assert!(broken(
            1,
            |raw| raw.links[1].same_vma.next = ptr::without_provenance_mut(NOWHERE),
            "structure anon_vma 2 of its chain: a pointer of it or its links leads to no memory\n\
             R23 anon_vma 1 of its chain: its parent is not on the chain\n\
             structure anon_vma 1 of its chain: entry 1 of its tree is not on the chain of its VMA\n\
             chains=1 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// A chain that leads back to one of its links is left there: it is not examined, and no other
    /// VMA counts its links again and again.
    #[test]
    fn rings() -> Result {
        for (from, to, links) in [(3, 3, 1), (5, 3, 6), (5, 4, 3), (5, 5, 4)] {
            let ring = |raw: &mut Raw| {
                raw.links[from].same_vma.next = &raw mut raw.links[to].same_vma;
            };
            let expected = CString::try_from_fmt(fmt!(
                "structure its chain does not end after {links} links\nchains=0 anon_vmas=0\n"
            ))?;
            assert!(broken(2, ring, expected.to_str()?)?);
        }
        assert!(broken(
            1,
            |raw| raw.links[5].same_vma.next = &raw mut raw.links[4].same_vma,
            "structure anon_vma 1 of its chain: entry 2 of its tree is not on the chain of its VMA\n\
             chains=2 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// An entry of a tree leads back to one before it.
    #[test]
    fn a_ring_in_a_tree() -> Result {
        for scope in [Scope::All, Scope::One] {
            let mut world = World::new()?;
            let raw = world.raw();
            raw.links[4].rb.rb_right = &raw mut raw.links[2].rb;
            assert!(sample::is(
                &world.examine_in(0, scope)?,
                "structure anon_vma 1 of its chain: its tree does not end after 6 entries\n\
                 chains=1 anon_vmas=1\n",
            ));
        }
        // No entry of the ring belongs to the process that is checked.
        let mut world = World::new()?;
        let raw = world.raw();
        raw.links[0].rb.rb_right = &raw mut raw.links[0].rb;
        assert!(sample::is(
            &world.examine_in(2, Scope::One)?,
            "structure anon_vma 2 of its chain: its tree does not end after 1 entries\n\
             chains=3 anon_vmas=3\n",
        ));
        Ok(())
    }

    /// A range that changed while the VMA was in the trees.
    #[test]
    fn intervals() -> Result {
        assert!(broken(
            0,
            |raw| raw.links[2].rb_subtree_last = 6,
            "R32 anon_vma 1 of its chain: rb_subtree_last of entry 2 is 6, the last below it is 7\n\
             chains=1 anon_vmas=1\n",
        )?);
        assert!(broken(
            0,
            |raw| raw.set_pgoff(0, 5),
            "R32 anon_vma 1 of its chain: rb_subtree_last of entry 1 is 7, the last below it is 8\n\
             R32 anon_vma 1 of its chain: entry 2 of its tree begins before the entry in front of it\n\
             chains=1 anon_vmas=1\n",
        )?);
        assert!(broken(
            0,
            |raw| raw.anon_vmas[0].rb_root.rb_leftmost = &raw mut raw.links[2].rb,
            "R32 anon_vma 1 of its chain: rb_leftmost is not the first entry of its tree\n\
             chains=1 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// An anon_vma that is reused while a VMA of another process is active.
    #[test]
    fn two_processes_with_one_anon_vma() -> Result {
        assert!(broken(
            0,
            |raw| {
                raw.vmas[1].anon_vma = ptr::from_mut(&mut raw.anon_vmas[0]).cast();
                raw.anon_vmas[0].num_active_vmas = 2;
            },
            "R24 anon_vma 1 of its chain: VMAs of different address spaces have it as their anon_vma\n\
             chains=1 anon_vmas=1\n",
        )?);
        Ok(())
    }

    /// Returns whether exactly the `expected` faults are found at `vma` after `change`.
    fn broken(vma: usize, change: impl FnOnce(&mut Raw), expected: &str) -> Result<bool> {
        let mut world = World::new()?;
        change(world.raw());
        Ok(sample::is(&world.examine(vma)?, expected))
    }
}
