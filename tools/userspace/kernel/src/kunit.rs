// SPDX-License-Identifier: GPL-2.0

//! Mirrors KUnit: what `#[kunit_tests]` makes of a `#[test]`.

use crate::{Error, mock::context};
use std::sync::{Mutex, PoisonError};

/// What a test may return.
pub trait Outcome {
    /// The error, if the test failed.
    fn error(self) -> Option<Error>;
}

impl Outcome for () {
    fn error(self) -> Option<Error> {
        None
    }
}

impl Outcome for Result<(), Error> {
    fn error(self) -> Option<Error> {
        self.err()
    }
}

/// The tests of all suites run one after the other, as in the kernel: they count what all of the
/// module counts.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test of a suite, in the context of a thread that may sleep.
///
/// `load` does what loading the module does, before the first test; its result is kept.
///
/// # Panics
///
/// If the test fails, or leaves a lock held, an RCU read section entered, or an object of a slab
/// cache that was destroyed behind.
pub fn run<T: Outcome>(suite: &str, name: &str, load: fn() -> Result<(), Error>, test: fn() -> T) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = load() {
        panic!("{suite}: the module cannot be loaded: {error:?}");
    }
    // What a test has left that failed before is not this one's.
    context::take_splat();
    context::left_behind();
    let error = test().error();
    if let Some(left) = context::left_behind() {
        panic!("{suite}: {name} leaves behind: {left}");
    }
    if let Some(splat) = context::take_splat() {
        panic!("{suite}: {name}: {splat}");
    }
    if let Some(error) = error {
        panic!("{suite}: {name} returns {error:?}");
    }
}
