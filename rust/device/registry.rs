// SPDX-License-Identifier: GPL-2.0

//! What the module has once, and where the device finds it.

#![allow(unsafe_code, reason = "initialises a global lock")]

use super::{
    file::OpenFile,
    violations::{
        Reported,
        Verified, //
    },
    zero_pages::ZeroPages,
    Limits, //
};
use crate::{
    kernel_ext::{
        gather::gather,
        rwsem::{
            new_rwsem,
            RwSem, //
        },
    },
    rmap::anon_vma::Cache,
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        global_lock,
        Arc,
        Mutex, //
    },
};

/// The state that all open files share.
#[pin_data]
pub(crate) struct Registry {
    /// The open files.
    #[pin]
    pub(super) files: Mutex<RBTree<usize, Arc<OpenFile>>>,
    /// Held by the one check that may lock several address spaces.
    #[pin]
    pub(crate) check_lock: RwSem,
    /// The cache of the shadow's anon_vmas.
    pub(crate) cache: Arc<Cache>,
    /// What is mapped where nothing was written.
    pub(super) zero_pages: ZeroPages,
    pub(super) limits: Limits,
    /// The violations that checks have found.
    #[pin]
    pub(super) verified: Mutex<Verified>,
    /// The violations that debugfs `compare` has reported.
    pub(crate) reported: Reported,
}

impl Registry {
    /// Creates a registry without open files. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(limits: Limits) -> Result<Arc<Self>> {
        let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
        let zero_pages = ZeroPages::new()?;
        let verified = Verified::default();
        let reported = Reported::new(&verified);
        Arc::pin_init(
            pin_init!(Self {
                files <- new_mutex!(RBTree::new(), "shadow_rmap::files"),
                check_lock <- new_rwsem!(c"shadow_rmap::check"),
                cache,
                zero_pages,
                limits,
                verified <- new_mutex!(verified, "shadow_rmap::verified"),
                reported,
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the open files. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn files(&self) -> Result<KVVec<Arc<OpenFile>>> {
        gather(
            || self.files.lock(),
            |files| files.values().count(),
            |files, all| {
                files
                    .values()
                    .try_for_each(|file| all.push(file.clone(), GFP_KERNEL))
            },
        )
    }

    /// Calls `f`, and no file is opened meanwhile. `f` must open none. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a file is open; those of `f`.
    #[cfg(shadow_rmap_busted)]
    pub(crate) fn while_idle(&self, f: impl FnOnce() -> Result) -> Result {
        let files = self.files.lock();
        if !files.is_empty() {
            return Err(EBUSY);
        }
        f()
    }
}

/// Whether [`REGISTRY`] is initialised: [`NO`], [`BEGUN`] or [`YES`].
static INITIALISED: Atomic<i32> = Atomic::new(NO);
const NO: i32 = 0;
const BEGUN: i32 = 1;
const YES: i32 = 2;

global_lock! {
    // SAFETY: `publish` initialises it once, and nothing uses it before `INITIALISED` says so.
    unsafe(uninit) static REGISTRY: Mutex<Option<Arc<Registry>>> = None;
}

/// Keeps the [`Registry`] in the static where the device finds it, until it is dropped.
pub(crate) struct Published(());

/// Stores `registry` where the device finds it.
///
/// # Errors
///
/// `EBUSY` the second time.
pub(crate) fn publish(registry: Arc<Registry>) -> Result<Published> {
    if INITIALISED.xchg(BEGUN, Full) != NO {
        return Err(EBUSY);
    }
    // SAFETY: The exchange succeeds once.
    unsafe { REGISTRY.init() };
    *REGISTRY.lock() = Some(registry);
    INITIALISED.store(YES, Release);
    Ok(Published(()))
}

impl Drop for Published {
    fn drop(&mut self) {
        let registry = REGISTRY.lock().take();
        drop(registry);
    }
}

/// Returns the registry, while the module is loaded.
pub(crate) fn registry() -> Option<Arc<Registry>> {
    if INITIALISED.load(Acquire) != YES {
        return None;
    }
    REGISTRY.lock().clone()
}
