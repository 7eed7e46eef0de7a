// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that hold the module for as long as they are open.
//!
//! Files of `kernel::debugfs` have no owner. When one of them is closed after the module is gone,
//! [`full_proxy_release()`](srctree/fs/debugfs/file.c) reads the file's operations, which were in
//! the module.
//!
//! The text of a file is written once, when the file is opened for reading; `read()` copies from
//! it. So all parts of what a reader reads belong together, and `open()` returns an error as errno.
//! A `seq_file` would call `show` again with each larger buffer, and would not return its error.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

#![allow(unsafe_code, reason = "a room of the design: callbacks from C")]

pub(crate) mod answer;

use crate::ffi;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_char,
        c_int, //
    },
    fmt,
    fs::file::flags::{
        O_ACCMODE,
        O_WRONLY, //
    },
    module::this_module,
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    },
};

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

/// Writes the text of a file that is being opened. May sleep. The opener gets its error.
pub(crate) type Show<T> = fn(&T, &mut Text) -> Result;

/// Takes what was written: all of it, or an error. May sleep.
pub(crate) type Store<T> = fn(&T, &mut UserSliceReader) -> Result;

/// Returns whether one more line about a write to a file may go to the log. Any context.
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

/// The operations of files with a `T` behind them.
struct Operations<T>(PhantomData<T>);

impl<T: Send + Sync + 'static> Operations<T> {
    const READ: bindings::file_operations = bindings::file_operations {
        owner: this_module::<crate::LocalModule>().as_ptr(),
        open: Some(open::<T>),
        read: Some(read),
        llseek: Some(llseek),
        release: Some(release),
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
    let open = || -> Result {
        // SAFETY: The caller's; the invariant of `File` says what `i_private` is, and that is there
        // as long as the file is.
        let (behind, flags) =
            unsafe { (&*(*inode).i_private.cast::<Behind<T>>(), (*file).f_flags) };
        let mut text = KBox::new(Text(KVVec::new()), GFP_KERNEL_ACCOUNT)?;
        if flags & O_ACCMODE != O_WRONLY {
            (behind.show)(&behind.data, &mut text)?;
        }
        // SAFETY: The caller's: no other thread has the file yet.
        unsafe { (*file).private_data = KBox::into_raw(text).cast() };
        Ok(())
    };
    open().map_or_else(Error::to_errno, |()| 0)
}

/// # Safety
///
/// [`open`] has opened `file`, and [`release`] has not been called for it.
unsafe fn text<'a>(file: *mut bindings::file) -> &'a [u8] {
    // SAFETY: `open` has put a `Text` there, which nothing changes; `release` frees it.
    unsafe { &(*(*file).private_data.cast::<Text>()).0 }
}

/// # Safety
///
/// As [`text`]; `to` has room for `n` bytes in user space, `at` is the position of a read.
unsafe extern "C" fn read(
    file: *mut bindings::file,
    to: *mut c_char,
    n: usize,
    at: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The caller's.
    let text = unsafe { text(file) };
    // SAFETY: `text` is readable for its length; the rest is the caller's.
    unsafe { bindings::simple_read_from_buffer(to.cast(), n, at, text.as_ptr().cast(), text.len()) }
}

/// # Safety
///
/// As [`text`].
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    to: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: The caller's. No slice is longer than `loff_t` can say.
    unsafe { bindings::fixed_size_llseek(file, to, whence, text(file).len() as bindings::loff_t) }
}

/// # Safety
///
/// [`open`] has opened `file`; this is the last call for it.
unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The caller's: `open` has put the box there, and nothing uses it any more.
    drop(unsafe { KBox::from_raw((*file).private_data.cast::<Text>()) });
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
    // SAFETY: The caller's: the inode is that of a `File<T>`, whose invariant says what `i_private`
    // is; that is there as long as the file is.
    let behind = unsafe { &*(*(*file).f_inode).i_private.cast::<Behind<T>>() };
    let from = UserPtr::from_ptr(from.cast_mut().cast());
    match (behind.store)(&behind.data, &mut UserSlice::new(from, n).reader()) {
        Ok(()) => n as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// What an open file holds. Its memory is accounted to the opener.
pub(crate) struct Text(KVVec<u8>);

impl Text {
    /// Adds what `write` writes. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; also if `write` fails, which it does for no other reason.
    pub(crate) fn add(&mut self, write: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result) -> Result {
        fmt::Write::write_fmt(self, fmt!("{}", By(write))).map_err(|_| ENOMEM)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0
            .extend_from_slice(part.as_bytes(), GFP_KERNEL_ACCOUNT)
            .map_err(|_| fmt::Error)
    }
}

/// Formats by a function.
struct By<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}
