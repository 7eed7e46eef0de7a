// SPDX-License-Identifier: GPL-2.0

//! Tests of `verify.rs`.

#![allow(unsafe_code, reason = "PTEs that are wrong")]

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_verify_model)]
mod suite {
    use super::super::super::{
        mapping::{
            self,
            Layout, //
        },
        space::Prot,
        table::Pte,
        walk::{
            reclaim,
            try_to_unmap,
            Migration, //
        },
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::{
            interval_tree::Range,
            rwsem::RwSem, //
        },
        rmap::{
            anon_vma::Cache,
            lock::{
                FamilyLock,
                Spin, //
            },
            lookup::page_get_anon_vma,
            prepare::Sharing,
            testing::map_again, //
        },
    };
    use kernel::sync::Arc;

    /// Sound address spaces have no violations, and all their objects are counted (R3, R16, R18,
    /// R21, R35, R39).
    #[test]
    fn a_sound_world_is_clean() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let before = Live::now();
            let [parent, child, stranger] = world::<Model<L>>()?;
            parent.remap(2, 2, 20, false)?;
            child.protect(5, 1, Prot::READ)?;
            let shared = parent.page_at(1).ok_or(EINVAL)?;
            let out = reclaim(&shared)?;
            drop(shared);
            let cached = try_to_unmap(&child.page_at(6).ok_or(EINVAL)?)?;
            let back = child.read(1, 0);

            let seen = verify(&[&parent, &child, &stranger])?;
            let clean = seen.is_clean();
            let live = Live::now().since(&before);
            drop([parent, child, stranger]);

            assert!(out && cached && back == Ok(101));
            assert!(clean);
            // The parent in three parts, the child in three, the stranger.
            assert_eq!(seen.vmas, 7);
            assert_eq!(seen.anon_vmas, 3);
            assert_eq!(seen.links, 3 + 2 * 3 + 1);
            assert_eq!((seen.pages, seen.slots), (7, 2));
            assert_eq!((live.anon_vmas, live.links), (seen.anon_vmas, seen.links));
            // One page is in the swap cache only.
            assert_eq!((live.pages, live.slots), (7 + 1, 2));
            assert_eq!(Live::now(), before);
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page that is counted once too often is noticed (R3).
    #[test]
    fn a_wrong_mapcount_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let page = parent.page_at(0).ok_or(EINVAL)?;
            map_again(&page.rmap);
            let (seen, n) = Rule::R3.expect_violations(|| verify(&[&parent, &child]));
            page.rmap.remove_rmap();

            assert_eq!(n, 1);
            let seen = seen?;
            assert!(seen.says("mapcount is 3, PTEs that map it: 2"));
            assert!(seen.oracle() == Some(Oracle::Mapcount));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A reference that belongs to no link, child or slot is noticed: on a root (R16), and on a
    /// child (R18).
    #[test]
    fn a_forgotten_pin_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let (old, new) = (parent.page_at(0), child.page_at(6));
            let root = page_get_anon_vma(&old.ok_or(EINVAL)?.rmap);
            let ((seen, n), others) = Rule::R18
                .expect_violations(|| Rule::R16.expect_violations(|| verify(&[&parent, &child])));
            drop(root);
            let own = page_get_anon_vma(&new.ok_or(EINVAL)?.rmap);
            let ((second, none), m) = Rule::R18
                .expect_violations(|| Rule::R16.expect_violations(|| verify(&[&parent, &child])));
            drop(own);

            assert_eq!((n, others, none, m), (1, 0, 0, 1));
            let seen = seen?;
            assert!(seen.says("refcount is 3") && second?.says("refcount is 2"));
            assert!(seen.oracle() == Some(Oracle::Refcount));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A missing link is evidence of two kinds: of a wrong chain, and of a page that no walk finds.
    #[test]
    fn the_part_of_the_graph_decides_on_the_oracle() {
        assert!(oracle_of(Part::Chains, Some(Rule::R21)) == Oracle::Topology);
        assert!(oracle_of(Part::Pages, Some(Rule::R21)) == Oracle::WalkCompleteness);
        assert!(oracle_of(Part::Chains, Some(Rule::R33)) == Oracle::WalkCompleteness);
        assert!(oracle_of(Part::Pages, None) == Oracle::Topology);
    }

    /// A writable PTE of a shared page is noticed.
    #[test]
    fn a_write_to_a_shared_page_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let page = parent.page_at(0).ok_or(EINVAL)?;
            let writable = true;
            put(&parent, 0, Pte::Present { page, writable });
            let seen = verify(&[&parent, &child])?;

