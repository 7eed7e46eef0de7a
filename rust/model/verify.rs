// SPDX-License-Identifier: GPL-2.0

//! Whether address spaces, page tables, pages, swap and anon_vmas agree, when nobody changes them.
//!
//! What can be told from VMAs, chains, trees and pages alone is told by [`snapshot::verify`], of a
//! graph like any other.  What is added here takes more than a graph knows:
//!
//! | what must hold | rule |
//! |---|---|
//! | a PTE is in a VMA | R33 |
//! | a page is where its index says, so a walk can find it | R21 |
//! | a page that may be written to without a fault is mapped once | R19 |
//! | no page is on its way from one place to another | R36 |
//! | a VMA covers what the tree of VMAs says | R32 |
//! | a slot of swap has as many users as there are PTEs with entries of it | R39 |
//! | each of these is found from the anon_vma that the slot pins | R39 |
//! | besides links and children, only slots hold references on anon_vmas | R16, R18 |
//!
//! [`snapshot::verify`]: crate::snapshot::verify

use super::{
    mm::Mm,
    page::Page,
    space::Vma,
    swap::Slot,
    table::Pte,
    Modelled, //
};
use crate::{
    kernel_ext::{
        gather::gather,
        percpu::Counter, //
    },
    rmap::{
        anon_vma::{
            AnonVma,
            LockedAnonVma, //
        },
        link::Sharing,
        lookup::page_lock_anon_vma,
        rules::Rule, //
    },
    snapshot::{
        self,
        build::{
            AnonVmaFacts,
            Builder, //
        },
        MmNode,
        Source,
        VmaNode, //
    },
    stats,
};
use core::{
    cell::Cell,
    ops::ControlFlow, //
};
use kernel::{
    fmt,
    page::PAGE_SHIFT,
    prelude::*,
    rbtree::RBTree,
    str::{
        CStr,
        CString, //
    },
    sync::Arc, //
};

/// How many findings are kept in words; all are counted.
const TOLD: usize = 24;

/// What a verification has seen.
pub(crate) struct Verdict {
    /// VMAs of all address spaces.
    pub(crate) vmas: usize,
    /// anon_vmas that these are linked to.
    pub(crate) anon_vmas: usize,
    /// Links between the two.
    pub(crate) links: usize,
    /// Pages that are mapped.
    pub(crate) pages: usize,
    /// Slots of swap that are in use.
    pub(crate) slots: usize,
    /// What is wrong.
    pub(crate) violations: usize,
    /// What is wrong, in words: the first [`TOLD`] of it.
    findings: KVVec<Finding>,
}

/// What is wrong: which rule says so (`None`: the structure is damaged), and in words.
type Finding = (Option<Rule>, CString);

impl Verdict {
    /// The first thing that is wrong: the rule that says so, and it in words.
    pub(crate) fn first(&self) -> Option<(Option<Rule>, &CStr)> {
        self.findings.first().map(|(rule, words)| (*rule, &**words))
    }

    /// Whether nothing is wrong.  What is, is told in the kernel log.
    pub(crate) fn is_clean(&self) -> bool {
        for (rule, words) in &self.findings {
            let name = rule.map_or("structure", Rule::name);
            pr_err!("verify: {name}: {}\n", &**words);
        }
        let untold = self.violations - self.findings.len();
        if untold > 0 {
            pr_err!("verify: and {untold} more\n");
        }
        self.violations == 0
    }
}

/// Where the outcome of each check goes.
#[derive(Default)]
struct Sink {
    violations: usize,
    findings: KVVec<Finding>,
}

impl Sink {
    /// One check of `rule`; unless it `holds`, `words` say what is wrong.
    fn check(&mut self, rule: Rule, holds: bool, words: fmt::Arguments<'_>) {
        rule.check(holds);
        if !holds {
            self.add(Some(rule), words);
        }
    }

    /// Something is wrong.
    fn add(&mut self, rule: Option<Rule>, words: fmt::Arguments<'_>) {
        self.violations += 1;
        if self.findings.len() < TOLD {
            // What cannot be told is counted all the same.
            if let Ok(line) = CString::try_from_fmt(words) {
                let _ = self.findings.push((rule, line), GFP_KERNEL);
            }
        }
    }
}

/// A VMA, and the addresses at which the tree of VMAs has it.
struct SeenVma<R: Modelled> {
    vma: Arc<Vma<R>>,
    mm: usize,
    first: usize,
    last: usize,
}

/// What a PTE leads to.  Not the PTE itself: a copy of an entry would be one more user of its slot.
enum Target<R: Modelled> {
    Page { page: Arc<Page<R>>, writable: bool },
    Slot(Arc<Slot<R>>),
    Migration,
}

