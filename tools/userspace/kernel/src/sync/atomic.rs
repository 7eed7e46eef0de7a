// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::sync::atomic`: the orderings of the kernel's memory model.
//!
//! `Relaxed`, `Acquire` and `Release` are those of `core`. `Full` is an operation between two full
//! fences. `core`'s model has no order by dependencies: a relaxed load is only as good as it is on
//! x86.

use crate::mock::{
    schedule,
    words::{self, AtomicBool, AtomicI32, AtomicI64, AtomicPtr, fence},
};
use core::{
    cell::UnsafeCell,
    sync::atomic::Ordering::{self as Core, SeqCst},
};

/// Mirrors `kernel::sync::atomic::ordering`.
pub mod ordering {
    use core::sync::atomic::Ordering as Core;

    /// An ordering.
    pub trait Ordering {
        /// That of `core`, for a read-modify-write.
        const CORE: Core;
        /// Whether there are full fences around the operation.
        const FULL: bool = false;
    }

    /// An ordering of loads.
    pub trait AcquireOrRelaxed: Ordering {}

    /// An ordering of stores.
    pub trait ReleaseOrRelaxed: Ordering {}

    /// Mirrors `Relaxed`.
    pub struct Relaxed;
    /// Mirrors `Acquire`.
    pub struct Acquire;
    /// Mirrors `Release`.
    pub struct Release;
    /// Mirrors `Full`.
    pub struct Full;

    impl Ordering for Relaxed {
        const CORE: Core = Core::Relaxed;
    }
    impl Ordering for Acquire {
        const CORE: Core = Core::Acquire;
    }
    impl Ordering for Release {
        const CORE: Core = Core::Release;
    }
    impl Ordering for Full {
        const CORE: Core = Core::SeqCst;
        const FULL: bool = true;
    }
    impl AcquireOrRelaxed for Relaxed {}
    impl AcquireOrRelaxed for Acquire {}
    impl ReleaseOrRelaxed for Relaxed {}
    impl ReleaseOrRelaxed for Release {}
}

pub use ordering::{Acquire, Full, Relaxed, Release};

/// Mirrors `kernel::sync::atomic::Atomic`.
#[repr(transparent)]
pub struct Atomic<T: AtomicType>(UnsafeCell<T>);

// SAFETY: All accesses are atomic.
unsafe impl<T: AtomicType> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T: AtomicType> Sync for Atomic<T> {}

/// Mirrors `kernel::sync::atomic::AtomicType`: a type that one of `core`'s atomics can hold.
///
/// # Safety
///
/// `Word` has the size and alignment of `Self`, and each conversion keeps the value.
pub unsafe trait AtomicType: Copy {
    #[doc(hidden)]
    type Word: Word;
    #[doc(hidden)]
    fn into_word(self) -> <Self::Word as Word>::Value;
    #[doc(hidden)]
    fn from_word(word: <Self::Word as Word>::Value) -> Self;
}

/// Mirrors `kernel::sync::atomic::AtomicAdd`, for numbers alone.
pub trait AtomicAdd: AtomicType {
    #[doc(hidden)]
    fn fetch_add(word: &Self::Word, by: Self, order: Core) -> Self;
    #[doc(hidden)]
    fn negated(self) -> Self;
}

/// An atomic of `core`.
#[doc(hidden)]
pub trait Word {
    type Value;
    fn load(&self, order: Core) -> Self::Value;
    fn store(&self, value: Self::Value, order: Core);
    fn swap(&self, value: Self::Value, order: Core) -> Self::Value;
    fn compare_exchange(
        &self,
        old: Self::Value,
        new: Self::Value,
        order: Core,
    ) -> Result<Self::Value, Self::Value>;
}

macro_rules! words {
    ($([$($generics:tt)*] $Word:ty, $Value:ty;)*) => {
        $(
            impl $($generics)* Word for $Word {
                type Value = $Value;

                fn load(&self, order: Core) -> $Value {
                    self.load(order)
                }

                fn store(&self, value: $Value, order: Core) {
                    self.store(value, order);
                }

                fn swap(&self, value: $Value, order: Core) -> $Value {
                    self.swap(value, order)
                }

                fn compare_exchange(
                    &self,
                    old: $Value,
                    new: $Value,
                    order: Core,
                ) -> Result<$Value, $Value> {
                    let failure = match order {
                        Core::Relaxed | Core::Release => Core::Relaxed,
                        other => other,
                    };
                    self.compare_exchange(old, new, order, failure)
                }
            }
        )*
    };
}

