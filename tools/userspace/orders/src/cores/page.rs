// SPDX-License-Identifier: GPL-2.0

//! From a page to its anon_vma, while the page is mapped or unmapped.

use super::{World, execute};
use crate::rmap::{
    kind::Rmap,
    lookup::{self, page_get_anon_vma, page_lock_anon_vma},
};

/// Maps the page, and looks it up in both ways, so that all words are known.
fn mapped<R: Rmap<Space = ()>>(world: &World<R>) {
    world.fault(&world.vma, None);
    world.map();
    drop(page_lock_anon_vma(&world.page));
    drop(page_get_anon_vma(&world.page));
}

fn exit<R: Rmap<Space = ()>>(world: &World<R>) {
    world.unmap();
    world.exit(&world.vma);
}

/// A first fault maps the page; the other thread looks it up, if it finds it anonymous.
///
/// A walk begins with that question, too. Without it the lookup would report a mapcount that it
/// sees before `mapping`, which is harmless, and cannot happen on x86: see
/// `PageRmap::add_new_anon_rmap`.
pub(crate) fn map<R: Rmap<Space = ()>>() {
    execute::<R>(
        |_| (),
        |world| {
            world.fault(&world.vma, None);
            world.map();
        },
        |world| {
            if world.page.is_anon() {
                drop(page_lock_anon_vma(&world.page));
            }
        },
    );
}

/// The last unmap, the unlink and the last put against a lookup that takes a reference.
pub(crate) fn pin<R: Rmap<Space = ()>>() {
    execute::<R>(mapped, exit, |world| drop(page_get_anon_vma(&world.page)));
}

/// The same against a lookup that waits for the lock, as if that had been taken.
pub(crate) fn wait<R: Rmap<Space = ()>>() {
    execute::<R>(mapped, exit, |world| {
        let pin = page_get_anon_vma(&world.page);
        drop(pin.and_then(|pin| lookup::wait(pin, &world.page)));
    });
}
