// SPDX-License-Identifier: GPL-2.0

//! RCU: read sections, and grace periods that wait for exactly those that had begun before.
//!
//! In the kernel a grace period takes as long as the kernel likes, and so it may hide that a reader
//! was not waited for. Here it ends as soon as it may. Work that waits for one ([`call`]) is done
//! by [`poll`] and [`barrier`], not in the background; the slab allocator polls.

use super::{
    context,
    schedule::{self, thread_local},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst, fence},
};

/// A thread that has ever been a reader.
#[derive(Default)]
struct Reader {
    /// How often its outermost read section was entered, plus how often it was left: odd inside.
    changes: AtomicU64,
}

static READERS: Mutex<Vec<Arc<Reader>>> = Mutex::new(Vec::new());

/// What is to be done after a grace period.
type Work = Box<dyn FnOnce() + Send>;

/// How many threads are doing such work.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

static WAITING: Mutex<Vec<(GracePeriod, Work)>> = Mutex::new(Vec::new());

/// What threads wait with for readers, and for work, see [`schedule::wait_until`].
fn key() -> usize {
    (&raw const READERS).addr()
}

/// Takes a lock of this module, also if a thread that had it has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a thread, and takes it off the list at its end.
struct Registered(Arc<Reader>);

impl Registered {
    fn new() -> Self {
        let reader = Arc::new(Reader::default());
        lock(&READERS).push(reader.clone());
        Self(reader)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&READERS).retain(|reader| !Arc::ptr_eq(reader, &self.0));
    }
}

thread_local! {
    static READER: Registered = Registered::new();
}

/// `rcu_read_lock()`.
pub fn read_lock() {
    schedule::point(schedule::Grain::Call);
    if context::enter_rcu() {
        READER.with(|reader| reader.0.changes.fetch_add(1, SeqCst));
        fence(SeqCst);
    }
}

/// `rcu_read_unlock()`.
#[track_caller]
pub fn read_unlock() {
    schedule::point(schedule::Grain::Call);
    if context::leave_rcu() {
        fence(SeqCst);
        READER.with(|reader| reader.0.changes.fetch_add(1, SeqCst));
        schedule::wake(key());
    }
}

/// A grace period: it is over when each read section has been left that had begun before.
pub struct GracePeriod {
    /// The threads that were in one, and their counts then.
    readers: Vec<(Arc<Reader>, u64)>,
}

impl GracePeriod {
    /// `start_poll_synchronize_rcu()`. Any context.
    pub fn start() -> Self {
        fence(SeqCst);
        let readers = lock(&READERS);
        let inside = readers.iter().filter_map(|reader| {
            let changes = reader.changes.load(SeqCst);
            (changes % 2 != 0).then(|| (reader.clone(), changes))
        });
        Self {
            readers: inside.collect(),
        }
    }

    /// `poll_state_synchronize_rcu()`: returns whether it is over. Any context.
    pub fn is_over(&mut self) -> bool {
        self.readers
            .retain(|(reader, changes)| reader.changes.load(SeqCst) == *changes);
        fence(SeqCst);
        self.readers.is_empty()
    }

    /// `cond_synchronize_rcu()`: waits until it is over. Sleeps.
    pub fn wait(mut self) {
        context::might_sleep();
        schedule::wait_until(key(), || self.is_over());
    }
}

/// `synchronize_rcu()`. Sleeps.
pub fn synchronize() {
    GracePeriod::start().wait();
}

/// `call_rcu()`: does `work` after a grace period. Any context.
pub fn call(work: impl FnOnce() + Send + 'static) {
    let period = GracePeriod::start();
    lock(&WAITING).push((period, Box::new(work)));
}

/// Does the work whose grace period is over. Returns whether all is done.
pub fn poll() -> bool {
    let mut due = Vec::new();
    let mut waiting = lock(&WAITING);
    let mut at = 0;
    while let Some((period, _)) = waiting.get_mut(at) {
        if period.is_over() {
            due.push(waiting.remove(at).1);
        } else {
            at += 1;
        }
    }
    let all = waiting.is_empty();
    AT_WORK.fetch_add(1, SeqCst);
    drop(waiting);
    for work in due {
        work();
    }
    AT_WORK.fetch_sub(1, SeqCst);
    schedule::wake(key());
    all
}

/// `rcu_barrier()`: waits until the work is done that was there before. Sleeps.
pub fn barrier() {
    synchronize();
    poll();
    schedule::wait_until(key(), || AT_WORK.load(SeqCst) == 0);
}
