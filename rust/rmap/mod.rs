// SPDX-License-Identifier: GPL-2.0

//! The reverse map itself: from a page to every VMA that may map it.
//!
//! | module | is |
//! |---|---|
//! | [`kind`] | which lock, which rules, which page table: a type |
//! | [`mm`] | the locks of an address space that the reverse map knows |
//! | [`anon_vma`] | the anon_vma, its family's lock, and the word in a page that leads to it |
//! | [`chain`] | the links between VMAs and anon_vmas |
//! | [`link`] | prepare, clone, fork, unlink |
//! | [`merge`] | which VMAs may become one, and what becomes of their links |
//! | [`lookup`] | from a page to its locked or pinned anon_vma |
//! | [`oracle`] | who notices, by what has come of it, that a rule was broken |
//! | [`rules`] | the rules, their counters, and the switches that break them |
//!
//! It mirrors [`mm/rmap.c`](srctree/mm/rmap.c).  Locks are taken in this order and no other (R34);
//! lockdep knows each by name:
//!
//! 1. `mmap_lock` and `vma_lock` of the parent, then of the child ([`mm::Mm`]);
//! 2. the root's lock of one family ([`anon_vma::FamilyWrite`], [`anon_vma::FamilyRead`]);
//! 3. `page_table_lock` ([`mm::PageTableGuard`]).

pub(crate) mod anon_vma;
pub(crate) mod chain;
pub(crate) mod kind;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod mm;
pub(crate) mod oracle;
pub(crate) mod rules;
#[cfg(shadow_rmap_kunit)]
pub(crate) mod testing;
