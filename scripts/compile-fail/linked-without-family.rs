// SPDX-License-Identifier: GPL-2.0
// R14, R23: an anon_vma has its root before it can be linked.

use crate::rmap::anon_vma::FreshAnonVma;

fn link(fresh: FreshAnonVma) {
    fresh.lock_and_link(|_, _| ());
}
