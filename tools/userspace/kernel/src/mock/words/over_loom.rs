// SPDX-License-Identifier: GPL-2.0

//! Words with the memory model of loom.
//!
//! An atomic of loom is no plain memory: it cannot be in a static, nor in memory of a slab that is
//! used again. So a word holds the value that was stored last, and its atomic is found in a table by
//! the word's address. It is made at the first access of an execution, with the value that is there.
//! Where that value is another one than what was stored last, the memory was written as a whole, by
//! an initialiser: then the word gets a new atomic. Loom reports a thread that accesses an atomic
//! without being ordered after its making. So the set-up of an execution must access each word that
//! two threads use at once.
//!
//! Where this differs from loom:
//!
//! * A relaxed load of a pointer, or of a number as wide as one, is an acquire: loom has no order by
//!   dependencies, and the engine follows each pointer that it reads.
//! * What precedes the release of a spinlock comes before what follows it, as seen by all threads.
//!   The kernel promises that from the next spinlock on that the thread takes; see `unlocked`.
//! * Loom remembers the last access to each atomic. A thread that loads and then stores hides the
//!   loads of others between, and loom does not try its store before these. So each word has a
//!   [`mark`](Marks) for each thread as well, which loads of that thread and stores of the others
//!   are ordered by.

use core::sync::atomic::{self as of_core, Ordering};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ptr,
    rc::Rc,
    sync::atomic::{AtomicU8, AtomicUsize as Count},
};

type Loom = loom::sync::atomic::AtomicI64;

/// An order that the engine asks for, and that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// A release store is relaxed.
    Release = 1,
    /// `smp_wmb()` does nothing.
    WriteBarrier = 2,
    /// A read-modify-write that is a full barrier is relaxed.
    FullBarrier = 4,
    /// The release of a spinlock orders nothing but for the next thread that takes it.
    Unlock = 8,
}

/// The orders that are left out, by their numbers.
static LEFT_OUT: AtomicU8 = AtomicU8::new(0);

/// Accesses to words in the present execution.
static ACCESSES: Count = Count::new(0);

/// The most threads besides the one that sets an execution up.
pub const THREADS: usize = 2;

/// What loads of a thread, and stores of all others, are ordered by: one for each thread.
type Marks = [Loom; THREADS];

/// What is known of a word.
struct Known {
    atomic: Rc<Loom>,
    marks: Rc<Marks>,
    /// The value that was stored last.
    last: i64,
}

// Loom's threads are those of one thread of the system.
std::thread_local! {
    static WORDS: RefCell<BTreeMap<usize, Known>> = const { RefCell::new(BTreeMap::new()) };
}

loom::thread_local! {
    /// The number of the thread; 0 while it is the only one.
    static NUMBER: Cell<usize> = Cell::new(0);
}

/// Leaves orders out from here on.
pub fn leave_out(orders: &[Order]) {
    let orders = orders.iter().fold(0, |all, order| all | *order as u8);
    LEFT_OUT.store(orders, Ordering::Relaxed);
}

fn is_left_out(order: Order) -> bool {
    LEFT_OUT.load(Ordering::Relaxed) & order as u8 != 0
}

/// Begins an execution, or ends one: no word is known. Returns how many accesses there were.
pub fn forget() -> usize {
    WORDS.with(|words| words.borrow_mut().clear());
    ACCESSES.swap(0, Ordering::Relaxed)
}

/// Returns how many accesses there were since [`forget`].
pub fn accesses() -> usize {
    ACCESSES.load(Ordering::Relaxed)
}

/// Starts a thread; `number` is 1 to [`THREADS`], another one for each.
pub fn spawn(number: usize, work: impl FnOnce() + 'static) -> loom::thread::JoinHandle<()> {
    assert!((1..=THREADS).contains(&number), "no such thread");
    loom::thread::spawn(move || {
        NUMBER.with(|mine| mine.set(number));
        work();
    })
}

/// Mirrors `core::sync::atomic::fence`.
pub fn fence(order: Ordering) {
    loom::sync::atomic::fence(order);
}

