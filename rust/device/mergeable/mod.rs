// SPDX-License-Identifier: GPL-2.0

//! Mergeable mappings: the host may merge their VMAs.
//!
//! The VMAs of such a mapping have no `close`. So the host removes them by merges, as those of any
//! mapping, and calls nothing when it removes one. The shadow finds them again: `vm_private_data`
//! of each has the number of its [`LiveVma`](super::live::LiveVma), or 0, and never a pointer. A
//! VMA of the shadow whose number no VMA of its address space has is gone.
//!
//! | module | is |
//! |---|---|
//! | [`vm_ops`] | the host's callbacks, as safe calls |
//! | `events` | updates the shadow at each callback |
//! | `found` | finds the host's VMAs of an address space again |
//! | `follow` | explains the host's layout by permitted steps, and takes them |
//! | `sweep` | looks at other address spaces, which may have ended |

mod events;
mod follow;
mod found;
mod sweep;
pub(super) mod vm_ops;

pub(super) use follow::{
    follow,
    Prepare, //
};
pub(super) use found::Found;
pub(crate) use sweep::Sweeper;
pub(super) use sweep::{
    sweep_others,
    Which, //
};