/// A PTE that is not none.
struct SeenPte<R: Modelled> {
    mm: usize,
    address: usize,
    /// The VMA that it is in, by index.
    vma: Option<usize>,
    target: Target<R>,
}

/// A slot of swap, and the PTEs that have entries of it.
struct SeenSlot<R: Modelled> {
    slot: Arc<Slot<R>>,
    entries: usize,
}

/// Verifies all address spaces that share anything with each other.  Sleeps.
///
/// Nobody else maps, unmaps, faults, or moves pages meanwhile.  Each check counts for its rule in
/// debugfs `rules`.
///
/// # Errors
///
/// `ENOMEM`; `EINVAL` where what is found does not fit together at all, which has been told in the
/// kernel log then.
pub(crate) fn verify<R: Modelled>(mms: &[&Mm<R>]) -> Result<Verdict> {
    let mut sink = Sink::default();
    let mut builder = Builder::new(Source::Shadow);

    let vmas = seen_vmas(mms, &mut builder, &mut sink)?;
    let ptes = seen_ptes(mms, &vmas)?;
    let slots = seen_slots(&ptes)?;

    add_links(mms, &vmas, &slots, &mut builder)?;
    check_ptes(&ptes, &vmas, &mut sink);
    add_pages(&ptes, &vmas, &mut builder, &mut sink)?;
    check_slots(&slots, &mut sink)?;

    let mut graph = builder.finish();
    graph.shared = mms.iter().any(|mm| mm.space().sharing == Sharing::Any);
    snapshot::verify::verify(&graph, &mut |rule, words| {
        if let Some(rule) = rule {
            rule.violated();
        }
        sink.add(rule, words);
    })?;
    Ok(Verdict {
        vmas: graph.vmas.len(),
        anon_vmas: graph.anon_vmas.len(),
        links: graph.links(),
        pages: graph.pages.len(),
        slots: slots.len(),
        violations: sink.violations,
        findings: sink.findings,
    })
}

/// All VMAs, in the order of the graph.
fn seen_vmas<R: Modelled>(
    mms: &[&Mm<R>],
    builder: &mut Builder,
    sink: &mut Sink,
) -> Result<KVVec<SeenVma<R>>> {
    let mut all = KVVec::new();
    for (mm, space) in mms.iter().enumerate() {
        let number = mm + 1;
        builder.mm(MmNode {
            id: number as u64,
            pid: 0,
            comm: [0; 16],
        })?;
        let mmap = space.core().mmap_read();
        for slot in space.space().vmas.range(0, usize::MAX) {
            let (vma, first, last) = (slot.vma, slot.first, slot.last);
            let id = vma.core.id();
            let covers = vma.addresses(&mmap);
            sink.check(
                Rule::R32,
                covers == (first, last),
                fmt!(
                    "mm {number}, vma {id}: it covers {} to {}, but is in the tree at {first} to {last}",
                    covers.0,
                    covers.1
                ),
            );
            builder.vma(
                vma.core.key(),
                VmaNode {
                    id,
                    mm,
                    start: first << PAGE_SHIFT,
                    end: (last + 1) << PAGE_SHIFT,
                    pgoff: vma.range(&mmap).start,
                    anon_vma: None,
                    chain: KVVec::new(),
                    tainted: vma.core.is_marked(),
                },
            )?;
            let seen = SeenVma {
                vma,
                mm,
                first,
                last,
            };
            all.push(seen, GFP_KERNEL)?;
        }
    }
    Ok(all)
}

/// All PTEs that are not none.
fn seen_ptes<R: Modelled>(mms: &[&Mm<R>], vmas: &[SeenVma<R>]) -> Result<KVVec<SeenPte<R>>> {
    let mut all = KVVec::new();
    for (mm, space) in mms.iter().enumerate() {
        let table = &space.space().table;
        let found = gather(
            || table.lock(),
            |ptes| {
                (0..table.size())
                    .filter(|&address| !ptes.get(address).is_none())
                    .count()
            },
            |ptes, all| {
                for address in 0..table.size() {
                    let target = match ptes.get(address) {
                        Pte::None => continue,
                        Pte::Present { page, writable } => Target::Page {
                            page: page.clone(),
                            writable: *writable,
                        },
                        Pte::Swap(entry) => Target::Slot(entry.slot().clone()),
                        Pte::Migration { .. } => Target::Migration,
                    };
                    all.push((address, target), GFP_KERNEL)?;
                }
                Ok(())
            },
        )?;
        for (address, target) in found {
            let vma = vmas
                .iter()
                .position(|vma| vma.mm == mm && vma.first <= address && address <= vma.last);
            let pte = SeenPte {
                mm,
                address,
                vma,
                target,
            };
            all.push(pte, GFP_KERNEL)?;
        }
    }
    Ok(all)
}

