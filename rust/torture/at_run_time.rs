// SPDX-License-Identifier: GPL-2.0

//! Steps that are chosen when a torture starts: those of one deliberate bug.
//!
//! An engine for each bug would be the same machine code a hundred times over, and minutes of
//! compiler time. This one calls its steps through a table. A torture without a bug does not use
//! it: it runs [`Correct`], the engine of live mappings.
//!
//! [`Correct`]: crate::rmap::steps::Correct

use super::{
    busted::Table,
    pressure, //
};
use crate::{
    kernel_ext::rwonce::ReadWriteOnce,
    model::{
        steps::{
            ModelFlavour,
            ModelSteps, //
        },
        Modelled, //
    },
    rmap::{
        kind::{
            Rmap,
            Windows, //
        },
        steps::{
            Correct,
            Flavour,
            Steps, //
        },
        window::Window, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// The steps of the bug that was chosen last.
pub(crate) struct AtRunTime;

/// The number of that bug in the table.
static CHOSEN: Atomic<usize> = Atomic::new(0);

impl AtRunTime {
    /// Chooses a bug by its number. No thread is in an engine with these steps meanwhile.
    pub(super) fn choose(number: usize) {
        CHOSEN.write_once(number);
    }
}

impl Flavour for AtRunTime {
    type Steps<R: Rmap> = dyn Steps<R>;

    fn steps<R: Rmap>() -> &'static dyn Steps<R> {
        Table::<R>::STEPS
            .get(CHOSEN.read_once())
            .copied()
            .unwrap_or(&Correct)
    }
}

impl ModelFlavour for AtRunTime {
    type ModelSteps<R: Modelled> = dyn ModelSteps<R>;

    fn model_steps<R: Modelled>() -> &'static dyn ModelSteps<R> {
        Table::<R>::MODEL_STEPS
            .get(CHOSEN.read_once())
            .copied()
            .unwrap_or(&Correct)
    }
}

/// Windows in which threads of a torture stay, and allocations that it lets fail.
pub(crate) struct Pressure;

impl Windows for Pressure {
    fn window(at: Window) {
        pressure::pass(at);
    }

    fn allocation() -> Result {
        pressure::allocate()
    }
}
