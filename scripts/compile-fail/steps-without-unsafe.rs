// SPDX-License-Identifier: GPL-2.0
// R16, R17: memory depends on every step, so a type that overrides one makes a promise.

use crate::rmap::{
    anon_vma::AnonVma,
    kind::Rmap,
    steps::Steps, //
};

struct WaitsForNoReader;

impl<R: Rmap> Steps<R> for WaitsForNoReader {
    fn wait_for_readers(&self, _root: &AnonVma<R>) {}
}
