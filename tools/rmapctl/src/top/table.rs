// SPDX-License-Identifier: GPL-2.0

//! The table of families: one line for each, of 80 columns.

use crate::families::{Family, Sizes, families};
use crate::graph::Graph;
use clap::ValueEnum;
use std::cmp::Reverse;
use std::fmt;

/// The column by which the table is sorted, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// VMAs linked to the family
    Vmas,
    /// Processes of these VMAs
    Procs,
    /// Generations of anon_vmas
    Depth,
    /// Anon_vmas
    AnonVmas,
    /// Links between the VMAs and the anon_vmas
    Links,
    /// Links of the VMA that has most
    Chain,
    /// VMAs in the largest interval tree
    Tree,
    /// References on the root
    Refs,
    /// Bytes of the anon_vmas and links
    Memory,
}

impl Sort {
    /// Returns the next column, and after the last the first.
    pub fn next(self) -> Self {
        let all = Self::value_variants();
        let at = all.iter().position(|sort| *sort == self).unwrap_or(0);
        all[(at + 1) % all.len()]
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Ok(()),
        }
    }
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    pid: i64,
    name: String,
    vmas: u64,
    procs: u64,
    depth: u64,
    anon_vmas: u64,
    links: u64,
    chain: u64,
    tree: u64,
    refs: i64,
    bytes: u64,
}

impl Row {
    fn new(family: &Family<'_>, sizes: Sizes) -> Self {
        let first = family.mms.first();
        Self {
            pid: first.map_or(0, |mm| mm.pid),
            name: first.map_or_else(|| "none".to_owned(), |mm| mm.comm.clone()),
            vmas: family.vmas,
            procs: family.mms.len() as u64,
            depth: family.depth(),
            anon_vmas: family.members.len() as u64,
            links: family.links,
            chain: family.longest_chain,
            tree: family.largest_tree(),
            refs: family.refcount(),
            bytes: family.bytes(sizes),
        }
    }

    fn key(&self, sort: Sort) -> u64 {
        match sort {
            Sort::Vmas => self.vmas,
            Sort::Procs => self.procs,
            Sort::Depth => self.depth,
            Sort::AnonVmas => self.anon_vmas,
            Sort::Links => self.links,
            Sort::Chain => self.chain,
            Sort::Tree => self.tree,
            Sort::Refs => self.refs.max(0).unsigned_abs(),
            Sort::Memory => self.bytes,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7}{:>6}{:>6}{:>6}{:>6}{:>7}{:>6}{:>6}{:>6}{:>8} {}",
            self.pid,
            self.vmas,
            self.procs,
            self.depth,
            self.anon_vmas,
            self.links,
            self.chain,
            self.tree,
            self.refs,
            self.bytes,
            self.name
        )
    }
}

/// The names of the columns.
const HEADING: &str = "    PID  VMAS PROCS DEPTH  ANON  LINKS CHAIN  TREE  REFS   BYTES NAME";

/// The table, as lines of text.
#[derive(Debug)]
pub struct Table {
    /// The totals, in one line.
    pub totals: String,
    /// The names of the columns.
    pub heading: &'static str,
    /// A line for each family.
    pub lines: Vec<String>,
}

/// Measures the families of `graph`, the largest first.
pub fn table(graph: &Graph, sizes: Sizes, sort: Sort) -> Table {
    let families = families(graph);
    let mut rows: Vec<Row> = families.iter().map(|f| Row::new(f, sizes)).collect();
    rows.sort_by_key(|row| Reverse(row.key(sort)));
    let sum = |f: fn(&Row) -> u64| rows.iter().map(f).sum::<u64>();
    let totals = format!(
        "mms={} vmas={} families={} anon_vmas={} links={} bytes={} sort={sort}",
        graph.mms.len(),
        sum(|row| row.vmas),
        rows.len(),
        sum(|row| row.anon_vmas),
        sum(|row| row.links),
        sum(|row| row.bytes)
    );
    Table {
        totals,
        heading: HEADING,
        lines: rows.iter().map(Row::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::HOST;

    const SIZES: Sizes = Sizes {
        anon_vma: 104,
        link: 64,
    };

    #[test]
    fn families_are_sorted_and_summed() {
        let graph = Graph::parse(HOST).expect("valid");
        let all = table(&graph, SIZES, Sort::Vmas);
        assert_eq!(
            all.totals,
            "mms=3 vmas=6 families=2 anon_vmas=5 links=10 bytes=1160 sort=vmas"
        );
        assert_eq!(
            [all.heading, &all.lines[0], &all.lines[1]],
            [
                "    PID  VMAS PROCS DEPTH  ANON  LINKS CHAIN  TREE  REFS   BYTES NAME",
                "      1     5     3     3     4      9     3     5     4     992 init",
                "     52     1     1     1     1      1     1     1     1     168 sh",
            ]
        );
    }

    /// Each column puts another family first.
    #[test]
    fn each_column_sorts() {
        let row = |column: usize| {
            let mut values = [0u64; 9];
            values[column] = 1;
            let [
                vmas,
                procs,
                depth,
                anon_vmas,
                links,
                chain,
                tree,
                refs,
                bytes,
            ] = values;
            Row {
                pid: 1,
                name: String::new(),
                vmas,
                procs,
                depth,
                anon_vmas,
                links,
                chain,
                tree,
                refs: refs as i64,
                bytes,
            }
        };
        assert_eq!(Sort::value_variants().len(), 9);
        for (column, sort) in Sort::value_variants().iter().enumerate() {
            let keys: Vec<u64> = (0..9).map(|other| row(other).key(*sort)).collect();
            let first: Vec<u64> = (0..9).map(|other| u64::from(other == column)).collect();
            assert_eq!(keys, first, "{sort}");
        }
    }

    #[test]
    fn the_next_column_of_the_last_is_the_first() {
        assert_eq!(Sort::Vmas.next(), Sort::Procs);
        assert_eq!(Sort::Memory.next(), Sort::Vmas);
    }

    #[test]
    fn a_line_has_eighty_columns() {
        let graph = Graph::parse(&HOST.replace("init", "fifteen-letters")).expect("valid");
        let table = table(&graph, SIZES, Sort::Memory);
        assert_eq!(table.lines[0].len(), 80);
    }
}
