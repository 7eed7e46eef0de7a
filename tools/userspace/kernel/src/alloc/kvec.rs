// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::alloc::kvec`.

use super::{AllocError, Flags};
use crate::{Error, Result, error::code::EINVAL, mock::alloc::allocation};
use core::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut, Index, IndexMut},
    slice::{self, SliceIndex},
};

/// Mirrors `KVmalloc`, the allocator.
pub struct KVmalloc(());

/// Mirrors `kernel::alloc::Vec`.
pub struct Vec<T, A>(std::vec::Vec<T>, PhantomData<A>);

/// Mirrors `kernel::alloc::KVec`.
pub type KVec<T> = Vec<T, super::kbox::Kmalloc>;

/// Mirrors `kernel::alloc::KVVec`.
pub type KVVec<T> = Vec<T, KVmalloc>;

/// Mirrors `kernel::alloc::kvec::PushError`: the vector is full.
pub struct PushError<T>(pub T);

/// Mirrors `kernel::alloc::kvec::RemoveError`: there is no such element.
#[derive(Debug)]
pub struct RemoveError;

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Not enough capacity")
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Self {
        EINVAL
    }
}

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Self {
        EINVAL
    }
}

impl<T, A> Vec<T, A> {
    /// Mirrors `Vec::new`.
    pub const fn new() -> Self {
        Self(std::vec::Vec::new(), PhantomData)
    }

    /// Mirrors `Vec::with_capacity`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut new = Self::new();
        new.reserve(capacity, flags)?;
        Ok(new)
    }

    /// Mirrors `Vec::as_slice`.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Mirrors `Vec::as_mut_slice`.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// Mirrors `Vec::capacity`.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Mirrors `Vec::reserve`: room for `additional` more elements.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn reserve(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        if self.0.capacity() - self.0.len() >= additional {
            return Ok(());
        }
        allocation(flags)?;
        self.0.try_reserve(additional).map_err(|_| AllocError)
    }

    /// Mirrors `Vec::push`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(value);
        Ok(())
    }

    /// Mirrors `Vec::push_within_capacity`.
    ///
    /// # Errors
    ///
    /// Hands the value back if the vector is full.
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.0.len() == self.0.capacity() {
            return Err(PushError(value));
        }
        self.0.push(value);
        Ok(())
    }

    /// Mirrors `Vec::insert_within_capacity`. The two errors of the kernel's are one.
    ///
    /// # Errors
    ///
    /// Hands the value back if the vector is full, or `index` is beyond its end.
    pub fn insert_within_capacity(&mut self, index: usize, value: T) -> Result<(), PushError<T>> {
        if index > self.0.len() || self.0.len() == self.0.capacity() {
            return Err(PushError(value));
        }
        self.0.insert(index, value);
        Ok(())
    }

    /// Mirrors `Vec::pop`.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Mirrors `Vec::remove`.
    ///
    /// # Errors
    ///
    /// `RemoveError` if there is no such element.
    pub fn remove(&mut self, index: usize) -> Result<T, RemoveError> {
        if index >= self.0.len() {
            return Err(RemoveError);
        }
        Ok(self.0.remove(index))
    }

    /// Mirrors `Vec::clear`.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Mirrors `Vec::truncate`.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Mirrors `Vec::retain`.
    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }
}

impl<T: Clone, A> Vec<T, A> {
    /// Mirrors `Vec::extend_from_slice`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// Mirrors `Vec::from_elem`.
    ///
    /// # Errors
    ///
    /// `AllocError` if a test wants that.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut new = Self::with_capacity(n, flags)?;
        new.0.resize(n, value);
        Ok(new)
    }
}

impl<T, A> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug, A> fmt::Debug for Vec<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T, A> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, I: SliceIndex<[T]>, A> Index<I> for Vec<T, A> {
    type Output = I::Output;

    fn index(&self, index: I) -> &I::Output {
        &self.0[index]
    }
}

impl<T, I: SliceIndex<[T]>, A> IndexMut<I> for Vec<T, A> {
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.0[index]
    }
}

impl<T: PartialEq<U>, U, A, B> PartialEq<Vec<U, B>> for Vec<T, A> {
    fn eq(&self, other: &Vec<U, B>) -> bool {
        self.0 == other.0
    }
}

impl<T: PartialEq<U>, U, A> PartialEq<&[U]> for Vec<T, A> {
    fn eq(&self, other: &&[U]) -> bool {
        self.0 == *other
    }
}

impl<T: PartialEq<U>, U, A> PartialEq<[U]> for Vec<T, A> {
    fn eq(&self, other: &[U]) -> bool {
        self.0 == other
    }
}

impl<T: PartialEq<U>, U, A, const N: usize> PartialEq<[U; N]> for Vec<T, A> {
    fn eq(&self, other: &[U; N]) -> bool {
        self.0 == other
    }
}

impl<T: Eq, A> Eq for Vec<T, A> {}

/// Mirrors `kernel::alloc::kvec::IntoIter`.
pub struct IntoIter<T, A>(std::vec::IntoIter<T>, PhantomData<A>);

impl<T, A> Iterator for IntoIter<T, A> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T, A> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = IntoIter<T, A>;

    fn into_iter(self) -> IntoIter<T, A> {
        IntoIter(self.0.into_iter(), PhantomData)
    }
}

impl<'a, T, A> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.0.iter()
    }
}

impl<'a, T, A> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.0.iter_mut()
    }
}
