// SPDX-License-Identifier: GPL-2.0

//! Threads of the C library.
//!
//! A thread of the standard library panics where it gets no memory for the stack of its signal handlers. And it
//! takes a lock when it begins and when it ends: a child that is forked meanwhile has this lock locked for ever,
//! and none of its threads begins. The locks of the C library are free in a child.

use nix::errno::Errno;
use nix::libc;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// What a thread executes. It gets, and returns, a pointer.
pub type Entry = extern "C" fn(*mut c_void) -> *mut c_void;

/// The attributes of a thread.
pub struct Attributes(libc::pthread_attr_t);

impl Attributes {
    /// Those of a thread with so many bytes of stack.
    pub fn new(stack: usize) -> nix::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: The call initialises the memory unless it fails.
        let attributes = unsafe {
            done(libc::pthread_attr_init(raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        let mut attributes = Self(attributes);
        // SAFETY: They are initialised.
        done(unsafe { libc::pthread_attr_setstacksize(&mut attributes.0, stack) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: They are initialised, and not used any more.
        unsafe { libc::pthread_attr_destroy(&mut self.0) };
    }
}

fn done(number: libc::c_int) -> nix::Result<()> {
    match number {
        0 => Ok(()),
        number => Err(Errno::from_raw(number)),
    }
}

/// A thread. Without [`join`](Self::join) it is lost.
pub struct Thread(libc::pthread_t);

impl Thread {
    /// Starts a thread.
    ///
    /// # Safety
    ///
    /// `entry` may be called with `argument`, by another thread.
    pub unsafe fn start(
        attributes: &Attributes,
        entry: Entry,
        argument: *mut c_void,
    ) -> nix::Result<Self> {
        let mut thread = MaybeUninit::uninit();
        // SAFETY: The caller's promise.
        let result =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), &attributes.0, entry, argument) };
        // SAFETY: The call initialises it unless it fails.
        done(result).map(|()| Self(unsafe { thread.assume_init() }))
    }

    /// Waits for its end, and returns what it has returned.
    pub fn join(self) -> *mut c_void {
        let mut returned = null_mut();
        // SAFETY: The thread was started, and is waited for once. The call cannot fail.
        unsafe { libc::pthread_join(self.0, &mut returned) };
        returned
    }
}
