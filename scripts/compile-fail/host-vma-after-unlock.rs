// SPDX-License-Identifier: GPL-2.0
// R33, R34: a VMA of the host is looked at while its `mmap_lock` is held.

use crate::host::mm::Tried;
use kernel::prelude::*;

fn is_fresh(locked: Tried) -> Result<bool> {
    let vma = locked.mm()?.vma_at(0).ok_or(ENOENT)?;
    drop(locked);
    Ok(vma.has_fresh_anon_vma())
}
