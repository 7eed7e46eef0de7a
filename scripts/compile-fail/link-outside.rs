// SPDX-License-Identifier: GPL-2.0
// R21, R29: links are made by prepare, clone and fork alone.

use crate::rmap::{
    anon_vma::AnonVma,
    chain::LinkReserve,
    family::FamilyWrite,
    mm::MmapWrite,
    vma::Vma, //
};

fn link(
    family: &mut FamilyWrite<'_>,
    links: &mut LinkReserve,
    vma: &Vma,
    anon_vma: &AnonVma,
    mmap: &MmapWrite<'_>,
) -> bool {
    family.link(links, vma, anon_vma, mmap)
}
