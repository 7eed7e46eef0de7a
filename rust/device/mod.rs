// SPDX-License-Identifier: GPL-2.0

//! `/dev/shadow_rmap`: private mappings of real processes, and their shadow.
//!
//! | module | is |
//! |---|---|
//! | [`file`] | the misc device: open, mmap, ioctl |
//! | [`vm_ops`] | the host's callbacks, as safe calls |
//! | [`live`] | the shadow's objects for a live mapping: address spaces, VMAs, pages |
//! | [`events`] | what the shadow does at each callback |
//! | [`sync`] | what the host does without telling: found out, and followed by the rules |
//! | [`check`] | both graphs, taken of processes that are held still |
//!
//! # What the host tells, and when
//!
//! | the process does | the host calls | after |
//! |---|---|---|
//! | `mmap()` | `mmap` | |
//! | write fault on a page not there | `fault` | its `anon_vma_prepare()` |
//! | `fork()` | `open` of each new VMA | its `anon_vma_fork()`, before pages are copied |
//! | a split, `mremap()` to elsewhere | `open` of the new VMA | its `anon_vma_clone()` |
//! | `munmap()`, `exit()`, the end of a move | `close` | its `unlink_anon_vmas()` |
//! | write to a page first read | nothing | |
//! | `madvise(MADV_DONTNEED)`, a VMA grows, a boundary shifts | nothing | |
//!
//! What it does not tell is looked up where it begins to matter: before a fork, and at a check.
//!
//! # Locks
//!
//! 0. [`file::Registry`]'s turn, by a check;
//! 1. the host's `mmap_lock`, taken by the host around each callback, by a check for all;
//! 2. the shadow's `mmap_lock`, the parent's before the child's ([`crate::rmap::mm`]);
//! 3. [`live::LiveMm`]'s list, [`live::LiveVma`]'s pages and its host VMA, in that order;
//! 4. the shadow's root lock, then `page_table_lock`.
//!
//! [`file::OpenFile`]'s list of address spaces is taken innermost of all.

pub(crate) mod check;
pub(crate) mod events;
pub(crate) mod file;
pub(crate) mod live;
pub(crate) mod sync;
pub(crate) mod vm_ops;
