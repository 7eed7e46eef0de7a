// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/shadow_rmap/` of `shadow_rmap.ko`.

mod host;

use crate::{
    bench,
    device::{
        check,
        registry::Registry, //
    },
    host::hold,
    kernel_ext::debugfs::{
        Dir,
        File,
        Text, //
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
#[cfg(shadow_rmap_busted)]
use kernel::uaccess::UserSliceReader;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    time::Delta, //
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
    _host: host::HostFiles,
    /// A bug is chosen by writing its name.
    #[cfg(shadow_rmap_busted)]
    _bust: File<Shared>,
}

impl DebugFs {
    /// Makes the files. `hold`: for how long `host/check` keeps the lock of a root between two
    /// looks. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(registry: Shared, hold: Delta) -> Result<Self> {
        let dir = Dir::shared(c"shadow_rmap")?;
        Ok(Self {
            _chains: dir.read_file(c"chains", registry.clone(), show_chains)?,
            _chains_json: dir.read_file(c"chains.json", registry.clone(), show_json)?,
            _chains_dot: dir.read_file(c"chains.dot", registry.clone(), show_dot)?,
            _compare: dir.read_file(c"compare", registry.clone(), show_compare)?,
            _rules: dir.read_file(c"rules", registry.clone(), show_rules)?,
            _stats: dir.read_file(c"stats", registry.clone(), show_stats)?,
            _host: host::HostFiles::new(&dir, hold)?,
            #[cfg(shadow_rmap_busted)]
            _bust: dir.read_write_file(c"bust", registry, |_, _| Ok(()), choose_bug)?,
        })
    }
}

/// Chooses a bug of the engine by the name that is written.
///
/// # Errors
///
/// `EBUSY` while a file of the device is open: one shadow would be built by two kinds of steps.
#[cfg(shadow_rmap_busted)]
fn choose_bug(registry: &Shared, name: &mut UserSliceReader, _: &mut Text) -> Result {
    let mut bytes = [0; 64];
    let bytes = bytes.get_mut(..name.len()).ok_or(EINVAL)?;
    name.read_slice(bytes)?;
    registry.while_idle(|| crate::torture::at_load::choose(bytes.trim_ascii()))
}

/// Writes the shadow of all open files, as `show` does.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the reader is being killed.
fn with_graph(
    registry: &Shared,
    text: &mut Text,
    show: fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> Result {
    let pair = check::take(registry, &registry.files()?)?;
    text.add(|f| show(&pair.shadow, f))
}

fn show_chains(registry: &Shared, text: &mut Text) -> Result {
    with_graph(registry, text, text::show)
}

fn show_json(registry: &Shared, text: &mut Text) -> Result {
    with_graph(registry, text, json::show)
}

fn show_dot(registry: &Shared, text: &mut Text) -> Result {
    with_graph(registry, text, dot::show)
}

fn show_compare(registry: &Shared, text: &mut Text) -> Result {
    let mut written = Ok(());
    let checked = check::check(
        registry,
        &registry.files()?,
        &registry.reported,
        &mut |_, line| {
            if written.is_ok() {
                written = text.add(|f| writeln!(f, "{line}"));
            }
        },
    )?;
    written?;
    text.add(|f| f.write_fmt(fmt!("{}\n", checked.outcome)))?;
    checked.delivered();
    Ok(())
}

fn show_rules(_: &Shared, text: &mut Text) -> Result {
    text.add(rules::show)
}

fn show_stats(_: &Shared, text: &mut Text) -> Result {
    text.add(stats::show)?;
    text.add(path::show)?;
    for (name, ours, host) in bench::SIZES {
        text.add(|f| {
            writeln!(f, "bytes_{name}: {ours}")?;
            writeln!(f, "bytes_host_{name}: {host}")
        })?;
    }
    text.add(check::show_looks)?;
    text.add(hold::show)
}
