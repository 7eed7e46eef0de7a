// SPDX-License-Identifier: GPL-2.0

//! Draws `chains.json` as text.
//!
//! First come the anon_vmas as trees, each with the VMAs in its interval tree; then the processes
//! with their VMAs, each with its chain in the order of the list. The words are those of debugfs
//! `chains`.

mod command;
mod host;
#[cfg(test)]
mod tests;

pub use command::run;

use crate::graph::{AnonVma, Graph, Mm};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

const PAGE_SHIFT: u32 = 12;
/// The longest lists of names and of VMAs that are printed without `--full`.
const MOST_NAMES: usize = 8;
const MOST_VMAS: usize = 24;

/// Draws `graph` as its source is drawn; `full` prints all lists completely.
pub fn text(graph: &Graph, full: bool) -> String {
    match graph.source.as_str() {
        "host" => host::render(graph, full),
        _ => render(graph, full),
    }
}

/// Draws a graph of the shadow; `full` prints all lists completely.
pub fn render(graph: &Graph, full: bool) -> String {
    let mut out = String::new();
    for (left, right) in aligned(&anon_vma_lines(graph, full)) {
        let _ = writeln!(out, "{left}  {right}");
    }
    if graph.anon_vmas.is_empty() {
        out.push_str("no anon_vmas\n");
    }
    for (left, right) in aligned(&process_lines(graph, full)) {
        let _ = writeln!(out, "{}", format!("{left}  {right}").trim_end());
    }
    for note in graph.notes() {
        let _ = writeln!(out, "{note}");
    }
    out
}

/// Pads the left halves to the same width.
fn aligned(lines: &[(String, String)]) -> Vec<(String, &str)> {
    let width = lines.iter().map(|(left, _)| left.chars().count()).max();
    let width = width.unwrap_or(0);
    lines
        .iter()
        .map(|(left, right)| (format!("{left:width$}"), right.as_str()))
        .collect()
}

fn anon_vma_lines(graph: &Graph, full: bool) -> Vec<(String, String)> {
    let known: BTreeMap<u64, &AnonVma> = graph.anon_vmas.iter().map(|av| (av.id, av)).collect();
    let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut tops = Vec::new();
    for av in known.values() {
        match av.parent {
            Some(parent) if parent != av.id && known.contains_key(&parent) => {
                children.entry(parent).or_default().push(av.id);
            }
            _ => tops.push(av.id),
        }
    }
    let names = vma_names(graph);
    let mut pages: HashMap<u64, u64> = HashMap::new();
    for av in graph.pages.iter().filter_map(|page| page.anon_vma) {
        *pages.entry(av).or_default() += 1;
    }

    let mut lines = Vec::new();
    // Each entry: id, the prefix of its line, the prefix of the lines of its children.
    let mut stack: Vec<(u64, String, String)> = tops
        .into_iter()
        .rev()
        .map(|id| (id, String::new(), String::new()))
        .collect();
    while let Some((id, before, below)) = stack.pop() {
        let Some(av) = known.get(&id) else { continue };
        let mut left = format!("{before}anon_vma {id}");
        if av.is_root() {
            left.push_str(" (root)");
        }
        if let Some(parent) = av.parent.filter(|parent| !known.contains_key(parent)) {
            let _ = write!(left, " (parent anon_vma {parent} not shown)");
        }
        let _ = write!(left, " {}", av.counters());
        if let Some(count) = pages.get(&id) {
            let _ = write!(left, " pages={count}");
        }
        let vmas: Vec<String> = av
            .vmas
            .iter()
            .map(|vma| {
                names
                    .get(vma)
                    .cloned()
                    .unwrap_or_else(|| format!("?/{vma}"))
            })
            .collect();
        lines.push((left, format!("vmas: {}", list(&vmas, " ", full))));
        let below_it = children.get(&id).map_or(&[][..], Vec::as_slice);
        for (position, child) in below_it.iter().enumerate().rev() {
            let (tee, bar) = match position + 1 == below_it.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            stack.push((*child, format!("{below}{tee}"), format!("{below}{bar}")));
        }
    }
    lines
}

/// Names each VMA `comm/ID`, with the pid if two processes have the same comm.
fn vma_names(graph: &Graph) -> HashMap<u64, String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for mm in &graph.mms {
        *times.entry(&mm.comm).or_default() += 1;
    }
    graph
        .vmas()
        .map(|(mm, vma)| {
            let name = match times.get(mm.comm.as_str()) {
                Some(1) => format!("{}/{}", mm.comm, vma.id),
                _ => format!("{}({})/{}", mm.comm, mm.pid, vma.id),
            };
            (vma.id, name)
        })
        .collect()
}

fn process_lines(graph: &Graph, full: bool) -> Vec<(String, String)> {
    let width = |f: &dyn Fn(&Mm) -> usize| graph.mms.iter().map(f).max().unwrap_or(0);
    let comm_width = width(&|mm| mm.comm.chars().count());
    let pid_width = width(&|mm| mm.pid.to_string().len());
    let mut lines = Vec::new();
    for mm in &graph.mms {
        let head = format!("{:comm_width$}  pid {:pid_width$}", mm.comm, mm.pid);
        let shown = match full {
            true => mm.vmas.len(),
            false => mm.vmas.len().min(MOST_VMAS),
        };
        for (position, vma) in mm.vmas.iter().take(shown).enumerate() {
            let head = match position {
                0 => head.clone(),
                _ => " ".repeat(head.chars().count()),
            };
            let (start, end) = vma.range();
            let pages = end.saturating_sub(start) >> PAGE_SHIFT;
            let left = format!(
                "{head}  vma {} pgoff [{}..{})",
                vma.id,
                vma.pgoff,
                vma.pgoff + pages
            );
            let right = match vma.anon_vma {
                Some(id) => {
                    let chain: Vec<String> = vma.chain.iter().map(u64::to_string).collect();
                    format!("anon_vma {id}, chain {}", list(&chain, " -> ", full))
                }
                None => "no anon_vma".to_owned(),
            };
            lines.push((left, right));
        }
        if mm.vmas.is_empty() {
            lines.push((format!("{head}  no VMAs"), String::new()));
        }
        if shown < mm.vmas.len() {
            let more = format!("... and {} more VMAs", mm.vmas.len() - shown);
            lines.push((
                format!("{}  {more}", " ".repeat(head.chars().count())),
                String::new(),
            ));
        }
    }
    lines
}

/// Joins `names`; without `full` a long list is truncated.
fn list(names: &[String], separator: &str, full: bool) -> String {
    match names.len() {
        0 => "none".to_owned(),
        n if full || n <= MOST_NAMES => names.join(separator),
        n => format!(
            "{} ... +{}",
            names[..MOST_NAMES].join(separator),
            n - MOST_NAMES
        ),
    }
}
