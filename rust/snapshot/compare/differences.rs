// SPDX-License-Identifier: GPL-2.0

//! Compares the VMAs, anon_vmas and pages of two graphs, once pairs are found.

use super::{
    pages::PagePair,
    pair::Pair,
    side::Side,
    words::{
        Difference,
        Words, //
    },
    Line, //
};
use crate::{
    kernel_ext::sched::resched_each,
    snapshot::{
        text,
        PageNode,
        Source,
        VmaNode, //
    }, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// The differences found in one pair.
type Found = KVVec<Difference>;

/// Adds a difference if the two numbers are not equal.
fn number(found: &mut Found, name: &'static str, host: i128, shadow: i128) -> Result {
    if host != shadow {
        found.push(Difference::Number(name, host, shadow), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(())
}

impl Pair<'_> {
    /// Adds a difference if the two references are not to partners.
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
            found.push(Difference::Points(name, host, shadow), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Compares the VMAs, and calls `line` for each.
    pub(super) fn compare_vmas(&self, line: &mut Line<'_>, differences: &mut usize) -> Result {
        let mut found = Found::new();
        for index in resched_each(0..self.vmas()) {
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
            let mut say = |differs: bool, what: fmt::Arguments<'_>| {
                let unknown = if vma.id == 0 { "unknown " } else { "" };
                line(
                    differs,
                    fmt!(
                        "{unknown}vma {} ({}) [{:#x}, {:#x}): {what}",
                        vma.id,
                        text::Process(mm),
                        vma.start,
                        vma.end
                    ),
                );
            };
            if self.is_untracked(index) {
                say(false, fmt!("untracked, not compared"));
                continue;
            }
            match (shadow, host) {
                (Some(_), Some(host)) if host.absent => {
                    found.push(Difference::OnlyIn(Source::Shadow), GFP_KERNEL_ACCOUNT)?;
                }
                (Some(shadow), Some(host)) => self.compare_vma(&mut found, index, shadow, host)?,
                (Some(_), None) => {
                    found.push(Difference::OnlyIn(Source::Shadow), GFP_KERNEL_ACCOUNT)?
                }
                _ => found.push(Difference::OnlyIn(Source::Host), GFP_KERNEL_ACCOUNT)?,
            }
            *differences += found.len();
            let words = Words {
                pair: self,
                at: (index, index),
                differences: &found,
            };
            say(!found.is_empty(), fmt!("{words}"));
        }
        Ok(())
    }

    /// Adds the differences of one VMA.
    fn compare_vma(
        &self,
        found: &mut Found,
        index: usize,
        shadow: &VmaNode,
        host: &VmaNode,
    ) -> Result {
        if (shadow.start, shadow.end) != (host.start, host.end) {
            found.push(Difference::Range, GFP_KERNEL_ACCOUNT)?;
        }
        number(found, "pgoff", host.pgoff as i128, shadow.pgoff as i128)?;
        if let (Some(at_host), Some(at_shadow)) = (host.reused, shadow.reused) {
            if at_host != at_shadow {
                found.push(Difference::Reused(at_host, at_shadow), GFP_KERNEL_ACCOUNT)?;
            }
        }
        if shadow.wrongly_merged > 0 {
            found.push(
                Difference::Merged(shadow.wrongly_merged),
                GFP_KERNEL_ACCOUNT,
            )?;
        }
        self.points(found, "anon_vma", host.anon_vma, shadow.anon_vma)?;

        let before = found.len();
        for &anon_vma in self.host.chains.get(index) {
            let partner = self.host.partner(anon_vma);
            if !partner.is_some_and(|partner| self.shadow.chains.has(index, partner)) {
                found.push(Difference::Missing(anon_vma), GFP_KERNEL_ACCOUNT)?;
            }
        }
        for &anon_vma in self.shadow.chains.get(index) {
            let partner = self.shadow.partner(anon_vma);
            if !partner.is_some_and(|partner| self.host.chains.has(index, partner)) {
                found.push(Difference::TooMany(anon_vma), GFP_KERNEL_ACCOUNT)?;
            }
        }
        if found.len() == before && shadow.chain.len() != host.chain.len() {
            found.push(Difference::Repeated, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Compares the anon_vmas, and calls `line` for each that differs.
    pub(super) fn compare_anon_vmas(&self, line: &mut Line<'_>, differences: &mut usize) -> Result {
        let mut found = Found::new();
        for (index, shadow) in resched_each(&self.shadow.graph.anon_vmas).enumerate() {
            if self.shadow.is_aside(index) {
                continue;
            }
            let label = self.shadow.label(index);
            let Some(at) = self.shadow.partner(index) else {
                *differences += 1;
                line(true, fmt!("{label}: only the shadow has it"));
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
                ("misplaced tree entries", host.misplaced, shadow.misplaced),
                ("foreign VMAs", host.foreign, shadow.foreign),
                (
                    "pointers to unknown anon_vmas",
                    host.outside,
                    shadow.outside,
                ),
            ] {
                number(&mut found, name, host as i128, shadow as i128)?;
            }
            // References of others may be more, and are never fewer.
            if !self.host.graph.held || host.refcount < shadow.refcount {
                number(
                    &mut found,
                    "refcount",
                    host.refcount.into(),
                    shadow.refcount.into(),
                )?;
            }
            if self.host.trees.get(at) != self.shadow.trees.get(index) {
                found.push(Difference::Tree, GFP_KERNEL_ACCOUNT)?;
            }
            if !found.is_empty() {
                *differences += found.len();
                let words = Words {
                    pair: self,
                    at: (index, at),
                    differences: &found,
                };
                line(true, fmt!("{label}, the host's {}: {words}", at + 1));
            }
        }
        for at in resched_each(0..self.host.graph.anon_vmas.len()) {
            if self.host.is_alone(at) {
                *differences += 1;
                line(
                    true,
                    fmt!("the host's {}: only the host has it", self.host.label(at)),
                );
            }
        }
        Ok(())
    }

    /// Returns whether a page is excluded from the comparison.
    fn is_page_aside(&self, side: &Side<'_>, page: &PageNode) -> bool {
        page.anon_vma.is_some_and(|at| side.is_aside(at))
            || page.mapped_by.iter().any(|&vma| self.is_untracked(vma))
    }

    /// Compares the pages, and calls `line` for each that differs.
    pub(super) fn compare_pages(
        &self,
        pages: &[PagePair],
        line: &mut Line<'_>,
        differences: &mut usize,
    ) -> Result {
        let mut found = Found::new();
        for &(shadow, host) in resched_each(pages) {
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
                (Some(_), None) => {
                    found.push(Difference::OnlyIn(Source::Shadow), GFP_KERNEL_ACCOUNT)?
                }
                _ => found.push(Difference::OnlyIn(Source::Host), GFP_KERNEL_ACCOUNT)?,
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
                line(
                    true,
                    fmt!("page {} (index {}): {words}", at + 1, page.index),
                );
            } else if let (Some(at), Some(page)) = (host, at_host) {
                line(
                    true,
                    fmt!("the host's page {} (index {}): {words}", at + 1, page.index),
                );
            }
        }
        Ok(())
    }

    /// Adds the differences of one page.
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
            found.push(Difference::MappedBy, GFP_KERNEL_ACCOUNT)?;
        }
        if host.found_by != shadow.found_by {
            found.push(Difference::FoundBy, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }
}
