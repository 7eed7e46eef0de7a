// SPDX-License-Identifier: GPL-2.0

//! Checks one [`Graph`] against the rules: what must hold of every reverse map that is at rest.
//!
//! Only what is certain is reported. An entry of an interval tree whose VMA is not in the graph
//! is called *foreign*: in the host's graph of one process that is another process, which is
//! why the host's counts may be larger than what the graph explains. In the shadow's graph it is a
//! VMA that no longer exists.
//!
//! The order of a chain is not checked: `anon_vma_clone()` reverses it at each clone.
//!
//! C source: [`mm/rmap.c`](srctree/mm/rmap.c)

use super::{
    Graph,
    PageNode,
    Source, //
};
use crate::{
    kernel_ext::sort::sort_by_key,
    rmap::rules::Rule, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// Many lists of indices, each in ascending order.
pub(super) struct Lists {
    /// Where in `items` each list ends; it begins where the one before it ends.
    ends: KVVec<usize>,
    items: KVVec<usize>,
}

impl Lists {
    /// Copies and sorts `lists`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn sorted<'a>(lists: impl Iterator<Item = &'a [usize]>) -> Result<Self> {
        let mut this = Self {
            ends: KVVec::new(),
            items: KVVec::new(),
        };
        for list in lists {
            let start = this.items.len();
            this.items.extend_from_slice(list, GFP_KERNEL)?;
            if let Some(copy) = this.items.get_mut(start..) {
                sort_by_key(copy, |&x| x);
            }
            this.ends.push(this.items.len(), GFP_KERNEL)?;
        }
        Ok(this)
    }

    /// List number `index`; empty if there is none.
    pub(super) fn get(&self, index: usize) -> &[usize] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.items.get(start..end).unwrap_or(&[])
    }

    /// Whether list number `index` contains `item`.
    pub(super) fn has(&self, index: usize, item: usize) -> bool {
        self.get(index).binary_search(&item).is_ok()
    }
}

/// How an anon_vma's line of parents ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lineage {
    /// Not looked at yet.
    Unknown,
    /// Being looked at: met again, it is a loop.
    Open,
    /// At a root, which is its own parent.
    Ends {
        /// Steps to the root.
        depth: usize,
        /// The root, as an index.
        root: usize,
    },
    /// Never.
    Loops,
}

/// The lineage of each anon_vma of `graph`; takes time proportional to their number.
///
/// # Errors
///
/// [`ENOMEM`].
pub(super) fn lineages(graph: &Graph) -> Result<KVVec<Lineage>> {
    let mut lineages = KVVec::from_elem(Lineage::Unknown, graph.anon_vmas.len(), GFP_KERNEL)?;
    let mut path: KVVec<usize> = KVVec::new();
    for start in 0..graph.anon_vmas.len() {
        let mut at = start;
        let mut end = loop {
            let (Some(lineage), Some(node)) = (lineages.get_mut(at), graph.anon_vmas.get(at))
            else {
                break Lineage::Loops;
            };
            match *lineage {
                Lineage::Unknown if node.parent == at => {
                    *lineage = Lineage::Ends { depth: 0, root: at };
                }
                Lineage::Unknown => {
                    *lineage = Lineage::Open;
                    path.push(at, GFP_KERNEL)?;
                    at = node.parent;
                }
                Lineage::Open => break Lineage::Loops,
                known => break known,
            }
        };
        while let Some(at) = path.pop() {
            if let Lineage::Ends { depth, .. } = &mut end {
                *depth += 1;
            }
            if let Some(lineage) = lineages.get_mut(at) {
                *lineage = end;
            }
        }
    }
    Ok(lineages)
}

/// Whether every index of `graph` points at something.
pub(super) fn well_formed(graph: &Graph) -> bool {
    let vmas = |list: &[usize]| list.iter().all(|&vma| vma < graph.vmas.len());
    let known = |anon_vma: usize| anon_vma < graph.anon_vmas.len();
    graph.vmas.iter().all(|vma| {
        vma.mm < graph.mms.len()
            && vma.anon_vma.is_none_or(known)
            && vma.chain.iter().all(|&anon_vma| known(anon_vma))
    }) && graph
        .anon_vmas
        .iter()
        .all(|node| known(node.root) && known(node.parent) && vmas(&node.vmas))
        && graph.pages.iter().all(|page| {
            page.anon_vma.is_none_or(known) && vmas(&page.mapped_by) && vmas(&page.found_by)
        })
}

