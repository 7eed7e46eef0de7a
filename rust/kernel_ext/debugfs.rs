// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that hold the module for as long as they are open.
//!
//! Files of `kernel::debugfs` have no owner. When one of them is closed after the module is gone,
//! [`full_proxy_release()`](srctree/fs/debugfs/file.c) reads the file's operations, which were in
//! the module.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

#![allow(unsafe_code, reason = "a room of the design: callbacks from C")]

mod open_file;

pub(crate) use open_file::Text;

use crate::ffi;
use core::ptr;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::Arc,
    uaccess::UserSliceReader, //
};
use open_file::Operations;

/// An entry of debugfs; dropping this removes it.
///
/// # Invariants
///
/// 1. `dentry` is an entry of debugfs, or an error that debugfs returned instead; all its functions
///    take that, too.
/// 2. If it `is_shared`, this value is one of its users (`rust/helpers/debugfs.c`), and the last
///    user removes it. If not, nothing but this value removes it.
/// 3. It is in `parent`, whose removal would remove it as well.
struct Entry {
    dentry: *mut bindings::dentry,
    is_shared: bool,
    _parent: Option<Arc<Entry>>,
}

// SAFETY: By the invariant (1) it belongs to no thread.
unsafe impl Send for Entry {}

// SAFETY: A reference allows nothing but passing the entry to debugfs, which locks.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the invariants (1) and (2); by (3) it is still there, since its parent is.
        unsafe {
            if self.is_shared {
                ffi::shadow_rmap_debugfs_leave(self.dentry)
            } else {
                bindings::debugfs_remove(self.dentry)
            }
        }
    }
}

/// A directory; it is removed when this and all that was made in it are dropped.
pub(crate) struct Dir(Arc<Entry>);

impl Dir {
    /// Joins the directory `name` at the top of debugfs, which several modules share: the first
    /// user makes it, and the last one removes it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` where a directory of this name belongs to another driver.
    pub(crate) fn shared(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is a string.
        let dentry = unsafe { ffi::shadow_rmap_debugfs_join(name.as_char_ptr()) };
        match from_err_ptr(dentry) {
            Err(error) if error == EBUSY => return Err(error),
            // Any other error means that there is no debugfs, which stops no driver.
            _ => {}
        }
        // INVARIANT: (1) and (2) as just joined; (3) it has no parent.
        let entry = Entry {
            dentry,
            is_shared: true,
            _parent: None,
        };
        Ok(Self(Arc::new(entry, GFP_KERNEL)?))
    }

    /// Makes a directory in this one. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn subdir(&self, name: &CStr) -> Result<Self> {
        // SAFETY: `name` is a string; by the invariant (1) of `Entry` the parent is of debugfs.
        let dentry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), self.0.dentry) };
        // INVARIANT: (1) and (2) it was just made, for this value alone; (3) as just passed.
        let entry = Entry {
            dentry,
            is_shared: false,
            _parent: Some(self.0.clone()),
        };
        Ok(Self(Arc::new(entry, GFP_KERNEL)?))
    }

    /// Makes a file of mode 0400 in this directory. It holds what `show` writes of `data` when the
    /// file is opened. Sleeps.
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
            store: |_, _, _| Err(EINVAL),
        };
        File::new(self, name, 0o400, behind, &Operations::<T>::READ)
    }

    /// As [`read_file`](Self::read_file), mode 0600: `store` gets each thing that is written to it,
    /// and may answer. A file that is open for writing holds the answer to its last write; each
    /// open file has its own.
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

/// Writes the text of a file that is being opened. May sleep. The opener gets its error.
pub(crate) type Show<T> = fn(&T, &mut Text) -> Result;

/// Takes what was written: all of it, or an error. May write an answer, which stays if an error is
/// returned. May sleep.
pub(crate) type Store<T> = fn(&T, &mut UserSliceReader, &mut Text) -> Result;

/// What a file's inode leads to.
struct Behind<T> {
    data: T,
    show: Show<T>,
    store: Store<T>,
}

/// A file. Dropping this removes it, and waits for reads and writes that have begun.
///
/// # Invariants
///
/// The inode's `i_private` is `behind`, and its operations are those of `T`.
pub(crate) struct File<T> {
    // Fields are dropped in this order: an operation that finds the entry uses `_behind`.
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
        // `behind` stays where it is until the file has been removed. The removal waits for the
        // file's operations, and no other can begin after it.
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
        // INVARIANT: As was just passed. The entry has no other owner.
        Ok(Self {
            _entry: Entry {
                dentry,
                is_shared: false,
                _parent: Some(dir.0.clone()),
            },
            _behind: behind,
        })
    }
}
