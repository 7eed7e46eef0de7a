// SPDX-License-Identifier: GPL-2.0

//! The first fault of a VMA against threads that hold `mmap_lock` for reading only.

use super::{World, execute};
use crate::{
    report,
    rmap::{kind::Rmap, oracle::Oracle, rules::Rule},
};

fn nothing<R: Rmap>(_world: &World<R>) {}

fn fault<R: Rmap<Space = ()>>(world: &World<R>) {
    world.fault(&world.vma, None);
}

/// The reader follows `vma->anon_vma`, and looks at each field.
pub(crate) fn publish<R: Rmap<Space = ()>>() {
    execute::<R>(nothing, fault, |world| {
        let mmap = world.mm.mmap_read();
        let Some(found) = world.vma.anon_vma(&mmap) else {
            return;
        };
        let visible = found.is_allocated()
            && found.is_root()
            && found.parent_key() == found.key()
            && found.num_children() == 1
            && found.num_active_vmas() == 1;
        Oracle::TypeStability.check(Rule::R30, visible);
    });
}

/// The reader follows the chain.
pub(crate) fn links<R: Rmap<Space = ()>>() {
    execute::<R>(nothing, fault, |world| {
        let mmap = world.mm.mmap_read();
        let allocated = world.vma.links(&mmap).all(|found| found.is_allocated());
        Oracle::TypeStability.check(Rule::R30, allocated);
    });
}

/// The other thread prepares the VMA beside, and may share the anon_vma.
pub(crate) fn share<R: Rmap<Space = ()>>() {
    execute::<R>(nothing, fault, |world| {
        world.fault(&world.beside, Some(&world.vma));
    });
}

/// Both threads prepare the same VMA.
pub(crate) fn prepare<R: Rmap<Space = ()>>() {
    execute::<R>(nothing, fault, fault);
}
