// SPDX-License-Identifier: GPL-2.0

//! `rmapctl top`: the largest families of the host's reverse map.

mod table;

pub use table::{Sort, Table, table};

use crate::cli::TopArgs;
use crate::engine;
use crate::families::Sizes;
use crate::graph::Graph;
use crate::kernel::{self, Debugfs, Target};
use crate::output;
use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// Reads the sizes of the host's structures.
///
/// # Errors
///
/// `stats` lacks one of them.
pub fn sizes(stats: &str) -> Result<Sizes> {
    Ok(Sizes {
        anon_vma: kernel::stat(stats, "bytes_host_anon_vma")?,
        link: kernel::stat(stats, "bytes_host_anon_vma_chain")?,
    })
}

/// Prints `times` tables, one after each `delay`.
///
/// # Errors
///
/// The module is not loaded, what it prints is invalid, or a signal ends the program early.
pub fn print(args: &TopArgs, times: u64) -> Result<()> {
    engine::catch_interrupts()?;
    let debugfs = Debugfs::new(&args.debugfs.debugfs);
    for time in 0..times {
        if time > 0 {
            pause(Duration::from_secs(args.delay));
        }
        ensure!(!engine::interrupted(), "interrupted");
        let sizes = sizes(&debugfs.read("stats")?)?;
        let graph = Graph::parse(&debugfs.read_host(Target::All, "chains.json")?)?;
        let text = text(&table(&graph, sizes, args.sort), args.rows);
        let separator = if time > 0 { "\n" } else { "" };
        if !output::offer(format!("{separator}{text}"))? {
            break;
        }
    }
    Ok(())
}

/// Waits for `time`, or for Ctrl-C.
fn pause(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && !engine::interrupted() {
        thread::sleep(Duration::from_millis(50));
    }
}

/// Prints the first `rows` lines of a table; all if that is 0.
fn text(table: &Table, rows: usize) -> String {
    let shown = match rows {
        0 => table.lines.len(),
        rows => rows.min(table.lines.len()),
    };
    let mut out = format!("top: {}\n{}\n", table.totals, table.heading);
    for line in &table.lines[..shown] {
        let _ = writeln!(out, "{line}");
    }
    if shown < table.lines.len() {
        let _ = writeln!(out, "... and {} more families", table.lines.len() - shown);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_truncated() {
        let table = Table {
            totals: "families=3".to_owned(),
            heading: "HEAD",
            lines: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        };
        let head = "top: families=3\nHEAD\na\n";
        assert_eq!(text(&table, 1), format!("{head}... and 2 more families\n"));
        for all in [0, 3, 4] {
            assert_eq!(text(&table, all), format!("{head}b\nc\n"));
        }
    }

    #[test]
    fn sizes_are_those_of_the_host() {
        let stats = "bytes_anon_vma: 1\nbytes_host_anon_vma: 104\nbytes_anon_vma_chain: 2\n\
                     bytes_host_anon_vma_chain: 64\n";
        let expected = Sizes {
            anon_vma: 104,
            link: 64,
        };
        assert_eq!(sizes(stats).expect("are there"), expected);
        assert!(sizes("bytes_host_anon_vma: 104\n").is_err());
    }
}
