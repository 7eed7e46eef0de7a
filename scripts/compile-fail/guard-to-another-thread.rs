// SPDX-License-Identifier: GPL-2.0
// R34: the order of locks is that of one thread, so the thread that took one releases it.

use crate::rmap::{
    family::LockedAnonVma,
    mm::MmapRead, //
};

fn another_thread<T: Send>(_: T) {}

fn send(mmap: MmapRead<'_>, locked: LockedAnonVma<'_>) {
    another_thread(mmap);
    another_thread(locked);
}
