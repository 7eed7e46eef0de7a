// SPDX-License-Identifier: GPL-2.0

//! The violations of a changed graph, for the suites of [`verify`](super).

use super::verify;
use crate::{
    rmap::rules::Rule,
    snapshot::{
        sample,
        Graph,
        Source, //
    },
};
use kernel::{
    prelude::*,
    str::CString, //
};

/// Returns all violations of `graph`, a line each, and their number.
pub(super) fn seen(graph: &Graph) -> Result<KVVec<u8>> {
    let (mut text, mut violations) = (KVVec::new(), 0);
    verify(graph, &mut |_, rule, words| {
        violations += 1;
        let name = rule.map_or("structure", Rule::name);
        if let Ok(line) = CString::try_from_fmt(fmt!("{name} {words}\n")) {
            let _ = text.extend_from_slice(line.to_bytes(), GFP_KERNEL);
        }
    })?;
    let line = CString::try_from_fmt(fmt!("{violations}\n"))?;
    text.extend_from_slice(line.to_bytes(), GFP_KERNEL)?;
    Ok(text)
}

/// Returns whether exactly the `expected` violations are seen after `change`.
pub(super) fn broken_in(
    mut graph: Graph,
    change: impl FnOnce(&mut Graph) -> Option<()>,
    expected: &str,
) -> Result<bool> {
    change(&mut graph).ok_or(EINVAL)?;
    Ok(sample::is(&seen(&graph)?, expected))
}

/// Does the same with three generations of the shadow.
pub(super) fn broken(
    change: impl FnOnce(&mut Graph) -> Option<()>,
    expected: &str,
) -> Result<bool> {
    broken_in(sample::generations(Source::Shadow)?, change, expected)
}