/// Checks `graph` and tells `report` each violation: the rule, and what is wrong in words.
///
/// Returns how many there are. In the shadow's graph each check counts for its rule in debugfs
/// `rules`; the host's violations are not ours to count.
///
/// # Errors
///
/// [`ENOMEM`]; [`EINVAL`] if an index of the graph points at nothing.
pub(crate) fn verify(
    graph: &Graph,
    report: &mut dyn FnMut(Rule, fmt::Arguments<'_>),
) -> Result<usize> {
    let ours = graph.source == Source::Shadow;
    check(graph, report, &mut |rule, holds| {
        if ours {
            rule.check(holds);
        }
    })
}

/// As [`verify`], with every check, good or bad, handed to `count`.
fn check(
    graph: &Graph,
    report: &mut dyn FnMut(Rule, fmt::Arguments<'_>),
    count: &mut dyn FnMut(Rule, bool),
) -> Result<usize> {
    if !well_formed(graph) {
        return Err(EINVAL);
    }
    let facts = Facts::new(graph)?;
    let mut sink = Sink {
        report,
        count,
        violations: 0,
    };
    facts.check_vmas(&mut sink);
    facts.check_trees(&mut sink);
    facts.check_sharing(&mut sink)?;
    facts.check_lineages(&mut sink);
    facts.check_counters(&mut sink);
    facts.check_pages(&mut sink);
    Ok(sink.violations)
}

/// Where the outcome of each check goes.
struct Sink<'a> {
    report: &'a mut dyn FnMut(Rule, fmt::Arguments<'_>),
    count: &'a mut dyn FnMut(Rule, bool),
    violations: usize,
}

impl Sink<'_> {
    /// One check of `rule`; unless it `holds`, `words` say what is wrong.
    fn check(&mut self, rule: Rule, holds: bool, words: fmt::Arguments<'_>) {
        (self.count)(rule, holds);
        if !holds {
            self.violations += 1;
            (self.report)(rule, words);
        }
    }
}

/// What an anon_vma's own numbers should be, counted from the rest of the graph.
#[derive(Clone, Copy, Default)]
struct Expected {
    /// VMAs whose `->anon_vma` it is.
    active: usize,
    /// anon_vmas with a VMA in their tree whose parent it is.
    children: usize,
    /// Others whose root it is.
    members: usize,
    /// Foreign entries in the trees of all whose root it is.
    foreign: usize,
}

/// A graph together with what all checks need to know of it.
struct Facts<'a> {
    graph: &'a Graph,
    /// Each VMA's chain.
    chains: Lists,
    /// Each anon_vma's VMAs.
    trees: Lists,
    lineages: KVVec<Lineage>,
    expected: KVVec<Expected>,
}

impl<'a> Facts<'a> {
    /// Counts and sorts what the checks look up.
    fn new(graph: &'a Graph) -> Result<Self> {
        let number = graph.anon_vmas.len();
        let mut expected = KVVec::from_elem(Expected::default(), number, GFP_KERNEL)?;
        for anon_vma in graph.vmas.iter().filter_map(|vma| vma.anon_vma) {
            if let Some(expected) = expected.get_mut(anon_vma) {
                expected.active += 1;
            }
        }
        for (index, node) in graph.anon_vmas.iter().enumerate() {
            // `unlink_anon_vmas()` takes the count back when a tree becomes empty, not when its
            // anon_vma is freed; a root's count for itself goes the same way.
            if !node.vmas.is_empty() || node.foreign > 0 {
                if let Some(parent) = expected.get_mut(node.parent) {
                    parent.children += 1;
                }
            }
            if let Some(root) = expected.get_mut(node.root) {
                root.foreign += node.foreign;
                root.members += usize::from(node.root != index);
            }
        }
        Ok(Self {
            graph,
            chains: Lists::sorted(graph.vmas.iter().map(|vma| vma.chain.as_slice()))?,
            trees: Lists::sorted(graph.anon_vmas.iter().map(|node| node.vmas.as_slice()))?,
            lineages: lineages(graph)?,
            expected,
        })
    }

    /// Whether it is the shadow's graph.
    fn ours(&self) -> bool {
        self.graph.source == Source::Shadow
    }

    /// A VMA's number, for people.
    fn vma(&self, index: usize) -> u64 {
        self.graph.vmas.get(index).map_or(0, |vma| vma.id)
    }

    /// An anon_vma's root.
    fn root(&self, anon_vma: usize) -> usize {
        self.graph
            .anon_vmas
            .get(anon_vma)
            .map_or(anon_vma, |node| node.root)
    }

