// SPDX-License-Identifier: GPL-2.0

//! Memory whose later use is a fault.

use std::{
    collections::VecDeque,
    ffi::c_void,
    ptr,
    sync::{Mutex, Once, OnceLock, PoisonError},
};

extern "C" {
    fn mmap(at: *mut c_void, len: usize, prot: i32, flags: i32, fd: i32, at: i64) -> *mut c_void;
    fn mprotect(at: *mut c_void, len: usize, prot: i32) -> i32;
    fn munmap(at: *mut c_void, len: usize) -> i32;
    fn sigaction(signal: i32, new: *const SigAction, old: *mut SigAction) -> i32;
    fn write(fd: i32, text: *const c_void, len: usize) -> isize;
}

const PROT_NONE: i32 = 0;
const PROT_READ_WRITE: i32 = 3;
const MAP_PRIVATE_ANONYMOUS: i32 = 0x22;
const SIGSEGV: i32 = 11;
const SA_SIGINFO: i32 = 4;
const SA_RESETHAND: i32 = i32::MIN;

/// `struct sigaction` of glibc on x86_64.
#[repr(C)]
struct SigAction {
    handler: usize,
    mask: [u64; 16],
    flags: i32,
    restorer: usize,
}

/// `siginfo_t`, up to the address of a fault.
#[repr(C)]
struct SigInfo {
    numbers: [i32; 4],
    address: usize,
}

/// Memory that was given back, and whose addresses are not used again yet.
static GONE: Mutex<VecDeque<(usize, usize)>> = Mutex::new(VecDeque::new());

/// How many of these are kept.
const KEPT: usize = 4096;

/// Pages of memory. Once dropped, each access to them is a fault.
pub(super) struct Memory {
    base: *mut u8,
    len: usize,
}

// SAFETY: The memory is not bound to a thread.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps `len` bytes, whole pages.
    pub(super) fn new(len: usize) -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(install);
        // SAFETY: A mapping at a new place.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                PROT_READ_WRITE,
                MAP_PRIVATE_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base as isize, -1, "mmap() of {len} bytes fails");
        Self {
            base: base.cast(),
            len,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the address of byte `offset`.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.len);
        self.base.wrapping_add(offset)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: The mapping is this value's; nothing may use it any more.
        let result = unsafe { mprotect(self.base.cast(), self.len, PROT_NONE) };
        assert_eq!(result, 0, "mprotect() fails");
        let mut gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push_back((self.base as usize, self.len));
        if gone.len() > KEPT {
            if let Some((base, len)) = gone.pop_front() {
                // SAFETY: The mapping was that of a value that is gone.
                unsafe { munmap(ptr::with_exposed_provenance_mut(base), len) };
            }
        }
    }
}

/// Returns whether the memory at `address` has not been given back, as far as that is known.
pub fn is_mapped(address: *const c_void) -> bool {
    let address = address as usize;
    let gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    !gone
        .iter()
        .any(|&(base, len)| (base..base + len).contains(&address))
}

/// What else a fault does, see [`on_fault`].
static ON_FAULT: OnceLock<fn(bool)> = OnceLock::new();

/// Calls `f` at a fault, on the thread that faults, and says whether it is one in memory that was
/// given back. Once for the whole process.
///
/// `f` must not return to the fault, and must be sound at the place of a fault: it is where the
/// program uses memory that is gone, and no mock is at work.
pub fn on_fault(f: fn(bool)) {
    // The first one stays.
    let _ = ON_FAULT.set(f);
}

/// Lets [`explain`] handle faults.
fn install() {
    let action = SigAction {
        handler: explain as extern "C" fn(i32, *const SigInfo, *const c_void) as usize,
        mask: [0; 16],
        flags: SA_SIGINFO | SA_RESETHAND,
        restorer: 0,
    };
    // SAFETY: The action is valid, and its handler only calls what a signal handler may.
    unsafe { sigaction(SIGSEGV, &action, ptr::null_mut()) };
}

/// Says what a fault is about, if it is in memory of slabs; the instruction faults again, and ends
/// the process.
extern "C" fn explain(_signal: i32, info: *const SigInfo, _context: *const c_void) {
    // SAFETY: The kernel passes a valid one.
    let address = unsafe { (*info).address };
    // No waiting here: the thread that has the lock may be this one.
    let Ok(gone) = GONE.try_lock() else {
        return;
    };
    let in_slab = gone
        .iter()
        .any(|&(base, len)| (base..base + len).contains(&address));
    drop(gone);
    if in_slab {
        let text = b"use after free: memory of a slab that was given back to the system\n";
        // SAFETY: The text is valid.
        unsafe { write(2, text.as_ptr().cast(), text.len()) };
    }
    if let Some(f) = ON_FAULT.get() {
        f(in_slab);
    }
}