            assert_eq!(seen.damages(), 1);
            assert!(seen.says("may be written to"));
            assert!(seen.oracle() == Some(Oracle::Topology));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA that maps a page, and is not linked to the page's anon_vma, is noticed (R21).
    #[test]
    fn a_missing_link_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, stranger] = world::<Model<L>>()?;
            let page = parent.page_at(0).ok_or(EINVAL)?;
            map_again(&page.rmap);
            let writable = false;
            put(&stranger, 0, Pte::Present { page, writable });
            let (seen, n) = Rule::R21.expect_violations(|| verify(&[&parent, &child, &stranger]));
            let seen = seen?;

            // It is not linked, and a walk does not find it.
            assert_eq!(n, 2);
            assert!(seen.says("maps it, but does not link to its anon_vma"));
            assert!(seen.says("maps it, but a walk from anon_vma"));
            assert!(seen.oracle() == Some(Oracle::WalkCompleteness));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A page at an address that does not match its offset is noticed (R21).
    #[test]
    fn a_page_out_of_place_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let pte = put(&child, 6, Pte::None);
            put(&child, 7, pte);
            let (seen, n) = Rule::R21.expect_violations(|| verify(&[&parent, &child]));

            assert_eq!(n, 2);
            let seen = seen?;
            assert!(seen.says("address 7: a page with offset 6 belongs at 6"));
            assert!(seen.oracle() == Some(Oracle::WalkCompleteness));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A VMA with other addresses than in the tree of VMAs is noticed.
    #[test]
    fn a_wrong_range_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let vma = child.space().vmas.find(0).ok_or(EINVAL)?;
            let shorter = Range { start: 0, last: 8 };
            let mut mmap = child.core().mmap_write();
            vma.core.set_range(shorter, &mut mmap, Layout::kept());
            drop(mmap);
            let seen = verify(&[&parent, &child])?;

            assert_eq!(seen.damages(), 1);
            assert!(seen.says("it covers 0 to 8, but is in the tree at 0 to 9"));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A PTE outside of any VMA is noticed.
    #[test]
    fn a_stray_pte_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let page = parent.page_at(0).ok_or(EINVAL)?;
            let writable = false;
            put(&parent, 30, Pte::Present { page, writable });
            let seen = verify(&[&parent, &child])?;

            assert_eq!(seen.damages(), 1);
            assert!(seen.says("there is a PTE at 30, but no VMA"));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A walk that finds a VMA of no known address space is noticed (R33, R35).
    #[test]
    fn a_walk_to_an_unknown_vma_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [_parent, child, _stranger] = world::<Model<L>>()?;
            let ((seen, trees), walks) =
                Rule::R35.expect_violations(|| Rule::R33.expect_violations(|| verify(&[&child])));

            // The parent's VMA in the tree of the root, and the pages that both share.
            assert_eq!((trees, walks), (1, 6));
            assert!(seen?.says("a walk finds a VMA that is in no address space"));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// A migration entry is noticed.
    #[test]
    fn a_migration_entry_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, _stranger] = world::<Model<L>>()?;
            let to = Migration::new()?;
            let writable = true;
            let pte = put(&child, 6, Pte::Migration { to, writable });
            if let Some(page) = pte.page() {
                page.rmap.remove_rmap();
            }
            let seen = verify(&[&parent, &child])?;

            assert_eq!(seen.damages(), 1);
            assert!(seen.says("address 6: the PTE is a migration entry"));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    /// Users of a slot that are in no page table, or that no walk finds, are noticed (R39).
    #[test]
    fn a_lost_entry_is_noticed() -> Result {
        fn under<L: FamilyLock>() -> Result {
            let [parent, child, stranger] = world::<Model<L>>()?;
            let page = parent.page_at(0).ok_or(EINVAL)?;
            let out = reclaim(&page)?;
            drop(page);
            let all = [&parent, &child, &stranger];
            let copy = match parent.space().table.lock().get(0) {
                Pte::Swap(entry) => Some(entry.clone()),
                _ => None,
            };
            let (counted, n) = Rule::R39.expect_violations(|| verify(&all));
            put(&stranger, 0, copy.map_or(Pte::None, Pte::Swap));
            let (found, m) = Rule::R39.expect_violations(|| verify(&all));

            assert!(out);
            assert_eq!((n, m), (1, 1));
            assert!(counted?.says("it has 3 users, PTEs with an entry of it: 2"));
            let found = found?;
            assert!(found.says("finds 2 of its 3 entries"));
            assert!(found.oracle() == Some(Oracle::WalkCompleteness));
            Ok(())
        }
        under::<Spin>()?;
        under::<RwSem>()
    }

    impl Verdict {
        /// Returns how many of the findings are about the structure.
        fn damages(&self) -> usize {
            let damages = self.findings.iter().filter(|(_, rule, _)| rule.is_none());
            damages.count()
        }

        /// Returns the oracle of the first finding.
        fn oracle(&self) -> Option<Oracle> {
            self.first().map(|(oracle, ..)| oracle)
        }

        /// Returns whether one of the findings contains `words`.
        fn says(&self, words: &str) -> bool {
            self.findings.iter().any(|(_, _, finding)| {
                let finding = finding.to_bytes();
                finding
                    .windows(words.len())
                    .any(|part| part == words.as_bytes())
            })
        }
    }

    /// A process with six pages in a VMA of ten; its child, which has one more page; and an
    /// unrelated process.
    fn world<R: Modelled>() -> Result<[Mm<R>; 3]> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let parent = Mm::new(&cache, 40, Sharing::Singleton)?;
        parent.map(0, 10, Prot::WRITE)?;
        for address in 0..6 {
            parent.write(address, 0, 100 + address as u64)?;
        }
        let child = parent.fork()?;
        child.write(6, 0, 206)?;
        let stranger = Mm::new(&cache, 40, Sharing::Singleton)?;
        stranger.map(0, 10, Prot::WRITE)?;
        stranger.write(6, 0, 306)?;
        Ok([parent, child, stranger])
    }

    /// Puts any `pte` at an address; returns the old one.
    fn put<R: Modelled>(mm: &Mm<R>, address: usize, pte: Pte<R>) -> Pte<R> {
        // SAFETY: The mapcount of a page that is taken away goes down when the test ends, and no page
        // is looked up after that.
        unsafe { mapping::overwrite(&mut mm.space().table.lock(), address, pte) }
    }
}
