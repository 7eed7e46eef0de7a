// SPDX-License-Identifier: GPL-2.0
// R10, R16: a reference is dropped by its owner alone.

use crate::rmap::anon_vma::AnonVma;

fn put(anon_vma: &AnonVma) -> bool {
    anon_vma.dec_refcount()
}
