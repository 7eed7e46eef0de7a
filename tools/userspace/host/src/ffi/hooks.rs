// SPDX-License-Identifier: GPL-2.0

//! What the host's code calls: the page tables, and the places of its warnings and walks.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Library;
use super::layout::{Hooks, Mm, Vma};
use crate::tables::Tables;

/// What the host's `WARN_ON()` found since [`take_warnings`] was called.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Where the walk that runs has been.
pub(super) static VISITED: Mutex<Vec<(Vma, u64)>> = Mutex::new(Vec::new());

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns each warning of the host's code since the last call.
pub(crate) fn take_warnings() -> Vec<String> {
    std::mem::take(&mut *locked(&WARNINGS))
}

/// The page tables, which the host's code reaches as well.
pub(crate) struct Shared {
    tables: NonNull<Tables>,
    /// The host's code keeps a pointer to it; it is not called after the drop, but to be started
    /// anew.
    _hooks: Box<Hooks>,
}

// SAFETY: By invariant 2 of the file one thread at a time uses it.
unsafe impl Send for Shared {}

impl Shared {
    /// Starts the host's code over these page tables.
    pub(crate) fn start(library: Library, tables: Tables) -> Self {
        let tables = NonNull::from(Box::leak(Box::new(tables)));
        let hooks = Box::new(Hooks {
            data: tables.as_ptr().cast(),
            zap,
            copy,
            move_entries,
            visit,
            warning,
        });
        library.start(&hooks);
        Self {
            tables,
            _hooks: hooks,
        }
    }

    /// Calls `f` with the page tables. What `f` calls of the host changes pages and VMAs only: no
    /// function that reaches the page tables.
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Tables) -> R) -> R {
        // SAFETY: `self` is borrowed, so that nothing else on this side refers to the tables, and
        // the host's code does not reach them now (invariant 4).
        f(unsafe { self.tables.as_mut() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `start` has leaked the box, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.tables.as_ptr()) });
    }
}

/// Reaches the page tables from a callback.
///
/// # Safety
///
/// `data` is the pointer that [`Shared::start`] passed, and the reference ends before the host's
/// code goes on.
unsafe fn tables<'a>(data: *mut c_void) -> &'a mut Tables {
    // SAFETY: By invariant 4 nothing else refers to the tables now.
    unsafe { &mut *data.cast() }
}

unsafe extern "C" fn zap(data: *mut c_void, vma: Vma, start: c_ulong, end: c_ulong) {
    // SAFETY: `data` is the tables'; `zap` calls functions of the host that do not call back.
    unsafe { tables(data) }.zap(vma, start, end);
}

unsafe extern "C" fn copy(data: *mut c_void, to: Vma, from: Vma) -> c_int {
    // SAFETY: As for `zap`.
    unsafe { tables(data) }.copy(to, from)
}

unsafe extern "C" fn move_entries(
    data: *mut c_void,
    mm: Mm,
    from: c_ulong,
    to: c_ulong,
    len: c_ulong,
) -> c_ulong {
    // SAFETY: As for `zap`.
    unsafe { tables(data) }.move_entries(mm, from, to, len)
}

unsafe extern "C" fn visit(_data: *mut c_void, vma: Vma, address: c_ulong) -> bool {
    locked(&VISITED).push((vma, address));
    true
}

unsafe extern "C" fn warning(
    _data: *mut c_void,
    condition: *const c_char,
    function: *const c_char,
    file: *const c_char,
    line: c_int,
) {
    let text = |literal| {
        // SAFETY: The host's code passes string literals.
        unsafe { CStr::from_ptr(literal) }
            .to_string_lossy()
            .into_owned()
    };
    let [condition, function, file] = [condition, function, file].map(text);
    locked(&WARNINGS).push(format!("{function}(): {condition} ({file}:{line})"));
}