/// Returns the order of an access of the engine.
pub(crate) fn kept(order: Ordering) -> Ordering {
    let left_out = match order {
        Ordering::Release => is_left_out(Order::Release),
        Ordering::SeqCst => is_left_out(Order::FullBarrier),
        _ => false,
    };
    if left_out { Ordering::Relaxed } else { order }
}

/// A barrier of the engine.
pub(crate) fn barrier(order: Ordering) {
    if order != Ordering::Release || !is_left_out(Order::WriteBarrier) {
        fence(order);
    }
}

/// A spinlock was released: stores that follow are ordered after all that precedes.
pub(crate) fn unlocked() {
    if !is_left_out(Order::Unlock) {
        fence(Ordering::Release);
    }
}

/// Returns the atomic of the word at `at`, which has this value.
fn atomic(at: usize, value: i64) -> Rc<Loom> {
    ACCESSES.fetch_add(1, Ordering::Relaxed);
    WORDS.with(|words| {
        let mut words = words.borrow_mut();
        let known = words.get(&at).filter(|known| known.last == value);
        if let Some(known) = known {
            return known.atomic.clone();
        }
        let new = Known {
            atomic: Rc::new(Loom::new(value)),
            marks: Rc::new([const { 0 }; THREADS].map(Loom::new)),
            last: value,
        };
        words.entry(at).insert_entry(new).get().atomic.clone()
    })
}

/// Orders an access to the word at `at` as to its marks. Returns whether another thread may run.
fn mark(at: usize, stores: bool) -> bool {
    let me = NUMBER.with(Cell::get);
    let marks = WORDS.with(|words| words.borrow().get(&at).map(|known| known.marks.clone()));
    let Some(marks) = marks.filter(|_| me > 0) else {
        return false;
    };
    for (thread, mark) in (1..).zip(marks.iter()) {
        if stores != (thread == me) {
            mark.fetch_add(0, Ordering::Relaxed);
        }
    }
    true
}

/// Stores by `f`, which is one step with its marks: another thread runs before both, or after.
fn store(at: usize, f: impl FnOnce()) {
    let shared = mark(at, true);
    if shared {
        loom::stop_exploring();
    }
    f();
    if shared {
        loom::explore();
    }
}

/// Notes the value that was stored.
fn stored(at: usize, value: i64) {
    WORDS.with(|words| {
        if let Some(known) = words.borrow_mut().get_mut(&at) {
            known.last = value;
        }
    });
}

