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
        cell::with_vmas,
        mm::LockedMm,
        vma::HostVma, //
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

    /// Adds those of `hosts` that the shadow has. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(in crate::device) fn add_all(&mut self, hosts: &[HostVma<'a>], mm: &LiveMm) -> Result {
        for &host in resched_each(hosts) {
            self.add(host, mm)?;
        }
        Ok(())
    }

    /// Returns all VMAs of an address space that both the host and the shadow have. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn all(locked: LockedMm<'a>, mm: &LiveMm) -> Result<Self> {
        let mut found = Self::new();
        found.add_all(&vm_ops::shadowed_vmas(locked, mm, || {})?, mm)?;
        Ok(found)
    }

    /// Adds `host`, if it is of the file of `mm`, and the shadow has it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn add(&mut self, host: HostVma<'a>, mm: &LiveMm) -> Result {
        if let Some(vma) = mm.vma_of(host) {
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
