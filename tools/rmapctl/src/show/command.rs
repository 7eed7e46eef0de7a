// SPDX-License-Identifier: GPL-2.0

//! `rmapctl show`.

use crate::cli::{Format, ShowArgs};
use crate::graph::Graph;
use crate::kernel::{Debugfs, Target};
use crate::output::{self, note};
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A picture of more text than this takes `dot` a long time.
const MUCH: usize = 256 << 10;

/// Draws the graph that `args` name, on standard output.
///
/// # Errors
///
/// The graph cannot be read, or is invalid; `dot` is missing or fails.
pub fn run(args: &ShowArgs, target: Option<Target>) -> Result<()> {
    let source = Source {
        file: args.file.as_deref(),
        debugfs: Debugfs::new(&args.debugfs.debugfs),
        target,
    };
    let drawn = match args.format {
        Format::Dot => source.read("chains.dot")?.into_bytes(),
        Format::Svg => svg(&source.read("chains.dot")?)?,
        Format::Json | Format::Tree => {
            let text = source.read("chains.json")?;
            let graph = Graph::parse(&text)?;
            match args.format {
                Format::Json => text.into_bytes(),
                _ => super::text(&graph, args.full).into_bytes(),
            }
        }
    };
    output::offer(&drawn).map(drop)
}

/// Where a graph comes from.
struct Source<'a> {
    file: Option<&'a Path>,
    debugfs: Debugfs,
    target: Option<Target>,
}

impl Source<'_> {
    fn read(&self, name: &str) -> Result<String> {
        match (self.file, self.target) {
            (Some(path), _) if path.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("standard input")?;
                Ok(text)
            }
            (Some(path), _) => {
                std::fs::read_to_string(path).with_context(|| path.display().to_string())
            }
            (None, Some(target)) => self.debugfs.read_host(target, name),
            (None, None) => self.debugfs.read(name),
        }
    }
}

/// Lets Graphviz draw `text`.
fn svg(text: &str) -> Result<Vec<u8>> {
    if text.len() > MUCH {
        note!(
            "rmapctl: dot draws {} KiB of text, which may take minutes; one process takes less",
            text.len() >> 10
        );
    }
    let dot = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut dot = match dot {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "the program `dot` is missing: install graphviz, or use --format dot and draw the \
             picture on another machine"
        ),
        dot => dot.context("dot")?,
    };
    let mut stdin = dot.stdin.take().context("dot has no standard input")?;
    // `dot` reads to the end before it writes.
    let sent = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = dot.wait_with_output().context("dot")?;
    // If it ends early, its status tells more.
    if !output.status.success() {
        bail!("dot: {}", output.status);
    }
    sent.context("dot")?;
    Ok(output.stdout)
}
