// SPDX-License-Identifier: GPL-2.0
// R15: a VMA that a walk found may be unlinked and freed once the family is unlocked.

use crate::rmap::family::LockedAnonVma;
use core::ops::ControlFlow;

fn first(locked: LockedAnonVma<'_>) -> Option<u64> {
    let mut found = None;
    let _ = locked.for_each_vma(0, 0, |vma| {
        found = Some(vma);
        ControlFlow::Break(())
    });
    drop(locked);
    found.map(|vma| vma.id())
}
