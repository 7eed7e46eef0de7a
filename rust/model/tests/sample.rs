// SPDX-License-Identifier: GPL-2.0

//! Address spaces for the KUnit suites of [`walk`](super).

use super::page_mapped_in_vma;
use crate::{
    model::{
        mm::Mm,
        page::Page,
        space::Prot,
        Modelled, //
    },
    rmap::{
        anon_vma::Cache,
        prepare::Sharing, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

pub(super) const PAGES: usize = 8;

/// An address space whose page at address `a` reads `100 + a`, and which is half empty.
pub(super) fn process<R: Modelled>() -> Result<Mm<R>> {
    sharing_process(Sharing::Singleton)
}

/// The same, with a rule for sharing anon_vmas.
pub(super) fn sharing_process<R: Modelled>(sharing: Sharing) -> Result<Mm<R>> {
    let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
    let mm = Mm::new(&cache, 2 * PAGES, sharing)?;
    mm.map(0, PAGES, Prot::WRITE)?;
    for address in 0..PAGES {
        mm.write(address, 0, 100 + address as u64)?;
    }
    Ok(mm)
}

/// Returns where the VMA at `address` maps `page`.
pub(super) fn place<R: Modelled>(mm: &Mm<R>, address: usize, page: &Page<R>) -> Option<usize> {
    let mmap = mm.core().mmap_read();
    let vma = mm.space().vmas.find(address)?;
    page_mapped_in_vma(page, &vma, &mmap)
}
