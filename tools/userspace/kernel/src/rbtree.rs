// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::rbtree`, over `BTreeMap`.

use crate::{Result, alloc::Flags, mock::alloc::allocation};
use std::collections::BTreeMap;

/// Mirrors `kernel::rbtree::RBTree`.
pub struct RBTree<K, V>(BTreeMap<K, V>);

impl<K: Ord, V> RBTree<K, V> {
    /// Mirrors `RBTree::new`.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Mirrors `RBTree::try_create_and_insert`. Returns what was there before, without its key.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if a test wants that.
    pub fn try_create_and_insert(&mut self, key: K, value: V, flags: Flags) -> Result<Option<V>> {
        allocation(flags)?;
        Ok(self.0.insert(key, value))
    }

    /// Mirrors `RBTree::get`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Mirrors `RBTree::get_mut`.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Mirrors `RBTree::iter`.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }

    /// Mirrors `RBTree::values`.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }
}

impl<K: Ord, V> Default for RBTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
