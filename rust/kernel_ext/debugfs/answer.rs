// SPDX-License-Identifier: GPL-2.0

//! Files of debugfs that answer what is written to them.
//!
//! Opened for reading alone, such a file holds what `show` writes, as other files do. Opened for
//! writing, it holds the answer to the last write; each open file has its own.

use super::{
    Behind,
    Dir,
    File,
    Show,
    Text, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int, //
    },
    fs::file::flags::{
        O_ACCMODE,
        O_RDONLY, //
    },
    module::this_module,
    new_mutex,
    prelude::*,
    sync::Mutex,
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    },
};

/// Takes what was written, all of it, and writes the answer. May sleep. The writer gets its error;
/// the answer stays all the same.
pub(crate) type Answer<T> = fn(&T, &mut UserSliceReader, &mut Text) -> Result;

/// What is behind a file that answers.
pub(crate) struct Asked<T> {
    data: T,
    show: Show<T>,
    answer: Answer<T>,
}

impl Dir {
    /// Makes a file of mode 0600 that answers.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn answer_file<T: Send + Sync + 'static>(
        &self,
        name: &CStr,
        data: T,
        show: Show<T>,
        answer: Answer<T>,
    ) -> Result<File<Asked<T>>> {
        let behind = Behind {
            data: Asked { data, show, answer },
            show: |_, _| Err(EINVAL),
            store: |_, _| Err(EINVAL),
        };
        File::new(self, name, 0o600, behind, &Operations::<T>::ALL)
    }
}

/// The text of an open file.
type Shared = Pin<KBox<Mutex<Text>>>;

/// The operations of files with a `T` behind them.
struct Operations<T>(PhantomData<T>);

impl<T: Send + Sync + 'static> Operations<T> {
    const ALL: bindings::file_operations = bindings::file_operations {
        owner: this_module::<crate::LocalModule>().as_ptr(),
        open: Some(open::<T>),
        read: Some(read),
        write: Some(write::<T>),
        llseek: Some(llseek),
        release: Some(release),
        ..pin_init::zeroed()
    };
}

/// Returns what is behind a file.
///
/// # Safety
///
/// The inode is that of a `File<Asked<T>>`, and stays so for `'a`.
unsafe fn asked<'a, T>(inode: *mut bindings::inode) -> &'a Asked<T> {
    // SAFETY: The caller's; the invariant of `File` says what `i_private` is.
    unsafe { &(*(*inode).i_private.cast::<Behind<Asked<T>>>()).data }
}

/// # Safety
///
/// The inode is that of a `File<Asked<T>>`, and `file` is being opened.
unsafe extern "C" fn open<T>(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    let open = || -> Result {
        // SAFETY: The caller's.
        let (asked, flags) = unsafe { (asked::<T>(inode), (*file).f_flags) };
        let mut text = Text(KVVec::new());
        if flags & O_ACCMODE == O_RDONLY {
            (asked.show)(&asked.data, &mut text)?;
        }
        let text = KBox::pin_init(new_mutex!(text, "shadow_rmap::answer"), GFP_KERNEL_ACCOUNT)?;
        // SAFETY: The caller's: no other thread has the file yet.
        unsafe { (*file).private_data = text.into_foreign() };
        Ok(())
    };
    open().map_or_else(Error::to_errno, |()| 0)
}

/// # Safety
///
/// [`open`] has opened `file`, and [`release`] has not been called for it.
unsafe fn text<'a>(file: *mut bindings::file) -> Pin<&'a Mutex<Text>> {
    // SAFETY: `open` has put it there; `release` takes it back.
    unsafe { Shared::borrow((*file).private_data) }
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
    let text = text.lock();
    let (start, len) = (text.0.as_ptr(), text.0.len());
    // SAFETY: The text is readable for its length; the rest is the caller's.
    unsafe { bindings::simple_read_from_buffer(to.cast(), n, at, start.cast(), len) }
}

/// # Safety
///
/// As [`text`].
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    to: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: The caller's.
    let text = unsafe { text(file) };
    let len = text.lock().0.len();
    // SAFETY: The caller's. No text is longer than `loff_t` can say.
    unsafe { bindings::fixed_size_llseek(file, to, whence, len as bindings::loff_t) }
}

/// # Safety
///
/// [`open`] has opened `file`; this is the last call for it.
unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The caller's: `open` has put it there, and nothing uses it any more.
    drop(unsafe { Shared::from_foreign((*file).private_data) });
    0
}

/// # Safety
///
/// As [`text`]; the file has not been removed; `at` is the position of a write.
unsafe extern "C" fn write<T>(
    file: *mut bindings::file,
    from: *const c_char,
    n: usize,
    at: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The caller's.
    let (asked, text) = unsafe { (asked::<T>((*file).f_inode), text(file)) };
    let mut answer = Text(KVVec::new());
    let from = UserPtr::from_ptr(from.cast_mut().cast());
    let result = (asked.answer)(
        &asked.data,
        &mut UserSlice::new(from, n).reader(),
        &mut answer,
    );
    let old = core::mem::replace(&mut *text.lock(), answer);
    drop(old);
    // An answer is read from its beginning. The position of `file` is changed as well because it
    // does not follow `at` when an error is returned.
    // SAFETY: The caller's. `write()` of a regular file holds the lock of the position.
    unsafe {
        ptr::write(at, 0);
        (*file).f_pos = 0;
    }
    match result {
        Ok(()) => n as isize,
        Err(error) => error.to_errno() as isize,
    }
}
