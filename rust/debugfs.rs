// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/shadow_rmap/` of `shadow_rmap.ko`: files to read, mode 0400.

use crate::{
    bench,
    device::{
        check,
        file::Registry, //
    },
    kernel_ext::debugfs::{
        Dir,
        File, //
    },
    rmap::{
        path,
        rules, //
    },
    snapshot::{
        dot,
        json,
        text,
        Graph, //
    },
    stats,
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

type Shared = Arc<Registry>;

/// The files; dropping this removes them.
pub(crate) struct DebugFs {
    _chains: File<Shared>,
    _chains_json: File<Shared>,
    _chains_dot: File<Shared>,
    _compare: File<Shared>,
    _rules: File<Shared>,
    _stats: File<Shared>,
}

impl DebugFs {
    /// Makes the files. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(registry: Shared) -> Result<Self> {
        let dir = Dir::shared(c"shadow_rmap")?;
        Ok(Self {
            _chains: dir.read_file(c"chains", registry.clone(), show_chains)?,
            _chains_json: dir.read_file(c"chains.json", registry.clone(), show_json)?,
            _chains_dot: dir.read_file(c"chains.dot", registry.clone(), show_dot)?,
            _compare: dir.read_file(c"compare", registry.clone(), show_compare)?,
            _rules: dir.read_file(c"rules", registry.clone(), show_rules)?,
            _stats: dir.read_file(c"stats", registry, show_stats)?,
        })
    }
}

/// Shows the shadow of all open files, as `show` does.
fn with_graph(
    registry: &Shared,
    f: &mut fmt::Formatter<'_>,
    show: fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    match registry
        .files()
        .and_then(|files| check::take(registry, &files))
    {
        Ok(pair) => show(&pair.shadow, f),
        Err(error) => failed(f, error),
    }
}

/// What a reader finds where there was no memory to answer.
fn failed(f: &mut fmt::Formatter<'_>, error: Error) -> fmt::Result {
    writeln!(f, "error: {error:?}")
}

fn show_chains(registry: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with_graph(registry, f, text::show)
}

fn show_json(registry: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with_graph(registry, f, json::show)
}

fn show_dot(registry: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with_graph(registry, f, dot::show)
}

fn show_compare(registry: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut written = Ok(());
    let checked = registry.files().and_then(|files| {
        check::check(registry, &files, &mut |line| {
            if written.is_ok() {
                written = writeln!(f, "{line}");
            }
        })
    });
    written?;
    match checked {
        Ok(outcome) => f.write_fmt(fmt!("{outcome}\n")),
        Err(error) => failed(f, error),
    }
}

fn show_rules(_: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    rules::show(f)
}

fn show_stats(_: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    stats::show(f)?;
    path::show(f)?;
    for (name, ours, host) in bench::SIZES {
        writeln!(f, "bytes_{name}: {ours}")?;
        writeln!(f, "bytes_host_{name}: {host}")?;
    }
    check::show_looks(f)
}
