// SPDX-License-Identifier: GPL-2.0
// R15: C changes the node of a link under the family's lock, so no reference leads to its fields.

use crate::{
    kernel_ext::interval_tree::Node,
    rmap::chain::AnonVmaChain, //
};

fn node(link: &AnonVmaChain) -> &Node {
    &link.node
}
