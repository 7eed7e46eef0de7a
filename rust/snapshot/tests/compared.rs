// SPDX-License-Identifier: GPL-2.0

//! The text of a comparison, for the suites of [`compare`](super).

use super::compare;
use crate::snapshot::{
    sample,
    Graph,
    Source, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// Returns three generations as the shadow's graph and as the host's.
pub(super) fn generations(order: &[usize]) -> Result<(Graph, Graph)> {
    let shadow = sample::generations(Source::Shadow)?;
    let host = sample::retaken(&shadow, Source::Host, order)?;
    Ok((shadow, host))
}

/// Returns the whole text of a comparison.
pub(super) fn seen((shadow, host): &(Graph, Graph)) -> Result<KVVec<u8>> {
    let mut text = KVVec::new();
    let mut line = |_, line: fmt::Arguments<'_>| {
        if let Ok(line) = CString::try_from_fmt(fmt!("{line}\n")) {
            let _ = text.extend_from_slice(line.to_bytes(), GFP_KERNEL);
        }
    };
    let outcome = compare(shadow, host, &mut line)?;
    line(false, fmt!("{outcome}"));
    Ok(text)
}

/// Returns the text without the lines of VMAs that are the same.
pub(super) fn only_different(text: &[u8]) -> Result<KVVec<u8>> {
    let mut rest = KVVec::new();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b": same\n") {
            rest.extend_from_slice(line, GFP_KERNEL)?;
        }
    }
    Ok(rest)
}

/// Whether just what was `expected` differs once `change` was made to the shadow of three
/// generations, which the host has in the opposite order.
pub(super) fn differ(
    change: impl FnOnce(&mut Graph) -> Option<()>,
    expected: &str,
) -> Result<bool> {
    let mut graphs = generations(&[2, 1, 0])?;
    change(&mut graphs.0).ok_or(EINVAL)?;
    Ok(sample::is(&only_different(&seen(&graphs)?)?, expected))
}
