// SPDX-License-Identifier: GPL-2.0

//! Deliberate bugs in the lock of a family.

#![allow(unsafe_code, reason = "deliberate bugs")]

use super::no_model_step;
use crate::rmap::{
    anon_vma::AnonVma,
    family::FamilyWrite,
    kind::Rmap,
    lock::FamilyLock,
    steps::Steps, //
};
use core::mem::ManuallyDrop;

/// Deliberate bug: a writer locks the anon_vma, and not its root (R15, museum 13).
pub(crate) struct LocksItself;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LocksItself {
    fn lock_write<'a>(&self, anon_vma: &'a AnonVma<R>) -> FamilyWrite<'a, R> {
        // SAFETY: Incorrect, on purpose: the guard is not that of the root.
        unsafe { FamilyWrite::new(anon_vma.root(), anon_vma.lock().write()) }
    }
}

/// Deliberate bug: links a new anon_vma without its lock (R29, museum 7).
pub(crate) struct LinksUnlocked;

// SAFETY: Incorrect, on purpose.
unsafe impl<R: Rmap> Steps<R> for LinksUnlocked {
    fn lock_new<'a>(
        &self,
        anon_vma: &'a AnonVma<R>,
        link: &mut dyn FnMut(&mut FamilyWrite<'a, R>),
    ) {
        let root = anon_vma.root();
        // SAFETY: The guard is never dropped. Incorrect, on purpose: the lock is not held.
        let family = unsafe { FamilyWrite::new(root, root.lock().assume_write()) };
        link(&mut ManuallyDrop::new(family));
    }
}

no_model_step!(LocksItself LinksUnlocked);
