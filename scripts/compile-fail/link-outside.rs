// SPDX-License-Identifier: GPL-2.0
// R21, R29: links are made by prepare, clone and fork alone.

use crate::rmap::{
    anon_vma::{
        AnonVma,
        FamilyWrite, //
    },
    chain::{
        Links,
        Vma, //
    },
    mm::MmapWrite,
};

fn link(family: &mut FamilyWrite<'_>, vma: &Vma, anon_vma: &AnonVma, mmap: &MmapWrite<'_>) {
    if let Ok(mut links) = Links::reserve(1) {
        family.link(&mut links, vma, anon_vma, mmap);
    }
}
