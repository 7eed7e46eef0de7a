// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that hold the module for as long as they are open.
//!
//! Those of `kernel::debugfs` have no owner.  Who closes one of them after the module is gone has
//! [`full_proxy_release()`](srctree/fs/debugfs/file.c) read the file's operations, which were the
//! module's.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

#![allow(unsafe_code, reason = "a room of the design: callbacks from C")]

use crate::ffi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fmt,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    },
};

/// What is in debugfs by a name; dropping this removes it.
///
/// # Invariants
///
/// `dentry` is one of debugfs that only this removes, or what debugfs returns instead of one; all its
/// functions take that, too.  It is in `parent`, whose removal would remove it as well.
struct Entry {
    dentry: *mut bindings::dentry,
    _parent: Option<Arc<Entry>>,
}

// SAFETY: By the invariant it belongs to no thread.
unsafe impl Send for Entry {}

// SAFETY: What is done by reference is passing it to debugfs, which locks.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the invariant; it is still there, since its parent is.
        unsafe { bindings::debugfs_remove(self.dentry) }
    }
}

/// A directory; it is removed when this and all that was made in it are dropped.
pub(crate) struct Dir(Arc<Entry>);

impl Dir {
    /// Makes one at the top.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        Self::within(name, None)
    }

    /// Makes one in this one.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn subdir(&self, name: &CStr) -> Result<Self> {
        Self::within(name, Some(self.0.clone()))
    }

    fn within(name: &CStr, parent: Option<Arc<Entry>>) -> Result<Self> {
        let above = parent
            .as_ref()
            .map_or(ptr::null_mut(), |above| above.dentry);
        // SAFETY: `name` is a string, `above` null or, by its invariant, one of debugfs.
        let dentry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), above) };
        // INVARIANT: Nobody else has it.
        let entry = Entry {
            dentry,
            _parent: parent,
        };
        Ok(Self(Arc::new(entry, GFP_KERNEL)?))
    }

    /// Makes a file of mode 0400 in this directory: who reads it sees what `show` writes of `data`.
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn read_file<T: Send + Sync + 'static>(
        &self,
        name: &CStr,
        data: T,
        show: Show<T>,
    ) -> Result<File<T>> {
        let behind = Behind {
            data,
            show,
            store: |_, _| Err(EINVAL),
        };
        File::new(self, name, 0o400, behind, &Operations::<T>::READ)
    }

    /// As [`read_file`](Self::read_file), mode 0600: `store` gets each thing that is written to it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn read_write_file<T: Send + Sync + 'static>(
        &self,
        name: &CStr,
        data: T,
        show: Show<T>,
        store: Store<T>,
    ) -> Result<File<T>> {
        let behind = Behind { data, show, store };
        File::new(self, name, 0o600, behind, &Operations::<T>::READ_WRITE)
    }
}

/// Writes what there is to read.  May sleep; may be called again for the same reader, with more room.
pub(crate) type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;

/// Takes what was written: all of it, or an error.  May sleep.
pub(crate) type Store<T> = fn(&T, &mut UserSliceReader) -> Result;

/// Whether one more line about what somebody has written may go to the log.  Any context.
pub(crate) fn may_warn() -> bool {
    // SAFETY: No preconditions.
    unsafe { ffi::shadow_rmap_may_warn() }
}

/// What a file's inode leads to.
struct Behind<T> {
    data: T,
    show: Show<T>,
    store: Store<T>,
}

/// A file; dropping this removes it, and waits for those who are reading or writing it.
///
/// # Invariants
///
/// The inode's `i_private` is `behind`, and its operations are those of `T`.
pub(crate) struct File<T> {
    // In this order: who comes by the entry comes by the other.
    _entry: Entry,
    _behind: KBox<Behind<T>>,
}

impl<T: Send + Sync + 'static> File<T> {
    // By itself, so that one file more does not change what the others' callers are compiled to.
    #[inline(never)]
    fn new(
        dir: &Dir,
        name: &CStr,
        mode: bindings::umode_t,
        behind: Behind<T>,
        operations: &'static bindings::file_operations,
    ) -> Result<Self> {
        let behind = KBox::new(behind, GFP_KERNEL)?;
        // SAFETY: `name` is a string, the directory by its invariant one of debugfs or none.
        // `behind` stays where it is until the file has been removed: that waits for those who are
        // in one of its operations, and lets in nobody after that.
        let dentry = unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                mode,
                dir.0.dentry,
                ptr::from_ref(&*behind).cast_mut().cast(),
                ptr::null(),
                operations,
            )
        };
        // INVARIANT: As was just passed; nobody else has the entry.
        Ok(Self {
            _entry: Entry {
                dentry,
                _parent: Some(dir.0.clone()),
            },
            _behind: behind,
        })
    }
}

/// The operations of files with a `T` behind them.
struct Operations<T>(PhantomData<T>);

impl<T: Send + Sync + 'static> Operations<T> {
    const READ: bindings::file_operations = bindings::file_operations {
        owner: this_module::<crate::ShadowRmap>().as_ptr(),
        open: Some(open::<T>),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    const READ_WRITE: bindings::file_operations = bindings::file_operations {
        write: Some(write::<T>),
        ..Self::READ
    };
}

/// # Safety
///
/// The inode is that of a [`File<T>`], and `file` is being opened.
unsafe extern "C" fn open<T>(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The caller's; the invariant of `File` says what `i_private` is.
    unsafe { bindings::single_open(file, Some(show::<T>), (*inode).i_private) }
}

/// # Safety
///
/// `seq` is what [`open`] has made, and the file has not been removed.
unsafe extern "C" fn show<T>(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: `single_open()` keeps what it was given: a `Behind<T>`, which is there as long as
    // the file is.
    let behind = unsafe { &*(*seq).private.cast::<Behind<T>>() };
    // SAFETY: It is this thread's: a `seq_file` is locked while it is shown.
    let seq = unsafe { SeqFile::from_raw(seq) };
    seq_print!(seq, "{}", Shown(behind));
    0
}

/// # Safety
///
/// `file` is one that [`open`] has opened; it has not been removed.
unsafe extern "C" fn write<T>(
    file: *mut bindings::file,
    from: *const c_char,
    n: usize,
    _: *mut bindings::loff_t,
) -> isize {
    // SAFETY: `single_open()` has made its private data a `seq_file`, and that has kept what it was
    // given, see `show`.
    let behind = unsafe {
        let seq = (*file).private_data.cast::<bindings::seq_file>();
        &*(*seq).private.cast::<Behind<T>>()
    };
    let from = UserPtr::from_ptr(from.cast_mut().cast());
    match (behind.store)(&behind.data, &mut UserSlice::new(from, n).reader()) {
        Ok(()) => n as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// Formats as the file shows it.
struct Shown<'a, T>(&'a Behind<T>);

impl<T> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0.show)(&self.0.data, f)
    }
}
