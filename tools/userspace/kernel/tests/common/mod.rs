// SPDX-License-Identifier: GPL-2.0

//! Shared by the tests of the mocks.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

/// Runs `f` in a thread of its own, which a splat ends. Returns what it says.
#[allow(dead_code, reason = "not all tests use it")]
pub fn splat_of(f: impl FnOnce() + Send) -> String {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| catch_unwind(AssertUnwindSafe(f)));
        thread.join().expect("the panic is caught")
    });
    match result {
        Ok(()) => String::from("no splat"),
        Err(text) => words(&text),
    }
}

fn words(text: &Box<dyn Any + Send>) -> String {
    match text.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => format!("{:?}", text.downcast_ref::<&str>()),
    }
}

/// A thread that waits in the middle of what it does.
#[allow(dead_code, reason = "not all tests use it")]
pub struct Waiting<T> {
    thread: JoinHandle<T>,
    go: Sender<()>,
}

#[allow(dead_code, reason = "not all tests use it")]
impl<T: Send + 'static> Waiting<T> {
    /// Runs `begin`, which may keep something, and then waits.
    pub fn after<K: 'static>(begin: fn() -> K, end: fn(K) -> T) -> Self {
        let (go, wait): (_, Receiver<()>) = channel();
        let (begun, there) = channel();
        let thread = std::thread::spawn(move || {
            let kept = begin();
            begun.send(()).expect("the test waits");
            // The end of the test is as good.
            let _ = wait.recv();
            end(kept)
        });
        there.recv().expect("the thread has begun");
        Self { thread, go }
    }

    /// Lets it go on, and waits for its end.
    pub fn finish(self) -> T {
        self.go.send(()).expect("the thread waits");
        self.thread.join().expect("the thread ends well")
    }
}
