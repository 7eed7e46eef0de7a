// SPDX-License-Identifier: GPL-2.0

//! Tests of `typesafe/candidate.rs`.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_candidate)]
mod suite {
    use super::super::*;
    use crate::kernel_ext::typesafe::{
        thing::{
            lock,
            Place,
            Thing,
            BUSY,
            FREED,
            LOCKED, //
        },
        Candidate,
        TypesafeCache, //
    };
    use kernel::sync::atomic::Relaxed;

    /// What an anchor does not say to be good is not touched (R4).
    #[test]
    fn an_anchor_that_is_not_good_leads_nowhere() -> Result {
        let place = Place::empty();
        let nothing = Candidate::find(&place).is_none();
        // No such object: reading it would not go unnoticed.
        place
            .pointer
            .store(core::ptr::without_provenance_mut(8), Relaxed);
        let refused = Candidate::find(&place).is_none();

        assert!(nothing && refused);
        Ok(())
    }

    /// The way things should go: found, pinned, confirmed, and freed with the last reference.
    #[test]
    fn a_good_anchor_leads_to_a_pin() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let pin = Candidate::find(&place)
            .and_then(|candidate| candidate.try_pin())
            .and_then(|pinned| pinned.confirm());
        let refs = pin.as_ref().map(|pin| pin.refs.load(Relaxed));
        drop(pin);
        let left = place.refs();
        place.put();
        drop(cache);

        assert!(refs == Some(2) && left == 1);
        Ok(())
    }

    /// A reader whose object is freed under it still has an object of the type, and no reference
    /// is to be had on it, nor dropped (R5).
    #[test]
    fn a_late_reader_reads_a_free_object() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let rcu = rcu::read_lock();
        let candidate = Candidate::find(&place);
        place.put_atomic();
        let still_a_thing = candidate
            .as_ref()
            .is_some_and(|candidate| candidate.object().remembers.load(Relaxed) == 42);
        let pinned = candidate
            .and_then(|candidate| candidate.try_pin())
            .is_some();
        let refs = place.refs();
        drop(rcu);
        drop(cache);

        // Memory of the type until RCU is left.
        assert!(still_a_thing);
        assert!(!pinned && refs == 0);
        Ok(())
    }

    /// A reference taken on an object that is no longer the anchor's is given back (R12).
    #[test]
    fn an_unconfirmed_pin_is_dropped() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let pinned = Candidate::find(&place).and_then(|candidate| candidate.try_pin());
        let taken = place.refs();
        place.good.store(0, Relaxed);
        let confirmed = pinned.and_then(|pinned| pinned.confirm()).is_some();
        let left = place.refs();
        place.put();
        drop(cache);

        assert!(!confirmed);
        assert!(taken == 2 && left == 1);
        Ok(())
    }

    /// An unconfirmed pin that turns out to be the last reference frees, with RCU left: `put`
    /// says that it may sleep, which the kernel would report (R11).
    #[test]
    fn the_last_unconfirmed_pin_frees_outside_rcu() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let freed = FREED.load(Relaxed);
        let pinned = Candidate::find(&place).and_then(|candidate| candidate.try_pin());
        place.good.store(0, Relaxed);
        place.put_atomic();
        let held = FREED.load(Relaxed) == freed;
        let confirmed = pinned.and_then(|pinned| pinned.confirm()).is_some();
        let gone = FREED.load(Relaxed) == freed + 1;
        drop(cache);

        assert!(held && !confirmed && gone);
        Ok(())
    }

    /// A lock taken for the wrong object is released, for the right one handed over (R12).
    #[test]
    fn a_lock_is_confirmed_or_released() -> Result {
        let cache = TypesafeCache::<Thing>::new(c"shadow_rmap_test_thing")?;
        let place = Place::with_new_thing(&cache)?;
        let right = lock(&place).and_then(|locked| locked.confirm());
        let held = LOCKED.load(Relaxed);
        drop(right);
        let wrong = lock(&place);
        place.good.store(0, Relaxed);
        let confirmed = wrong.and_then(|locked| locked.confirm()).is_some();
        let released = LOCKED.load(Relaxed) == 0;
        place.good.store(1, Relaxed);
        BUSY.store(1, Relaxed);
        let refused = Candidate::find(&place).map(|candidate| candidate.try_lock().is_err());
        BUSY.store(0, Relaxed);
        place.put();
        drop(cache);

        assert!(held == 1 && !confirmed && released);
        // The candidate comes back.
        assert!(refused == Some(true));
        Ok(())
    }
}
