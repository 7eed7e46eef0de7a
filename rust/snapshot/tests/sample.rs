// SPDX-License-Identifier: GPL-2.0

//! Graphs for the KUnit suites of [`snapshot`](crate::snapshot), written by hand.

use super::{
    indices::Indices,
    AnonVmaNode,
    Comm,
    Graph,
    MmNode,
    PageNode,
    Source,
    VmaNode, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// Returns `name` as the name of a process.
pub(crate) fn comm(name: &[u8]) -> Comm {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().zip(name) {
        *to = *from;
    }
    comm
}

/// Returns a list of indices.
pub(crate) fn list(items: &[usize]) -> Result<Indices> {
    Indices::of(items)
}

/// Adds an address space.
pub(crate) fn mm(graph: &mut Graph, pid: i32, name: &[u8]) -> Result {
    let id = graph.mms.len() as u64 + 1;
    let comm = comm(name);
    Ok(graph.mms.push(MmNode { id, pid, comm }, GFP_KERNEL)?)
}

/// Adds a VMA of four pages; the numbers of VMAs begin with 11.
pub(crate) fn vma(
    graph: &mut Graph,
    mm: usize,
    anon_vma: Option<usize>,
    chain: &[usize],
) -> Result {
    let id = graph.vmas.len() as u64 + 11;
    let node = VmaNode {
        anon_vma,
        chain: list(chain)?,
        ..VmaNode::new(id, mm, 0x10000..0x14000, 0)
    };
    Ok(graph.vmas.push(node, GFP_KERNEL)?)
}

/// Adds an anon_vma; `numbers` are its refcount, `num_children` and `num_active_vmas`.
pub(crate) fn anon_vma(
    graph: &mut Graph,
    root: usize,
    parent: usize,
    numbers: (i64, usize, usize),
    vmas: &[usize],
) -> Result {
    let node = AnonVmaNode {
        root,
        parent,
        refcount: numbers.0,
        num_children: numbers.1,
        num_active_vmas: numbers.2,
        misplaced: 0,
        vmas: list(vmas)?,
        outside: 0,
        foreign: 0,
        pins: Some(0),
    };
    Ok(graph.anon_vmas.push(node, GFP_KERNEL)?)
}

/// Adds a page.
pub(crate) fn page(
    graph: &mut Graph,
    anon_vma: Option<usize>,
    index: usize,
    mapped_by: &[usize],
) -> Result {
    let node = PageNode {
        key: 0xb000 + graph.pages.len(),
        anon_vma,
        index,
        mapcount: mapped_by.len() as i64,
        mapped_by: list(mapped_by)?,
        found_by: list(mapped_by)?,
    };
    Ok(graph.pages.push(node, GFP_KERNEL)?)
}

/// One process, one VMA, one page.
pub(crate) fn single(source: Source) -> Result<Graph> {
    let mut graph = Graph::new(source);
    mm(&mut graph, 41, b"main")?;
    vma(&mut graph, 0, Some(0), &[0])?;
    anon_vma(&mut graph, 0, 0, (1, 1, 1), &[0])?;
    page(&mut graph, Some(0), 2, &[0])?;
    Ok(graph)
}

/// A process, its child and its grandchild, each of which wrote to one of three pages. The child
/// has another VMA, without anon_vma.
pub(crate) fn generations(source: Source) -> Result<Graph> {
    let mut graph = Graph::new(source);
    mm(&mut graph, 41, b"main")?;
    mm(&mut graph, 42, b"child")?;
    mm(&mut graph, 43, b"grand child")?;
    vma(&mut graph, 0, Some(0), &[0])?;
    vma(&mut graph, 1, Some(1), &[1, 0])?;
    vma(&mut graph, 1, None, &[])?;
    vma(&mut graph, 2, Some(2), &[2, 0, 1])?;
    if let Some(untouched) = graph.vmas.get_mut(2) {
        (untouched.start, untouched.end, untouched.pgoff) = (0x20000, 0x21000, 4);
    }
    anon_vma(&mut graph, 0, 0, (3, 2, 1), &[0, 1, 3])?;
    anon_vma(&mut graph, 0, 0, (1, 1, 1), &[1, 3])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 1), &[3])?;
    page(&mut graph, Some(0), 0, &[0, 1, 3])?;
    page(&mut graph, Some(1), 1, &[1, 3])?;
    page(&mut graph, Some(2), 2, &[3])?;
    page(&mut graph, Some(0), 1, &[0])?;
    Ok(graph)
}

