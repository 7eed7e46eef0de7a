// SPDX-License-Identifier: GPL-2.0

//! Moving a page to new memory.
//!
//! C: [`mm/migrate.c`](srctree/mm/migrate.c), `try_to_migrate()` of
//! [`mm/rmap.c`](srctree/mm/rmap.c).

use super::{
    rmap_walk,
    unmap::is_out,
    walk_locked, //
};
use crate::{
    model::{
        mapping,
        may_allocate,
        page::{
            Page,
            PageGuard, //
        },
        steps::ModelSteps,
        swap::free_swap,
        table::Pte,
        Modelled, //
    },
    rmap::{
        family::LockedAnonVma,
        oracle::Oracle,
        rules::Rule,
        window::Window, //
    },
    stats, //
};
use core::{
    marker::PhantomData,
    ops::ControlFlow, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Completion, //
    },
};

/// The target of migration entries: a page that is being moved, for faults that wait for it.
///
/// A PTE that still has such an entry after the migration is never changed again. That happens in a
/// deliberate bug only; faults there return `EAGAIN`.
#[pin_data]
pub(crate) struct Migration<R: Modelled> {
    #[pin]
    done: Completion,
    /// 1 when the migration is over.
    over: Atomic<i32>,
    /// The number of PTEs with such an entry.
    pub(in super::super) ptes: Atomic<usize>,
    _kind: PhantomData<fn() -> R>,
}

impl<R: Modelled> Migration<R> {
    /// Makes the target of a migration that begins. Sleeps.
    pub(in super::super) fn new() -> Result<Arc<Self>> {
        may_allocate::<R>()?;
        Arc::pin_init(
            pin_init!(Self {
                done <- Completion::new(),
                over: Atomic::new(0),
                ptes: Atomic::new(0),
                _kind: PhantomData,
            }),
            GFP_KERNEL,
        )
    }

    /// `migration_entry_wait()`: waits until the PTEs map a page again, the old or the new one.
    /// Sleeps.
    pub(crate) fn wait(&self) {
        self.done.wait_for_completion();
    }

    /// Returns whether the PTEs map a page again. Any context.
    pub(in super::super) fn is_over(&self) -> bool {
        self.over.load(Acquire) != 0
    }

    /// Ends the migration. Any context.
    pub(in super::super) fn complete(&self) {
        self.over.store(1, Release);
        self.done.complete_all();
    }
}

/// `migrate_folio()`: moves `page` to new memory. Returns the new page, which all PTEs map instead.
/// Sleeps.
///
/// # Errors
///
/// `ENOENT` if no PTE maps it; `EBUSY` if it is in the swap cache; `EAGAIN` if a PTE was missed,
/// and then the PTEs are as before; `ENOMEM`.
pub(crate) fn migrate<R: Modelled>(page: &Arc<Page<R>>) -> Result<Arc<Page<R>>> {
    let to = Migration::new()?;
    let new = Page::new(page.rmap.index())?;
    let mut locked = page.lock();
    if !free_swap(&mut locked) {
        return Err(EBUSY);
    }
    // No other thread knows it yet. A fault that finds it in a PTE waits for this lock until all
    // PTEs map it: before, its mapcount is too low.
    let new_locked = new.try_lock().ok_or(EBUSY)?;
    // While no PTE maps the page, only a pin keeps its anon_vma (R18).
    let kept = R::model_steps().keep_anon_vma(page).ok_or(ENOENT)?;
    Rule::R18.step();
    let life = kept.life();
    let walk = rmap_walk(page, |found| {
        let writable = found.writable();
        let to = to.clone();
        found.unmap(page, Pte::Migration { to, writable });
        ControlFlow::Continue(())
    });
    R::window(Window::PageUnmapped);
    let moved = is_out(page, &walk);
    let now = if moved {
        (&new, &new_locked)
    } else {
        (page, &locked)
    };
    if moved {
        // It is in no PTE and locked: no thread writes to it, or changes its `mapping`.
        new.frame.copy_from(&page.frame);
        mapping::replace((&new, &new_locked), (page, &locked));
        stats::MIGRATIONS.inc();
    }
    if let Some(anon_vma) = R::model_steps().lock_kept(&kept, page) {
        Oracle::TypeStability.check(Rule::R18, anon_vma.life() == life);
        remove_migration_ptes(anon_vma, &to, now);
    }
    // As in `is_out`: a fork copies an entry only to where the walk comes later.
    if walk.bounded && to.ptes.load(Relaxed) > 0 {
        Oracle::WalkCompleteness.report(Some(Rule::R21));
    }
    to.complete();
    drop(new_locked);
    drop(locked);
    // This may be the last reference.
    R::model_steps().drop_kept(kept);
    if moved {
        Ok(new)
    } else {
        Err(EAGAIN)
    }
}

/// `remove_migration_ptes()`: maps `page` in each PTE that has an entry of `to`.
///
/// A lookup cannot be used: until the first PTE maps `page`, it finds nothing (R4).
fn remove_migration_ptes<R: Modelled>(
    anon_vma: LockedAnonVma<'_, R>,
    to: &Arc<Migration<R>>,
    page: (&Arc<Page<R>>, &PageGuard<'_, R>),
) {
    let waits =
        |pte: &Pte<R>| matches!(pte, Pte::Migration { to: there, .. } if Arc::ptr_eq(there, to));
    walk_locked(anon_vma, page.0.rmap.index(), waits, |found| {
        let writable = found.writable();
        found.map_again(page, writable);
        ControlFlow::Continue(())
    });
}
