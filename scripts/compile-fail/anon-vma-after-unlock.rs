// SPDX-License-Identifier: GPL-2.0
// R18: what a lookup found is only kept by the family's lock.

use crate::rmap::anon_vma::LockedAnonVma;

fn refcount(locked: LockedAnonVma<'_>) -> i32 {
    let anon_vma = locked.root();
    drop(locked);
    anon_vma.refcount()
}
