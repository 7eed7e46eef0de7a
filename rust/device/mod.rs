// SPDX-License-Identifier: GPL-2.0

//! `/dev/shadow_rmap`: private mappings of real processes, and their shadow.
//!
//! | module | is |
//! |---|---|
//! | [`file`] | the misc device: open, mmap, ioctl |
//! | [`vm_ops`] | the host's callbacks, as safe calls |
//! | `zero_pages` | what is mapped where nothing was written |
//! | [`registry`] | what the module has once |
//! | [`mode`] | the two kinds of mapping |
//! | [`mergeable`] | mappings whose VMAs the host may merge |
//! | [`live`] | the shadow's objects for a live mapping: address spaces, VMAs, pages |
//! | `numbers` | the shadow's objects for VMAs, by the number that the host's VMA keeps |
//! | [`events`] | updates the shadow at each callback |
//! | `fork` | updates the shadow at a fork |
//! | `inherit` | VMAs that get the links of others without a callback |
//! | `layout` | where VMAs are, and which changes of that are permitted |
//! | `links` | updates links at a fault, and after changes for which the host calls no driver |
//! | [`sync`] | updates ranges and pages after such changes |
//! | `swapped` | pages that the host may have swapped out and read in again |
//! | `taken` | locks all address spaces, and lists what is there |
//! | [`graphs`] | takes the graphs of the shadow and of the host |
//! | `pair` | the two graphs |
//! | [`check`] | verifies and compares the two graphs |
//! | `violations` | the violations of one check |
//!
//! # Callbacks
//!
//! | the process does | the host calls | after |
//! |---|---|---|
//! | `mmap()` | `mmap` | |
//! | write fault on a page not there | `fault` | its `anon_vma_prepare()` |
//! | `fork()` | `open` of each new VMA | its `anon_vma_fork()`, before pages are copied |
//! | a split, `mremap()` to elsewhere | `open` of the new VMA | its `anon_vma_clone()` |
//! | `munmap()`, `exit()`, the end of a move | `close`, if the mapping is pinned | its `unlink_anon_vmas()` |
//! | write to a page that was read before | nothing | |
//! | `madvise(MADV_DONTNEED)`, growth of a VMA, move of a boundary, a merge | nothing | |
//!
//! Changes without a callback are looked up before the shadow needs them: before a fork, and at a
//! check; for mergeable mappings also at the other callbacks, and from time to time.
//!
//! # Locks
//!
//! 0. `check_lock` of [`registry::Registry`], which a check takes;
//! 1. the host's `mmap_lock`, which the host holds around each callback; a check takes that of each
//!    address space, then the lock of each VMA (`vma_start_write()`); a look at another process's
//!    VMAs takes one more, without waiting;
//! 2. the shadow's `mmap_lock`, the parent's before the child's ([`crate::rmap::mm`]);
//! 3. the list of a [`live::LiveMm`], the pages of a [`live::LiveVma`], its host VMA, in that
//!    order;
//! 4. the shadow's root lock, then `page_table_lock`.
//! 5. the lock of a page table of the host, while its PTEs are read.
//!
//! The innermost locks, under which no other is taken: the list of open files, the list of address
//! spaces of a [`file::OpenFile`], `xa_lock` of `numbers`, the pages of a [`live::LiveMm`] that were
//! unmapped, its refused child, the number of violations that checks have found.

pub(crate) mod check;
pub(crate) mod events;
pub(crate) mod file;
mod fork;
pub(crate) mod graphs;
mod inherit;
mod layout;
mod links;
pub(crate) mod live;
pub(crate) mod mergeable;
mod mode;
mod numbers;
mod pair;
pub(crate) mod registry;
mod seen;
mod steady;
mod swapped;
pub(crate) mod sync;
mod taken;
mod violations;
pub(crate) mod vm_ops;
mod zero_pages;

/// What the module was loaded with.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Whether live mappings are shadowed.
    pub(crate) shadow: bool,
    /// VMAs for each open file.
    pub(crate) max_vmas: usize,
    /// Pages for each open file.
    pub(crate) max_pages: usize,
}
