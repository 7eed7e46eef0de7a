// SPDX-License-Identifier: GPL-2.0

//! Compares the shadow's [`Graph`] with the host's: are they the same but for the names?
//!
//! The VMAs of the two graphs are the same ones in the same order, so what is to be found is one
//! bijection between the anon_vmas under which everything agrees. It is built from what can only be
//! one way: the `->anon_vma` of a VMA, the anon_vma of a page, and then their parents, and the
//! parents of those. What is left are anon_vmas with no VMA of their own, no page and no matched
//! descendant; they are told apart by their depth, by who links to them, and by who links to their
//! parents. However the pairs were found, everything is checked afterwards, so that a pair that was
//! chosen badly shows as a difference and is never a difference hidden.
//!
//! Chains are compared as sets: `anon_vma_clone()` of 7.3 reverses the order at each clone.

use super::{
    text,
    verify::{
        lineages,
        well_formed,
        Lineage,
        Lists, //
    },
    AnonVmaNode,
    Graph,
    PageNode,
    Source,
    VmaNode, //
};
use crate::kernel_ext::sort::{
    sort_by,
    sort_by_key, //
};
use core::cmp::Ordering;
use kernel::{
    fmt,
    prelude::*, //
};

/// What a comparison saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// VMAs of the shadow, those not compared among them.
    pub(crate) vmas: usize,
    /// anon_vmas of the shadow.
    pub(crate) anon_vmas: usize,
    /// Links between the two.
    pub(crate) chains: usize,
    /// Anonymous pages of the shadow.
    pub(crate) pages: usize,
    /// VMAs that were not compared, because there was no memory to follow them or their relatives.
    pub(crate) untracked: usize,
    /// Differences.
    pub(crate) differences: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "compare: vmas={} anon_vmas={} chains={} pages={} untracked={} differences={}",
            self.vmas,
            self.anon_vmas,
            self.chains,
            self.pages,
            self.untracked,
            self.differences
        ))
    }
}

/// Compares `shadow` with `host`, and hands `line` a line for each VMA, and for each anon_vma and
/// page that differs: without the line's end.
///
/// A VMA that either graph calls tainted is not compared, and nor is its family: all VMAs that link
/// to an anon_vma with the same root, their anon_vmas and pages.
///
/// # Errors
///
/// [`ENOMEM`]; [`EINVAL`] if an index of a graph points at nothing.
pub(crate) fn compare(
    shadow: &Graph,
    host: &Graph,
    line: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<Outcome> {
    if !well_formed(shadow) || !well_formed(host) {
        return Err(EINVAL);
    }
    let mut pair = Pair {
        shadow: Side::new(shadow)?,
        host: Side::new(host)?,
        untracked: KVVec::new(),
    };
    pair.set_aside()?;
    pair.join_known()?;
    pair.join_rest()?;

    let mut outcome = Outcome {
        vmas: shadow.vmas.len(),
        anon_vmas: shadow.anon_vmas.len(),
        chains: shadow.links(),
        pages: shadow.pages.len(),
        untracked: pair.untracked.iter().filter(|&&skip| skip).count(),
        differences: 0,
    };
    let differences = &mut outcome.differences;
    pair.compare_vmas(line, differences)?;
    pair.compare_anon_vmas(line, differences)?;
    pair.compare_pages(line, differences)?;
    Ok(outcome)
}

/// One of the two graphs.
struct Side<'a> {
    graph: &'a Graph,
    /// Each VMA's chain.
    chains: Lists,
    /// Each anon_vma's VMAs.
    trees: Lists,
    lineages: KVVec<Lineage>,
    /// Each anon_vma's counterpart on the other side.
    partners: KVVec<Option<usize>>,
    /// anon_vmas that are not compared.
    aside: KVVec<bool>,
}

impl<'a> Side<'a> {
    /// Sorts what is looked up; nobody has a counterpart yet.
    fn new(graph: &'a Graph) -> Result<Self> {
        let number = graph.anon_vmas.len();
        Ok(Self {
            graph,
            chains: Lists::sorted(graph.vmas.iter().map(|vma| vma.chain.as_slice()))?,
            trees: Lists::sorted(graph.anon_vmas.iter().map(|node| node.vmas.as_slice()))?,
            lineages: lineages(graph)?,
            partners: KVVec::from_elem(None, number, GFP_KERNEL)?,
            aside: KVVec::from_elem(false, number, GFP_KERNEL)?,
        })
    }

    /// A VMA of the graph.
    fn vma(&self, index: usize) -> Option<&'a VmaNode> {
        self.graph.vmas.get(index)
    }

    /// An anon_vma of the graph.
    fn anon_vma(&self, index: usize) -> Option<&'a AnonVmaNode> {
        self.graph.anon_vmas.get(index)
    }

    /// Its counterpart on the other side.
    fn partner(&self, anon_vma: usize) -> Option<usize> {
        self.partners.get(anon_vma).copied().flatten()
    }

    /// Whether it is not compared.
    fn is_aside(&self, anon_vma: usize) -> bool {
        self.aside.get(anon_vma).is_some_and(|&aside| aside)
    }

    /// Whether it still needs a counterpart.
    fn is_alone(&self, anon_vma: usize) -> bool {
        self.partner(anon_vma).is_none() && !self.is_aside(anon_vma)
    }

    /// Steps to the root, `None` if there is none.
    fn depth(&self, anon_vma: usize) -> Option<usize> {
        match self.lineages.get(anon_vma) {
            Some(&Lineage::Ends { depth, .. }) => Some(depth),
            _ => None,
        }
    }

    /// What to call it.
    fn label(&self, anon_vma: usize) -> Label<'a> {
        Label(self.graph, anon_vma)
    }

    /// The deeper comes first; then they differ by what is the same in both graphs: who links to
    /// them and to each of their parents in turn, and how many children these have.
    fn order(&self, mut one: usize, mut other: usize) -> Ordering {
        let depth = self.depth(one);
        let mut order = self.depth(other).cmp(&depth);
        for _ in 0..=depth.unwrap_or(0) {
            if order != Ordering::Equal || one == other {
                break;
            }
            let (Some(a), Some(b)) = (self.anon_vma(one), self.anon_vma(other)) else {
                break;
            };
            order = self
                .trees
                .get(one)
                .cmp(self.trees.get(other))
                .then(a.num_children.cmp(&b.num_children));
            (one, other) = (a.parent, b.parent);
        }
        order
    }

    /// The pages' keys and indices, by key.
    fn pages(&self) -> Result<KVVec<(usize, usize)>> {
        let mut pages = KVVec::with_capacity(self.graph.pages.len(), GFP_KERNEL)?;
        for (index, page) in self.graph.pages.iter().enumerate() {
            pages.push((page.key, index), GFP_KERNEL)?;
        }
        sort_by_key(&mut pages, |&page| page);
        Ok(pages)
    }
}

