// SPDX-License-Identifier: GPL-2.0
// R18: after a lookup only the family's lock keeps the anon_vma.

use crate::rmap::family::LockedAnonVma;

fn refcount(locked: LockedAnonVma<'_>) -> i32 {
    let anon_vma = locked.root();
    drop(locked);
    anon_vma.refcount()
}
