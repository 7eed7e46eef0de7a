// SPDX-License-Identifier: GPL-2.0

//! Finds the host's VMAs of an address space again.

use crate::{
    device::{
        live::{
            LiveMm,
            LiveVma, //
        },
        vm_ops, //
    },
    host::{
        mm::LockedMm,
        vma::{
            with_vmas,
            HostVma, //
        }, //
    },
    kernel_ext::{
        gfp::GFP_BOUNDED,
        sched::resched_each, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// VMAs of the shadow, each with the host's VMA that has its number.
pub(in crate::device) struct Found<'a>(KVVec<(Arc<LiveVma>, HostVma<'a>)>);

impl<'a> Found<'a> {
    /// Creates an empty list.
    pub(in crate::device) fn new() -> Self {
        Self(KVVec::new())
    }

    /// Adds all VMAs of an address space that the host has. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(in crate::device) fn add_all(&mut self, locked: LockedMm<'a>, mm: &LiveMm) -> Result {
        for host in resched_each(vm_ops::shadowed_vmas(locked, mm, || {})?) {
            self.add(host, mm)?;
        }
        Ok(())
    }

    /// As [`add_all`](Self::add_all), in a new list.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn all(locked: LockedMm<'a>, mm: &LiveMm) -> Result<Self> {
        let mut found = Self::new();
        found.add_all(locked, mm)?;
        Ok(found)
    }

    /// Adds `host`, which is of this driver, if the shadow has it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn add(&mut self, host: HostVma<'a>, mm: &LiveMm) -> Result {
        if let Some(vma) = mm.vma(host.private_number() as u64) {
            self.0.push((vma, host), GFP_BOUNDED)?;
        }
        Ok(())
    }

    /// Returns the number of VMAs.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nothing has happened to these VMAs that the shadow does not know.
    pub(super) fn are_settled(&self) -> bool {
        self.0.iter().all(|(vma, host)| vma.is_settled(*host))
    }

    /// Runs `f` while each VMA of the shadow has the host's VMA in its cell. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of `f`.
    pub(in crate::device) fn with<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut cells = KVVec::with_capacity(self.0.len(), GFP_BOUNDED)?;
        for (vma, host) in resched_each(&self.0) {
            cells.push((&vma.host, *host), GFP_BOUNDED)?;
        }
        with_vmas(&cells, f)
    }
}