/// An anon_vma by its number and place: `anon_vma 2 (child of 1)`.
struct Label<'a>(&'a Graph, usize);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = text::Position(self.0, self.1);
        f.write_fmt(fmt!("anon_vma {} ({position})", self.1 + 1))
    }
}

/// A count and what is counted: `1 anon_vma`, `2 anon_vmas`.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        f.write_fmt(fmt!("{} {}{plural}", self.0, self.1))
    }
}

/// Two lists of VMAs that should be the same, in ascending order.
struct Sets<'a> {
    graph: &'a Graph,
    host: &'a [usize],
    shadow: &'a [usize],
}

impl fmt::Display for Sets<'_> {
    /// Says how many there are, and names the first few that one side lacks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 4;

        let (host, shadow) = (self.host, self.shadow);
        f.write_fmt(fmt!(
            "host {}, shadow {}",
            Count(host.len(), "VMA"),
            shadow.len()
        ))?;
        let mut separator = ": ";
        for (list, other, what) in [(host, shadow, "missing"), (shadow, host, "too many")] {
            let lacking = || list.iter().filter(|vma| other.binary_search(vma).is_err());
            for &vma in lacking().take(NAMED) {
                let id = self.graph.vmas.get(vma).map_or(0, |vma| vma.id);
                f.write_fmt(fmt!("{separator}vma {id} is {what}"))?;
                separator = ", ";
            }
            let more = lacking().count().saturating_sub(NAMED);
            if more > 0 {
                f.write_fmt(fmt!("{separator}{more} more are {what}"))?;
            }
        }
        Ok(())
    }
}

/// One thing that is not the same on both sides.
enum Difference {
    /// The VMA is on this side alone.
    OnlyIn(Source),
    /// In its place the host has a VMA with this number.
    OtherVma(u64),
    /// The addresses.
    Range,
    /// A number, by its name: the host's and the shadow's.
    Number(&'static str, i128, i128),
    /// `anon_vma`, `root` or `parent`, by its name: the host's and the shadow's.
    Points(&'static str, Option<usize>, Option<usize>),
    /// The chain lacks this anon_vma of the host's.
    Missing(usize),
    /// The chain has this anon_vma of the shadow's, and should not.
    TooMany(usize),
    /// The chain has the right anon_vmas, but some of them more than once.
    Repeated,
    /// The VMAs in the interval tree.
    Tree,
    /// The VMAs that map the page.
    MappedBy,
    /// The VMAs that a walk finds to map the page.
    FoundBy,
}

/// The differences in one pair of VMAs, anon_vmas or pages, in words on one line.
struct Words<'a> {
    pair: &'a Pair<'a>,
    /// The pair: the shadow's index and the host's.
    at: (usize, usize),
    differences: &'a [Difference],
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.differences.is_empty() {
            return f.write_str("same");
        }
        let mut in_chain = false;
        for (place, difference) in self.differences.iter().enumerate() {
            let chain = matches!(difference, Difference::Missing(_) | Difference::TooMany(_));
            if place > 0 {
                f.write_str(if chain && in_chain { ", " } else { "; " })?;
            }
            if chain && !in_chain {
                self.chain(f)?;
                f.write_str(": ")?;
            }
            in_chain = chain;
            self.difference(f, difference)?;
        }
        Ok(())
    }
}

impl Words<'_> {
    /// Writes how many links each side has.
    fn chain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |side: &Side<'_>, at| side.vma(at).map_or(0, |vma| vma.chain.len());
        f.write_fmt(fmt!(
            "chain: host links {}, shadow {}",
            Count(length(&self.pair.host, self.at.1), "anon_vma"),
            length(&self.pair.shadow, self.at.0)
        ))
    }

    /// Writes one difference.
    fn difference(&self, f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
        let (shadow, host) = (&self.pair.shadow, &self.pair.host);
        let pages = || {
            let shadow = shadow.graph.pages.get(self.at.0).ok_or(fmt::Error)?;
            let host = host.graph.pages.get(self.at.1).ok_or(fmt::Error)?;
            Ok((shadow, host))
        };
        let sets = |host, shadow| Sets {
            graph: self.pair.host.graph,
            host,
            shadow,
        };
        match *difference {
            Difference::OnlyIn(source) => {
                f.write_fmt(fmt!("only the {} has it", text::owner(source)))
            }
            Difference::OtherVma(id) => f.write_fmt(fmt!("in its place the host has vma {id}")),
            Difference::Range => {
                let range = |side: &Side<'_>, at| side.vma(at).map_or((0, 0), |v| (v.start, v.end));
                let (host, shadow) = (range(host, self.at.1), range(shadow, self.at.0));
                f.write_fmt(fmt!(
                    "range: host [{:#x}, {:#x}), shadow [{:#x}, {:#x})",
                    host.0,
                    host.1,
                    shadow.0,
                    shadow.1
                ))
            }
            Difference::Number(name, host, shadow) => {
                f.write_fmt(fmt!("{name}: host {host}, shadow {shadow}"))
            }
            Difference::Points(name, at_host, at_shadow) => {
                // Each side has its own numbers, so the host's alone would not show it.
                match (at_host, at_host.and_then(|at| host.partner(at))) {
                    (Some(at), Some(partner)) => f.write_fmt(fmt!(
                        "{name}: should be anon_vma {} (the host's {})",
                        partner + 1,
                        at + 1
                    ))?,
                    (Some(at), None) => f.write_fmt(fmt!(
                        "{name}: should be the host's {}, which has no counterpart",
                        host.label(at)
                    ))?,
                    (None, _) => f.write_fmt(fmt!("{name}: should be none"))?,
                }
                match at_shadow {
                    Some(at) => f.write_fmt(fmt!(", is anon_vma {}", at + 1)),
                    None => f.write_str(", is none"),
                }
            }
            Difference::Missing(anon_vma) => {
                f.write_fmt(fmt!("the host's {} is missing", host.label(anon_vma)))
            }
            Difference::TooMany(anon_vma) => f.write_fmt(fmt!(
                "the shadow's {} is one too many",
                shadow.label(anon_vma)
            )),
            Difference::Repeated => self.chain(f),
            Difference::Tree => f.write_fmt(fmt!(
                "tree: {}",
                sets(host.trees.get(self.at.1), shadow.trees.get(self.at.0))
            )),
            Difference::MappedBy => {
                let (shadow, host) = pages()?;
                let sets = sets(&host.mapped_by, &shadow.mapped_by);
                f.write_fmt(fmt!("mapped by: {sets}"))
            }
            Difference::FoundBy => {
                let (shadow, host) = pages()?;
                let sets = sets(&host.found_by, &shadow.found_by);
                f.write_fmt(fmt!("found by a walk: {sets}"))
            }
        }
    }
}

