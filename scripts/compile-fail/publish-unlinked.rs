// SPDX-License-Identifier: GPL-2.0
// R21, R33: without a link nothing keeps what `->anon_vma` leads to.

use crate::rmap::{
    anon_vma::AnonVma,
    family::FamilyWrite,
    mm::MmapWrite,
    vma::Vma, //
};

fn publish(family: &mut FamilyWrite<'_>, vma: &Vma, anon_vma: &AnonVma, mmap: &MmapWrite<'_>) {
    family.publish_unlinked(vma, anon_vma, mmap);
}
