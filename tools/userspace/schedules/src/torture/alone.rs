// SPDX-License-Identifier: GPL-2.0

//! One thread does what the threads of a torture do: whatever it finds needs no interleaving.

use super::{
    chosen, fail_one_of,
    load::{self, MIXES, Own},
};
use crate::{
    execution::at_rest,
    kernel_ext::random::Random,
    model::{Modelled, mm::Mm},
    record::record,
    report,
    scenarios::World,
};
use kernel::Result;

/// The number of actions between two looks at all processes, and the number of looks.
const ACTIONS: usize = 24;
const LOOKS: usize = 8;

/// One allocation of so many fails.
const ONE_OF: usize = 32;

/// Does the actions of the load that the bug names, or of any without a bug, as the seed says.
pub(crate) fn alone<R: Modelled>(_world: &World<R>) -> Result {
    let mut random = Random::new(record().seed);
    let (any, _) = MIXES[random.below(MIXES.len())];
    let mix = chosen().map_or(any, |bust| bust.mix);
    let world = load::World::<R>::new(mix)?;
    let mut own = Own::new();
    for look in 0..LOOKS {
        // A line of processes comes to its end only without failures.
        fail_one_of(if look % 2 == 0 { 0 } else { ONE_OF });
        for _ in 0..ACTIONS {
            let action = mix.choose(false, &mut random);
            let _ = load::act(&world, action, &mut own, &mut random);
            report::look();
        }
        fail_one_of(0);
        own = Own::new();
        let processes = world.processes()?;
        let mms: Vec<&Mm<R>> = processes.iter().map(|mm| &**mm).collect();
        at_rest(&mms)?;
    }
    world.clear();
    Ok(())
}
