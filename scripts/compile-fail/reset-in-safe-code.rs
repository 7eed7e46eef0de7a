// SPDX-License-Identifier: GPL-2.0
// R33: a VMA with links must not look unfaulted, or its pages are handed over without its links.

use crate::rmap::vma::Vma;

fn reset(vma: &Vma) {
    vma.reset_anon_vma();
}