    /// Each VMA's `->anon_vma` and chain.
    fn check_vmas(&self, sink: &mut Sink<'_>) {
        for (index, vma) in self.graph.vmas.iter().enumerate() {
            let (id, chain) = (vma.id, self.chains.get(index));
            match vma.anon_vma {
                None => sink.check(
                    Rule::R37,
                    chain.is_empty(),
                    fmt!(
                        "vma {id}: it has no anon_vma, but its chain links {}",
                        chain.len()
                    ),
                ),
                Some(anon_vma) => sink.check(
                    Rule::R33,
                    self.chains.has(index, anon_vma),
                    fmt!(
                        "vma {id}: its anon_vma {} is not in its chain of {}",
                        anon_vma + 1,
                        chain.len()
                    ),
                ),
            }

            let mut before = None;
            for &anon_vma in chain {
                let number = anon_vma + 1;
                let again = before == Some(anon_vma);
                sink.check(
                    Rule::R15,
                    !again,
                    fmt!("vma {id}: its chain links anon_vma {number} more than once"),
                );
                if again {
                    continue;
                }
                let same = before.is_none_or(|before| self.root(before) == self.root(anon_vma));
                sink.check(
                    Rule::R15,
                    same,
                    fmt!(
                        "vma {id}: anon_vma {} and anon_vma {number} of its chain have different roots",
                        before.map_or(0, |before| before + 1)
                    ),
                );
                before = Some(anon_vma);
                sink.check(
                    Rule::R21,
                    self.trees.has(anon_vma, index),
                    fmt!("vma {id}: it is not in the tree of anon_vma {number} of its chain"),
                );
                if let Some(node) = self.graph.anon_vmas.get(anon_vma) {
                    // A root stays for as long as it has children, linked or not (R16).
                    let apart = self.graph.shared && node.parent == node.root;
                    sink.check(
                        Rule::R23,
                        apart || self.chains.has(index, node.parent),
                        fmt!(
                            "vma {id}: its chain links anon_vma {number}, but not the parent of that, anon_vma {}",
                            node.parent + 1
                        ),
                    );
                }
            }
        }
    }

    /// Each anon_vma's interval tree.
    fn check_trees(&self, sink: &mut Sink<'_>) {
        for (index, node) in self.graph.anon_vmas.iter().enumerate() {
            let number = index + 1;
            let mut before = None;
            for &vma in self.trees.get(index) {
                let id = self.vma(vma);
                let again = before == Some(vma);
                sink.check(
                    Rule::R15,
                    !again,
                    fmt!("anon_vma {number}: vma {id} is in its tree more than once"),
                );
                before = Some(vma);
                if !again {
                    sink.check(
                        Rule::R15,
                        self.chains.has(vma, index),
                        fmt!("anon_vma {number}: vma {id} is in its tree, but does not link to it"),
                    );
                }
            }

            if !self.ours() {
                continue;
            }
            sink.check(
                Rule::R33,
                node.foreign == 0,
                fmt!(
                    "anon_vma {number}: {} in its tree are VMAs that no longer exist",
                    node.foreign
                ),
            );
            // The host's trees are ordered by something else, `vma_start_anon_pgoff()`.
            for pair in node.vmas.windows(2) {
                let &[vma, next] = pair else { continue };
                let offset = |vma: usize| self.graph.vmas.get(vma).map(|vma| vma.pgoff);
                sink.check(
                    Rule::R32,
                    offset(vma) <= offset(next),
                    fmt!(
                        "anon_vma {number}: vma {} is in its tree before vma {}, which has a lower offset",
                        self.vma(vma),
                        self.vma(next)
                    ),
                );
            }
        }
    }

    /// VMAs with the same `->anon_vma`.
    fn check_sharing(&self, sink: &mut Sink<'_>) -> Result {
        let mut active: KVVec<(usize, usize)> = KVVec::new();
        for (index, vma) in self.graph.vmas.iter().enumerate() {
            if let Some(anon_vma) = vma.anon_vma {
                active.push((anon_vma, index), GFP_KERNEL)?;
            }
        }
        sort_by_key(&mut active, |&x| x);
        for pair in active.windows(2) {
            let &[(anon_vma, first), (other, second)] = pair else {
                continue;
            };
            if anon_vma != other {
                continue;
            }
            let mm = |vma: usize| self.graph.vmas.get(vma).map(|vma| vma.mm);
            let (number, one, two) = (anon_vma + 1, self.vma(first), self.vma(second));
            sink.check(
                Rule::R24,
                mm(first) == mm(second),
                fmt!("vma {one} and vma {two}: both have anon_vma {number}, in different address spaces"),
            );
            sink.check(
                Rule::R26,
                self.graph.shared || self.chains.get(first) == self.chains.get(second),
                fmt!("vma {one} and vma {two}: both have anon_vma {number}, but different chains"),
            );
        }
        Ok(())
    }

    /// Roots and parents.
    fn check_lineages(&self, sink: &mut Sink<'_>) {
        for (index, node) in self.graph.anon_vmas.iter().enumerate() {
            let (number, root) = (index + 1, node.root + 1);
            let top = self.root(node.root);
            sink.check(
                Rule::R14,
                top == node.root,
                fmt!(
                    "anon_vma {number}: its root, anon_vma {root}, has a root itself, anon_vma {}",
                    top + 1
                ),
            );
            match self.lineages.get(index) {
                Some(&Lineage::Ends { root: end, .. }) => sink.check(
                    Rule::R14,
                    end == node.root,
                    fmt!(
                        "anon_vma {number}: its root is anon_vma {root}, but its parents end at anon_vma {}",
                        end + 1
                    ),
                ),
                _ => sink.check(
                    Rule::R14,
                    false,
                    fmt!("anon_vma {number}: its parents go round in a circle"),
                ),
            }
        }
    }

