// SPDX-License-Identifier: GPL-2.0

//! Tests of `walk/`: walkers race with all that changes page tables.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_walk_race)]
mod suite {
    use super::super::super::{
        mm::Mm,
        space::Prot,
        verify::{
            verify,
            Live, //
        },
        Model, //
    };
    use super::super::{
        sample::{
            sharing_process,
            PAGES, //
        },
        *, //
    };
    use crate::{
        kernel_ext::{
            random::Random,
            rwsem::RwSem, //
        },
        rmap::{
            lock::{
                FamilyLock,
                Spin, //
            },
            oracle,
            prepare::Sharing,
            rules,
            testing::Job,
        }, //
    };
    use kernel::{
        new_mutex,
        prelude::*,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Mutex, //
        },
    };

    /// Walkers of all sorts race with reads, writes, forks, merges, moves and exits: each read
    /// finds what was written, no rule is broken, no walk misses a PTE, and no object is left (R3,
    /// R18, R21, R35, R39).
    #[test]
    fn walkers_race_with_all() -> Result {
        fn under<L: FamilyLock>(sharing: Sharing) -> Result {
            let (was, violations) = (Live::now(), rules::violations());
            let reports = oracle::reports();
            let unbounded = stats::UNBOUNDED_WALKS.sum();
            let race = Arc::pin_init(Race::<Model<L>>::new(), GFP_KERNEL)?;
            if let (Some(process), mm) = (race.processes.first(), sharing_process(sharing)?) {
                let written = core::array::from_fn(|address| 100 + address as u64);
                *process.lock() = Some((Arc::new(mm, GFP_KERNEL)?, written));
            }
            let mut jobs = KVec::new();
            for seed in 0..6 {
                let race = race.clone();
                jobs.push(Job::start(move || race.run(seed))?, GFP_KERNEL)?;
            }
            for job in jobs {
                job.join()?;
            }
            let all = race.done.iter().all(|n| n.load(Relaxed) > 0);
            let mut left = KVec::new();
            for process in &race.processes {
                if let Some(process) = process.lock().take() {
                    left.push(process, GFP_KERNEL)?;
                }
            }
            let mut mms = KVec::new();
            for (mm, _) in &left {
                mms.push(&**mm, GFP_KERNEL)?;
            }
            let clean = verify(&mms)?.is_clean();
            drop(mms);
            let mut right = true;
            for (mm, written) in &left {
                for (address, word) in written.iter().enumerate() {
                    right &= mm.read(address, 0) == Ok(*word);
                }
            }
            drop(left);
            let wrong = race.wrong.load(Relaxed);
            drop(race);

            assert!(right && wrong == 0 && clean);
            // Each action has succeeded.
            assert!(all);
            assert_eq!(rules::violations(), violations);
            assert_eq!(oracle::reports(), reports);
            assert_eq!(stats::UNBOUNDED_WALKS.sum(), unbounded);
            assert_eq!(Live::now(), was);
            Ok(())
        }
        for sharing in [Sharing::Singleton, Sharing::Any] {
            under::<Spin>(sharing)?;
            under::<RwSem>(sharing)?;
        }
        Ok(())
    }

    /// Actions of each thread of a race.
    const ACTIONS: usize = 1_000;

    /// The most actions of each thread, should an action never succeed.
    const MOST: usize = 100 * ACTIONS;

    /// An address space, and what was written to word 0 of each of its pages.
    type Process<R> = Option<(Arc<Mm<R>>, [u64; PAGES])>;

    /// The data that the threads of a race share.
    #[pin_data]
    struct Race<R: Modelled> {
        #[pin]
        processes: [Mutex<Process<R>>; 4],
        wrong: Atomic<i32>,
        /// How often each action has succeeded.
        done: [Atomic<i32>; 12],
    }

    impl<R: Modelled> Race<R> {
        fn new() -> impl PinInit<Self> {
            pin_init!(Self {
            processes <- pin_init::pin_init_array_from_fn(
                                |_| new_mutex!(None, "shadow_rmap::race"),
                            ),
                            wrong: Atomic::new(0),
                            done: [const { Atomic::new(0) }; 12],
                        })
        }

        /// Acts a certain number of times, and longer until each action has succeeded once.
        fn run(&self, seed: u64) {
            let mut random = Random::new(seed);
            for n in 0..MOST {
                if n >= ACTIONS && self.done.iter().all(|done| done.load(Relaxed) > 0) {
                    break;
                }
                let action = random.below(self.done.len());
                let process = self.processes.get(random.below(self.processes.len()));
                let (Some(process), Some(done)) = (process, self.done.get(action)) else {
                    continue;
                };
                let address = random.below(PAGES);
                match self.act(action, process, address, &mut random) {
                    Ok(n) => done.add(n, Relaxed),
                    Err(error) if error == ENOENT || error == EBUSY || error == EAGAIN => {}
                    Err(_) => self.wrong.add(1, Relaxed),
                };
            }
        }

        /// Does an action, and returns how often it succeeded.
        fn act(
            &self,
            action: usize,
            process: &Mutex<Process<R>>,
            address: usize,
            random: &mut Random,
        ) -> Result<i32> {
            let mut there = process.lock();
            let (mm, written) = (*there).as_mut().ok_or(ENOENT)?;
            let expected = written.get_mut(address).ok_or(ENOENT)?;
            match action {
                0 => {
                    let right = mm.read(address, 0)? == *expected;
                    self.wrong.add((!right).into(), Relaxed);
                    return Ok(1);
                }
                1 => {
                    let word = random.u64();
                    mm.write(address, 0, word)?;
                    *expected = word;
                    return Ok(1);
                }
                2 => {
                    let child = (Arc::new(mm.fork()?, GFP_KERNEL)?, *written);
                    drop(there);
                    let other = self.processes.get(random.below(self.processes.len()));
                    let gone = other.and_then(|other| other.lock().replace(child));
                    drop(gone);
                    return Ok(1);
                }
                3 => {
                    mm.discard(address, 1)?;
                    *expected = 0;
                    return Ok(1);
                }
                4 => {
                    // Behind its place in each tree, and back.
                    mm.remap(address, 1, PAGES + address, false)?;
                    mm.remap(PAGES + address, 1, address, false)?;
                    return Ok(1);
                }
                5 => {
                    // Splits it into two VMAs or three, and merges them.
                    let pages = 1 + random.below(PAGES - address);
                    mm.protect(address, pages, Prot::READ)?;
                    mm.protect(0, PAGES, Prot::WRITE)?;
                    return Ok(1);
                }
                _ => {}
            }
            // The other actions need a page, and no lock of a process.
            let mm = mm.clone();
            drop(there);
            if action == 6 {
                return self.fault(&mm, address, random);
            }
            if action == 7 {
                let slot = mm.slot_at(address).ok_or(ENOENT)?;
                return unuse(&slot).map(|n| (n > 0).into());
            }
            let page = mm.page_at(address).ok_or(ENOENT)?;
            match action {
                8 => try_to_unmap(&page).map(i32::from),
                9 => reclaim(&page).map(i32::from),
                10 => migrate(&page).map(|_| 1),
                _ => Ok((page_referenced(&page) > 0).into()),
            }
        }

        /// Reads and writes word 1, whose value is 0 or says which page it is of.
        fn fault(&self, mm: &Mm<R>, address: usize, random: &mut Random) -> Result<i32> {
            let own = 1 + address as u64;
            let done = match random.below(4) {
                0 => mm.write_under_vma_lock(address, 1, own),
                1 => mm.write(address, 1, own),
                _ => mm.read(address, 1).map(|word| {
                    let right = word == 0 || word == own;
                    self.wrong.add((!right).into(), Relaxed);
                }),
            };
            match done {
                Ok(()) => Ok(1),
                // Another thread has moved it, or made it read-only, for a moment.
                Err(error) if error == EFAULT || error == EACCES => Ok(0),
                Err(error) => Err(error),
            }
        }
    }
}
