// SPDX-License-Identifier: GPL-2.0

//! The two graphs of a check.

use super::file::OpenFile;
use crate::snapshot::{
    compare::compare,
    Graph, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The two graphs, with the same VMAs in the same order.
pub(crate) struct Pair {
    /// The shadow's.
    pub(crate) shadow: Graph,
    /// The host's.
    pub(crate) host: Graph,
    /// `OpenFile::untracked` of each file, if the shadow has all VMAs now.
    pub(super) untracked: Option<KVVec<usize>>,
}

impl Pair {
    /// Has the VMAs compared again that were not, if the shadow has everything that there is, and
    /// is equal to the host: the VMAs that it did not have, and the memory that it lacked, are of
    /// the past.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn retry_untracked(&mut self, files: &[Arc<OpenFile>]) -> Result {
        let Some(untracked) = self.untracked.take() else {
            return Ok(());
        };
        let mut tainted = KVVec::with_capacity(self.shadow.vmas.len(), GFP_KERNEL_ACCOUNT)?;
        for vma in &self.shadow.vmas {
            tainted.push(vma.tainted, GFP_KERNEL_ACCOUNT)?;
        }
        if tainted.contains(&true) {
            self.taint(&[]);
            if compare(&self.shadow, &self.host, &mut |_, _| {})?.differences > 0 {
                self.taint(&tainted);
                return Ok(());
            }
        }
        for (file, untracked) in files.iter().zip(untracked) {
            file.set_complete_at(untracked);
        }
        Ok(())
    }

    /// Sets in both graphs which VMAs are not compared: by default none.
    fn taint(&mut self, tainted: &[bool]) {
        for graph in [&mut self.shadow, &mut self.host] {
            for (i, vma) in graph.vmas.iter_mut().enumerate() {
                vma.tainted = tainted.get(i).is_some_and(|&tainted| tainted);
            }
        }
    }
}
