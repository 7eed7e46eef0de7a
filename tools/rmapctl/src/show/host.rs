// SPDX-License-Identifier: GPL-2.0

//! Draws the host's graph as text of 80 columns.
//!
//! Each family is a tree of anon_vmas. Below each anon_vma stand the VMAs in its interval tree; a
//! `*` marks those that have it as their `->anon_vma`, with their chain.

use super::MOST_NAMES;
use crate::families::{Family, families};
use crate::graph::{AnonVma, Graph, Mm, Vma};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

const COLUMNS: usize = 80;

/// Draws `graph`; `full` prints all lists completely.
pub fn render(graph: &Graph, full: bool) -> String {
    let families = families(graph);
    let vmas: HashMap<u64, (&Mm, &Vma)> =
        graph.vmas().map(|(mm, vma)| (vma.id, (mm, vma))).collect();
    let links: usize = graph.vmas().map(|(_, vma)| vma.chain.len()).sum();
    let mut out = format!(
        "{}: mms={} vmas={} families={} anon_vmas={} links={links}\n",
        graph.source,
        graph.mms.len(),
        vmas.len(),
        families.len(),
        graph.anon_vmas.len(),
    );
    for family in &families {
        out.push('\n');
        if family.members.len() > 1 {
            let _ = writeln!(
                out,
                "family of anon_vma {}: vmas={} processes={} anon_vmas={} links={} depth={}",
                family.root,
                family.vmas,
                family.mms.len(),
                family.members.len(),
                family.links,
                family.depth()
            );
        }
        draw(&mut out, family, &vmas, full);
    }
    for note in notes(graph, full) {
        let _ = writeln!(out, "{note}");
    }
    out
}

