// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/shadow_rmap/`: what there is to read, mode 0400 all of it.

use crate::{
    device::{
        check,
        file::Registry, //
    },
    rmap::rules,
    snapshot::{
        dot,
        json,
        text,
        Graph, //
    },
    stats,
};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    prelude::*,
    sync::Arc, //
};

type Shared = Arc<Registry>;

/// The files; dropping this removes them.
#[pin_data]
pub(crate) struct DebugFs {
    _dir: Dir,
    #[cfg(shadow_rmap_torture)]
    #[pin]
    torture: crate::torture::control::Files,
    #[pin]
    chains: File<Shared>,
    #[pin]
    chains_json: File<Shared>,
    #[pin]
    chains_dot: File<Shared>,
    #[pin]
    compare: File<Shared>,
    #[pin]
    rules: File<Shared>,
    #[pin]
    stats: File<Shared>,
}

impl DebugFs {
    /// Makes the files.  Sleeps.
    pub(crate) fn new(registry: Shared) -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"shadow_rmap");
        try_pin_init!(Self {
            #[cfg(shadow_rmap_torture)]
            torture <- crate::torture::control::Files::new(&dir),
            chains <- dir.read_callback_file(c"chains", registry.clone(), &show_chains),
            chains_json <- dir.read_callback_file(c"chains.json", registry.clone(), &show_json),
            chains_dot <- dir.read_callback_file(c"chains.dot", registry.clone(), &show_dot),
            compare <- dir.read_callback_file(c"compare", registry.clone(), &show_compare),
            rules <- dir.read_callback_file(c"rules", registry.clone(), &show_rules),
            stats <- dir.read_callback_file(c"stats", registry.clone(), &show_stats),
            _dir: dir,
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
        Ok(counts) => f.write_fmt(fmt!("{}\n", counts.outcome)),
        Err(error) => failed(f, error),
    }
}

fn show_rules(_: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    rules::show(f)
}

fn show_stats(_: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    stats::show(f)
}
