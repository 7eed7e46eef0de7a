// SPDX-License-Identifier: GPL-2.0
// R3, R33: a PTE that is cleared is counted, so only model/mapping.rs clears one.

use crate::model::{
    table::Ptes,
    Modelled, //
};

fn clear<R: Modelled>(ptes: &mut Ptes<'_, R>) {
    drop(ptes.clear(0));
}