/// Draws the tree of a family.
fn draw(out: &mut String, family: &Family<'_>, vmas: &HashMap<u64, (&Mm, &Vma)>, full: bool) {
    // Whether another anon_vma follows at each depth, up to that of the current one.
    let mut open: Vec<bool> = Vec::new();
    for (position, (av, depth)) in family.members.iter().enumerate() {
        let rest = &family.members[position + 1..];
        let siblings = rest.iter().take_while(|(_, other)| other >= depth);
        let more = siblings.clone().any(|(_, other)| other == depth);
        let has_children = rest.first().is_some_and(|(_, other)| other > depth);
        open.truncate(depth - 1);
        open.push(more);
        let mut before = String::new();
        for (level, more) in open.iter().enumerate().skip(1) {
            before.push_str(match (level + 1 == *depth, more) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        let mut below: String = open
            .iter()
            .skip(1)
            .map(|more| if *more { "│  " } else { "   " })
            .collect();
        below.push_str(if has_children { "│  " } else { "   " });
        let _ = writeln!(out, "{before}{}", counters(av));
        let shown = match full {
            true => av.vmas.len(),
            false => av.vmas.len().min(MOST_NAMES),
        };
        for id in &av.vmas[..shown] {
            let line = match vmas.get(id) {
                Some((mm, vma)) => vma_line(&below, av, mm, vma, full),
                None => format!("{below}  vma {id}, not shown"),
            };
            let _ = writeln!(out, "{line}");
        }
        if shown < av.vmas.len() {
            let _ = writeln!(out, "{below}  ... and {} more VMAs", av.vmas.len() - shown);
        }
    }
}

fn counters(av: &AnonVma) -> String {
    format!(
        "anon_vma {}{} {}",
        av.id,
        if av.is_root() { " (root)" } else { "" },
        av.counters()
    )
}

/// Describes a VMA in the tree of `av`.
fn vma_line(below: &str, av: &AnonVma, mm: &Mm, vma: &Vma, full: bool) -> String {
    let (start, end) = vma.range();
    let own = vma.anon_vma == Some(av.id);
    let mark = if own { '*' } else { ' ' };
    let mut line = format!(
        "{below}{mark} {} {start:x}-{end:x} {}",
        process(mm),
        size(end.saturating_sub(start))
    );
    if own {
        line.push_str(" chain ");
        let room = COLUMNS.saturating_sub(line.chars().count());
        line.push_str(&chain(&vma.chain, room, full));
    }
    line
}

/// Names a process: comm and pid.
pub(crate) fn process(mm: &Mm) -> String {
    format!("{}({})", mm.comm, mm.pid)
}

/// Writes a number of bytes with at most four digits and a unit.
pub(crate) fn size(bytes: u64) -> String {
    let mut rest = bytes >> 10;
    for unit in ["K", "M", "G"] {
        if rest < 10_000 {
            return format!("{rest}{unit}");
        }
        rest >>= 10;
    }
    format!("{rest}T")
}

/// Joins the numbers of a chain; without `full` only as many as there is room for.
fn chain(numbers: &[u64], room: usize, full: bool) -> String {
    let all: Vec<String> = numbers.iter().map(u64::to_string).collect();
    let joined = all.join(" -> ");
    if full || joined.len() <= room {
        return joined;
    }
    // The first number always stands there.
    (1..all.len())
        .rev()
        .map(|shown| format!("{} ... +{}", all[..shown].join(" -> "), all.len() - shown))
        .find(|text| text.len() <= room)
        .unwrap_or_else(|| format!("{} ... +{}", all[0], all.len() - 1))
}

/// Lists what the trees do not show.
fn notes(graph: &Graph, full: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let mut without = 0;
    let trees: BTreeSet<(u64, u64)> = graph
        .anon_vmas
        .iter()
        .flat_map(|av| av.vmas.iter().map(|vma| (av.id, *vma)))
        .collect();
    for (mm, vma) in graph.vmas() {
        let name = || format!("note: vma {} of {}", vma.id, process(mm));
        match vma.anon_vma {
            None if vma.chain.is_empty() => without += 1,
            None => notes.push(format!(
                "{} has no anon_vma, but the chain {}",
                name(),
                chain(&vma.chain, COLUMNS / 2, full)
            )),
            Some(id) if !vma.chain.contains(&id) => {
                notes.push(format!("{}: anon_vma {id} is not in its chain", name()));
            }
            Some(_) => {}
        }
        for id in vma
            .chain
            .iter()
            .filter(|id| !trees.contains(&(**id, vma.id)))
        {
            notes.push(format!("{}: the tree of anon_vma {id} lacks it", name()));
        }
    }
    if without > 0 {
        notes.insert(
            0,
            format!("\nVMAs without an anon_vma, not shown: {without}"),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::HOST;

    fn drawn(text: &str, full: bool) -> String {
        render(&Graph::parse(text).expect("valid"), full)
    }

    #[test]
    fn families_are_trees() {
        let expected = "\
host: mms=3 vmas=7 families=2 anon_vmas=5 links=10

family of anon_vma 1: vmas=5 processes=3 anon_vmas=4 links=9 depth=3
anon_vma 1 (root) refcount=4 num_children=3 num_active_vmas=2
│  * init(1) 555555554000-555555556000 8K chain 1
│  * init(1) 555555556000-555555577000 132K chain 1
│    sh(52) 555555554000-555555577000 140K
│    sh(107) 555555554000-555555556000 8K
│    sh(107) 555555556000-555555577000 132K
├─ anon_vma 2 refcount=1 num_children=1 num_active_vmas=1
│  │  * sh(52) 555555554000-555555577000 140K chain 2 -> 1
│  │    sh(107) 555555554000-555555556000 8K
│  └─ anon_vma 3 refcount=1 num_children=0 num_active_vmas=1
│        * sh(107) 555555554000-555555556000 8K chain 3 -> 2 -> 1
└─ anon_vma 4 refcount=1 num_children=0 num_active_vmas=1
      * sh(107) 555555556000-555555577000 132K chain 4 -> 1

anon_vma 5 (root) refcount=1 num_children=1 num_active_vmas=1
   * sh(52) 7ffffffde000-7ffffffff000 132K chain 5

VMAs without an anon_vma, not shown: 1
";
        assert_eq!(drawn(HOST, false), expected);
        let pinned = HOST.replacen(
            "\"num_active_vmas\":2",
            "\"num_active_vmas\":2,\"pins\":3",
            1,
        );
        let first = "(root) refcount=4 num_children=3 num_active_vmas=2";
        let with_pins = expected.replacen(first, &format!("{first} pins=3"), 1);
        assert_eq!(drawn(&pinned, false), with_pins);
        assert!(expected.lines().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn long_lists_are_truncated_without_full() {
        let many = HOST.replacen("[2,3,5,8,9]", "[2,3,5,8,9,2,3,5,8,9]", 1);
        assert!(drawn(&many, false).contains("│    ... and 2 more VMAs\n"));
        assert!(!drawn(&many, true).contains("more VMAs"));
        let numbers: Vec<u64> = (1..=12).collect();
        assert_eq!(chain(&numbers, 21, false), "1 -> 2 -> 3 ... +9");
        assert_eq!(chain(&numbers, 0, false), "1 ... +11");
        assert!(chain(&numbers, 0, true).ends_with("11 -> 12"));
    }

    #[test]
    fn what_no_tree_shows_is_noted() {
        let lacks = drawn(&HOST.replacen("\"vmas\":[6]", "\"vmas\":[]", 1), false);
        assert!(lacks.ends_with("note: vma 6 of sh(52): the tree of anon_vma 5 lacks it\n"));
        let outside = drawn(&HOST.replacen("\"chain\":[5]", "\"chain\":[1]", 1), false);
        assert!(outside.contains("note: vma 6 of sh(52): anon_vma 5 is not in its chain\n"));
        let none = HOST.replacen("\"anon_vma\":5", "\"anon_vma\":null", 1);
        assert!(
            drawn(&none, false).contains("note: vma 6 of sh(52) has no anon_vma, but the chain 5")
        );
    }

    #[test]
    fn a_vma_of_another_process_may_be_missing() {
        let part = HOST.replacen("[2,3,5,8,9]", "[2,3,5,8,9,99]", 1);
        assert!(drawn(&part, false).contains("│    vma 99, not shown\n"));
    }

    #[test]
    fn sizes_have_at_most_four_digits() {
        assert_eq!(size(8192), "8K");
        assert_eq!(size(9999 << 10), "9999K");
        assert_eq!(size(16 << 20), "16M");
        assert_eq!(size(64 << 40), "64T");
    }
}
