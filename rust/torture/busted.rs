// SPDX-License-Identifier: GPL-2.0

//! deliberate bugs: each type breaks one rule, and is named by what it forgets.
//!
//! None of them is part of a module that is built for use: the build that is to contain one names
//! it (`make SHADOW_RMAP_BUST=...`, for the tests of the oracles).

use crate::rmap::rules;

/// deliberate bug: fork does not link the child to the root of its parent's family (R23).
#[cfg(shadow_rmap_bust = "ForgetsRootLink")]
pub(crate) struct ForgetsRootLink;

#[cfg(shadow_rmap_bust = "ForgetsRootLink")]
impl rules::Rules for ForgetsRootLink {
    const FORK_CLONES_ALL_LINKS: bool = false;
}

/// The rules that live mappings obey.
#[cfg(not(shadow_rmap_busted))]
pub(crate) type Live = rules::Correct;

/// The rules that live mappings break.
#[cfg(shadow_rmap_bust = "ForgetsRootLink")]
pub(crate) type Live = ForgetsRootLink;
