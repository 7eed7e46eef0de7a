// SPDX-License-Identifier: GPL-2.0

//! Trace events of the engine and of live mappings, for tracefs: `Documentation/tracing.rst`.
//!
//! An event that is off costs what one of the host's own costs: one `nop`, or without
//! `CONFIG_JUMP_LABEL` a load and a branch. Its fields are computed by a closure, which is called
//! only when the event is on. `shadow_rmap_kunit.ko`, a kernel without `CONFIG_TRACEPOINTS` and
//! user space have no events: there the calls here compile to nothing.
//!
//! C header: `rust/helpers/shadow_rmap_trace.h`, which has the formats.

#![allow(unsafe_code, reason = "a room of the design: calls into C")]

/// Returns whether a trace event is on.
#[cfg(all(CONFIG_TRACEPOINTS, not(shadow_rmap_kunit)))]
macro_rules! is_on {
    ($point:ident) => {{
        #[cfg(CONFIG_JUMP_LABEL)]
        // SAFETY: C defines the tracepoint, and its key.
        let on = unsafe {
            kernel::jump_label::static_branch_unlikely!(
                crate::bindings::$point,
                kernel::bindings::tracepoint,
                key
            )
        };
        // `static_key_count()` is a call unless the kernel is built with
        // `CONFIG_RUST_INLINE_HELPERS`.
        #[cfg(not(CONFIG_JUMP_LABEL))]
        // SAFETY: As above; the count is one word, which is read in one piece.
        let on = unsafe {
            let key = &raw const crate::bindings::$point.key.key;
            (&raw const (*key).enabled.counter).read_volatile() > 0
        };
        on
    }};
}

macro_rules! events {
    ($(
        $(#[$about:meta])*
        $name:ident($($field:ident: $type:ty),*) $point:ident $emit:ident;
    )*) => {$(
        $(#[$about])*
        ///
        /// Any context.
        #[inline(always)]
        pub(crate) fn $name(fields: impl FnOnce() -> ($($type),*)) {
            #[cfg(all(CONFIG_TRACEPOINTS, not(shadow_rmap_kunit)))]
            if is_on!($point) {
                let ($($field),*) = fields();
                // SAFETY: Numbers alone, which are copied.
                unsafe { crate::bindings::$emit($($field),*) };
            }
            #[cfg(not(all(CONFIG_TRACEPOINTS, not(shadow_rmap_kunit))))]
            let _ = fields;
        }
    )*};
}

/// What a lookup that finds nothing has seen.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Stale {
    /// No PTE maps the page.
    Unmapped = 0,
    /// No PTE maps the page any more, now that the lock is held.
    UnmappedWhenLocked = 1,
    /// The anon_vma is free, or no PTE maps the page any more, now that a reference is held.
    UnmappedWhenPinned = 2,
}

events! {
    /// A prepare: the VMA, the neighbour whose anon_vma it shares (0: it made a new one), and
    /// whether it was given that: not if another thread had prepared the VMA meanwhile.
    prepare(vma: u64, neighbour: u64, given: bool)
        __tracepoint_shadow_rmap_prepare rust_do_trace_shadow_rmap_prepare;
    /// A clone within an address space: the two VMAs, and how many links it made.
    clone(source: u64, copy: u64, links: usize)
        __tracepoint_shadow_rmap_clone rust_do_trace_shadow_rmap_clone;
    /// A fork of a VMA: the two VMAs, how many links it cloned, and whether the child gets an
    /// anon_vma of its own.
    fork(parent: u64, child: u64, links: usize, own: bool)
        __tracepoint_shadow_rmap_fork rust_do_trace_shadow_rmap_fork;
    /// A fork reuses an anon_vma: the two VMAs, and its place on the parent's chain, from 0.
    reuse(parent: u64, child: u64, place: usize)
        __tracepoint_shadow_rmap_reuse rust_do_trace_shadow_rmap_reuse;
    /// A merge: the VMA that stays, the one that goes, and how many links that one has.
    merge(survivor: u64, gone: u64, links: usize)
        __tracepoint_shadow_rmap_merge rust_do_trace_shadow_rmap_merge;
    /// An unlink: the VMA, how many links it had, and how many anon_vmas no VMA is linked to any
    /// more.
    unlink(vma: u64, links: usize, emptied: usize)
        __tracepoint_shadow_rmap_unlink rust_do_trace_shadow_rmap_unlink;
    /// `mremap()` to another place: the VMA at the old place, the one at the new, and how many
    /// pages long that is.
    move_vma(from: u64, to: u64, pages: usize)
        __tracepoint_shadow_rmap_move rust_do_trace_shadow_rmap_move;
    /// `folio_move_anon_rmap()`: the VMA to whose anon_vma a page has moved, and the page's offset.
    move_page(vma: u64, index: usize)
        __tracepoint_shadow_rmap_move_page rust_do_trace_shadow_rmap_move_page;
    /// A lookup that found an anon_vma without waiting: the page's offset, and whether it holds the
    /// lock or (if not) a reference.
    lookup_found(index: usize, locked: bool)
        __tracepoint_shadow_rmap_lookup_found rust_do_trace_shadow_rmap_lookup_found;
    /// A lookup that found nothing: the page's offset, and a [`Stale`].
    lookup_stale(index: usize, seen: u32)
        __tracepoint_shadow_rmap_lookup_stale rust_do_trace_shadow_rmap_lookup_stale;
    /// A lookup that waited for the lock: the page's offset, and whether it has the lock: not if its
    /// reference turned out to be the last one.
    lookup_waited(index: usize, locked: bool)
        __tracepoint_shadow_rmap_lookup_waited rust_do_trace_shadow_rmap_lookup_waited;
}