/// All slots: those that PTEs have entries of, and those that a mapped page is in the swap cache
/// for.
fn seen_slots<R: Modelled>(ptes: &[SeenPte<R>]) -> Result<KVVec<SeenSlot<R>>> {
    let mut all: KVVec<SeenSlot<R>> = KVVec::new();
    for pte in ptes {
        let (slot, entries) = match &pte.target {
            Target::Slot(slot) => (slot.clone(), 1),
            Target::Page { page, .. } => match page.lock().clone() {
                Some(slot) => (slot, 0),
                None => continue,
            },
            Target::Migration => continue,
        };
        match all.iter_mut().find(|seen| Arc::ptr_eq(&seen.slot, &slot)) {
            Some(seen) => seen.entries += entries,
            None => all.push(SeenSlot { slot, entries }, GFP_KERNEL)?,
        }
    }
    Ok(all)
}

/// Adds the chains, and the anon_vmas that they lead to.
fn add_links<R: Modelled>(
    mms: &[&Mm<R>],
    vmas: &[SeenVma<R>],
    slots: &[SeenSlot<R>],
    builder: &mut Builder,
) -> Result {
    for (mm, space) in mms.iter().enumerate() {
        let mmap = space.core().mmap_read();
        for (index, seen) in vmas.iter().enumerate().filter(|(_, seen)| seen.mm == mm) {
            seen.vma.core.for_each_link(&mmap, |anon_vma| {
                add_anon_vma(builder, anon_vma.root(), slots)?;
                add_anon_vma(builder, anon_vma, slots)?;
                builder.chain_entry(index, anon_vma.key())
            })?;
            if let Some(anon_vma) = seen.vma.core.anon_vma(&mmap) {
                builder.active(index, anon_vma.key());
            }
        }
    }
    Ok(())
}

