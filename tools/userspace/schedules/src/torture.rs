// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/torture/mod.rs`: the deliberate bugs, the load and the third lock are its own.
//! Steps are chosen at run time, as there.

pub(crate) mod alone;
#[rustfmt::skip]
#[path = "../../../../rust/torture/busted/mod.rs"]
pub(crate) mod busted;
#[rustfmt::skip]
#[path = "../../../../rust/torture/load/mod.rs"]
mod load;
#[rustfmt::skip]
#[path = "../../../../rust/torture/preemptible.rs"]
pub(crate) mod preemptible;

use crate::{
    model::{
        Modelled,
        steps::{ModelFlavour, ModelSteps},
    },
    record::record,
    report,
    rmap::{
        kind::{Rmap, Windows},
        steps::{Correct, Flavour, Steps},
        window::Window,
    },
};
use busted::Table;
use kernel::{
    Result,
    error::code::ENOMEM,
    mock::{
        random::Random,
        schedule::{self, Grain},
    },
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Stands for `rust/torture/pressure/`, of which the load uses this.
pub(crate) mod pressure {
    use crate::kernel_ext::random::Random;
    use kernel::mock::schedule::{self, Grain};

    /// Lets other threads run.
    pub(crate) fn linger(_random: &mut Random) {
        schedule::point(Grain::Window);
    }
}

/// What the table of the bugs names of `rust/torture/run/`, see `tests/copies.rs`.
pub(crate) mod run {
    /// The lock of a family, and with it the protocol of a lookup.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Protocol {
        /// A sleeping lock.
        RwSem,
        /// A spinning lock.
        Spin,
        /// A spinning lock whose holder can be preempted.
        Preemptible,
    }

    /// All protocols, by name.
    pub(crate) const PROTOCOLS: [(Protocol, &str); 3] = [
        (Protocol::RwSem, "rwsem"),
        (Protocol::Spin, "spin"),
        (Protocol::Preemptible, "preemptible"),
    ];
}

/// The steps of the bug that was chosen.
pub(crate) struct Chosen;

/// The number of that bug in the table; 0 for none. It is no part of the engine: reading it is no
/// point of a schedule.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// Chooses a bug. No engine with these steps runs meanwhile.
pub(crate) fn choose(bust: &busted::Bust) {
    CHOSEN.store(bust.number, Relaxed);
}

/// Returns that bug.
fn chosen() -> Option<&'static busted::Bust> {
    busted::ALL.get(CHOSEN.load(Relaxed).checked_sub(1)?)
}

impl Flavour for Chosen {
    type Steps<R: Rmap> = dyn Steps<R>;

    fn steps<R: Rmap>() -> &'static dyn Steps<R> {
        let steps = Table::<R>::STEPS.get(CHOSEN.load(Relaxed));
        steps.copied().unwrap_or(&Correct)
    }
}

impl ModelFlavour for Chosen {
    type ModelSteps<R: Modelled> = dyn ModelSteps<R>;

    fn model_steps<R: Modelled>() -> &'static dyn ModelSteps<R> {
        let steps = Table::<R>::MODEL_STEPS.get(CHOSEN.load(Relaxed));
        steps.copied().unwrap_or(&Correct)
    }
}

/// Windows in which the schedule may switch. The first report of an oracle ends the search.
pub(crate) struct Points;

impl Windows for Points {
    fn window(_at: Window) {
        report::look();
        schedule::point(Grain::Window);
    }

    fn allocation() -> Result {
        let one_of = FAILURES.load(Relaxed);
        if one_of == 0 {
            return Ok(());
        }
        let n = ALLOCATIONS.fetch_add(1, Relaxed);
        let mut random = Random::new(record().seed ^ (n as u64) << 20);
        if random.below(one_of) == 0 {
            Err(ENOMEM)
        } else {
            Ok(())
        }
    }
}

/// One allocation of the engine of so many fails; 0 for none.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// Allocations since [`fail_one_of`].
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Lets one allocation of so many fail from here on, which the seed of the execution decides; 0 for
/// none.
pub(crate) fn fail_one_of(many: usize) {
    FAILURES.store(many, Relaxed);
    ALLOCATIONS.store(0, Relaxed);
}
