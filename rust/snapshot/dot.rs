// SPDX-License-Identifier: GPL-2.0

//! Prints a [`Graph`] for `dot -Tsvg`: the debugfs files `chains.dot` and `host/chains.dot`.
//!
//! In the picture the processes with their VMAs are at the left. To the right of them are the
//! anon_vmas, a column for each generation, with the root last, and the pages of each anon_vma.

use super::{
    text,
    AnonVmaNode,
    Graph,
    Source,
    VmaNode, //
};
use crate::kernel_ext::sched::resched_each;
use core::fmt::Write;
use kernel::{
    fmt,
    prelude::*, //
};

/// The number of pages that are drawn at most; with more the picture cannot be read.
const PAGES: usize = 48;

/// The attributes at the start of each picture.
const STYLE: &str = r##"  graph [rankdir=LR newrank=true ranksep=0.9 nodesep=0.2 labelloc=t labeljust=l
    bgcolor="#ffffff" fontname="Helvetica,Arial,sans-serif" fontsize=12 fontcolor="#334155"];
  node [fontname="Helvetica,Arial,sans-serif" fontsize=10 fontcolor="#1e293b" penwidth=1.2];
  edge [fontname="Helvetica,Arial,sans-serif" fontsize=9];
"##;

/// Attributes of the box around a process.
const PROCESS: &str = r##"style="rounded,filled" color="#cbd5e1" fillcolor="#f8fafc""##;
/// Attributes of a VMA.
const VMA: &str = r##"shape=box style="rounded,filled" color="#0284c7" fillcolor="#e0f2fe""##;
/// Attributes of a VMA that is tainted.
const UNTRACKED: &str =
    r##"shape=box style="rounded,filled,dashed" color="#94a3b8" fillcolor="#f1f5f9""##;
/// Attributes of an anon_vma that is a root.
const ROOT: &str = r##"style=filled peripheries=2 color="#c2410c" fillcolor="#fed7aa""##;
/// Attributes of any other anon_vma.
const CHILD: &str = r##"style=filled color="#a16207" fillcolor="#fef3c7""##;
/// Attributes of a page.
const PAGE: &str = r##"shape=note style=filled color="#15803d" fillcolor="#dcfce7" fontsize=8 height=0.1 margin="0.06,0.03""##;

/// Attributes of the edge from a VMA to its `->anon_vma`.
const ACTIVE: &str = r##"color="#0369a1" penwidth=2.4 arrowsize=0.7"##;
/// Attributes of the edge from a VMA to another anon_vma of its chain.
const LINK: &str = r##"color="#94a3b8" penwidth=0.8 arrowsize=0.5"##;
/// Attributes of the edge from an anon_vma to its parent.
const PARENT: &str = r##"color="#c2410c" style=dashed arrowhead=empty arrowsize=0.7"##;
/// Attributes of the edge that stands for `page->mapping`.
const MAPPING: &str = r##"color="#15803d" style=dotted dir=back arrowsize=0.5"##;

/// Bytes that a user process has chosen, for use in a quoted label: they cannot end the label or
/// start an escape of Graphviz, and contain no control character.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    // Graphviz expands HTML entities in labels.
                    '&' => f.write_str("&amp;")?,
                    char if char.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                    char => f.write_char(char)?,
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Prints the box of a VMA.
fn vma(f: &mut fmt::Formatter<'_>, index: usize, vma: &VmaNode) -> fmt::Result {
    f.write_fmt(fmt!(
        "    vma{index} [{} label=\"vma {}{}\\n{:#x} - {:#x}\\n{} KiB, pgoff {}\"];\n",
        if vma.tainted { UNTRACKED } else { VMA },
        vma.id,
        if vma.tainted { ", untracked" } else { "" },
        vma.start,
        vma.end,
        vma.end.saturating_sub(vma.start) / 1024,
        vma.pgoff
    ))
}

/// Prints the ellipse of an anon_vma, and the edge to its parent.
fn anon_vma(f: &mut fmt::Formatter<'_>, index: usize, node: &AnonVmaNode) -> fmt::Result {
    let root = node.parent == index;
    f.write_fmt(fmt!(
        "  anon_vma{index} [{} label=\"anon_vma {}{}\\nrefcount {}\\nchildren {}, active {}",
        if root { ROOT } else { CHILD },
        index + 1,
        if root { ", root" } else { "" },
        node.refcount,
        node.num_children,
        node.num_active_vmas
    ))?;
    if node.foreign > 0 {
        f.write_fmt(fmt!("\\n{} foreign VMAs", node.foreign))?;
    }
    f.write_str("\"];\n")?;
    if !root {
        f.write_fmt(fmt!(
            "  anon_vma{index} -> anon_vma{} [{PARENT}];\n",
            node.parent
        ))?;
    }
    Ok(())
}

