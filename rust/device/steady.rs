// SPDX-License-Identifier: GPL-2.0

//! Reads the host's pages until they hold still.
//!
//! A check has all VMAs locked, so that no process maps or unmaps a page. But the host moves a page
//! to other memory without these locks: the PTEs that map it become migration entries one after the
//! other, then PTEs of the new memory. A graph that is read meanwhile would show one page as two,
//! and mapcounts of different moments. The shadow is right in any case:
//! [`follow`](super::live::LivePage::follow) finds the page at each place.

use super::{
    live::MIGRATES,
    taken::Taken, //
};
use crate::{
    host::mm::is_being_killed,
    kernel_ext::sched::resched_each, //
};
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Looks after which a check gives up, with a pause after each.
const LOOKS: usize = 1000;

/// The pause, in milliseconds.
const PAUSE: i64 = 1;

/// Reads all pages of the host again until two looks in succession show the same, and no page that
/// migrates. Sleeps. Does nothing on a kernel that moves no pages.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed; `EAGAIN` if there is no end of it.
pub(super) fn look_until_same(all: &mut [Taken<'_>]) -> Result {
    if !MIGRATES && !cfg!(CONFIG_SWAP) {
        return Ok(());
    }
    for _ in 0..LOOKS {
        let mut same = true;
        for taken in all.iter_mut() {
            // Pages are unmapped under it.
            let _mmap = taken.mm.core.mmap_write();
            for seen in resched_each(taken.pass.vmas.iter_mut()) {
                same &= seen.look_again(taken.here)?;
            }
        }
        if same {
            return Ok(());
        }
        if is_being_killed() {
            return Err(EINTR);
        }
        fsleep(Delta::from_millis(PAUSE));
    }
    Err(EAGAIN)
}
