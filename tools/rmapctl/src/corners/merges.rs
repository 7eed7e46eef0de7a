// SPDX-License-Identifier: GPL-2.0

//! Corner cases of merges: in a mergeable mapping the host removes VMAs without telling the driver,
//! and lets others grow.
//!
//! In a pinned mapping the same calls leave the VMAs apart.

use super::Site;
use super::arena::{Arena, NONE, READ, READ_WRITE};
use crate::child::Child;
use crate::scenario::Mode;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// How long what is left of a process may stay, when no process does anything with the device.
const LEFT: Duration = Duration::from_secs(60);

/// Fails unless the mapping has `merged` VMAs, or `apart` if it is pinned.
fn has_vmas(arena: &Arena<'_>, mode: Mode, merged: u64, apart: u64) -> Result<()> {
    let wanted = match mode {
        Mode::Mergeable => merged,
        Mode::Pinned => apart,
    };
    let found = arena.vmas()?;
    ensure!(found == wanted, "{found} VMAs instead of {wanted}");
    Ok(())
}

/// An unfaulted VMA inherits the links of a neighbour that is merged into it, or into which it is
/// merged; a child holds on to the anon_vma, so that it cannot be taken for a new one.
pub(super) fn inherit(site: &Site<'_>) -> Result<()> {
    for (written, changed, prot) in [
        // The upper VMA grows downwards.
        (2..4, 0..2, READ_WRITE),
        // The lower one grows upwards, and has no anon_vma.
        (2..4, 2..4, READ),
        // The upper one has none.
        (0..2, 0..2, READ),
    ] {
        let arena = Arena::new(site)?;
        arena.map(0..4)?;
        let other = if written.start == 0 { 2..4 } else { 0..2 };
        arena.protect(other, READ)?;
        arena.write(written, 1);
        let (_child, result) = Child::new(|| Ok(()))?;
        result.map_err(anyhow::Error::msg)?;
        arena.protect(changed, prot)?;
        arena.check()?;
        has_vmas(&arena, site.mode, 3, 4)?;
    }
    Ok(())
}

/// Two unfaulted VMAs become one with the faulted one between them, and inherit its links; a child holds
/// on to the anon_vma.
pub(super) fn inherit_from_between(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..12)?;
    arena.protect(0..4, READ)?;
    arena.protect(8..12, READ)?;
    arena.write(4..8, 1);
    let (_child, result) = Child::new(|| Ok(()))?;
    result.map_err(anyhow::Error::msg)?;
    arena.protect(4..8, READ)?;
    arena.check()?;
    has_vmas(&arena, site.mode, 4, 6)
}

/// In a child: halves of a split become one again, and a boundary shifts between them. An unfaulted
/// VMA beside them stays apart, because the child has more than one link.
pub(super) fn in_a_child(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..12)?;
    arena.protect(8..12, READ)?;
    arena.write(0..8, 1);
    let said = |error: anyhow::Error| format!("{error:#}");
    let (_child, result) = Child::new(|| {
        arena.write(1..3, 2);
        arena.protect(4..6, READ).map_err(said)?;
        arena.check().map_err(said)?;
        arena.protect(2..4, READ).map_err(said)?;
        arena.check().map_err(said)?;
        arena.protect(2..6, READ_WRITE).map_err(said)?;
        arena.protect(8..12, READ_WRITE).map_err(said)?;
        arena.write(4..5, 2);
        arena.check().map_err(said)
    })?;
    result.map_err(anyhow::Error::msg)?;
    has_vmas(&arena, site.mode, 4, 6)?;
    arena.check()
}

/// A new mapping fills the hole between two VMAs, which become one with it; then it is unmapped and
/// mapped again, which no callback reports.
pub(super) fn fill_a_hole(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..12)?;
    arena.write(0..12, 1);
    for (look_before, look_between) in [(true, true), (true, false), (false, false)] {
        if look_before {
            arena.check()?;
        }
        arena.unmap(4..8)?;
        if look_between {
            arena.check()?;
        }
        arena.map_at(4..8, 4)?;
        has_vmas(&arena, site.mode, 1, 2)?;
        arena.check()?;
        arena.write(5..6, 2);
        arena.check()?;
    }
    Ok(())
}