/// Prints `graph` in the language of Graphviz.
pub(crate) fn show(graph: &Graph, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let whose = match graph.source {
        Source::Shadow => "shadow_rmap",
        Source::Host => "the host",
    };
    f.write_fmt(fmt!("digraph shadow_rmap {{\n{STYLE}"))?;
    f.write_fmt(fmt!(
        "  label=\"Anonymous reverse map of {whose}: {} VMAs, {} anon_vmas, {} links, {} pages\\l",
        graph.vmas.len(),
        graph.anon_vmas.len(),
        graph.links(),
        graph.pages.len()
    ))?;
    f.write_str(
        "bold: vma->anon_vma    light: rest of the chain    dashed: parent    dotted: page->mapping\\l",
    )?;
    let hidden = graph.pages.len().saturating_sub(PAGES);
    if hidden > 0 {
        f.write_fmt(fmt!("{hidden} more pages are not drawn\\l"))?;
    }
    f.write_str("\";\n")?;

    for (index, (mm, first, vmas)) in graph.mms_with_vmas().enumerate() {
        f.write_fmt(fmt!(
            "  subgraph cluster_mm{index} {{\n    {PROCESS} label=\"pid {}  {}\";\n",
            mm.pid,
            Escaped(text::name(&mm.comm))
        ))?;
        for (index, node) in resched_each(vmas).enumerate() {
            vma(f, first + index, node)?;
        }
        f.write_str("  }\n")?;
    }
    if !graph.vmas.is_empty() {
        f.write_str("  { rank=same;")?;
        for index in resched_each(0..graph.vmas.len()) {
            f.write_fmt(fmt!(" vma{index};"))?;
        }
        f.write_str(" }\n")?;
    }

    for (index, node) in resched_each(&graph.anon_vmas).enumerate() {
        anon_vma(f, index, node)?;
    }
    for (index, vma) in resched_each(&graph.vmas).enumerate() {
        for &anon_vma in vma.chain.iter() {
            let active = vma.anon_vma == Some(anon_vma);
            f.write_fmt(fmt!(
                "  vma{index} -> anon_vma{anon_vma} [{}];\n",
                if active { ACTIVE } else { LINK }
            ))?;
        }
        // An error of the reverse map: it is drawn in red.
        if let Some(anon_vma) = vma.anon_vma.filter(|active| !vma.chain.contains(active)) {
            f.write_fmt(fmt!(
                "  vma{index} -> anon_vma{anon_vma} [{ACTIVE} color=\"#dc2626\" label=\"not in its chain\"];\n"
            ))?;
        }
    }
    for (index, page) in graph.pages.iter().enumerate().take(PAGES) {
        f.write_fmt(fmt!(
            "  page{index} [{PAGE} label=\"page {} at {}, mapped {}x\"];\n",
            index + 1,
            page.index,
            page.mapcount
        ))?;
        if let Some(anon_vma) = page.anon_vma {
            f.write_fmt(fmt!("  anon_vma{anon_vma} -> page{index} [{MAPPING}];\n"))?;
        }
    }
    f.write_str("}\n")
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_dot)]
mod tests {
    use super::super::{
        sample,
        MmNode, //
    };
    use super::*;