macro_rules! words {
    ($(
        $(#[$about:meta])*
        [$($generics:tt)*] $Word:ident, $Value:ty, $is_wide:literal,
        |$value:ident| $into:expr, |$bits:ident| $from:expr;
    )*) => {$(
        $(#[$about])*
        #[repr(transparent)]
        pub struct $Word $($generics)* (of_core::$Word $($generics)*);

        impl $($generics)* $Word $($generics)* {
            /// Makes a word.
            pub const fn new(value: $Value) -> Self {
                Self(of_core::$Word::new(value))
            }

            /// Returns the word at `pointer`.
            ///
            /// # Safety
            ///
            /// It is valid and aligned for `'a`, and all accesses are atomic meanwhile.
            pub const unsafe fn from_ptr<'a>(pointer: *mut $Value) -> &'a Self {
                // SAFETY: The caller's promise; the type is transparent.
                unsafe { &*pointer.cast::<Self>() }
            }

            fn into($value: $Value) -> i64 {
                $into
            }

            fn from($bits: i64) -> $Value {
                $from
            }

            fn at(&self) -> usize {
                ptr::from_ref(self).addr()
            }

            fn atomic(&self) -> Rc<Loom> {
                atomic(self.at(), Self::into(self.0.load(Ordering::Relaxed)))
            }

            fn stored(&self, value: $Value) {
                self.0.store(value, Ordering::Relaxed);
                stored(self.at(), Self::into(value));
            }

            /// Loads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $Value {
                let atomic = self.atomic();
                mark(self.at(), false);
                Self::from(atomic.load(match order {
                    Ordering::Relaxed if $is_wide => Ordering::Acquire,
                    other => other,
                }))
            }

            /// Stores a value.
            #[track_caller]
            pub fn store(&self, value: $Value, order: Ordering) {
                let atomic = self.atomic();
                store(self.at(), || atomic.store(Self::into(value), order));
                self.stored(value);
            }

            /// Stores a value, and returns the one before.
            #[track_caller]
            pub fn swap(&self, value: $Value, order: Ordering) -> $Value {
                let atomic = self.atomic();
                mark(self.at(), true);
                let before = atomic.swap(Self::into(value), order);
                self.stored(value);
                Self::from(before)
            }

            /// Stores `new` if `old` is there.
            ///
            /// # Errors
            ///
            /// The value that is there instead.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $Value,
                new: $Value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$Value, $Value> {
                let (atomic, old, bits) = (self.atomic(), Self::into(old), Self::into(new));
                mark(self.at(), true);
                let result = atomic.compare_exchange(old, bits, success, failure);
                if result.is_ok() {
                    self.stored(new);
                }
                result.map(Self::from).map_err(Self::from)
            }
        }
    )*};
}

words! {
    /// Mirrors `AtomicBool`.
    [] AtomicBool, bool, false, |value| value.into(), |bits| bits != 0;
    /// Mirrors `AtomicI32`.
    [] AtomicI32, i32, false, |value| value.into(), |bits| bits as i32;
    /// Mirrors `AtomicI64`.
    [] AtomicI64, i64, true, |value| value, |bits| bits;
    /// Mirrors `AtomicUsize`.
    [] AtomicUsize, usize, true, |value| value as i64, |bits| bits as usize;
    /// Mirrors `AtomicPtr`.
    [<T>] AtomicPtr, *mut T, true,
    |value| value.expose_provenance() as i64, |bits| ptr::with_exposed_provenance_mut(bits as usize);
}

macro_rules! numbers {
    ($($Word:ident, $Value:ty;)*) => {$(
        impl $Word {
            /// Adds to it, and returns the value before.
            #[track_caller]
            pub fn fetch_add(&self, by: $Value, order: Ordering) -> $Value {
                let atomic = self.atomic();
                mark(self.at(), true);
                let before = Self::from(atomic.fetch_add(Self::into(by), order));
                self.stored(before.wrapping_add(by));
                before
            }

            /// Subtracts from it, and returns the value before.
            #[track_caller]
            pub fn fetch_sub(&self, by: $Value, order: Ordering) -> $Value {
                self.fetch_add(<$Value>::wrapping_neg(by), order)
            }

            /// Returns the newest value, as a read-modify-write that fails.
            #[track_caller]
            fn newest(&self, order: Ordering) -> $Value {
                let atomic = self.atomic();
                mark(self.at(), true);
                // Loom's newest store is that of the last thread, so nothing is stored here.
                match atomic.compare_exchange(i64::MIN, i64::MIN, order, order) {
                    Ok(value) | Err(value) => Self::from(value),
                }
            }

            /// Stores what `f` makes of the value, unless it makes nothing.
            ///
            /// The value is the newest one, also where nothing is stored: a lock that looks taken
            /// for ever would be waited for without end.
            ///
            /// # Errors
            ///
            /// The value that `f` made nothing of.
            #[track_caller]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut f: impl FnMut($Value) -> Option<$Value>,
            ) -> Result<$Value, $Value> {
                let mut old = self.0.load(Ordering::Relaxed);
                loop {
                    let now = match f(old) {
                        Some(new) => match self.compare_exchange(old, new, success, failure) {
                            Ok(before) => return Ok(before),
                            Err(now) => now,
                        },
                        None => match self.newest(failure) {
                            now if now == old => return Err(now),
                            now => now,
                        },
                    };
                    old = now;
                }
            }
        }
    )*};
}

numbers! {
    AtomicI32, i32;
    AtomicI64, i64;
    AtomicUsize, usize;
}
