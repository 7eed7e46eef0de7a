// SPDX-License-Identifier: GPL-2.0

//! The reverse map itself.

pub(crate) mod rules;
