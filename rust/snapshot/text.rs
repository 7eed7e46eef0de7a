// SPDX-License-Identifier: GPL-2.0

//! Prints a [`Graph`] as text: the debugfs files `chains` and `host/chains`.
//!
//! First come the address spaces with their VMAs, each VMA with its chain in the order of the
//! graph; then the anon_vmas with the VMAs in their trees; then the pages.

use super::{
    Comm,
    Graph,
    MmNode,
    Source, //
};
use crate::kernel_ext::sched::resched_each;
use kernel::{
    fmt,
    prelude::*,
    str::BStr, //
};

/// Returns the name of a process without trailing zeros.
pub(crate) fn name(comm: &Comm) -> &[u8] {
    comm.split(|&byte| byte == 0).next().unwrap_or(comm)
}

/// Returns the name of a source.
pub(super) fn owner(source: Source) -> &'static str {
    match source {
        Source::Shadow => "shadow",
        Source::Host => "host",
    }
}

/// `pid 41 main`; bytes of the name that are not printable ASCII are escaped.
pub(super) struct Process<'a>(pub(super) &'a MmNode);

impl fmt::Display for Process<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = BStr::from_bytes(name(&self.0.comm));
        f.write_fmt(fmt!("pid {} {name}", self.0.pid))
    }
}

/// The position of an anon_vma in its family: `root`, or `child of 1`.
pub(super) struct Position<'a>(pub(super) &'a Graph, pub(super) usize);

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(graph, index) = *self;
        match graph.anon_vmas.get(index).map(|node| node.parent) {
            Some(parent) if parent != index => f.write_fmt(fmt!("child of {}", parent + 1)),
            _ => f.write_str("root"),
        }
    }
}

/// A list of VMAs by their numbers: ` none`, ` vma 4` or ` vmas 1-3 7`. Three or more successive
/// numbers become a range.
pub(super) struct Vmas<'a>(pub(super) &'a Graph, pub(super) &'a [usize]);

impl fmt::Display for Vmas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(graph, list) = *self;
        f.write_str(match list.len() {
            0 => " none",
            1 => " vma",
            _ => " vmas",
        })?;
        let mut numbers = list
            .iter()
            .filter_map(|&vma| graph.vmas.get(vma))
            .map(|vma| vma.id)
            .peekable();
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|&next| Some(next) == last.checked_add(1)) {
                last = next;
            }
            match last - first {
                0 => f.write_fmt(fmt!(" {first}"))?,
                1 => f.write_fmt(fmt!(" {first} {last}"))?,
                _ => f.write_fmt(fmt!(" {first}-{last}"))?,
            }
        }
        Ok(())
    }
}