    /// `num_active_vmas`, `num_children` and `refcount`.
    fn check_counters(&self, sink: &mut Sink<'_>) {
        for (index, node) in self.graph.anon_vmas.iter().enumerate() {
            let number = index + 1;
            let expected = self.expected.get(index).copied().unwrap_or_default();
            let whole = self
                .expected
                .get(node.root)
                .is_some_and(|root| root.foreign == 0);

            // A foreign VMA may have it as its `->anon_vma`, or may not.
            let active = expected.active..=expected.active + node.foreign;
            sink.check(
                Rule::R24,
                active.contains(&node.num_active_vmas),
                fmt!(
                    "anon_vma {number}: num_active_vmas is {}, VMAs whose anon_vma it is: {}",
                    node.num_active_vmas,
                    expected.active
                ),
            );

            // Who links to a child links to its parent (R23), so the children are all in the graph
            // unless this tree has foreign entries, too.
            let children = if whole {
                node.num_children == expected.children
            } else {
                node.num_children >= expected.children
            };
            sink.check(
                Rule::R24,
                children,
                fmt!(
                    "anon_vma {number}: num_children is {}, linked anon_vmas whose parent it is: {}",
                    node.num_children,
                    expected.children
                ),
            );

            let linked = !node.vmas.is_empty() || node.foreign > 0;
            let needed = i64::from(linked).saturating_add_unsigned(expected.members as u64);
            // It is in the graph, so something must keep it. The shadow at rest has no pins.
            let enough = node.refcount >= needed.max(1);
            let exact = node.refcount == needed || !self.ours() || !whole;
            sink.check(
                if node.root == index {
                    Rule::R16
                } else {
                    Rule::R18
                },
                enough && exact,
                fmt!(
                    "anon_vma {number}: refcount is {}, its links and those whose root it is make {needed}",
                    node.refcount
                ),
            );
        }
    }

    /// Pages: who maps them, and what a walk finds.
    fn check_pages(&self, sink: &mut Sink<'_>) {
        for (index, page) in self.graph.pages.iter().enumerate() {
            let tainted = |&vma: &usize| self.graph.vmas.get(vma).is_some_and(|vma| vma.tainted);
            // The links that make a page findable are those that there was no memory for.
            if !page.mapped_by.iter().any(tainted) && !page.found_by.iter().any(tainted) {
                self.check_page(index + 1, page, sink);
            }
        }
    }

    /// Page `number`, as people count.
    fn check_page(&self, number: usize, page: &PageNode, sink: &mut Sink<'_>) {
        for &vma in &page.mapped_by {
            let id = self.vma(vma);
            if let Some(anon_vma) = page.anon_vma {
                sink.check(
                    Rule::R21,
                    self.chains.has(vma, anon_vma),
                    fmt!(
                        "page {number}: vma {id} maps it, but does not link to its anon_vma {}",
                        anon_vma + 1
                    ),
                );
            }
        }
        match page.anon_vma {
            None => sink.check(
                Rule::R21,
                page.mapped_by.is_empty(),
                fmt!(
                    "page {number}: {} VMAs map it, but none links to its anon_vma",
                    page.mapped_by.len()
                ),
            ),
            // Both lists are nearly always the same.
            Some(_) if page.mapped_by == page.found_by => {
                sink.check(Rule::R21, true, fmt!(""));
                sink.check(Rule::R35, true, fmt!(""));
            }
            Some(anon_vma) => {
                let start = anon_vma + 1;
                for &vma in &page.mapped_by {
                    sink.check(
                        Rule::R21,
                        page.found_by.binary_search(&vma).is_ok(),
                        fmt!(
                            "page {number}: vma {} maps it, but a walk from anon_vma {start} does \
                             not find that",
                            self.vma(vma)
                        ),
                    );
                }
                for &vma in &page.found_by {
                    sink.check(
                        Rule::R35,
                        page.mapped_by.binary_search(&vma).is_ok(),
                        fmt!(
                            "page {number}: a walk from anon_vma {start} finds vma {}, which does \
                             not map it",
                            self.vma(vma)
                        ),
                    );
                }
            }
        }

        // A foreign VMA that maps it is in the tree of its anon_vma.
        let whole = match page.anon_vma.and_then(|at| self.graph.anon_vmas.get(at)) {
            Some(node) => node.foreign == 0,
            None => self.ours(),
        };
        if whole {
            sink.check(
                Rule::R3,
                usize::try_from(page.mapcount) == Ok(page.mapped_by.len()),
                fmt!(
                    "page {number}: mapcount is {}, PTEs that map it: {}",
                    page.mapcount,
                    page.mapped_by.len()
                ),
            );
        }
    }
}

/// Graphs for the tests of this folder, written out by hand, number for number.
#[cfg(shadow_rmap_kunit)]
pub(super) mod sample {
    use super::super::{
        AnonVmaNode,
        Comm,
        MmNode,
        VmaNode, //
    };
    use super::*;
    use kernel::str::CString;

    /// A process's name.
    pub(crate) fn comm(name: &[u8]) -> Comm {
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().zip(name) {
            *to = *from;
        }
        comm
    }

