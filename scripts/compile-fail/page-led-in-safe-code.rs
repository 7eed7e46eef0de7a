// SPDX-License-Identifier: GPL-2.0
// R39: only VMAs that are linked to the anon_vma may map the page, which the caller promises.

use crate::rmap::{
    family::LockedAnonVma,
    page::PageRmap, //
};

fn lead(page: &PageRmap, locked: &LockedAnonVma<'_>) {
    page.lead_to(locked);
}