words! {
    [] AtomicBool, bool;
    [] AtomicI32, i32;
    [] AtomicI64, i64;
    [<T>] AtomicPtr<T>, *mut T;
}

macro_rules! types {
    ($([$($generics:tt)*] $Type:ty, $Word:ty, $Value:ty;)*) => {
        $(
            // SAFETY: Equal size and alignment, and casts between them keep all bits.
            unsafe impl $($generics)* AtomicType for $Type {
                type Word = $Word;

                fn into_word(self) -> $Value {
                    self as $Value
                }

                fn from_word(word: $Value) -> Self {
                    word as Self
                }
            }
        )*
    };
}

types! {
    [] bool, AtomicBool, bool;
    [] i32, AtomicI32, i32;
    [] u32, AtomicI32, i32;
    [] i64, AtomicI64, i64;
    [] u64, AtomicI64, i64;
    [] isize, AtomicI64, i64;
    [] usize, AtomicI64, i64;
    [<T>] *mut T, AtomicPtr<T>, *mut T;
    [<T>] *const T, AtomicPtr<T>, *mut T;
}

macro_rules! numbers {
    ($($Type:ty)*) => {
        $(
            impl AtomicAdd for $Type {
                fn fetch_add(word: &Self::Word, by: Self, order: Core) -> Self {
                    Self::from_word(word.fetch_add(by.into_word(), order))
                }

                fn negated(self) -> Self {
                    self.wrapping_neg()
                }
            }
        )*
    };
}

numbers!(i32 u32 i64 u64 isize usize);

/// Runs a read-modify-write with the fences of its ordering.
fn fenced<O: ordering::Ordering, R>(operation: impl FnOnce(Core) -> R) -> R {
    let order = words::kept(O::CORE);
    let full = O::FULL && order == SeqCst;
    if full {
        fence(SeqCst);
    }
    let result = operation(order);
    if full {
        fence(SeqCst);
    }
    result
}

impl<T: AtomicType> Atomic<T> {
    /// Mirrors `Atomic::new`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Mirrors `Atomic::as_ptr`.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    /// Mirrors `Atomic::get_mut`.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Mirrors `Atomic::from_ptr`.
    ///
    /// # Safety
    ///
    /// `pointer` is valid and aligned for `'a`, and all accesses are atomic meanwhile.
    pub const unsafe fn from_ptr<'a>(pointer: *mut T) -> &'a Self {
        // SAFETY: The caller's promise; the type is transparent.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// Returns the word, for an access: the schedule may switch before it.
    fn word(&self) -> &T::Word {
        schedule::point(schedule::Grain::Access);
        // SAFETY: Equal size and alignment, as the trait promises; all accesses are atomic.
        unsafe { &*self.0.get().cast::<T::Word>() }
    }

    /// Mirrors `Atomic::load`.
    pub fn load<O: ordering::AcquireOrRelaxed>(&self, _: O) -> T {
        T::from_word(self.word().load(O::CORE))
    }

    /// Mirrors `Atomic::store`.
    pub fn store<O: ordering::ReleaseOrRelaxed>(&self, value: T, _: O) {
        self.word().store(value.into_word(), words::kept(O::CORE));
    }

    /// Mirrors `Atomic::xchg`.
    pub fn xchg<O: ordering::Ordering>(&self, value: T, _: O) -> T {
        T::from_word(fenced::<O, _>(|order| {
            self.word().swap(value.into_word(), order)
        }))
    }

    /// Mirrors `Atomic::cmpxchg`.
    ///
    /// # Errors
    ///
    /// The value that is there instead of `old`.
    pub fn cmpxchg<O: ordering::Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
        let (old, new) = (old.into_word(), new.into_word());
        fenced::<O, _>(|order| self.word().compare_exchange(old, new, order))
            .map(T::from_word)
            .map_err(T::from_word)
    }
}

impl<T: AtomicAdd> Atomic<T> {
    /// Mirrors `Atomic::add`.
    pub fn add(&self, by: T, _: Relaxed) {
        T::fetch_add(self.word(), by, Core::Relaxed);
    }

    /// Mirrors `Atomic::fetch_add`.
    pub fn fetch_add<O: ordering::Ordering>(&self, by: T, _: O) -> T {
        fenced::<O, _>(|order| T::fetch_add(self.word(), by, order))
    }

    /// Mirrors `Atomic::fetch_sub`.
    pub fn fetch_sub<O: ordering::Ordering>(&self, by: T, _: O) -> T {
        fenced::<O, _>(|order| T::fetch_add(self.word(), by.negated(), order))
    }
}
