// SPDX-License-Identifier: GPL-2.0

//! Steps that are chosen when a torture or a test starts: those of one deliberate bug.
//!
//! An engine for each bug would be the same machine code a hundred times over, and minutes of
//! compiler time. This one calls its steps through a table. A torture without a bug does not use
//! it: it runs [`Correct`], the engine of live mappings. So do the tests of the correct steps.
//!
//! [`Correct`]: crate::rmap::steps::Correct

#[cfg(shadow_rmap_kunit)]
use super::busted::Numbered;
use super::busted::Table;
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
        kind::Rmap,
        steps::{
            Correct,
            Flavour,
            Steps, //
        }, //
    },
};
use kernel::sync::atomic::Atomic;

/// The steps of the bug that was chosen last.
pub(crate) struct AtRunTime;

/// The number of that bug in the table.
static CHOSEN: Atomic<usize> = Atomic::new(0);

impl AtRunTime {
    /// Chooses a bug by its number. No thread is in an engine with these steps meanwhile.
    #[cfg(shadow_rmap_torture)]
    pub(super) fn choose(number: usize) {
        CHOSEN.write_once(number);
    }

    /// Chooses the steps `B` for a test, until the result is dropped.
    ///
    /// There is one choice for the whole module: KUnit runs one test at a time, in user space as
    /// well. A test that ends by an assertion drops nothing; the next choice replaces its own.
    #[cfg(shadow_rmap_kunit)]
    pub(crate) fn with<B: Numbered>() -> Chosen {
        CHOSEN.write_once(B::NUMBER);
        Chosen
    }
}

/// The steps that a test has chosen: the correct ones again when it is dropped.
#[cfg(shadow_rmap_kunit)]
#[must_use = "the steps are chosen until this is dropped"]
pub(crate) struct Chosen;

#[cfg(shadow_rmap_kunit)]
impl Drop for Chosen {
    fn drop(&mut self) {
        CHOSEN.write_once(Correct::NUMBER);
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