/// After [`generations`] the child exits. The grandchild forks a process that reuses the child's
/// anon_vma, and that process forks again: two anon_vmas of the last one's chain have the same
/// depth. The reuser's VMA is split, and its second half is unmapped in the last process.
pub(crate) fn reuse(source: Source) -> Result<Graph> {
    let mut graph = Graph::new(source);
    mm(&mut graph, 41, b"main")?;
    mm(&mut graph, 43, b"grand child")?;
    mm(&mut graph, 44, b"reuser")?;
    mm(&mut graph, 45, b"last")?;
    vma(&mut graph, 0, Some(0), &[0])?;
    vma(&mut graph, 1, Some(2), &[2, 0, 1])?;
    vma(&mut graph, 2, Some(1), &[1, 0, 2])?;
    vma(&mut graph, 2, Some(1), &[2, 0, 1])?;
    vma(&mut graph, 3, Some(3), &[3, 2, 0, 1])?;
    for (index, start, end, pgoff) in [
        (2, 0x10000, 0x12000, 0),
        (3, 0x12000, 0x14000, 2),
        (4, 0x10000, 0x12000, 0),
    ] {
        if let Some(vma) = graph.vmas.get_mut(index) {
            (vma.start, vma.end, vma.pgoff) = (start, end, pgoff);
        }
    }
    anon_vma(&mut graph, 0, 0, (4, 2, 1), &[0, 1, 2, 4, 3])?;
    anon_vma(&mut graph, 0, 0, (1, 2, 2), &[1, 2, 4, 3])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 1), &[1, 2, 4, 3])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 1), &[4])?;
    page(&mut graph, Some(0), 0, &[0, 1, 2, 4])?;
    page(&mut graph, Some(2), 1, &[1, 2, 4])?;
    page(&mut graph, Some(1), 3, &[3])?;
    page(&mut graph, Some(3), 1, &[4])?;
    Ok(graph)
}

/// One process whose chain has two idle siblings, left behind by reuse. Either a page tells them
/// apart, or nothing does.
pub(crate) fn siblings(source: Source, pages: bool) -> Result<Graph> {
    let mut graph = Graph::new(source);
    mm(&mut graph, 46, b"last")?;
    vma(&mut graph, 0, Some(4), &[4, 3, 2, 1, 0])?;
    anon_vma(&mut graph, 0, 0, (5, 2, 0), &[0])?;
    anon_vma(&mut graph, 0, 0, (1, 3, 0), &[0])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 0), &[0])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 0), &[0])?;
    anon_vma(&mut graph, 0, 1, (1, 0, 1), &[0])?;
    if pages {
        page(&mut graph, Some(2), 0, &[0])?;
        page(&mut graph, Some(3), 1, &[0])?;
    }
    Ok(graph)
}

/// Returns the same graph in another order: anon_vma `i` has place `order[i]`, and chains and trees
/// are reversed.
pub(crate) fn retaken(graph: &Graph, source: Source, order: &[usize]) -> Result<Graph> {
    let place = |anon_vma: usize| order.get(anon_vma).copied().ok_or(EINVAL);
    let mut new = Graph::new(source);
    for node in &graph.mms {
        mm(&mut new, node.pid, &node.comm)?;
    }
    for node in &graph.vmas {
        let anon_vma = node.anon_vma.map(place).transpose()?;
        let mut chain = Indices::new();
        for &anon_vma in node.chain.iter().rev() {
            chain.push(place(anon_vma)?, GFP_KERNEL)?;
        }
        let vma = VmaNode {
            anon_vma,
            chain,
            ..*node
        };
        new.vmas.push(vma, GFP_KERNEL)?;
    }
    for wanted in 0..graph.anon_vmas.len() {
        let at = order.iter().position(|&at| at == wanted).ok_or(EINVAL)?;
        let node = graph.anon_vmas.get(at).ok_or(EINVAL)?;
        let mut vmas = list(&node.vmas)?;
        vmas.reverse();
        let node = AnonVmaNode {
            root: place(node.root)?,
            parent: place(node.parent)?,
            vmas,
            ..*node
        };
        new.anon_vmas.push(node, GFP_KERNEL)?;
    }
    for node in graph.pages.iter().rev() {
        let page = PageNode {
            anon_vma: node.anon_vma.map(place).transpose()?,
            mapped_by: list(&node.mapped_by)?,
            found_by: list(&node.found_by)?,
            ..*node
        };
        new.pages.push(page, GFP_KERNEL)?;
    }
    Ok(new)
}

struct Shown<'a>(
    &'a Graph,
    fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

/// Returns what `show` prints for `graph`.
pub(crate) fn shown(
    graph: &Graph,
    show: fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> Result<CString> {
    CString::try_from_fmt(fmt!("{}", Shown(graph, show)))
}

/// Returns whether `text` is `expected`; logs the first line that differs.
pub(crate) fn is(text: &[u8], expected: &str) -> bool {
    if text == expected.as_bytes() {
        return true;
    }
    let (mut lines, mut wanted) = (text.split(|&b| b == b'\n'), expected.split('\n'));
    loop {
        let (line, want) = (lines.next(), wanted.next());
        if line != want.map(str::as_bytes) {
            let line = kernel::str::BStr::from_bytes(line.unwrap_or(b"(nothing)"));
            pr_info!("found:    {line}\n");
            pr_info!("expected: {}\n", want.unwrap_or("(nothing)"));
            return false;
        }
        if want.is_none() {
            return false;
        }
    }
}