/// Adds an anon_vma and its tree, unless it is known.
fn add_anon_vma<R: Modelled>(
    builder: &mut Builder,
    anon_vma: &AnonVma<R>,
    slots: &[SeenSlot<R>],
) -> Result {
    let key = anon_vma.key();
    if builder.knows(key) {
        return Ok(());
    }
    let facts = Cell::new(None);
    let tree = gather(
        || anon_vma.lock_read(),
        |locked| number_of_vmas(locked),
        |locked, all| {
            facts.set(Some((
                locked.refcount(),
                AnonVmaFacts {
                    root: locked.root().key(),
                    parent: locked.parent_key(),
                    refcount: 0,
                    num_children: locked.num_children(),
                    num_active_vmas: locked.num_active_vmas(),
                },
            )));
            let mut pushed = Ok(());
            let _ = locked.for_each_vma(0, usize::MAX, |vma| {
                pushed = all.push(vma.key(), GFP_KERNEL);
                if pushed.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            pushed
        },
    )?;
    let (refcount, mut facts) = facts.take().ok_or(ENOMEM)?;
    // What a slot pins is accounted for: the graph knows of links and children only.
    let pins = slots
        .iter()
        .filter(|seen| seen.slot.anon_vma().key() == key)
        .count();
    facts.refcount = i64::from(refcount).saturating_sub_unsigned(pins as u64);
    builder.anon_vma(key, facts)?;
    for vma in tree {
        builder.tree_entry(key, vma)?;
    }
    Ok(())
}

fn number_of_vmas<R: Modelled>(locked: &LockedAnonVma<'_, R>) -> usize {
    let mut n = 0;
    let _: ControlFlow<()> = locked.for_each_vma(0, usize::MAX, |_| {
        n += 1;
        ControlFlow::Continue(())
    });
    n
}

/// Each PTE by itself.
fn check_ptes<R: Modelled>(ptes: &[SeenPte<R>], vmas: &[SeenVma<R>], sink: &mut Sink) {
    for pte in ptes {
        let (number, address) = (pte.mm + 1, pte.address);
        let vma = pte.vma.and_then(|vma| vmas.get(vma));
        sink.check(
            Rule::R33,
            vma.is_some(),
            fmt!("mm {number}: there is a PTE at {address}, but no VMA"),
        );
        let index = match &pte.target {
            Target::Page { page, writable } => {
                sink.check(
                    Rule::R19,
                    !writable || page.rmap.mapcount() == 1,
                    fmt!(
                        "mm {number}, address {address}: page {} may be written to, though its \
                         mapcount is {}",
                        page.id,
                        page.rmap.mapcount()
                    ),
                );
                page.rmap.index()
            }
            Target::Slot(slot) => slot.index(),
            Target::Migration => {
                sink.check(
                    Rule::R36,
                    false,
                    fmt!("mm {number}, address {address}: the page is on its way elsewhere"),
                );
                continue;
            }
        };
        if let Some(vma) = vma {
            sink.check(
                Rule::R21,
                vma.vma.core.address(index) == address,
                fmt!(
                    "mm {number}, address {address}: what has the offset {index} belongs at {}",
                    vma.vma.core.address(index)
                ),
            );
        }
    }
}

/// Adds the pages, and what walks from each of them find.
fn add_pages<R: Modelled>(
    ptes: &[SeenPte<R>],
    vmas: &[SeenVma<R>],
    builder: &mut Builder,
    sink: &mut Sink,
) -> Result {
    let mut pages: RBTree<usize, &Arc<Page<R>>> = RBTree::new();
    for pte in ptes {
        let (Target::Page { page, .. }, Some(vma)) = (&pte.target, pte.vma) else {
            continue;
        };
        let key = Arc::as_ptr(page).addr();
        builder.mapped(
            vma,
            key,
            page.rmap.anon_vma_key().unwrap_or(0),
            page.rmap.index(),
            page.rmap.mapcount().into(),
        )?;
        // Where nobody links to its anon_vma that may be gone: the graph says so, and no walk.
        if page
            .rmap
            .anon_vma_key()
            .is_some_and(|key| builder.knows(key))
        {
            pages.try_create_and_insert(key, page, GFP_KERNEL)?;
        }
    }
    for (&key, page) in pages.iter() {
        let at = page.rmap.index();
        let found = walk(|| page_lock_anon_vma(&page.rmap), at, |pte| pte.maps(page))?;
        for vma in found {
            if vmas.iter().any(|seen| seen.vma.core.key() == vma) {
                builder.found(key, vma)?;
            } else {
                sink.check(
                    Rule::R35,
                    false,
                    fmt!(
                        "page {}: a walk finds a VMA that is in no address space",
                        page.id
                    ),
                );
            }
        }
    }
    Ok(())
}

/// The keys of the VMAs in a tree whose PTE for the offset `at` is the one that is looked for.
///
/// Not by the walkers of `walk`, which are among what is verified.
fn walk<'a, R: Modelled>(
    lock: impl Fn() -> Option<LockedAnonVma<'a, R>>,
    at: usize,
    is_it: impl Fn(&Pte<R>) -> bool,
) -> Result<KVVec<usize>> {
    let found = gather(
        lock,
        |locked| locked.as_ref().map_or(0, number_of_vmas),
        |locked, all| {
            let mut pushed = Ok(());
            if let Some(locked) = locked {
                let _: ControlFlow<()> = locked.for_each_vma(at, at, |vma| {
                    let ptes = vma.mm().space().table.lock();
                    if is_it(ptes.get(vma.address(at))) {
                        pushed = pushed.and(all.push(vma.key(), GFP_KERNEL));
                    }
                    ControlFlow::Continue(())
                });
            }
            pushed
        },
    )?;
    Ok(found)
}

/// Each slot of swap.
fn check_slots<R: Modelled>(slots: &[SeenSlot<R>], sink: &mut Sink) -> Result {
    for (number, SeenSlot { slot, entries }) in slots.iter().enumerate() {
        let number = number + 1;
        sink.check(
            Rule::R39,
            slot.users() == *entries,
            fmt!(
                "slot {number}: it has {} users, PTEs with an entry of it: {entries}",
                slot.users()
            ),
        );
        let found = walk(
            || Some(slot.anon_vma().lock_read()),
            slot.index(),
            |pte| matches!(pte, Pte::Swap(entry) if entry.is_of(slot)),
        )?;
        sink.check(
            Rule::R39,
            found.len() == *entries,
            fmt!(
                "slot {number}: a walk from the anon_vma that it pins finds {} of its {entries} \
                 entries",
                found.len()
            ),
        );
    }
    Ok(())
}

/// What is allocated, of all reverse maps together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// anon_vmas.
    pub(crate) anon_vmas: usize,
    /// Links.
    pub(crate) links: usize,
    /// Pages.
    pub(crate) pages: usize,
    /// Slots of swap.
    pub(crate) slots: usize,
}

impl Live {
    /// What is allocated now.
    pub(crate) fn now() -> Self {
        let live = |made: &Counter, freed: &Counter| made.sum().wrapping_sub(freed.sum());
        Self {
            anon_vmas: live(&stats::ANON_VMA_ALLOCS, &stats::ANON_VMA_FREES),
            links: live(&stats::CHAIN_ALLOCS, &stats::CHAIN_FREES),
            pages: live(&stats::PAGES_ALLOCATED, &stats::PAGES_FREED),
            slots: live(&stats::SLOTS_ALLOCATED, &stats::SLOTS_FREED),
        }
    }

    /// What has come since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            anon_vmas: self.anon_vmas.wrapping_sub(before.anon_vmas),
            links: self.links.wrapping_sub(before.links),
            pages: self.pages.wrapping_sub(before.pages),
            slots: self.slots.wrapping_sub(before.slots),
        }
    }
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/verify.rs"]
mod tests;
