// SPDX-License-Identifier: GPL-2.0

//! Tests of `page.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_page)]
mod suite {
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            kind::Bare,
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_lock_anon_vma,
            testing::{
                at,
                damaged,
                map_again,
                Job,
                Process,
                World, //
            },
            window::Window, //
        },
        torture::{
            at_run_time::AtRunTime,
            busted, //
        }, //
    };

    /// Pointer and tag of an anonymous page are one word, and each change of it is one store (R1).
    #[test]
    fn mapping_is_stored_at_once() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let stores = MAPPING_STORES.load(Relaxed);
            let (a, page) = world.process_with_page()?;
            let mapped = MAPPING_STORES.load(Relaxed);
            let b = a.fork()?;
            let leads_to = |process: &Process<_>| {
                process.key().map(|key| key | MAPPING_ANON) == Some(page.mapping.load(Relaxed))
            };
            let before = leads_to(&a);
            b.move_page(&page);
            let moved = MAPPING_STORES.load(Relaxed);
            let after = leads_to(&b);
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(before && after);
            assert_eq!([mapped - stores, moved - mapped], [1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Between two stores a mapped page has a pointer without a tag (R1).
    #[test]
    fn mapping_stored_twice_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::page::StoresTwice>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let (a, page) = world.process_with_page()?;
            let b = a.fork()?;
            let theirs = page.clone();
            let stores = MAPPING_STORES.load(Relaxed);
            let raced = at(
                Window::MappingStored,
                move || Rule::R1.expect_violations(|| page_lock_anon_vma(&theirs).is_some()),
                || b.move_page(&page),
            );
            let stores = MAPPING_STORES.load(Relaxed) - stores;
            page.remove_rmap();
            a.unmap();
            b.unmap();

            assert!(raced == Ok((true, (false, 1))));
            assert_eq!(stores, 2);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that is unmapped, and mapped again, is still that of its anon_vma (R2).
    #[test]
    fn mapping_stays_after_the_last_unmap() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            page.remove_rmap();
            let stays = page.anon_vma_key() == a.key();
            map_again(&page);
            let found = page_lock_anon_vma(&page).map(|anon_vma| anon_vma.key()) == a.key();
            page.remove_rmap();
            a.unmap();

            assert!(stays && found);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page whose last unmap has cleared `mapping` is mapped again, and no lookup finds it (R2).
    #[test]
    fn a_cleared_mapping_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let _bug = AtRunTime::with::<busted::page::ClearsMapping>();
            let world = World::<Bare<L, AtRunTime>>::new()?;
            let (a, page) = world.process_with_page()?;
            let ((), at_unmap) = Rule::R2.expect_violations(|| page.remove_rmap());
            map_again(&page);
            let (found, at_lookup) =
                Rule::R2.expect_violations(|| page_lock_anon_vma(&page).is_some());
            let ((), again) = Rule::R2.expect_violations(|| page.remove_rmap());
            a.unmap();

            assert!(!found);
            assert_eq!([at_unmap, at_lookup, again], [1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// The mapcount is the number of PTEs when several threads map and unmap a page at once (R3).
    #[test]
    fn mapcount_is_atomic() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let mut jobs = KVec::new();
            let mut expected = 1;
            for _ in 0..3 {
                let theirs = page.clone();
                let job = Job::start(move || {
                    for _ in 0..10_000 {
                        map_again(&theirs);
                        map_again(&theirs);
                        theirs.remove_rmap();
                    }
                })?;
                jobs.push(job, GFP_KERNEL)?;
                expected += 10_000;
            }
            for job in jobs {
                job.join()?;
            }
            let counted = page.mapcount();
            while page.mapped() {
                page.remove_rmap();
            }
            a.unmap();

            assert_eq!(counted, expected);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup, and a comparison, of a page whose tag is wrong (R1).
    #[test]
    fn damage_of_the_tag_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let word = page.mapping.load(Relaxed);
            let mut noticed = [0; 4];
            let wrong = [word & !MAPPING_ANON, word | 2];
            for (i, word) in wrong.into_iter().enumerate() {
                let looks: [&dyn Fn() -> bool; 2] =
                    [&|| page_lock_anon_vma(&page).is_none(), &|| {
                        page.anon_vma_key().is_none()
                    }];
                for (j, look) in looks.into_iter().enumerate() {
                    let (refused, n) =
                        Rule::R1.expect_violations(|| damaged(&page.mapping, word, look));
                    if let Some(noticed) = noticed.get_mut(2 * i + j) {
                        *noticed = if refused { n } else { 0 };
                    }
                }
            }
            let found = page_lock_anon_vma(&page).is_some();
            page.remove_rmap();
            a.unmap();

            assert!(found);
            assert_eq!(noticed, [1; 4]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A lookup, a comparison, and an unmap, of a page that is mapped and leads nowhere (R2).
    #[test]
    fn damage_of_the_mapping_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let (found, at_lookup) = Rule::R2.expect_violations(|| {
                damaged(&page.mapping, 0, || page_lock_anon_vma(&page).is_some())
            });
            let (key, at_comparison) =
                Rule::R2.expect_violations(|| damaged(&page.mapping, 0, || page.anon_vma_key()));
            let ((), at_unmap) =
                Rule::R2.expect_violations(|| damaged(&page.mapping, 0, || page.remove_rmap()));
            a.unmap();

            assert!(!found && key.is_none());
            assert_eq!([at_lookup, at_comparison, at_unmap], [1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A mapcount that is wrong when a PTE is added or removed (R3).
    #[test]
    fn damage_of_the_mapcount_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let ((), added) =
                Rule::R3.expect_violations(|| damaged(&page.mapcount, -2, || map_again(&page)));
            let ((), removed) =
                Rule::R3.expect_violations(|| damaged(&page.mapcount, -1, || page.remove_rmap()));
            page.remove_rmap();
            let new = PageRmap::new(4);
            let (mapped, at_first) =
                Rule::R3.expect_violations(|| damaged(&new.mapcount, 5, || a.map(&new)));
            a.unmap();

            assert!(mapped);
            assert_eq!([added, removed, at_first], [1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A mapcount from which too much is subtracted does not become one of a mapped page (R3).
    #[test]
    fn a_mapcount_does_not_wrap_around() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            page.remove_rmap();
            a.unmap();
            // Each store stands for very many calls.
            let mut lowest = 0;
            let (mapped, n) = Rule::R3.expect_violations(|| {
                [-1, SATURATED + 1, SATURATED, i32::MIN + 1].map(|count| {
                    page.mapcount.store(count, Relaxed);
                    page.remove_rmap();
                    page.remove_rmap();
                    lowest = lowest.min(page.mapcount.load(Relaxed));
                    page.mapped() || page_lock_anon_vma(&page).is_some()
                })
            });

            assert_eq!(mapped, [false; 4]);
            assert_eq!(lowest, SATURATED);
            assert_eq!(n, 8);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that leads somewhere before it is mapped, moved to, or read in (R20).
    #[test]
    fn damage_of_a_new_page_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let world = World::<Bare<L>>::new()?;
            let (a, page) = world.process_with_page()?;
            let word = page.mapping.load(Relaxed);
            let new = PageRmap::new(4);
            let (mapped, at_fault) =
                Rule::R20.expect_violations(|| damaged(&new.mapping, word, || a.map(&new)));
            let ((), at_migration) = Rule::R20.expect_violations(|| {
                damaged(&new.mapping, word, || {
                    // SAFETY: `new` is never mapped.
                    unsafe { new.take_mapping_of(&page) }
                })
            });
            let ((), at_swap_in) = Rule::R20.expect_violations(|| {
                damaged(&new.mapping, word, || {
                    a.locked(|anon_vma| {
                        // SAFETY: `new` is never mapped.
                        unsafe { new.lead_to(anon_vma) }
                    });
                })
            });
            let undamaged = !new.is_anon();
            page.remove_rmap();
            a.unmap();

            assert!(!mapped && undamaged);
            assert_eq!([at_fault, at_migration, at_swap_in], [1, 1, 1]);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }
}