/// Prints `graph` as text.
pub(crate) fn show(graph: &Graph, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_fmt(fmt!(
        "{}: mms={} vmas={} anon_vmas={} chains={} pages={}\n",
        owner(graph.source),
        graph.mms.len(),
        graph.vmas.len(),
        graph.anon_vmas.len(),
        graph.links(),
        graph.pages.len()
    ))?;
    for (mm, _, vmas) in graph.mms_with_vmas() {
        f.write_fmt(fmt!("mm {} ({})\n", mm.id, Process(mm)))?;
        for vma in resched_each(vmas) {
            f.write_fmt(fmt!(
                "  vma {} [{:#x}, {:#x}) pgoff {}: ",
                vma.id,
                vma.start,
                vma.end,
                vma.pgoff
            ))?;
            match vma.anon_vma {
                Some(anon_vma) => f.write_fmt(fmt!("anon_vma {}", anon_vma + 1))?,
                None => f.write_str("no anon_vma")?,
            }
            for (place, &anon_vma) in vma.chain.iter().enumerate() {
                let arrow = if place == 0 { ", chain" } else { " ->" };
                f.write_fmt(fmt!("{arrow} {}", anon_vma + 1))?;
            }
            f.write_str(if vma.tainted { ", untracked\n" } else { "\n" })?;
        }
    }
    for (index, node) in resched_each(&graph.anon_vmas).enumerate() {
        f.write_fmt(fmt!(
            "anon_vma {} ({}): refcount={} num_children={} num_active_vmas={}{}",
            index + 1,
            Position(graph, index),
            node.refcount,
            node.num_children,
            node.num_active_vmas,
            Vmas(graph, &node.vmas)
        ))?;
        if node.foreign > 0 {
            f.write_fmt(fmt!(", {} foreign", node.foreign))?;
        }
        if let Some(pins) = node.pins.filter(|&pins| pins != 0) {
            f.write_fmt(fmt!(", {pins} pins"))?;
        }
        f.write_str("\n")?;
    }
    for (index, page) in resched_each(&graph.pages).enumerate() {
        f.write_fmt(fmt!("page {}: index {}, ", index + 1, page.index))?;
        match page.anon_vma {
            Some(anon_vma) => f.write_fmt(fmt!("anon_vma {}", anon_vma + 1))?,
            None => f.write_str("no known anon_vma")?,
        }
        f.write_fmt(fmt!(
            ", mapcount {}, mapped by{}",
            page.mapcount,
            Vmas(graph, &page.mapped_by)
        ))?;
        if page.found_by == page.mapped_by {
            f.write_str("\n")?;
        } else {
            f.write_fmt(fmt!(", found by{}\n", Vmas(graph, &page.found_by)))?;
        }
    }
    Ok(())
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_text)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn nothing() -> Result {
        assert!(shows(
            &Graph::new(Source::Host),
            "host: mms=0 vmas=0 anon_vmas=0 chains=0 pages=0\n"
        )?);
        Ok(())
    }

    #[test]
    fn three_generations() -> Result {
        let expected = "\
shadow: mms=3 vmas=4 anon_vmas=3 chains=6 pages=4
mm 1 (pid 41 main)
  vma 11 [0x10000, 0x14000) pgoff 0: anon_vma 1, chain 1
mm 2 (pid 42 child)
  vma 12 [0x10000, 0x14000) pgoff 0: anon_vma 2, chain 2 -> 1
  vma 13 [0x20000, 0x21000) pgoff 4: no anon_vma
mm 3 (pid 43 grand child)
  vma 14 [0x10000, 0x14000) pgoff 0: anon_vma 3, chain 3 -> 1 -> 2
anon_vma 1 (root): refcount=3 num_children=2 num_active_vmas=1 vmas 11 12 14
anon_vma 2 (child of 1): refcount=1 num_children=1 num_active_vmas=1 vmas 12 14
anon_vma 3 (child of 2): refcount=1 num_children=0 num_active_vmas=1 vma 14
page 1: index 0, anon_vma 1, mapcount 3, mapped by vmas 11 12 14
page 2: index 1, anon_vma 2, mapcount 2, mapped by vmas 12 14
page 3: index 2, anon_vma 3, mapcount 1, mapped by vma 14
page 4: index 1, anon_vma 1, mapcount 1, mapped by vma 11
";
        assert!(shows(&sample::generations(Source::Shadow)?, expected)?);
        Ok(())
    }

    #[test]
    fn the_unusual() -> Result {
        let mut graph = sample::reuse(Source::Host)?;
        graph.mms.clear();
        graph.mms.push(
            MmNode {
                id: 7,
                pid: -1,
                comm: *b"a\nb\xff\x1b[2J89012345",
            },
            GFP_KERNEL,
        )?;
        graph.vmas.get_mut(0).ok_or(EINVAL)?.tainted = true;
        graph.anon_vmas.get_mut(3).ok_or(EINVAL)?.foreign = 9;
        graph.anon_vmas.get_mut(2).ok_or(EINVAL)?.vmas.clear();
        graph.anon_vmas.get_mut(1).ok_or(EINVAL)?.pins = Some(2);
        let page = graph.pages.get_mut(0).ok_or(EINVAL)?;
        page.anon_vma = None;
        page.mapcount = -3;
        page.found_by.clear();
        graph.pages.truncate(1);
        let expected = "\
host: mms=1 vmas=5 anon_vmas=4 chains=14 pages=1
mm 7 (pid -1 a\\nb\\xff\\x1b[2J89012345)
  vma 11 [0x10000, 0x14000) pgoff 0: anon_vma 1, chain 1, untracked
anon_vma 1 (root): refcount=4 num_children=2 num_active_vmas=1 vmas 11-13 15 14
anon_vma 2 (child of 1): refcount=1 num_children=2 num_active_vmas=2 vmas 12 13 15 14, 2 pins
anon_vma 3 (child of 2): refcount=1 num_children=0 num_active_vmas=1 none
anon_vma 4 (child of 2): refcount=1 num_children=0 num_active_vmas=1 vma 15, 9 foreign
page 1: index 0, no known anon_vma, mapcount -3, mapped by vmas 11-13 15, found by none
";
        assert!(shows(&graph, expected)?);
        Ok(())
    }

    fn shows(graph: &Graph, expected: &str) -> Result<bool> {
        Ok(sample::is(sample::shown(graph, show)?.to_bytes(), expected))
    }
}
