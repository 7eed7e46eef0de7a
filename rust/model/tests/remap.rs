// SPDX-License-Identifier: GPL-2.0

//! Tests of `remap.rs`.

#![allow(unsafe_code, reason = "steps of a test")]

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_remap)]
mod suite {
    use super::super::super::{
        space::Prot,
        steps::{
            ModelFlavour,
            ModelSteps, //
        },
        verify::verify,
        walk::try_to_unmap,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::Cache,
            family::FamilyWrite,
            kind::{
                Rmap,
                Windows, //
            },
            lock::{
                FamilyLock,
                Spin, //
            },
            oracle::Oracle,
            prepare::Sharing,
            steps::{
                Correct,
                Flavour,
                Steps, //
            },
            testing::{
                at,
                Job, //
            },
        },
        torture::{
            at_run_time::AtRunTime,
            busted::{
                vma::MovesRangeFirst,
                walk::{
                    MovesBulkUnlocked,
                    MovesUnlocked, //
                },
                Numbered, //
            }, //
        },
    };
    use kernel::{
        sync::atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        time::{
            delay::{
                fsleep,
                udelay, //
            },
            Delta,
            Instant,
            Monotonic, //
        },
    };

    /// A part that was moved away moves back, and is merged with the rest.
    #[test]
    fn a_move_to_the_front_merges() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = part_is_away::<Model<L>>()?;
            mm.remap(20, 4, 4, false)?;
            let read = (mm.read(3, 0)?, mm.read(4, 0)?, mm.read(7, 0)?);
            let vmas = mm.space().vmas.range(0, usize::MAX).count();

            assert!(read == (3, 4, 7));
            assert_eq!(vmas, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A walk that has passed the destination before the PTEs arrive finds them at the source: the
    /// lock keeps them there until the walk is over (R36).
    #[test]
    fn a_walk_finds_ptes_that_move_to_the_front() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let reports = Oracle::WalkCompleteness.reports();
            let found = walk_meets_move::<L, Correct>()?;

            assert!(found && Oracle::WalkCompleteness.reports() == reports);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Deliberate bugs move PTEs without the lock, one of them only many at a time: such a walk
    /// finds the PTE at neither place, which is noticed (R36).
    #[test]
    fn an_unlocked_move_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let reports = Oracle::WalkCompleteness.reports();
            let found = [
                walk_meets_move::<L, MovesUnlocked>()?,
                walk_meets_move::<L, MovesBulkUnlocked>()?,
            ];

            assert_eq!(found, [false; 2]);
            assert_eq!(Oracle::WalkCompleteness.reports(), reports + 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The lock is taken if and only if a walk may pass the PTEs: if they move to the front (R36).
    #[test]
    fn a_move_is_locked_if_a_walk_may_pass_it() -> Result {
        fn locks<R: Modelled>() -> Result<[bool; 4]> {
            let mm = part_is_away::<R>()?;
            let mmap = mm.core().mmap_write();
            let from = mm.space().vmas.find(20).ok_or(ENOENT)?;
            let cases = [(false, false), (false, true), (true, false), (true, true)];
            Ok(cases.map(|(before, bulk)| {
                let steps = R::model_steps();
                steps.lock_to_move(&from, before, bulk, &mmap).is_some()
            }))
        }

        fn locks_with<B: Numbered>() -> Result<[bool; 4]> {
            let _bug = AtRunTime::with::<B>();
            locks::<Model<RwSem, AtRunTime>>()
        }

        assert_eq!(locks::<Model<RwSem>>()?, [false, false, true, true]);
        assert_eq!(locks::<Model<Spin>>()?, [false, false, true, true]);
        assert_eq!(locks_with::<MovesUnlocked>()?, [false; 4]);
        assert_eq!(
            locks_with::<MovesBulkUnlocked>()?,
            [false, false, true, false]
        );
        Ok(())
    }

    /// How far a walk and a move have come that are to meet, see [`walk_meets_move`].
    static STAGE: Atomic<u32> = Atomic::new(MOVED);

    /// The walk waits for the move.
    const BEGUN: u32 = 0;
    /// The move has its destination.
    const READY: u32 = 1;
    /// The walk has passed the destination.
    const PASSED: u32 = 2;
    /// The move is about to take the lock.
    const LOCKING: u32 = 3;
    /// The PTEs have moved, or there is no such move.
    const MOVED: u32 = 4;

    /// Sleeps until a stage is reached, ten seconds at most.
    fn sleep_until(wanted: u32) {
        for _ in 0..200_000 {
            if STAGE.load(Acquire) == wanted {
                return;
            }
            fsleep(Delta::from_micros(50));
        }
    }

    /// Spins until a stage is reached, or a later one, for so many milliseconds at most. Any
    /// context.
    fn spin_until(wanted: u32, most: i64) {
        let begin = Instant::<Monotonic>::now();
        while STAGE.load(Acquire) < wanted && begin.elapsed().as_millis() < most {
            udelay(Delta::from_micros(1));
        }
    }

    /// Windows in which a walk and a move wait for each other.
    struct Meeting;

    impl Windows for Meeting {
        fn window(at: Window) {
            match (at, STAGE.load(Acquire)) {
                (Window::DestinationReady, BEGUN) => {
                    STAGE.store(READY, Release);
                    // Sleeps, so that it is not kept from running by the walk on its CPU.
                    sleep_until(PASSED);
                }
                (Window::BetweenVmas, READY) => {
                    STAGE.store(PASSED, Release);
                    spin_until(LOCKING, 10_000);
                    // If the lock were not taken, the PTEs would move now. A thread that waits for
                    // it cannot be seen, so the walk gives the move some time.
                    spin_until(MOVED, 20);
                }
                // The move clears what is left of the source: the PTEs have moved.
                (Window::PteCleared, PASSED) => STAGE.store(MOVED, Release),
                _ => {}
            }
        }
    }

    /// The steps that are chosen, which announce that the lock is about to be taken. The others are
    /// correct: what is chosen here differs in this one.
    struct Announced;

    // SAFETY: The provided methods.
    unsafe impl<R: Rmap> Steps<R> for Announced {}

    // SAFETY: As for the steps that are chosen.
    unsafe impl<R: Modelled> ModelSteps<R> for Announced {
        fn lock_to_move<'a>(
            &self,
            from: &'a Vma<R>,
            before: bool,
            bulk: bool,
            mmap: &'a MmapWrite<'_, R>,
        ) -> Option<FamilyWrite<'a, R>> {
            let _ = STAGE.cmpxchg(PASSED, LOCKING, Full);
            AtRunTime::model_steps::<R>().lock_to_move(from, before, bulk, mmap)
        }
    }

    impl Flavour for Announced {
        type Steps<R: Rmap> = Self;

        fn steps<R: Rmap>() -> &'static Self {
            &Self
        }
    }

    impl ModelFlavour for Announced {
        type ModelSteps<R: Modelled> = Self;

        fn model_steps<R: Modelled>() -> &'static Self {
            &Self
        }
    }

    /// A move back to the front, and a walk for one of the pages. The walk looks at the destination
    /// before the PTEs arrive there, and at the source when they have moved, or when the move waits
    /// for the lock. Returns whether the walk took the page out of all PTEs.
    fn walk_meets_move<L: FamilyLock, B: Numbered>() -> Result<bool> {
        let _steps = AtRunTime::with::<B>();
        let mm = part_is_away::<Model<L, Announced, Meeting>>()?;
        let page = mm.page_at(21).ok_or(ENOENT)?;
        STAGE.store(BEGUN, Release);
        let walk = Job::start(move || {
            sleep_until(READY);
            try_to_unmap(&page)
        })?;
        let moved = mm.remap(20, 4, 4, false);
        STAGE.store(MOVED, Release);
        let found = walk.join()?;
        moved?;
        found
    }

    /// A stack and its pages move down, to addresses that overlap the old ones, and walks find them
    /// (R36).
    #[test]
    fn a_stack_moves_down() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let mm = stack::<Model<L>>()?;
            let child = mm.fork()?;
            mm.shift(20, 3)?;
            let refused = [
                mm.shift(17, 0).err(),
                mm.shift(17, 18).err(),
                mm.shift(24, 1).err(),
                mm.shift(17, 10).err(),
            ];
            let gone = mm.read(25, 0).err();
            let out = try_to_unmap(&mm.page_at(18).ok_or(ENOENT)?);
            let mut right = true;
            for address in 20..26 {
                right &= mm.read(address - 3, 0) == Ok(address as u64);
                right &= child.read(address, 0) == Ok(address as u64);
            }
            mm.write(17, 0, 1)?;
            let clean = verify(&[&mm, &child])?.is_clean();

            assert!(refused == [Some(EINVAL), Some(EINVAL), Some(EFAULT), Some(EEXIST)]);
            assert!(gone == Some(EFAULT) && out == Ok(true) && right && clean);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A deliberate bug moves the VMA before the PTEs: a walk in between misses them all (R36).
    #[test]
    fn a_range_that_moves_first_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<MovesRangeFirst>();
            let mm = Arc::new(stack::<Model<L, AtRunTime>>()?, GFP_KERNEL)?;
            let page = mm.page_at(22).ok_or(ENOENT)?;
            let before = Oracle::WalkCompleteness.reports();
            let raced = at(
                Window::RangeMoved,
                move || try_to_unmap(&page),
                || mm.shift(20, 3),
            );
            let reports = Oracle::WalkCompleteness.reports() - before;
            let read = mm.read(19, 0);

            assert!(raced == Ok((Ok(()), Ok(false))) && read == Ok(22));
            assert_eq!(reports, 1);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Six pages whose words are their addresses, and a VMA below.
    fn stack<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        mm.map(20, 6, Prot::WRITE)?;
        for address in 20..26 {
            mm.write(address, 0, address as u64)?;
        }
        mm.map(8, 2, Prot::WRITE)?;
        Ok(mm)
    }

    /// Eight pages, of which the last four have been moved to 20.
    fn part_is_away<R: Modelled>() -> Result<Mm<R>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let mm = Mm::new(&cache, 32, Sharing::Singleton)?;
        mm.map(0, 8, Prot::WRITE)?;
        for address in 0..8 {
            mm.write(address, 0, address as u64)?;
        }
        mm.remap(4, 4, 20, false)?;
        Ok(mm)
    }
}
