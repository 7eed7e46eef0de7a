// SPDX-License-Identifier: GPL-2.0

//! Compares the shadow's [`Graph`] with the host's: are they equal, except for the order of their
//! elements?
//!
//! Both graphs have the same VMAs in the same order. What has to be found is a bijection between
//! their anon_vmas under which everything else agrees. It is built from pairs that are certain: the
//! `->anon_vma` of the same VMA, the anon_vma of the same page, then the parents of a pair. The
//! anon_vmas that are left have no VMA of their own, no page, and no descendant with a partner.
//! They are told apart by their depth, by the VMAs in their trees, and by those in the trees of
//! their parents. Whatever way a pair was found, all its properties are compared afterwards: a bad
//! pair shows as a difference, and never hides one.
//!
//! Chains are compared as sets, because `anon_vma_clone()` of 7.3 reverses the order at each clone.
//!
//! | module | is |
//! |---|---|
//! | `side` | one of the two graphs, with tables for lookups |
//! | `pages` | finds each page of one graph in the other |
//! | `pair` | both graphs, and the bijection between their anon_vmas |
//! | `differences` | compares VMAs, anon_vmas and pages one by one |
//! | `words` | prints differences |

mod differences;
mod pages;
mod pair;
mod side;
mod words;

use super::Graph;
use kernel::{
    fmt,
    prelude::*, //
};
use pages::pair_pages;
use pair::Pair;
use side::Side;

/// The result of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// VMAs of the shadow, including those that are not compared.
    pub(crate) vmas: usize,
    /// anon_vmas of the shadow.
    pub(crate) anon_vmas: usize,
    /// Links between VMAs and anon_vmas of the shadow.
    pub(crate) chains: usize,
    /// Anonymous pages of the shadow.
    pub(crate) pages: usize,
    /// VMAs that were not compared, because the shadow could not follow them or their family.
    pub(crate) untracked: usize,
    /// Events with two permitted outcomes, where the shadow has followed the host; the caller fills
    /// this in.
    pub(crate) ambiguous: usize,
    /// Violations of rules; the caller fills this in.
    pub(crate) violations: usize,
    /// Number of differences.
    pub(crate) differences: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "compare: vmas={} anon_vmas={} chains={} pages={} untracked={} ambiguous={} \
             violations={} differences={}",
            self.vmas,
            self.anon_vmas,
            self.chains,
            self.pages,
            self.untracked,
            self.ambiguous,
            self.violations,
            self.differences
        ))
    }
}

/// Takes one line of a report: whether it reports a difference or a violation, and its text.
pub(crate) type Line<'a> = dyn FnMut(bool, fmt::Arguments<'_>) + 'a;

/// Compares `shadow` with `host`. Calls `line` with one line of text, without a newline, for each
/// VMA, and for each anon_vma and page that differs.
///
/// A VMA that is tainted in either graph is not compared, and neither is its family: all VMAs that
/// link to an anon_vma with the same root, and their anon_vmas and pages. If `host` is incomplete, a
/// family with VMAs that are not in the graph is not compared, either.
///
/// # Errors
///
/// [`ENOMEM`]; [`EINVAL`] if an index of a graph refers to no element.
pub(crate) fn compare(shadow: &Graph, host: &Graph, line: &mut Line<'_>) -> Result<Outcome> {
    if !shadow.is_well_formed() || !host.is_well_formed() {
        return Err(EINVAL);
    }
    let mut pair = Pair {
        shadow: Side::new(shadow)?,
        host: Side::new(host)?,
        untracked: KVVec::new(),
    };
    pair.set_aside()?;
    let pages = pair_pages(shadow, host)?;
    pair.join_known(&pages);
    pair.join_rest()?;

    let mut outcome = Outcome {
        vmas: shadow.vmas.len(),
        anon_vmas: shadow.anon_vmas.len(),
        chains: shadow.links(),
        pages: shadow.pages.len(),
        untracked: pair.untracked.iter().filter(|&&skip| skip).count(),
        ambiguous: 0,
        violations: 0,
        differences: 0,
    };
    let differences = &mut outcome.differences;
    pair.compare_vmas(line, differences)?;
    pair.compare_anon_vmas(line, differences)?;
    pair.compare_pages(&pages, line, differences)?;
    Ok(outcome)
}

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/compared.rs"]
mod compared;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/compare.rs"]
mod tests;

#[cfg(shadow_rmap_kunit)]
#[path = "../tests/compare_same.rs"]
mod same_tests;