/// A list of the differences in one pair.
type Found = KVVec<Difference>;

/// Notes a number that is not the same.
fn number(found: &mut Found, name: &'static str, host: i128, shadow: i128) -> Result {
    if host != shadow {
        found.push(Difference::Number(name, host, shadow), GFP_KERNEL)?;
    }
    Ok(())
}

/// Both graphs, and which anon_vma of the one is which of the other.
struct Pair<'a> {
    shadow: Side<'a>,
    host: Side<'a>,
    /// VMAs that are not compared.
    untracked: KVVec<bool>,
}

impl Pair<'_> {
    /// How many VMAs the larger graph has.
    fn vmas(&self) -> usize {
        self.shadow.graph.vmas.len().max(self.host.graph.vmas.len())
    }

    /// Whether the VMA is not compared.
    fn is_untracked(&self, vma: usize) -> bool {
        self.untracked.get(vma).is_some_and(|&untracked| untracked)
    }

    /// Finds what is not compared: tainted VMAs and their families.
    ///
    /// A family is all that has one root, on one side; a VMA takes its family on the other side with
    /// it. It is done when a round finds nothing new, after two or three.
    fn set_aside(&mut self) -> Result {
        for index in 0..self.vmas() {
            let tainted = |side: &Side<'_>| side.vma(index).is_some_and(|vma| vma.tainted);
            let tainted = tainted(&self.shadow) || tainted(&self.host);
            self.untracked.push(tainted, GFP_KERNEL)?;
        }
        let mut more = self.untracked.contains(&true);
        while more {
            more = false;
            for side in [&mut self.shadow, &mut self.host] {
                for (index, vma) in side.graph.vmas.iter().enumerate() {
                    let Some(untracked) = self.untracked.get_mut(index) else {
                        continue;
                    };
                    // `pin_init` has another `chain`.
                    let linked = || Iterator::chain(vma.chain.iter(), vma.anon_vma.as_ref());
                    let roots =
                        || linked().filter_map(|&at| Some(side.graph.anon_vmas.get(at)?.root));
                    let aside = |at| side.aside.get(at).is_some_and(|&aside| aside);
                    if *untracked {
                        for root in roots() {
                            if let Some(aside) = side.aside.get_mut(root) {
                                more |= !core::mem::replace(aside, true);
                            }
                        }
                    } else if roots().any(aside) {
                        *untracked = true;
                        more = true;
                    }
                }
            }
        }
        for side in [&mut self.shadow, &mut self.host] {
            for (index, node) in side.graph.anon_vmas.iter().enumerate() {
                let root = side.is_aside(node.root);
                if let Some(aside) = side.aside.get_mut(index) {
                    *aside |= root;
                }
            }
        }
        Ok(())
    }

    /// Makes the two anon_vmas a pair if they can be one, and goes on with their parents.
    fn join(&mut self, mut shadow: usize, mut host: usize) {
        while self.shadow.is_alone(shadow)
            && self.host.is_alone(host)
            && self.shadow.depth(shadow) == self.host.depth(host)
        {
            let (Some(at), Some(at_host)) = (
                self.shadow.partners.get_mut(shadow),
                self.host.partners.get_mut(host),
            ) else {
                return;
            };
            (*at, *at_host) = (Some(host), Some(shadow));
            let (Some(node), Some(at_host)) =
                (self.shadow.anon_vma(shadow), self.host.anon_vma(host))
            else {
                return;
            };
            (shadow, host) = (node.parent, at_host.parent);
        }
    }

    /// Joins those that a VMA or a page points at.
    fn join_known(&mut self) -> Result {
        let graphs = (self.shadow.graph, self.host.graph);
        for (vma, other) in graphs.0.vmas.iter().zip(&graphs.1.vmas) {
            if let (true, Some(shadow), Some(host)) =
                (vma.id == other.id, vma.anon_vma, other.anon_vma)
            {
                self.join(shadow, host);
            }
        }
        let pages = self.host.pages()?;
        for page in &graphs.0.pages {
            let other = pages
                .binary_search_by_key(&page.key, |entry| entry.0)
                .ok()
                .and_then(|at| pages.get(at))
                .and_then(|entry| graphs.1.pages.get(entry.1));
            if let (Some(shadow), Some(host)) =
                (page.anon_vma, other.and_then(|other| other.anon_vma))
            {
                self.join(shadow, host);
            }
        }
        Ok(())
    }

    /// Joins what is left in each VMA's chains, the deepest first.
    fn join_rest(&mut self) -> Result {
        let (mut left, mut left_host): (KVVec<usize>, KVVec<usize>) = (KVVec::new(), KVVec::new());
        for index in 0..self.vmas() {
            for (side, left) in [
                (&self.shadow, &mut left),
                (&self.host, &mut left_host), //
            ] {
                left.clear();
                for &anon_vma in side.chains.get(index) {
                    if side.is_alone(anon_vma) {
                        left.push(anon_vma, GFP_KERNEL)?;
                    }
                }
                sort_by(left, |&one, &other| side.order(one, other));
            }
            let (mut shadows, mut hosts) = (left.iter().peekable(), left_host.iter().peekable());
            while let (Some(&&shadow), Some(&&host)) = (shadows.peek(), hosts.peek()) {
                let depth = self.shadow.depth(shadow);
                // What has no counterpart of its depth is skipped; joining checks the rest.
                match depth.cmp(&self.host.depth(host)) {
                    Ordering::Greater => drop(shadows.next()),
                    Ordering::Less => drop(hosts.next()),
                    Ordering::Equal => {
                        self.join(shadow, host);
                        shadows.next();
                        hosts.next();
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes a pointer that does not point at the same.
    fn points(
        &self,
        found: &mut Found,
        name: &'static str,
        host: Option<usize>,
        shadow: Option<usize>,
    ) -> Result {
        let same = match (host, shadow) {
            (Some(host), Some(shadow)) => self.host.partner(host) == Some(shadow),
            (host, shadow) => host == shadow,
        };
        if !same {
            found.push(Difference::Points(name, host, shadow), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Compares the VMAs and tells `line` about each.
    fn compare_vmas(
        &self,
        line: &mut dyn FnMut(fmt::Arguments<'_>),
        differences: &mut usize,
    ) -> Result {
        let mut found = Found::new();
        for index in 0..self.vmas() {
            found.clear();
            let (shadow, host) = (self.shadow.vma(index), self.host.vma(index));
            let (vma, graph) = match (shadow, host) {
                (Some(vma), _) => (vma, self.shadow.graph),
                (None, Some(vma)) => (vma, self.host.graph),
                (None, None) => continue,
            };
            let Some(mm) = graph.mms.get(vma.mm) else {
                continue;
            };
            let mut say = |what: fmt::Arguments<'_>| {
                line(fmt!(
                    "vma {} ({}) [{:#x}, {:#x}): {what}",
                    vma.id,
                    text::Process(mm),
                    vma.start,
                    vma.end
                ));
            };
            if self.is_untracked(index) {
                say(fmt!("untracked, not compared"));
                continue;
            }
            match (shadow, host) {
                (Some(shadow), Some(host)) => self.compare_vma(&mut found, index, shadow, host)?,
                (Some(_), None) => found.push(Difference::OnlyIn(Source::Shadow), GFP_KERNEL)?,
                _ => found.push(Difference::OnlyIn(Source::Host), GFP_KERNEL)?,
            }
            *differences += found.len();
            let words = Words {
                pair: self,
                at: (index, index),
                differences: &found,
            };
            say(fmt!("{words}"));
        }
        Ok(())
    }

    /// Notes what differs in one VMA.
    fn compare_vma(
        &self,
        found: &mut Found,
        index: usize,
        shadow: &VmaNode,
        host: &VmaNode,
    ) -> Result {
        if shadow.id != host.id {
            // Whatever else there is to say would compare two different things.
            return Ok(found.push(Difference::OtherVma(host.id), GFP_KERNEL)?);
        }
        if (shadow.start, shadow.end) != (host.start, host.end) {
            found.push(Difference::Range, GFP_KERNEL)?;
        }
        number(found, "pgoff", host.pgoff as i128, shadow.pgoff as i128)?;
        self.points(found, "anon_vma", host.anon_vma, shadow.anon_vma)?;

        let before = found.len();
        for &anon_vma in self.host.chains.get(index) {
            let partner = self.host.partner(anon_vma);
            if !partner.is_some_and(|partner| self.shadow.chains.has(index, partner)) {
                found.push(Difference::Missing(anon_vma), GFP_KERNEL)?;
            }
        }
        for &anon_vma in self.shadow.chains.get(index) {
            let partner = self.shadow.partner(anon_vma);
            if !partner.is_some_and(|partner| self.host.chains.has(index, partner)) {
                found.push(Difference::TooMany(anon_vma), GFP_KERNEL)?;
            }
        }
        if found.len() == before && shadow.chain.len() != host.chain.len() {
            found.push(Difference::Repeated, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Compares the anon_vmas and tells `line` about those that differ.
    fn compare_anon_vmas(
        &self,
        line: &mut dyn FnMut(fmt::Arguments<'_>),
        differences: &mut usize,
    ) -> Result {
        let mut found = Found::new();
        for (index, shadow) in self.shadow.graph.anon_vmas.iter().enumerate() {
            if self.shadow.is_aside(index) {
                continue;
            }
            let label = self.shadow.label(index);
            let Some(at) = self.shadow.partner(index) else {
                *differences += 1;
                line(fmt!("{label}: only the shadow has it"));
                continue;
            };
            let Some(host) = self.host.anon_vma(at) else {
                continue;
            };
            found.clear();
            self.points(&mut found, "root", Some(host.root), Some(shadow.root))?;
            self.points(&mut found, "parent", Some(host.parent), Some(shadow.parent))?;
            for (name, host, shadow) in [
                ("num_children", host.num_children, shadow.num_children),
                (
                    "num_active_vmas",
                    host.num_active_vmas,
                    shadow.num_active_vmas,
                ),
                ("foreign VMAs", host.foreign, shadow.foreign),
            ] {
                number(&mut found, name, host as i128, shadow as i128)?;
            }
            number(
                &mut found,
                "refcount",
                host.refcount.into(),
                shadow.refcount.into(),
            )?;
            if self.host.trees.get(at) != self.shadow.trees.get(index) {
                found.push(Difference::Tree, GFP_KERNEL)?;
            }
            if !found.is_empty() {
                *differences += found.len();
                let words = Words {
                    pair: self,
                    at: (index, at),
                    differences: &found,
                };
                line(fmt!("{label}, the host's {}: {words}", at + 1));
            }
        }
        for at in 0..self.host.graph.anon_vmas.len() {
            if self.host.is_alone(at) {
                *differences += 1;
                line(fmt!(
                    "the host's {}: only the host has it",
                    self.host.label(at)
                ));
            }
        }
        Ok(())
    }

    /// Whether a page belongs to what is not compared.
    fn is_page_aside(&self, side: &Side<'_>, page: &PageNode) -> bool {
        page.anon_vma.is_some_and(|at| side.is_aside(at))
            || page.mapped_by.iter().any(|&vma| self.is_untracked(vma))
    }

    /// Compares the pages and tells `line` about those that differ.
    fn compare_pages(
        &self,
        line: &mut dyn FnMut(fmt::Arguments<'_>),
        differences: &mut usize,
    ) -> Result {
        let (shadows, hosts) = (self.shadow.pages()?, self.host.pages()?);
        let (mut shadows, mut hosts) = (shadows.iter().peekable(), hosts.iter().peekable());
        let mut found = Found::new();
        loop {
            let order = match (shadows.peek(), hosts.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(shadow), Some(host)) => shadow.0.cmp(&host.0),
            };
            let shadow = shadows.next_if(|_| order.is_le()).map(|entry| entry.1);
            let host = hosts.next_if(|_| order.is_ge()).map(|entry| entry.1);
            let page = shadow.and_then(|at| self.shadow.graph.pages.get(at));
            let at_host = host.and_then(|at| self.host.graph.pages.get(at));
            if page.is_some_and(|page| self.is_page_aside(&self.shadow, page))
                || at_host.is_some_and(|page| self.is_page_aside(&self.host, page))
            {
                continue;
            }
            found.clear();
            match (page, at_host) {
                (Some(page), Some(at_host)) => self.compare_page(&mut found, page, at_host)?,
                (Some(_), None) => found.push(Difference::OnlyIn(Source::Shadow), GFP_KERNEL)?,
                _ => found.push(Difference::OnlyIn(Source::Host), GFP_KERNEL)?,
            }
            if found.is_empty() {
                continue;
            }
            *differences += found.len();
            let words = Words {
                pair: self,
                at: (shadow.unwrap_or(0), host.unwrap_or(0)),
                differences: &found,
            };
            if let (Some(at), Some(page)) = (shadow, page) {
                line(fmt!("page {} (index {}): {words}", at + 1, page.index));
            } else if let (Some(at), Some(page)) = (host, at_host) {
                line(fmt!(
                    "the host's page {} (index {}): {words}",
                    at + 1,
                    page.index
                ));
            }
        }
    }

    /// Notes what differs in one page.
    fn compare_page(&self, found: &mut Found, shadow: &PageNode, host: &PageNode) -> Result {
        self.points(found, "anon_vma", host.anon_vma, shadow.anon_vma)?;
        number(found, "index", host.index as i128, shadow.index as i128)?;
        number(
            found,
            "mapcount",
            host.mapcount.into(),
            shadow.mapcount.into(),
        )?;
        if host.mapped_by != shadow.mapped_by {
            found.push(Difference::MappedBy, GFP_KERNEL)?;
        }
        if host.found_by != shadow.found_by {
            found.push(Difference::FoundBy, GFP_KERNEL)?;
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_compare)]
mod tests {
    use super::super::verify::sample;
    use super::*;
    use kernel::str::CString;

    #[test]
    fn nothing() -> Result {
        let graphs = (Graph::new(Source::Shadow), Graph::new(Source::Host));
        assert!(sample::is(
            &seen(&graphs)?,
            "compare: vmas=0 anon_vmas=0 chains=0 pages=0 untracked=0 differences=0\n"
        ));
        Ok(())
    }

    #[test]
    fn the_same_with_other_names() -> Result {
        let expected = "\
vma 11 (pid 41 main) [0x10000, 0x14000): same
vma 12 (pid 42 child) [0x10000, 0x14000): same
vma 13 (pid 42 child) [0x20000, 0x21000): same
vma 14 (pid 43 grand child) [0x10000, 0x14000): same
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=0
";
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            assert!(sample::is(&seen(&generations(&order)?)?, expected));
        }
        Ok(())
    }

    #[test]
    fn the_same_after_reuse() -> Result {
        let expected = "\
vma 11 (pid 41 main) [0x10000, 0x14000): same
vma 12 (pid 43 grand child) [0x10000, 0x14000): same
vma 13 (pid 44 reuser) [0x10000, 0x12000): same
vma 14 (pid 44 reuser) [0x12000, 0x14000): same
vma 15 (pid 45 last) [0x10000, 0x12000): same
compare: vmas=5 anon_vmas=4 chains=14 pages=4 untracked=0 differences=0
";
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            let shadow = sample::reuse(Source::Shadow)?;
            let host = sample::retaken(&shadow, Source::Host, &order)?;
            assert!(sample::is(&seen(&(shadow, host))?, expected));
        }
        Ok(())
    }

    #[test]
    fn siblings_that_are_alike() -> Result {
        // One VMA's chain has three of the same depth, two of them idle. Only their pages tell
        // them apart, or nothing does, and then it does not matter.
        for pages in [true, false] {
            for order in [[0, 1, 2, 3, 4], [0, 1, 3, 2, 4], [4, 3, 2, 1, 0]] {
                let shadow = sample::siblings(Source::Shadow, pages)?;
                let host = sample::retaken(&shadow, Source::Host, &order)?;
                let outcome = compare(&shadow, &host, &mut |_| ())?;
                assert!(outcome.differences == 0);
                assert!((outcome.anon_vmas, outcome.chains) == (5, 5));
            }
        }
        Ok(())
    }

    #[test]
    fn siblings_by_who_links_to_them() -> Result {
        // Two idle siblings without a page; a second VMA links to one of them, and to another one
        // below it.
        for order in [[0, 1, 2, 3, 4, 5, 6], [6, 1, 3, 2, 4, 0, 5]] {
            let mut shadow = sample::siblings(Source::Shadow, false)?;
            sample::mm(&mut shadow, 47, b"other")?;
            sample::vma(&mut shadow, 1, Some(5), &[5, 6, 3, 1, 0])?;
            sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
            sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
            for (index, vmas) in [(0, &[0, 1][..]), (1, &[0, 1]), (3, &[0, 1])] {
                shadow.anon_vmas.get_mut(index).ok_or(EINVAL)?.vmas = sample::list(vmas)?;
            }
            shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 7;
            shadow.anon_vmas.get_mut(1).ok_or(EINVAL)?.num_children = 4;
            shadow.anon_vmas.get_mut(3).ok_or(EINVAL)?.num_children = 1;
            let host = sample::retaken(&shadow, Source::Host, &order)?;
            assert!(sample::is(
                &seen(&(shadow, host))?,
                "vma 11 (pid 46 heir) [0x10000, 0x14000): same\n\
                 vma 12 (pid 47 other) [0x10000, 0x14000): same\n\
                 compare: vmas=2 anon_vmas=7 chains=10 pages=0 untracked=0 differences=0\n"
            ));
        }
        Ok(())
    }

    #[test]
    fn siblings_by_their_relatives() -> Result {
        let same = "vma 11 (pid 46 heir) [0x10000, 0x14000): same\n\
             vma 12 (pid 47 other) [0x10000, 0x14000): same\n";

        // Of two idle siblings with the same VMAs one has a child.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 46, b"heir")?;
        sample::mm(&mut shadow, 47, b"other")?;
        sample::vma(&mut shadow, 0, Some(4), &[4, 3, 2, 1, 0])?;
        sample::vma(&mut shadow, 1, Some(5), &[5, 6, 3, 2, 1, 0])?;
        sample::anon_vma(&mut shadow, 0, 0, (7, 2, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 0, (1, 4, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[0])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
        sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 3, 2, 4, 5, 6])?;
        let text = seen(&(shadow, host))?;
        assert!(sample::is(text.get(..same.len()).unwrap_or(b""), same));
        assert!(text.ends_with(b" untracked=0 differences=0\n"));

        // Two idle anon_vmas with the same VMA have parents with different ones.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 46, b"heir")?;
        sample::mm(&mut shadow, 47, b"other")?;
        sample::vma(&mut shadow, 0, Some(4), &[4, 2, 1, 0])?;
        sample::vma(&mut shadow, 1, Some(5), &[5, 7, 6, 3, 2, 1, 0])?;
        sample::anon_vma(&mut shadow, 0, 0, (8, 2, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 0, (1, 4, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[0, 1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 1, 0), &[1])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[0])?;
        sample::anon_vma(&mut shadow, 0, 1, (1, 0, 1), &[1])?;
        sample::anon_vma(&mut shadow, 0, 2, (1, 0, 0), &[1])?;
        sample::anon_vma(&mut shadow, 0, 3, (1, 0, 0), &[1])?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 2, 3, 4, 5, 7, 6])?;
        let text = seen(&(shadow, host))?;
        assert!(sample::is(text.get(..same.len()).unwrap_or(b""), same));
        assert!(text.ends_with(b" untracked=0 differences=0\n"));
        Ok(())
    }

    #[test]
    fn a_missing_link() -> Result {
        // The child was not linked to its parent's anon_vma.
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(1)?.chain.remove(1).ok()?;
                shadow.anon_vmas.get_mut(0)?.vmas.remove(1).ok()?;
                shadow.pages.get_mut(0)?.found_by.remove(1).ok()?;
                Some(())
            },
            "\
vma 12 (pid 42 child) [0x10000, 0x14000): chain: host links 2 anon_vmas, shadow 1: the host's anon_vma 3 (root) is missing
anon_vma 1 (root), the host's 3: tree: host 3 VMAs, shadow 2: vma 12 is missing
page 1 (index 0): found by a walk: host 3 VMAs, shadow 2: vma 12 is missing
compare: vmas=4 anon_vmas=3 chains=5 pages=4 untracked=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn links_too_many() -> Result {
        assert!(differ(
            |shadow| {
                let vma = shadow.vmas.get_mut(0)?;
                vma.chain = sample::list(&[2, 1, 0]).ok()?;
                shadow.vmas.get_mut(1)?.chain.push(0, GFP_KERNEL).ok()
            },
            "\
vma 11 (pid 41 main) [0x10000, 0x14000): chain: host links 1 anon_vma, shadow 3: the shadow's anon_vma 2 (child of 1) is one too many, the shadow's anon_vma 3 (child of 2) is one too many
vma 12 (pid 42 child) [0x10000, 0x14000): chain: host links 2 anon_vmas, shadow 3
compare: vmas=4 anon_vmas=3 chains=9 pages=4 untracked=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn another_active_anon_vma() -> Result {
        // The grandchild reused its grandparent's instead of getting its own.
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.pop()?;
                shadow.anon_vmas.get_mut(0)?.refcount = 2;
                shadow.anon_vmas.get_mut(1)?.num_children = 0;
                shadow.anon_vmas.get_mut(0)?.num_active_vmas = 2;
                let vma = shadow.vmas.get_mut(3)?;
                vma.anon_vma = Some(0);
                vma.chain.remove(0).ok()?;
                shadow.pages.get_mut(2)?.anon_vma = None;
                Some(())
            },
            "\
vma 14 (pid 43 grand child) [0x10000, 0x14000): anon_vma: should be the host's anon_vma 1 (child of 2), which has no counterpart, is anon_vma 1; chain: host links 3 anon_vmas, shadow 2: the host's anon_vma 1 (child of 2) is missing
anon_vma 1 (root), the host's 3: num_active_vmas: host 1, shadow 2; refcount: host 3, shadow 2
anon_vma 2 (child of 1), the host's 2: num_children: host 1, shadow 0
the host's anon_vma 1 (child of 2): only the host has it
page 3 (index 2): anon_vma: should be the host's anon_vma 1 (child of 2), which has no counterpart, is none
compare: vmas=4 anon_vmas=2 chains=5 pages=4 untracked=0 differences=7
"
        )?);
        Ok(())
    }

    #[test]
    fn no_active_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(3)?.anon_vma = None;
                shadow.vmas.get_mut(2)?.anon_vma = Some(2);
                Some(())
            },
            "\
vma 13 (pid 42 child) [0x20000, 0x21000): anon_vma: should be none, is anon_vma 3
vma 14 (pid 43 grand child) [0x10000, 0x14000): anon_vma: should be anon_vma 3 (the host's 1), is none
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=2
"
        )?);
        Ok(())
    }

    #[test]
    fn ranges() -> Result {
        assert!(differ(
            |shadow| {
                let vma = shadow.vmas.get_mut(2)?;
                (vma.start, vma.pgoff) = (0x1f000, 3);
                shadow.vmas.get_mut(0)?.end = 0x15000;
                Some(())
            },
            "\
vma 11 (pid 41 main) [0x10000, 0x15000): range: host [0x10000, 0x14000), shadow [0x10000, 0x15000)
vma 13 (pid 42 child) [0x1f000, 0x21000): range: host [0x20000, 0x21000), shadow [0x1f000, 0x21000); pgoff: host 4, shadow 3
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=3
"
        )?);
        Ok(())
    }

    #[test]
    fn roots_and_parents() -> Result {
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.get_mut(2)?.root = 1;
                Some(())
            },
            "\
anon_vma 3 (child of 2), the host's 1: root: should be anon_vma 1 (the host's 3), is anon_vma 2
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=1
"
        )?);
        // Of the same depth, but with the wrong one of two for its parent.
        let mut shadow = sample::siblings(Source::Shadow, true)?;
        sample::anon_vma(&mut shadow, 0, 2, (1, 0, 0), &[0])?;
        shadow
            .vmas
            .get_mut(0)
            .ok_or(EINVAL)?
            .chain
            .push(5, GFP_KERNEL)?;
        let host = sample::retaken(&shadow, Source::Host, &[0, 1, 2, 3, 4, 5])?;
        shadow.anon_vmas.get_mut(5).ok_or(EINVAL)?.parent = 3;
        assert!(sample::is(
            &seen(&(shadow, host))?,
            "\
vma 11 (pid 46 heir) [0x10000, 0x14000): same
anon_vma 6 (child of 4), the host's 6: parent: should be anon_vma 3 (the host's 3), is anon_vma 4
compare: vmas=1 anon_vmas=6 chains=6 pages=2 untracked=0 differences=1
"
        ));
        // Parents that never end match nothing that does.
        let (mut shadow, host) = generations(&[0, 1, 2])?;
        shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.parent = 2;
        assert!(compare(&shadow, &host, &mut |_| ())?.differences > 3);
        Ok(())
    }

    #[test]
    fn numbers_of_an_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                let node = shadow.anon_vmas.get_mut(1)?;
                (node.num_children, node.num_active_vmas) = (0, 3);
                (node.refcount, node.foreign) = (-1, 1);
                Some(())
            },
            "\
anon_vma 2 (child of 1), the host's 2: num_children: host 1, shadow 0; num_active_vmas: host 1, shadow 3; foreign VMAs: host 0, shadow 1; refcount: host 1, shadow -1
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=4
"
        )?);
        Ok(())
    }

    #[test]
    fn the_tree_of_an_anon_vma() -> Result {
        assert!(differ(
            |shadow| {
                shadow.anon_vmas.get_mut(1)?.vmas = sample::list(&[3, 0]).ok()?;
                Some(())
            },
            "\
anon_vma 2 (child of 1), the host's 2: tree: host 2 VMAs, shadow 2: vma 12 is missing, vma 11 is too many
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=1
"
        )?);
        // Not all of very many are named.
        let mut shadow = Graph::new(Source::Shadow);
        sample::mm(&mut shadow, 41, b"main")?;
        let mut all = KVVec::new();
        for vma in 0..2000 {
            sample::vma(&mut shadow, 0, Some(0), &[0])?;
            all.push(vma, GFP_KERNEL)?;
        }
        sample::anon_vma(&mut shadow, 0, 0, (1, 1, 2000), &all)?;
        let host = sample::retaken(&shadow, Source::Host, &[0])?;
        shadow
            .anon_vmas
            .get_mut(0)
            .ok_or(EINVAL)?
            .vmas
            .truncate(1994);
        let graphs = (shadow, host);
        let text = seen(&graphs)?;
        let mut lines = text.split(|&byte| byte == b'\n').skip(2000);
        assert!(sample::is(
            lines.next().unwrap_or(b""),
            "anon_vma 1 (root), the host's 1: tree: host 2000 VMAs, shadow 1994: vma 2005 is missing, vma 2006 is missing, vma 2007 is missing, vma 2008 is missing, 2 more are missing"
        ));
        Ok(())
    }

    #[test]
    fn anon_vmas_on_one_side() -> Result {
        assert!(differ(
            |shadow| sample::anon_vma(shadow, 0, 1, (1, 0, 0), &[]).ok(),
            "\
anon_vma 4 (child of 2): only the shadow has it
compare: vmas=4 anon_vmas=4 chains=6 pages=4 untracked=0 differences=1
"
        )?);
        Ok(())
    }

    #[test]
    fn pages() -> Result {
        assert!(differ(
            |shadow| {
                let page = shadow.pages.get_mut(0)?;
                (page.index, page.mapcount, page.anon_vma) = (7, 2, Some(1));
                let page = shadow.pages.get_mut(1)?;
                page.mapped_by = sample::list(&[0, 1, 3]).ok()?;
                page.found_by = KVVec::new();
                shadow.pages.get_mut(2)?.key = 0xb00f;
                Some(())
            },
            "\
page 1 (index 7): anon_vma: should be anon_vma 1 (the host's 3), is anon_vma 2; index: host 0, shadow 7; mapcount: host 3, shadow 2
page 2 (index 1): mapped by: host 2 VMAs, shadow 3: vma 11 is too many; found by a walk: host 2 VMAs, shadow 0: vma 12 is missing, vma 14 is missing
the host's page 2 (index 2): only the host has it
page 3 (index 2): only the shadow has it
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=7
"
        )?);
        Ok(())
    }

    #[test]
    fn other_vmas() -> Result {
        assert!(differ(
            |shadow| {
                shadow.vmas.get_mut(2)?.id = 99;
                shadow.mms.get_mut(1)?.comm = sample::comm(b"a\nb");
                sample::vma(shadow, 2, None, &[]).ok()
            },
            "\
vma 99 (pid 42 a\\nb) [0x20000, 0x21000): in its place the host has vma 13
vma 15 (pid 43 grand child) [0x10000, 0x14000): only the shadow has it
compare: vmas=5 anon_vmas=3 chains=6 pages=4 untracked=0 differences=2
"
        )?);
        let mut graphs = generations(&[0, 1, 2])?;
        sample::vma(&mut graphs.1, 0, None, &[])?;
        assert!(sample::is(
            &only_different(&seen(&graphs)?)?,
            "\
vma 15 (pid 41 main) [0x10000, 0x14000): only the host has it
compare: vmas=4 anon_vmas=3 chains=6 pages=4 untracked=0 differences=1
"
        ));
        Ok(())
    }

    #[test]
    fn untracked_families() -> Result {
        // The shadow gave up the grandchild; the whole family goes with it, but nobody else does.
        let mut shadow = sample::generations(Source::Shadow)?;
        sample::vma(&mut shadow, 0, Some(3), &[3])?;
        sample::anon_vma(&mut shadow, 3, 3, (1, 1, 1), &[4])?;
        sample::page(&mut shadow, Some(3), 9, &[4])?;
        let host = sample::retaken(&shadow, Source::Host, &[3, 2, 1, 0])?;
        let vma = shadow.vmas.get_mut(3).ok_or(EINVAL)?;
        (vma.tainted, vma.anon_vma) = (true, None);
        vma.chain.clear();
        shadow.pages.get_mut(2).ok_or(EINVAL)?.anon_vma = None;
        shadow.pages.get_mut(0).ok_or(EINVAL)?.mapcount = 2;
        shadow.anon_vmas.get_mut(0).ok_or(EINVAL)?.refcount = 2;
        shadow.anon_vmas.get_mut(2).ok_or(EINVAL)?.vmas.clear();
        let mut graphs = (shadow, host);
        assert!(sample::is(
            &seen(&graphs)?,
            "\
vma 11 (pid 41 main) [0x10000, 0x14000): untracked, not compared
vma 12 (pid 42 child) [0x10000, 0x14000): untracked, not compared
vma 13 (pid 42 child) [0x20000, 0x21000): same
vma 14 (pid 43 grand child) [0x10000, 0x14000): untracked, not compared
vma 15 (pid 41 main) [0x10000, 0x14000): same
compare: vmas=5 anon_vmas=4 chains=4 pages=5 untracked=3 differences=0
"
        ));
        // What is tracked is still compared.
        graphs.0.anon_vmas.get_mut(3).ok_or(EINVAL)?.num_children = 2;
        graphs.0.pages.get_mut(4).ok_or(EINVAL)?.mapcount = 2;
        assert!(compare(&graphs.0, &graphs.1, &mut |_| ())?.differences == 2);
        Ok(())
    }

    #[test]
    fn a_deep_family() -> Result {
        const DEPTH: usize = 118;
        let mut shadow = Graph::new(Source::Shadow);
        let mut order = KVVec::new();
        for at in 0..DEPTH {
            order.push(DEPTH - 1 - at, GFP_KERNEL)?;
        }
        for at in 0..DEPTH {
            sample::mm(&mut shadow, 41, b"main")?;
            let chain = order.get(DEPTH - 1 - at..).ok_or(EINVAL)?;
            sample::vma(&mut shadow, at, Some(at), chain)?;
            let vmas = order.get(..DEPTH - at).ok_or(EINVAL)?;
            let parent = at.saturating_sub(1);
            sample::anon_vma(&mut shadow, 0, parent, (1, 1, 1), vmas)?;
        }
        let mut host = sample::retaken(&shadow, Source::Host, &order)?;
        let outcome = compare(&shadow, &host, &mut |_| ())?;
        assert!(outcome.chains > 7000 && outcome.differences == 0);
        // One link less in the middle: seen in the chain and in the tree.
        host.vmas.get_mut(60).ok_or(EINVAL)?.chain.remove(30)?;
        let node = host.anon_vmas.get_mut(DEPTH - 1 - 30).ok_or(EINVAL)?;
        node.vmas.retain(|&mut vma| vma != 60);
        let outcome = compare(&shadow, &host, &mut |_| ())?;
        assert!(outcome.differences == 2);
        Ok(())
    }

    #[test]
    fn indices_out_of_range() -> Result {
        let mut graphs = generations(&[0, 1, 2])?;
        graphs.1.vmas.get_mut(0).ok_or(EINVAL)?.anon_vma = Some(3);
        assert!(seen(&graphs).is_err());
        Ok(())
    }

    /// Three generations, as the shadow and as the host have them.
    fn generations(order: &[usize]) -> Result<(Graph, Graph)> {
        let shadow = sample::generations(Source::Shadow)?;
        let host = sample::retaken(&shadow, Source::Host, order)?;
        Ok((shadow, host))
    }

    /// Everything that a comparison says.
    fn seen((shadow, host): &(Graph, Graph)) -> Result<KVVec<u8>> {
        let mut text = KVVec::new();
        let mut line = |line: fmt::Arguments<'_>| {
            if let Ok(line) = CString::try_from_fmt(fmt!("{line}\n")) {
                let _ = text.extend_from_slice(line.to_bytes(), GFP_KERNEL);
            }
        };
        let outcome = compare(shadow, host, &mut line)?;
        line(fmt!("{outcome}"));
        Ok(text)
    }

    /// What it says without the VMAs that are the same.
    fn only_different(text: &[u8]) -> Result<KVVec<u8>> {
        let mut rest = KVVec::new();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if !line.ends_with(b": same\n") {
                rest.extend_from_slice(line, GFP_KERNEL)?;
            }
        }
        Ok(rest)
    }

    /// Whether just what was `expected` differs once `change` was made to the shadow of three
    /// generations, which the host has in the opposite order.
    fn differ(change: impl FnOnce(&mut Graph) -> Option<()>, expected: &str) -> Result<bool> {
        let mut graphs = generations(&[2, 1, 0])?;
        change(&mut graphs.0).ok_or(EINVAL)?;
        Ok(sample::is(&only_different(&seen(&graphs)?)?, expected))
    }
}
