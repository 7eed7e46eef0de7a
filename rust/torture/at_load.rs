// SPDX-License-Identifier: GPL-2.0

//! The steps of a deliberately wrong `shadow_rmap.ko`, which is built to show that the comparison
//! with the host notices (`SHADOW_RMAP_BUST=1`). Until a bug is chosen by its name, they are correct.

use super::busted::{
    fork,
    life,
    live,
    prepare,
    vma, //
};
use crate::{
    kernel_ext::rwonce::ReadWriteOnce,
    rmap::{
        kind::Rmap,
        steps::{
            Correct,
            Flavour,
            Steps, //
        },
    },
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// The number of the bug in [`NAMES`]; beyond its end, none.
static CHOSEN: Atomic<usize> = Atomic::new(usize::MAX);

/// The steps of the bugs for the kind `R`.
struct Table<R>(PhantomData<R>);

macro_rules! bugs {
    ($($file:ident::$bug:ident)*) => {
        /// The bugs that a live mapping can have, by name.
        const NAMES: &[&str] = &[$(stringify!($bug)),*];

        impl<R: Rmap> Table<R> {
            const STEPS: &'static [&'static dyn Steps<R>] = &[$(&$file::$bug),*];
        }
    };
}

bugs! {
    fork::ForgetsRootLink
    fork::NeverReuses
    fork::ReusesBusy
    fork::SharesWithParent
    life::LetsRootGo
    live::CountsNoCopy
    live::CountsNoUnmap
    live::HostForgetsClose
    live::HostForgetsOpen
    live::HostForgetsTheLast
    live::HostHidesAnonVmas
    live::HostHidesMarks
    live::HostMisplacesPages
    live::HostNamesTheParent
    live::InheritsNothing
    live::KeepsThePlace
    live::LeadsToTheRoot
    live::MergesNothing
    live::NamesTheRoot
    prepare::SharesForked
    vma::KeepsAnonVma
}

/// The steps of the bug that was chosen last.
pub(crate) struct AtLoad;

impl Flavour for AtLoad {
    type Steps<R: Rmap> = dyn Steps<R>;

    fn steps<R: Rmap>() -> &'static dyn Steps<R> {
        let steps = Table::<R>::STEPS.get(CHOSEN.read_once());
        steps.copied().unwrap_or(&Correct)
    }
}

/// Returns whether the bug with this name was chosen. The bugs that no step of the engine can have are in
/// the driver and in the readers of the host.
#[cfg(shadow_rmap_busted)]
pub(crate) fn is_chosen(name: &str) -> bool {
    NAMES.get(CHOSEN.read_once()) == Some(&name)
}

/// Chooses a bug by its name, for all mappings from now on.
///
/// # Errors
///
/// `EINVAL` if there is none of this name.
pub(crate) fn choose(name: &[u8]) -> Result {
    let number = NAMES.iter().position(|bug| bug.as_bytes() == name);
    CHOSEN.write_once(number.ok_or(EINVAL)?);
    Ok(())
}
