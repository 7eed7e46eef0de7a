// SPDX-License-Identifier: GPL-2.0
// R33, R34: the host's VMA in a cell is read with a proof that its `mmap_lock` is held.

use crate::host::{
    cell::HostVmaCell,
    vma::HostVma, //
};

fn is_fresh(cell: &HostVmaCell) -> Option<bool> {
    cell.read(HostVma::has_fresh_anon_vma)
}
