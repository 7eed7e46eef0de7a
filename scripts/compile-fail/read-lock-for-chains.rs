// SPDX-License-Identifier: GPL-2.0
// R28, R31: the mmap lock for reading keeps the links; to add one takes page_table_lock, too.

use crate::rmap::mm::{
    ChainsLocked,
    Mm, //
};

fn needs(_: &impl ChainsLocked) {}

fn link(mm: &Mm) {
    needs(&mm.mmap_read());
}
