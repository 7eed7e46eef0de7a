// SPDX-License-Identifier: GPL-2.0

//! Prints the differences between two graphs.

use super::{
    pair::Pair,
    side::Side, //
};
use crate::snapshot::{
    text,
    Graph,
    Reused,
    Source, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// The name of an anon_vma, with its position: `anon_vma 2 (child of 1)`.
pub(super) struct Label<'a>(pub(super) &'a Graph, pub(super) usize);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = text::Position(self.0, self.1);
        f.write_fmt(fmt!("anon_vma {} ({position})", self.1 + 1))
    }
}

/// A count with its noun: `1 anon_vma`, `2 anon_vmas`.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        f.write_fmt(fmt!("{} {}{plural}", self.0, self.1))
    }
}

/// The choice of a fork: `none`, or the position on the parent's chain, counted from one.
struct Choice(Reused);

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reused::None => f.write_str("none"),
            Reused::At(position) => {
                f.write_fmt(fmt!("number {} of the parent's chain", position + 1))
            }
        }
    }
}

/// Two lists of VMAs that should be equal, in ascending order.
struct Sets<'a> {
    graph: &'a Graph,
    host: &'a [usize],
    shadow: &'a [usize],
}

impl fmt::Display for Sets<'_> {
    /// Writes both lengths, and the first few VMAs that one list lacks.
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

/// One difference between the two graphs.
pub(super) enum Difference {
    /// Only this graph has the VMA or the page.
    OnlyIn(Source),
    /// The anon_vma that a fork reused: the host's, the shadow's (R24).
    Reused(Reused, Reused),
    /// The host has merged the VMA with this number into this one, against the rules (R26).
    Merged(u64),
    /// The addresses of a VMA.
    Range,
    /// A number with this name: the host's value and the shadow's.
    Number(&'static str, i128, i128),
    /// A reference with this name (`anon_vma`, `root` or `parent`): the host's and the shadow's.
    Points(&'static str, Option<usize>, Option<usize>),
    /// The shadow's chain lacks this anon_vma of the host.
    Missing(usize),
    /// The host's chain lacks this anon_vma of the shadow.
    TooMany(usize),
    /// The chains have the same anon_vmas, but one chain has some of them more than once.
    Repeated,
    /// The VMAs in the interval tree of an anon_vma.
    Tree,
    /// The VMAs that map a page.
    MappedBy,
    /// The VMAs that a walk finds for a page.
    FoundBy,
}

/// The differences of one pair of VMAs, anon_vmas or pages, as text on one line.
pub(super) struct Words<'a> {
    pub(super) pair: &'a Pair<'a>,
    /// The pair: the index in the shadow's graph, and that in the host's.
    pub(super) at: (usize, usize),
    pub(super) differences: &'a [Difference],
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
    /// Writes the number of links in both graphs.
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
            Difference::Reused(host, shadow) => f.write_fmt(fmt!(
                "reuse at fork (R24): host {}, shadow {}",
                Choice(host),
                Choice(shadow)
            )),
            Difference::Merged(id) => f.write_fmt(fmt!(
                "merge (R26): the host has merged vma {id} into it, against the rules"
            )),
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
                // Each graph has its own numbers: print the number of the partner as well.
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
