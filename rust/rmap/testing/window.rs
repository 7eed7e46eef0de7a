// SPDX-License-Identifier: GPL-2.0

//! Another thread acts between two steps of an operation.

use super::wait_for;
use crate::{
    kernel_ext::kthread::KThread,
    rmap::{
        kind::Windows,
        window::Window, //
    },
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        SpinLock, //
    },
    task::Task,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta, //
    },
};

/// Windows in which another thread may act, see [`at`].
pub(crate) struct Hooked;

impl Windows for Hooked {
    fn window(at: Window) {
        passing(at);
    }
}

/// The thread that runs the operation of [`at`]; 0 when there is none.
static OWNER: Atomic<usize> = Atomic::new(0);

/// The [`Window`] in which the other thread acts.
static PLACE: Atomic<u32> = Atomic::new(0);

/// Which of the two threads goes on.
static TURN: Atomic<u32> = Atomic::new(OPERATION);

/// The operation, which has not been in the window.
const OPERATION: u32 = 0;
/// The thread that acts.
const ACT: u32 = 1;
/// The operation, and the other thread has acted.
const DONE: u32 = 2;

/// Lets the other thread act if this is the operation's thread, in its window. Any context.
fn passing(at: Window) {
    let expected = OWNER.load(Relaxed) == me() && PLACE.load(Relaxed) == at as u32;
    if !expected || TURN.load(Relaxed) != OPERATION {
        return;
    }
    TURN.store(ACT, Release);
    // Ten seconds: before the kernel takes this for a stall.
    for _ in 0..1_000_000 {
        if TURN.load(Acquire) == DONE {
            return;
        }
        udelay(Delta::from_micros(10));
    }
}

/// Returns a number that identifies this thread.
fn me() -> usize {
    Task::current_raw().addr()
}

/// Makes this thread no [`OWNER`] any more when it is dropped.
struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        OWNER.store(0, Release);
    }
}

/// Runs `operation`, of a kind whose windows are [`Hooked`]. When it first passes `window`, it
/// waits, in the context that it has there, while another thread runs `act` to its end.
///
/// Returns what both return. Sleeps. `act` must not wait for what `operation` holds in that window,
/// a grace period included, and neither may assert. Violations belong to the thread that makes
/// them: where `act` makes one, it is expected there.
///
/// # Errors
///
/// `ENOENT` if `operation` does not pass the window, `ETIMEDOUT` if it did not see the end of
/// `act`; `ENOMEM`.
pub(crate) fn at<T, A: Send + Unpin + 'static>(
    window: Window,
    act: impl FnOnce() -> A + Send + 'static,
    operation: impl FnOnce() -> T,
) -> Result<(T, A)> {
    wait_for(|| OWNER.cmpxchg(0, me(), Acquire).is_ok())?;
    let owner = Owner;
    PLACE.store(window as u32, Relaxed);
    TURN.store(OPERATION, Relaxed);
    let result = Arc::pin_init(new_spinlock!(None), GFP_KERNEL)?;
    let theirs: Arc<SpinLock<Option<A>>> = result.clone();
    let thread = KThread::spawn(fmt!("shadow_rmap/act"), move |stop| {
        while TURN.load(Acquire) != ACT {
            if stop.requested() {
                return;
            }
            fsleep(Delta::from_micros(50));
        }
        let acted = act();
        *theirs.lock() = Some(acted);
        TURN.store(DONE, Release);
    })?;
    let operated = operation();
    let turn = TURN.load(Relaxed);
    drop(thread);
    drop(owner);
    let acted = result.lock().take();
    match (turn, acted) {
        (DONE, Some(acted)) => Ok((operated, acted)),
        (OPERATION, _) => Err(ENOENT),
        _ => Err(ETIMEDOUT),
    }
}
