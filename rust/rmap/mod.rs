// SPDX-License-Identifier: GPL-2.0

//! The reverse map: from a page to every VMA that may map it.
//!
//! | module | contents | C |
//! |---|---|---|
//! | [`anon_vma`] | the anon_vma: allocated, counted | `anon_vma_alloc()` |
//! | [`free`] | the end of an anon_vma | `anon_vma_free()`, `__put_anon_vma()` |
//! | [`cache`] | the cache that anon_vmas come from | `anon_vma_init()` |
//! | [`family`] | the root's lock, for writing and for reading | `anon_vma_lock_write()` |
//! | [`page`] | the words in a page: `mapping`, `mapcount` | `folio_add_anon_rmap_pte()` |
//! | [`lookup`] | from a page to its locked or pinned anon_vma | `folio_lock_anon_vma_read()` |
//! | [`vma`] | the VMA: range, `->anon_vma`, new pages | `struct vm_area_struct` |
//! | [`chain`] | the links between VMAs and anon_vmas | `struct anon_vma_chain` |
//! | [`walk`] | from an anon_vma to its VMAs | `rmap_walk_anon()` |
//! | [`prepare`] | the first anon_vma of a VMA | `__anon_vma_prepare()` |
//! | [`clone`] | cloning links: split, move, fork | `anon_vma_clone()` |
//! | [`fork`] | the child's VMA | `anon_vma_fork()` |
//! | [`unlink`] | the end of a VMA's links | `unlink_anon_vmas()` |
//! | [`merge`] | which VMAs may become one | `is_mergeable_anon_vma()` |
//! | [`deferred`] | the work items of frees that were put off | |
//! | [`statics`] | what all reverse maps of a module share | |
//! | [`mm`] | the locks of an address space | `struct mm_struct` |
//! | [`lock`] | the lock of a family: spinning or sleeping | |
//! | [`kind`] | a kind of reverse map: its lock, steps and page table | |
//! | [`steps`] | a method for each place where a rule is followed | |
//! | [`window`] | places between two steps | |
//! | [`rules`], [`path`] | the rules, and what is counted of them | |
//! | [`oracle`] | checks that detect a broken rule by its consequences | |
//!
//! Read in this order: [`page`], [`anon_vma`], [`lookup`], [`chain`], then the operations. It
//! mirrors
//! [`mm/rmap.c`](srctree/mm/rmap.c). Locks are taken in this order (R34), and lockdep knows each by
//! its name:
//!
//! 1. `mmap_lock` and `vma_lock` of the parent, then of the child ([`mm::Mm`]);
//! 2. the root's lock of one family ([`family::FamilyWrite`], [`family::FamilyRead`]);
//! 3. `page_table_lock` ([`mm::PageTableGuard`]).

pub(crate) mod anon_vma;
pub(crate) mod cache;
pub(crate) mod chain;
pub(crate) mod clone;
pub(crate) mod deferred;
pub(crate) mod family;
pub(crate) mod fork;
pub(crate) mod free;
pub(crate) mod kind;
pub(crate) mod lock;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod mm;
pub(crate) mod oracle;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod prepare;
pub(crate) mod rules;
pub(crate) mod statics;
pub(crate) mod steps;
#[cfg(shadow_rmap_kunit)]
pub(crate) mod testing;
pub(crate) mod unlink;
pub(crate) mod vma;
pub(crate) mod vma_pages;
pub(crate) mod walk;
pub(crate) mod window;
