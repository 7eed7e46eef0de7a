// SPDX-License-Identifier: GPL-2.0

//! Prepare, fork and exit.

use super::{World, join, look_up, start};
use crate::{
    execution::at_rest,
    model::{Modelled, take_all::Notifier, walk::try_to_unmap},
    report,
    rmap::{oracle::Oracle, rules::Rule},
};
use kernel::{Result, alloc::flags::GFP_KERNEL, error::code::EFAULT, sync::Arc};

/// T1 and T2 write to a VMA that has no anon_vma, T3 takes a page out of all page tables (R21,
/// R28).
pub(super) fn prepare<R: Modelled>(world: &World<R>) -> Result {
    let mm = world.process(2, 0)?;
    let (first, second, walks) = (mm.clone(), mm.clone(), mm.clone());
    let threads = [
        start(world, move |_| first.write(0, 0, 1)),
        start(world, move |_| second.write(1, 0, 1)),
        start(world, move |_| {
            try_to_unmap(&walks.page_at(1).ok_or(EFAULT)?).map(drop)
        }),
    ];
    join(threads);
    at_rest(&[&mm])
}

/// T1 forks, T2 writes, T3 takes a page out of all page tables (R21, R23).
pub(super) fn fork<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let page = parent.page_at(0).ok_or(EFAULT)?;
    let (forks, writes) = (parent.clone(), parent.clone());
    let threads = [
        start(world, move |_| {
            let child = forks.fork()?;
            child.write(0, 0, 2)
        }),
        start(world, move |_| writes.write(1, 0, 1)),
        start(world, move |_| try_to_unmap(&page).map(drop)),
    ];
    join(threads);
    at_rest(&[&parent])
}

/// T1 lets a parent exit, T2 lets its child fork and exit, T3 takes a page of both out of all page
/// tables (R16, R24).
pub(super) fn exit<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    let page = parent.page_at(0).ok_or(EFAULT)?;
    let threads = [
        start(world, move |_| {
            drop(parent);
            Ok(())
        }),
        start(world, move |_| {
            let grandchild = child.fork()?;
            drop(child);
            grandchild.write(0, 0, 3)
        }),
        start(world, move |_| {
            look_up(&page);
            try_to_unmap(&page).map(drop)
        }),
    ];
    join(threads);
    Ok(())
}

/// T1 and T2 register a notifier for a parent and its child, T3 discards a page and writes to
/// another one (R38).
pub(super) fn take_all<R: Modelled>(world: &World<R>) -> Result {
    let parent = world.process(2, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    let notifiers = [Notifier::new()?, Notifier::new()?];
    let (ours, theirs) = (parent.clone(), child.clone());
    let [first, second] = notifiers.clone();
    let changes = parent.clone();
    let threads = [
        start(world, move |_| ours.register_notifier(first)),
        start(world, move |_| theirs.register_notifier(second)),
        start(world, move |_| {
            changes.discard(0, 1)?;
            changes.write(1, 0, 1)
        }),
    ];
    join(threads);
    if notifiers.iter().any(|notifier| notifier.is_changing()) {
        report::end(
            Some(Oracle::Topology),
            Some(Rule::R38),
            "a change without an end",
        );
    }
    at_rest(&[&parent, &child])
}
