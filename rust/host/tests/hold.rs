// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the time for which locks of the host are held.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_host_hold)]
mod suite {
    use super::super::{
        Hold,
        Longest, //
    };
    use kernel::{
        sync::atomic::Relaxed,
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    static LOCK: Longest = Longest::new("lock");

    /// The longest hold stays, whatever comes before and after it.
    #[test]
    fn the_longest_stays() {
        drop(Hold::begin(&LOCK));
        let long = Hold::begin(&LOCK);
        fsleep(Delta::from_millis(20));
        drop(long);
        let longest = LOCK.nanos.load(Relaxed);
        assert!(longest >= 20_000_000);
        LOCK.note(longest - 1);
        assert_eq!(LOCK.nanos.load(Relaxed), longest);
        LOCK.note(longest + 1);
        assert_eq!(LOCK.nanos.load(Relaxed), longest + 1);
    }
}
