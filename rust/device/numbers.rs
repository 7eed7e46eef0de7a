// SPDX-License-Identifier: GPL-2.0

//! The VMAs that the shadow has of an open file, by number.
//!
//! The host copies `vm_private_data` with a VMA, so this is a number, not a pointer. If the host
//! does not call `open` for the copy, the number leads to another VMA or to none, but never to freed
//! memory.

use super::live::LiveVma;
use crate::kernel_ext::gfp::GFP_BOUNDED;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    xarray::{
        AllocKind,
        XArray, //
    },
};

/// VMAs by number.
#[pin_data]
pub(crate) struct Numbers {
    #[pin]
    vmas: XArray<Arc<LiveVma>>,
    /// Calls for VMAs that the host has copied without calling `open`.
    unannounced: Atomic<usize>,
    /// VMAs that the host has removed without calling `close`.
    unclosed: Atomic<usize>,
    /// VMAs that are gone, and were forked or merged against the rules (R24, R26).
    against_rules: Atomic<usize>,
}

impl Numbers {
    /// Creates an initialiser without VMAs.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            vmas <- XArray::new(AllocKind::Alloc1),
            unannounced: Atomic::new(0),
            unclosed: Atomic::new(0),
            against_rules: Atomic::new(0),
        })
    }

    /// Returns the VMA with this number.
    pub(crate) fn get(&self, number: usize) -> Option<Arc<LiveVma>> {
        self.vmas.lock().get(number).map(Arc::from)
    }

    /// Adds a VMA. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn insert(&self, vma: &Arc<LiveVma>) -> Result {
        let mut vmas = self.vmas.lock();
        let replaced = vmas.store(vma.number(), vma.clone(), GFP_BOUNDED)?;
        drop(vmas);
        drop(replaced);
        Ok(())
    }

    /// Removes a VMA. One that the host made against the rules is counted: no comparison sees it any more.
    pub(super) fn remove(&self, vma: &LiveVma) {
        if vma.was_made_against_rules() {
            self.against_rules.fetch_add(1, Relaxed);
        }
        let removed = self.vmas.lock().remove(vma.number());
        drop(removed);
    }

    /// Counts a call for a VMA that the host has copied without calling `open`.
    pub(super) fn count_unannounced(&self) {
        self.unannounced.fetch_add(1, Relaxed);
    }

    /// Returns the number of calls for VMAs that the host has copied without calling `open`.
    pub(super) fn unannounced(&self) -> usize {
        self.unannounced.load(Relaxed)
    }

    /// Counts a VMA that the host has removed without calling `close`.
    pub(super) fn count_unclosed(&self) {
        self.unclosed.fetch_add(1, Relaxed);
    }

    /// Returns the number of VMAs that are gone, and were forked or merged against the rules.
    pub(super) fn against_rules(&self) -> usize {
        self.against_rules.load(Relaxed)
    }

    /// Returns the number of VMAs that the host has removed without calling `close`.
    pub(super) fn unclosed(&self) -> usize {
        self.unclosed.load(Relaxed)
    }
}
