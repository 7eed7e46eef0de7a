// SPDX-License-Identifier: GPL-2.0

//! The pages of an address space that were unmapped since the last update.

use super::{
    page::{
        clear,
        take_range,
        PageRoom,
        PageTree,
        MIGRATES, //
    },
    LivePage, //
};
use crate::host::page_table::HostPage;
#[cfg(shadow_rmap_kunit)]
use kernel::macros::kunit_tests;
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The number of pages with one offset among which a migrated page is looked for.
const CANDIDATES: usize = 64;

/// Pages by their offset, each of which may turn up elsewhere in the address space.
#[pin_data]
pub(crate) struct UnmappedPages {
    #[pin]
    pages: Mutex<PageTree>,
}

impl UnmappedPages {
    /// Creates an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pages <- new_mutex!(RBTree::new(), "shadow_rmap::unmapped"),
        })
    }

    /// Returns the page `seen`, if it was unmapped from its offset since the last update. `fits`
    /// returns whether a page may be the one. Sleeps.
    pub(crate) fn find(
        &self,
        seen: &HostPage,
        fits: impl Fn(&LivePage) -> bool,
    ) -> Option<Arc<LivePage>> {
        let mut unmapped = self.pages.lock();
        let found = unmapped.get(&(seen.at, seen.key));
        if let Some(page) = found.filter(|page| page.key() == seen.key) {
            return fits(page).then(|| page.clone());
        }
        if !MIGRATES || seen.exclusive {
            return None;
        }
        // It has migrated since it was unmapped or looked at. Which one it was is clear if one
        // alone fits.
        let mut only: Option<Arc<LivePage>> = None;
        let mut here = unmapped.cursor_lower_bound_mut(&(seen.at, 0));
        for _ in 0..CANDIDATES {
            let Some(cursor) = here.filter(|here| here.current().0 .0 == seen.at) else {
                return only.filter(|page| page.follow(seen));
            };
            let page = cursor.current().1;
            if page.key() == seen.key && fits(page) {
                return Some(page.clone());
            }
            if fits(page) && only.replace(page.clone()).is_some() {
                return None;
            }
            here = cursor.move_next();
        }
        None
    }

    /// Returns whether several pages were unmapped from offset `at` since the last update, so that one that
    /// has migrated cannot be found. Sleeps.
    pub(super) fn has_several_at(&self, at: usize) -> bool {
        if !MIGRATES {
            return false;
        }
        let mut unmapped = self.pages.lock();
        let first = unmapped.cursor_lower_bound_mut(&(at, 0));
        let second = first.and_then(|first| first.move_next());
        second.is_some_and(|second| second.current().0 .0 == at)
    }

    /// Forgets the unmapped pages, at the end of an update. Sleeps.
    pub(super) fn forget(&self) {
        let mut unmapped = core::mem::take(&mut *self.pages.lock());
        clear(&mut unmapped);
    }

    /// Keeps all of `pages`, which were unmapped, until the end of the next update. Sleeps;
    /// allocates nothing.
    pub(super) fn keep_all(&self, pages: &mut PageTree) {
        take_range(pages, &mut self.pages.lock(), 0, usize::MAX);
    }

    /// Keeps a page that was unmapped from offset `at` until the end of the next update, using the
    /// memory `room`. Sleeps; allocates nothing.
    pub(super) fn keep(&self, room: PageRoom, at: usize, page: Arc<LivePage>) {
        let node = room.into_node((at, page.key()), page);
        let replaced = self.pages.lock().insert(node);
        drop(replaced);
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_unmapped)]
mod tests {
    use super::*;
    use crate::kernel_ext::gfp::GFP_BOUNDED;

    /// A page at offset 5 that the host maps now.
    fn seen(key: usize, exclusive: bool) -> HostPage {
        HostPage {
            key,
            at: 5,
            index: 5,
            mapping: 0,
            mapcount: 1,
            exclusive,
            migrates: false,
        }
    }

    /// Keeps pages that were unmapped from offset 5, and one from offset 6.
    fn unmapped(keys: &[usize]) -> Result<Pin<KBox<UnmappedPages>>> {
        let unmapped = KBox::pin_init(UnmappedPages::new(), GFP_KERNEL)?;
        for &key in keys {
            let room = PageRoom::new(GFP_BOUNDED)?;
            unmapped.keep(room, 5, LivePage::new(&seen(key, false))?);
        }
        let room = PageRoom::new(GFP_BOUNDED)?;
        unmapped.keep(room, 6, LivePage::new(&seen(60, false))?);
        Ok(unmapped)
    }

    /// A page in the same memory is found, whether others have its offset or not.
    #[test]
    fn the_same_memory_is_found() -> Result {
        let unmapped = unmapped(&[50, 51])?;
        let found = unmapped.find(&seen(51, true), |_| true);
        let unfit = unmapped.find(&seen(51, true), |_| false);
        unmapped.forget();
        let forgotten = unmapped.find(&seen(51, true), |_| true);

        assert!(found.is_some_and(|page| page.key() == 51));
        assert!(unfit.is_none() && forgotten.is_none());
        Ok(())
    }

    /// A page in other memory has migrated if one alone fits; one that is exclusive is new.
    #[test]
    fn one_page_that_has_migrated_is_found() -> Result {
        let pages = unmapped(&[50])?;
        let several = pages.has_several_at(5);
        let new = pages.find(&seen(99, true), |_| true);
        let old = pages.find(&seen(99, false), |_| true);

        assert!(!several && new.is_none());
        assert_eq!(old.map(|page| page.key()), MIGRATES.then_some(99));
        Ok(())
    }

    /// Of several pages none is taken for one that has migrated, unless one alone fits.
    #[test]
    fn one_of_several_is_not_found() -> Result {
        let pages = unmapped(&[50, 51])?;
        let several = pages.has_several_at(5);
        let any = pages.find(&seen(99, false), |_| true);
        let fit = pages.find(&seen(99, false), |page| page.key() == 51);

        assert!(several == MIGRATES && any.is_none());
        assert_eq!(fit.map(|page| page.key()), MIGRATES.then_some(99));
        Ok(())
    }

    /// Of many pages with one offset none is searched for long.
    #[test]
    fn one_of_many_is_not_searched() -> Result {
        let keys: [usize; CANDIDATES] = core::array::from_fn(|i| 100 + i);
        let last = 100 + CANDIDATES - 1;
        let pages = unmapped(&keys)?;
        let fit = pages.find(&seen(99, false), |page| page.key() == last);
        let same = pages.find(&seen(last, false), |_| true);

        assert!(fit.is_none() && same.is_some());
        Ok(())
    }
}
