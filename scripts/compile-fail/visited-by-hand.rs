// SPDX-License-Identifier: GPL-2.0
// R15, R21: only a walk, which holds the family's lock, says that a VMA is in the tree.

use crate::rmap::{
    vma::Vma,
    walk::Visited, //
};

fn is_linked(vma: &Vma, key: usize) -> bool {
    Visited(vma).is_linked_to(key)
}
