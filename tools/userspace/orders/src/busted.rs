// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/torture/busted/mod.rs`: the deliberate bugs that are looked for here, and what
//! their files need.

use crate::rmap::{kind::Rmap, steps::Flavour};

/// There is no model here that steps could be those of.
macro_rules! no_model_step {
    ($($bug:ident)*) => {};
}
use no_model_step;

#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/life.rs"]
pub(crate) mod life;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/lookup.rs"]
pub(crate) mod lookup;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/page.rs"]
pub(crate) mod page;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/prepare.rs"]
pub(crate) mod prepare;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/vma.rs"]
pub(crate) mod vma;

macro_rules! flavours {
    ($($module:ident::$bug:ident)*) => {
        $(
            impl Flavour for $module::$bug {
                type Steps<R: Rmap> = Self;

                fn steps<R: Rmap>() -> &'static Self {
                    &Self
                }
            }
        )*
    };
}

flavours! {
    life::FreesWhileLocked
    lookup::KeepsLastReference
    page::StoresTwice
    prepare::TestsOnce
}
