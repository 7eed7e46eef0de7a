// SPDX-License-Identifier: GPL-2.0

//! Tests of the whole model. Those of one file are in the file of that name, as a child of its
//! module.
//!
//! | module | contents |
//! |---|---|
//! | [`reference`] | a second, simple implementation of the model |
//! | [`sequences`] | random steps, compared with the reference |
//! | [`failures`] | each allocation fails once |
//! | [`forgotten`] | no page is mapped without a link |

mod failures;
mod forgotten;
mod reference;
mod sequences;
