// SPDX-License-Identifier: GPL-2.0

//! Rules broken on purpose.

pub(crate) mod busted;
