// SPDX-License-Identifier: GPL-2.0

//! The shadow's objects of a live mapping: address spaces, VMAs, pages.

mod by_place;
mod index;
pub(crate) mod mapping;
mod mm;
mod page;
mod place;
mod unmapped;
mod vma;
mod vmas;

pub(super) use by_place::ByPlace;
pub(crate) use mm::LiveMm;
pub(crate) use page::{
    LivePage,
    PageRoom,
    MIGRATES, //
};
pub(crate) use place::{
    Addresses,
    Place, //
};
pub(crate) use vma::LiveVma;
pub(crate) use vmas::MOST_DOUBTFUL;

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The next number for output of an address space or VMA; no number is used twice.
static NEXT_ID: Atomic<u64> = Atomic::new(1);

/// Returns a new number.
fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Relaxed)
}