    /// A list of indices.
    pub(crate) fn list(items: &[usize]) -> Result<KVVec<usize>> {
        let mut list = KVVec::new();
        list.extend_from_slice(items, GFP_KERNEL)?;
        Ok(list)
    }

    /// Adds an address space.
    pub(crate) fn mm(graph: &mut Graph, pid: i32, name: &[u8]) -> Result {
        let id = graph.mms.len() as u64 + 1;
        let comm = comm(name);
        Ok(graph.mms.push(MmNode { id, pid, comm }, GFP_KERNEL)?)
    }

    /// Adds a VMA of four pages, number 11 and so on.
    pub(crate) fn vma(
        graph: &mut Graph,
        mm: usize,
        anon_vma: Option<usize>,
        chain: &[usize],
    ) -> Result {
        let node = VmaNode {
            id: graph.vmas.len() as u64 + 11,
            mm,
            start: 0x10000,
            end: 0x14000,
            pgoff: 0,
            anon_vma,
            chain: list(chain)?,
            tainted: false,
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
            vmas: list(vmas)?,
            foreign: 0,
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

    /// A process, its child and its grandchild, each of which wrote to one of three pages; the
    /// child also has a VMA that was never touched.
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

    /// After [`generations`] the child exits, the grandchild forks a process that reuses the
    /// child's anon_vma, and that one forks again: of the last one's chain two have the same depth.
    /// The reuser's VMA is split, and its second half is unmapped in the last process.
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

    /// One process with a chain of two idle siblings, as left behind by reuse, which only a page
    /// or nothing at all can tell apart.
    pub(crate) fn siblings(source: Source, pages: bool) -> Result<Graph> {
        let mut graph = Graph::new(source);
        mm(&mut graph, 46, b"heir")?;
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

    /// The same graph as somebody else would have taken it: anon_vma `i` comes at place
    /// `order[i]`, chains are reversed, trees are listed the other way round.
    pub(crate) fn retaken(graph: &Graph, source: Source, order: &[usize]) -> Result<Graph> {
        let place = |anon_vma: usize| order.get(anon_vma).copied().ok_or(EINVAL);
        let mut new = Graph::new(source);
        for node in &graph.mms {
            mm(&mut new, node.pid, &node.comm)?;
        }
        for node in &graph.vmas {
            let anon_vma = node.anon_vma.map(place).transpose()?;
            let mut chain = KVVec::new();
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

    /// What `show` writes for `graph`.
    pub(crate) fn shown(
        graph: &Graph,
        show: fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> Result<CString> {
        CString::try_from_fmt(fmt!("{}", Shown(graph, show)))
    }

    /// Says in the log where `text` is not what was `expected`; returns whether it is.
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
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_verify)]
mod tests {
    use super::*;
    use kernel::str::CString;

    #[test]
    fn a_right_graph_is_silent() -> Result {
        for source in [Source::Shadow, Source::Host] {
            assert!(sample::is(&seen(&Graph::new(source))?, "0\n"));
            assert!(sample::is(&seen(&sample::single(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::generations(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::reuse(source)?)?, "0\n"));
            assert!(sample::is(&seen(&sample::siblings(source, true)?)?, "0\n"));
        }
        Ok(())
    }

    #[test]
    fn a_large_family_is_silent() -> Result {
        let mut graph = Graph::new(Source::Shadow);
        sample::mm(&mut graph, 41, b"main")?;
        let all: KVVec<usize> = (0..2000).try_fold(KVVec::new(), |mut all, vma| {
            all.push(vma, GFP_KERNEL).map(|()| all)
        })?;
        for _ in 0..all.len() {
            sample::vma(&mut graph, 0, Some(0), &[0])?;
        }
        sample::anon_vma(&mut graph, 0, 0, (1, 1, all.len()), &all)?;
        sample::page(&mut graph, Some(0), 0, &all)?;
        assert!(sample::is(&seen(&graph)?, "0\n"));
        Ok(())
    }

    #[test]
    fn a_deep_family_is_silent() -> Result {
        const DEPTH: usize = 118;
        let mut graph = Graph::new(Source::Shadow);
        let all: KVVec<usize> = (0..DEPTH).try_fold(KVVec::new(), |mut all, vma| {
            all.push(vma, GFP_KERNEL).map(|()| all)
        })?;
        for at in 0..DEPTH {
            sample::mm(&mut graph, 41, b"main")?;
            let chain = all.get(..at + 1).ok_or(EINVAL)?;
            sample::vma(&mut graph, at, Some(at), chain)?;
            let members = if at == 0 { DEPTH as i64 } else { 1 };
            let children = usize::from(at == 0) + usize::from(at + 1 < DEPTH);
            let vmas = all.get(at..).ok_or(EINVAL)?;
            let parent = at.saturating_sub(1);
            sample::anon_vma(&mut graph, 0, parent, (members, children, 1), vmas)?;
        }
        assert!(graph.links() > 7000);
        assert!(sample::is(&seen(&graph)?, "0\n"));
        Ok(())
    }

    #[test]
    fn links_both_ways() -> Result {
        // The child's VMA is missing in the root's tree, and in the grandchild's there is one
        // that does not know of it.
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.push(0, GFP_KERNEL).ok()
            },
            "R21 vma 12: it is not in the tree of anon_vma 1 of its chain\n\
             R15 anon_vma 3: vma 11 is in its tree, but does not link to it\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn links_only_once() -> Result {
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(0)?.chain.push(0, GFP_KERNEL).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.push(3, GFP_KERNEL).ok()
            },
            "R15 vma 11: its chain links anon_vma 1 more than once\n\
             R15 anon_vma 3: vma 14 is in its tree more than once\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn a_link_that_fork_forgot() -> Result {
        // The child is not linked to its parent's anon_vma: the bug that chains were made for.
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(1)?.chain.remove(1).ok()?;
                graph.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                graph.pages.get_mut(0)?.found_by.remove(1).ok()?;
                Some(())
            },
            "R23 vma 12: its chain links anon_vma 2, but not the parent of that, anon_vma 1\n\
             R21 page 1: vma 12 maps it, but does not link to its anon_vma 1\n\
             R21 page 1: vma 12 maps it, but a walk from anon_vma 1 does not find that\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn foreign_entries() -> Result {
        let change = |graph: &mut Graph| {
            let root = graph.anon_vmas.get_mut(0)?;
            (root.foreign, root.num_active_vmas) = (2, 3);
            (root.num_children, root.refcount) = (4, 5);
            graph.pages.get_mut(0)?.mapcount = 5;
            Some(())
        };
        // What would be wrong in the shadow is another process's in the host.
        assert!(broken(
            change,
            "R33 anon_vma 1: 2 in its tree are VMAs that no longer exist\n1\n",
        )?);
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "0\n"
        )?);
        // But that explains only so much.
        assert!(broken_in(
            sample::generations(Source::Host)?,
            |graph| {
                change(graph)?;
                let root = graph.anon_vmas.get_mut(0)?;
                (root.num_active_vmas, root.num_children, root.refcount) = (4, 1, 2);
                Some(())
            },
            "R24 anon_vma 1: num_active_vmas is 4, VMAs whose anon_vma it is: 1\n\
             R24 anon_vma 1: num_children is 1, linked anon_vmas whose parent it is: 2\n\
             R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn anon_vma_and_chain() -> Result {
        // Not reset by unlink; chain not freed by a clone that failed.
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(2)?.anon_vma = Some(2);
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 1;
                graph.vmas.get_mut(3)?.anon_vma = None;
                Some(())
            },
            "R33 vma 13: its anon_vma 3 is not in its chain of 0\n\
             R37 vma 14: it has no anon_vma, but its chain links 3\n\
             2\n",
        )?);
        assert!(broken(
            |graph| {
                graph.vmas.get_mut(0)?.anon_vma = Some(1);
                graph.anon_vmas.get_mut(0)?.num_active_vmas = 0;
                graph.anon_vmas.get_mut(1)?.num_active_vmas = 2;
                Some(())
            },
            "R33 vma 11: its anon_vma 2 is not in its chain of 1\n\
             R24 vma 11 and vma 12: both have anon_vma 2, in different address spaces\n\
             R26 vma 11 and vma 12: both have anon_vma 2, but different chains\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn order_of_a_tree() -> Result {
        let change = |graph: &mut Graph| {
            graph.vmas.get_mut(1)?.pgoff = 1;
            Some(())
        };
        assert!(broken(
            change,
            "R32 anon_vma 1: vma 12 is in its tree before vma 14, which has a lower offset\n\
             R32 anon_vma 2: vma 12 is in its tree before vma 14, which has a lower offset\n\
             2\n",
        )?);
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "0\n"
        )?);
        Ok(())
    }

    #[test]
    fn sharing() -> Result {
        // The halves of a split VMA must keep the same chain.
        assert!(broken_in(
            sample::reuse(Source::Shadow)?,
            |graph| {
                graph.vmas.get_mut(3)?.chain.remove(0).ok()?;
                graph.anon_vmas.get_mut(2)?.vmas.pop()?;
                Some(())
            },
            "R26 vma 13 and vma 14: both have anon_vma 2, but different chains\n1\n",
        )?);
        // The reuser takes an anon_vma that is in use.
        assert!(broken_in(
            sample::reuse(Source::Shadow)?,
            |graph| {
                graph.vmas.get_mut(4)?.anon_vma = Some(2);
                graph.vmas.get_mut(4)?.chain.remove(0).ok()?;
                graph.anon_vmas.pop()?;
                graph.pages.pop()?;
                graph.anon_vmas.get_mut(0)?.refcount = 3;
                graph.anon_vmas.get_mut(1)?.num_children = 1;
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 2;
                Some(())
            },
            "R24 vma 12 and vma 15: both have anon_vma 3, in different address spaces\n1\n",
        )?);
        Ok(())
    }

    #[test]
    fn different_roots() -> Result {
        assert!(broken_in(
            sample::single(Source::Shadow)?,
            |graph| {
                sample::anon_vma(graph, 1, 1, (1, 1, 0), &[0]).ok()?;
                graph.vmas.get_mut(0)?.chain.push(1, GFP_KERNEL).ok()
            },
            "R15 vma 11: anon_vma 1 and anon_vma 2 of its chain have different roots\n1\n",
        )?);
        Ok(())
    }

    #[test]
    fn roots_and_parents() -> Result {
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(2)?.root = 1;
                graph.anon_vmas.get_mut(0)?.refcount = 2;
                graph.anon_vmas.get_mut(1)?.refcount = 2;
                Some(())
            },
            "R15 vma 14: anon_vma 2 and anon_vma 3 of its chain have different roots\n\
             R14 anon_vma 3: its root, anon_vma 2, has a root itself, anon_vma 1\n\
             R14 anon_vma 3: its root is anon_vma 2, but its parents end at anon_vma 1\n\
             3\n",
        )?);
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(1)?.parent = 2;
                graph.anon_vmas.get_mut(0)?.num_children = 1;
                graph.anon_vmas.get_mut(2)?.num_children = 1;
                Some(())
            },
            "R23 vma 12: its chain links anon_vma 2, but not the parent of that, anon_vma 3\n\
             R14 anon_vma 2: its parents go round in a circle\n\
             R14 anon_vma 3: its parents go round in a circle\n\
             3\n",
        )?);
        Ok(())
    }

    #[test]
    fn lineages_of_all() -> Result {
        let graph = sample::generations(Source::Shadow)?;
        let expected = [0, 1, 2].map(|depth| Lineage::Ends { depth, root: 0 });
        assert!(lineages(&graph)?.as_slice() == expected);
        // From the bottom up as well.
        let graph = sample::retaken(&graph, Source::Host, &[2, 1, 0])?;
        let expected = [2, 1, 0].map(|depth| Lineage::Ends { depth, root: 2 });
        assert!(lineages(&graph)?.as_slice() == expected);
        Ok(())
    }

    #[test]
    fn counters() -> Result {
        assert!(broken(
            |graph| {
                graph.anon_vmas.get_mut(0)?.num_active_vmas = 2;
                graph.anon_vmas.get_mut(0)?.num_children = 1;
                graph.anon_vmas.get_mut(1)?.num_children = 2;
                graph.anon_vmas.get_mut(2)?.num_active_vmas = 0;
                Some(())
            },
            "R24 anon_vma 1: num_active_vmas is 2, VMAs whose anon_vma it is: 1\n\
             R24 anon_vma 1: num_children is 1, linked anon_vmas whose parent it is: 2\n\
             R24 anon_vma 2: num_children is 2, linked anon_vmas whose parent it is: 1\n\
             R24 anon_vma 3: num_active_vmas is 0, VMAs whose anon_vma it is: 1\n\
             4\n",
        )?);
        Ok(())
    }

    #[test]
    fn references() -> Result {
        let change = |graph: &mut Graph| {
            graph.anon_vmas.get_mut(0)?.refcount = 2;
            graph.anon_vmas.get_mut(1)?.refcount = 2;
            graph.anon_vmas.get_mut(2)?.refcount = 0;
            Some(())
        };
        assert!(broken(
            change,
            "R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             R18 anon_vma 2: refcount is 2, its links and those whose root it is make 1\n\
             R18 anon_vma 3: refcount is 0, its links and those whose root it is make 1\n\
             3\n",
        )?);
        // In the host somebody may hold a pin.
        assert!(broken_in(
            sample::generations(Source::Host)?,
            change,
            "R16 anon_vma 1: refcount is 2, its links and those whose root it is make 3\n\
             R18 anon_vma 3: refcount is 0, its links and those whose root it is make 1\n\
             2\n",
        )?);
        Ok(())
    }

    #[test]
    fn an_empty_tree_is_no_child() -> Result {
        // As it stands between the two loops of unlink: only a reference keeps it.
        let mut graph = sample::single(Source::Shadow)?;
        sample::anon_vma(&mut graph, 0, 0, (1, 0, 0), &[])?;
        assert!(sample::is(
            &seen(&graph)?,
            "R16 anon_vma 1: refcount is 1, its links and those whose root it is make 2\n\
             R18 anon_vma 2: refcount is 1, its links and those whose root it is make 0\n\
             2\n",
        ));
        // And without that it is gone, though somebody still points at it.
        for (index, refcount) in [(0, 2), (1, 0)] {
            graph.anon_vmas.get_mut(index).ok_or(EINVAL)?.refcount = refcount;
        }
        assert!(sample::is(
            &seen(&graph)?,
            "R18 anon_vma 2: refcount is 0, its links and those whose root it is make 0\n1\n",
        ));
        Ok(())
    }

    #[test]
    fn pages() -> Result {
        assert!(broken(
            |graph| {
                graph.pages.get_mut(0)?.found_by.remove(1).ok()?;
                let second = graph.pages.get_mut(1)?;
                second.found_by = sample::list(&[0, 1, 3]).ok()?;
                second.mapcount = 3;
                graph.pages.get_mut(2)?.mapcount = -1;
                graph.pages.get_mut(3)?.anon_vma = None;
                Some(())
            },
            "R21 page 1: vma 12 maps it, but a walk from anon_vma 1 does not find that\n\
             R35 page 2: a walk from anon_vma 2 finds vma 11, which does not map it\n\
             R3 page 2: mapcount is 3, PTEs that map it: 2\n\
             R3 page 3: mapcount is -1, PTEs that map it: 1\n\
             R21 page 4: 1 VMAs map it, but none links to its anon_vma\n\
             5\n",
        )?);
        Ok(())
    }

    #[test]
    fn pages_of_a_tainted_vma() -> Result {
        assert!(broken(
            |graph| {
                let vma = graph.vmas.get_mut(2)?;
                vma.tainted = true;
                let page = graph.pages.get_mut(3)?;
                (page.mapped_by, page.found_by) = (sample::list(&[2]).ok()?, KVVec::new());
                Some(())
            },
            "0\n",
        )?);
        Ok(())
    }

    #[test]
    fn indices_out_of_range() -> Result {
        for change in [
            |graph: &mut Graph| graph.vmas.get_mut(0).map(|vma| vma.mm = 3),
            |graph: &mut Graph| graph.vmas.get_mut(0).map(|vma| vma.anon_vma = Some(3)),
            |graph: &mut Graph| graph.vmas.get_mut(3)?.chain.get_mut(2).map(|at| *at = 3),
            |graph: &mut Graph| graph.anon_vmas.get_mut(0).map(|node| node.root = 3),
            |graph: &mut Graph| graph.anon_vmas.get_mut(0).map(|node| node.parent = 3),
            |graph: &mut Graph| {
                graph
                    .anon_vmas
                    .get_mut(0)?
                    .vmas
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
            |graph: &mut Graph| graph.pages.get_mut(0).map(|page| page.anon_vma = Some(3)),
            |graph: &mut Graph| {
                graph
                    .pages
                    .get_mut(0)?
                    .mapped_by
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
            |graph: &mut Graph| {
                graph
                    .pages
                    .get_mut(0)?
                    .found_by
                    .get_mut(2)
                    .map(|at| *at = 4)
            },
        ] {
            let mut graph = sample::generations(Source::Shadow)?;
            change(&mut graph).ok_or(EINVAL)?;
            assert!(seen(&graph).is_err());
        }
        Ok(())
    }

    #[test]
    fn only_the_shadow_counts() -> Result {
        // A broken graph of the host leaves the counters alone, a right one of the shadow counts
        // checks.
        let before = Rule::R16.counts();
        let mut graph = sample::generations(Source::Host)?;
        graph.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 0;
        assert!(verify(&graph, &mut |_, _| ())? == 1);
        assert!(Rule::R16.counts() == before);
        let graph = sample::generations(Source::Shadow)?;
        assert!(verify(&graph, &mut |_, _| ())? == 0);
        assert!(Rule::R16.counts() == (before.0 + 1, before.1));

        // What a broken graph of the shadow would count.
        let mut graph = sample::generations(Source::Shadow)?;
        graph.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 0;
        let (mut good, mut bad) = (0, 0);
        check(&graph, &mut |_, _| (), &mut |rule, holds| {
            good += usize::from(holds);
            bad += usize::from(!holds && rule == Rule::R16);
        })?;
        assert!(good > 0 && bad == 1);
        Ok(())
    }

    /// All violations of `graph`, a line each, and their number. Counts for no rule.
    fn seen(graph: &Graph) -> Result<KVVec<u8>> {
        let mut text = KVVec::new();
        let mut report = |rule: Rule, words: fmt::Arguments<'_>| {
            if let Ok(line) = CString::try_from_fmt(fmt!("{} {words}\n", rule.name())) {
                let _ = text.extend_from_slice(line.to_bytes(), GFP_KERNEL);
            }
        };
        let violations = check(graph, &mut report, &mut |_, _| ())?;
        let line = CString::try_from_fmt(fmt!("{violations}\n"))?;
        text.extend_from_slice(line.to_bytes(), GFP_KERNEL)?;
        Ok(text)
    }

    /// Whether just what was `expected` is seen once `change` was made to `graph`.
    fn broken_in(
        mut graph: Graph,
        change: impl FnOnce(&mut Graph) -> Option<()>,
        expected: &str,
    ) -> Result<bool> {
        change(&mut graph).ok_or(EINVAL)?;
        Ok(sample::is(&seen(&graph)?, expected))
    }

    /// The same for three generations in the shadow.
    fn broken(change: impl FnOnce(&mut Graph) -> Option<()>, expected: &str) -> Result<bool> {
        broken_in(sample::generations(Source::Shadow)?, change, expected)
    }
}