    #[test]
    fn a_small_picture() -> Result {
        let mut graph = sample::generations(Source::Shadow)?;
        graph.vmas.get_mut(2).ok_or(EINVAL)?.tainted = true;
        graph.anon_vmas.get_mut(1).ok_or(EINVAL)?.foreign = 3;
        graph.pages.truncate(2);
        graph.pages.get_mut(1).ok_or(EINVAL)?.anon_vma = None;
        graph.vmas.get_mut(0).ok_or(EINVAL)?.chain.clear();
        let expected = r##"digraph shadow_rmap {
  graph [rankdir=LR newrank=true ranksep=0.9 nodesep=0.2 labelloc=t labeljust=l
    bgcolor="#ffffff" fontname="Helvetica,Arial,sans-serif" fontsize=12 fontcolor="#334155"];
  node [fontname="Helvetica,Arial,sans-serif" fontsize=10 fontcolor="#1e293b" penwidth=1.2];
  edge [fontname="Helvetica,Arial,sans-serif" fontsize=9];
  label="Anonymous reverse map of shadow_rmap: 4 VMAs, 3 anon_vmas, 5 links, 2 pages\lbold: vma->anon_vma    light: rest of the chain    dashed: parent    dotted: page->mapping\l";
  subgraph cluster_mm0 {
    style="rounded,filled" color="#cbd5e1" fillcolor="#f8fafc" label="pid 41  main";
    vma0 [shape=box style="rounded,filled" color="#0284c7" fillcolor="#e0f2fe" label="vma 11\n0x10000 - 0x14000\n16 KiB, pgoff 0"];
  }
  subgraph cluster_mm1 {
    style="rounded,filled" color="#cbd5e1" fillcolor="#f8fafc" label="pid 42  child";
    vma1 [shape=box style="rounded,filled" color="#0284c7" fillcolor="#e0f2fe" label="vma 12\n0x10000 - 0x14000\n16 KiB, pgoff 0"];
    vma2 [shape=box style="rounded,filled,dashed" color="#94a3b8" fillcolor="#f1f5f9" label="vma 13, untracked\n0x20000 - 0x21000\n4 KiB, pgoff 4"];
  }
  subgraph cluster_mm2 {
    style="rounded,filled" color="#cbd5e1" fillcolor="#f8fafc" label="pid 43  grand child";
    vma3 [shape=box style="rounded,filled" color="#0284c7" fillcolor="#e0f2fe" label="vma 14\n0x10000 - 0x14000\n16 KiB, pgoff 0"];
  }
  { rank=same; vma0; vma1; vma2; vma3; }
  anon_vma0 [style=filled peripheries=2 color="#c2410c" fillcolor="#fed7aa" label="anon_vma 1, root\nrefcount 3\nchildren 2, active 1"];
  anon_vma1 [style=filled color="#a16207" fillcolor="#fef3c7" label="anon_vma 2\nrefcount 1\nchildren 1, active 1\n3 foreign VMAs"];
  anon_vma1 -> anon_vma0 [color="#c2410c" style=dashed arrowhead=empty arrowsize=0.7];
  anon_vma2 [style=filled color="#a16207" fillcolor="#fef3c7" label="anon_vma 3\nrefcount 1\nchildren 0, active 1"];
  anon_vma2 -> anon_vma1 [color="#c2410c" style=dashed arrowhead=empty arrowsize=0.7];
  vma0 -> anon_vma0 [color="#0369a1" penwidth=2.4 arrowsize=0.7 color="#dc2626" label="not in its chain"];
  vma1 -> anon_vma1 [color="#0369a1" penwidth=2.4 arrowsize=0.7];
  vma1 -> anon_vma0 [color="#94a3b8" penwidth=0.8 arrowsize=0.5];
  vma3 -> anon_vma2 [color="#0369a1" penwidth=2.4 arrowsize=0.7];
  vma3 -> anon_vma0 [color="#94a3b8" penwidth=0.8 arrowsize=0.5];
  vma3 -> anon_vma1 [color="#94a3b8" penwidth=0.8 arrowsize=0.5];
  page0 [shape=note style=filled color="#15803d" fillcolor="#dcfce7" fontsize=8 height=0.1 margin="0.06,0.03" label="page 1 at 0, mapped 3x"];
  anon_vma0 -> page0 [color="#15803d" style=dotted dir=back arrowsize=0.5];
  page1 [shape=note style=filled color="#15803d" fillcolor="#dcfce7" fontsize=8 height=0.1 margin="0.06,0.03" label="page 2 at 1, mapped 2x"];
}
"##;
        assert!(shows(&graph, expected)?);
        Ok(())
    }

    #[test]
    fn a_name_and_too_many_pages() -> Result {
        let mut graph = Graph::new(Source::Host);
        graph.mms.push(
            MmNode {
                id: 1,
                pid: 9,
                comm: *b"\"];\\N&lt;\xff\n\0no\0\0",
            },
            GFP_KERNEL,
        )?;
        for index in 0..PAGES + 7 {
            sample::page(&mut graph, None, index, &[])?;
        }
        let text = sample::shown(&graph, show)?;
        let has = |words: &str| {
            let words = words.as_bytes();
            text.to_bytes().windows(words.len()).any(|at| at == words)
        };
        assert!(has(
            "label=\"pid 9  \\\"];\\\\N&amp;lt;\u{fffd}\u{fffd}\";\n"
        ));
        assert!(has(
            "reverse map of the host: 0 VMAs, 0 anon_vmas, 0 links, 55 pages\\l"
        ));
        assert!(has("\\l7 more pages are not drawn\\l\";\n"));
        assert!(has("label=\"page 48 at 47, mapped 0x\""));
        assert!(!has("label=\"page 49"));
        Ok(())
    }

    fn shows(graph: &Graph, expected: &str) -> Result<bool> {
        Ok(sample::is(sample::shown(graph, show)?.to_bytes(), expected))
    }
}
