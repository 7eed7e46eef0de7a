// SPDX-License-Identifier: GPL-2.0
// R21, R33: a VMA that maps pages leaves the address space of the model by an unmap alone.

use crate::model::{
    space::Space,
    Modelled, //
};

fn remove<R: Modelled>(space: &Space<R>) {
    space.vmas.clear();
}