/// As [`fill_a_hole`], where only the VMA on one side has an anon_vma, or none has: the VMA that is
/// left has its links. A child holds on to the anon_vma, so that it cannot be taken for a new one.
pub(super) fn fill_beside_unfaulted(site: &Site<'_>) -> Result<()> {
    for written in [8..12, 0..4, 0..0] {
        let arena = Arena::new(site)?;
        arena.map(0..12)?;
        arena.unmap(4..8)?;
        arena.write(written, 1);
        let (_child, result) = Child::new(|| Ok(()))?;
        result.map_err(anyhow::Error::msg)?;
        arena.map_at(4..8, 4)?;
        arena.check()?;
        has_vmas(&arena, site.mode, 3, 4)?;
        arena.write(0..12, 2);
        arena.check()?;
    }
    Ok(())
}

/// A VMA grows downwards at the cost of an unfaulted one, past the beginning of the child's: its node
/// belongs before that of the child now.
pub(super) fn grow_downwards(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map_at(3..8, 3)?;
    arena.write(3..8, 1);
    let (_child, result) = Child::new(|| Ok(()))?;
    result.map_err(anyhow::Error::msg)?;
    arena.unmap(3..4)?;
    arena.protect(4..8, READ)?;
    arena.map(0..4)?;
    arena.protect(0..4, NONE)?;
    arena.protect(4..8, READ_WRITE)?;
    arena.check()?;
    arena.protect(2..4, READ_WRITE)?;
    arena.check()?;
    has_vmas(&arena, site.mode, 3, 3)?;
    arena.write(2..8, 2);
    arena.check()
}

/// A part that has been moved away comes back: the VMAs on both sides become one with it.
pub(super) fn come_back(site: &Site<'_>) -> Result<()> {
    for (first, end) in [(4, 8), (0, 4), (8, 12)] {
        for keep in [false, true] {
            let arena = Arena::new(site)?;
            arena.map(0..12)?;
            arena.write(0..10, 1);
            let (_child, result) = Child::new(|| Ok(()))?;
            result.map_err(anyhow::Error::msg)?;
            arena.shift(first..end, 100, keep)?;
            arena.write(100..101, 2);
            if keep {
                // Without its pages the VMA has an anon_vma of its own, or none.
                arena.write(first..first + 1, 3);
                arena.check()?;
                arena.unmap(first..end)?;
            }
            arena.shift(100..100 + end - first, first, false)?;
            arena.check()?;
            arena.write(0..10, 4);
            arena.check()?;
        }
    }
    Ok(())
}

/// Many VMAs are merged at once, and some of them were unmapped before.
pub(super) fn many_at_once(site: &Site<'_>) -> Result<()> {
    let arena = Arena::new(site)?;
    arena.map(0..200)?;
    arena.write(0..200, 1);
    (0..200)
        .step_by(2)
        .try_for_each(|page| arena.protect(page..page + 1, READ))?;
    has_vmas(&arena, site.mode, 200, 200)?;
    arena.unmap(50..60)?;
    arena.protect(0..50, READ_WRITE)?;
    arena.protect(60..200, READ_WRITE)?;
    arena.map_at(50..60, 50)?;
    has_vmas(&arena, site.mode, 1, 190)?;
    arena.write(55..57, 2);
    arena.check()
}

/// A process ends, and one that lives on unmaps its mapping; no check follows, and no other call.
/// Nothing of them is left all the same.
pub(super) fn nothing_left(site: &Site<'_>) -> Result<()> {
    let before = site.debugfs.stat("live_pages")?;
    let arena = Arena::new(site)?;
    arena.map(0..64)?;
    arena.write(0..64, 1);
    // A fork looks at the pages of the parent.
    for _ in 0..3 {
        let (child, result) = Child::new(|| {
            arena.write(0..32, 2);
            Ok(())
        })?;
        result.map_err(anyhow::Error::msg)?;
        drop(child);
    }
    ensure!(site.debugfs.stat("live_pages")? > before, "no page is seen");
    arena.unmap(0..64)?;
    let start = Instant::now();
    while site.debugfs.stat("live_pages")? > before {
        ensure!(start.elapsed() < LEFT, "pages are left");
        thread::sleep(Duration::from_millis(100));
    }
    arena.check().context("a check after that")
}
