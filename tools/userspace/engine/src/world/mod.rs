// SPDX-License-Identifier: GPL-2.0

//! What a driver outside of this crate uses: address spaces of the model, what they can do, and
//! graphs of them.
//!
//! All steps are the correct ones, and the lock of a family is today's, the semaphore. A [`Space`]
//! may be used by many threads. To make an allocation fail, see [`kernel::mock::alloc`].

mod graph;
mod space;
mod state;

pub use graph::{AnonVma, Graph, Page, Vma};
pub use space::Space;
pub use state::{AnonVmaState, Entry, PageState, State, Vma as VmaState, state};

use crate::{
    kernel_ext::rwsem::RwSem,
    model::{
        self, Model,
        verify::{self, Live},
    },
    module::Module,
    rmap::{anon_vma::Cache, prepare::Sharing, rules},
};
use kernel::{Error, alloc::flags::GFP_KERNEL, sync::Arc};

/// The kind of reverse map.
type Kind = Model<RwSem>;

/// A cache of anon_vmas, and the address spaces whose anon_vmas come from it.
///
/// Address spaces of two worlds share nothing but the counters.
pub struct World {
    cache: Arc<Cache<Kind>>,
    module: std::sync::Arc<Module>,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The number of violations.
    pub violations: usize,
    /// The first one: its rule, if it is about one, and the violation in words.
    pub first: Option<(Option<&'static str>, String)>,
}

/// Numbers of allocated objects, of all worlds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// anon_vmas.
    pub anon_vmas: usize,
    /// Links.
    pub links: usize,
    /// Pages.
    pub pages: usize,
    /// Slots of swap.
    pub slots: usize,
}

impl World {
    /// Makes a world without address spaces.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self, Error> {
        let module = Module::get()?;
        Ok(Self {
            cache: Arc::new(Cache::new()?, GFP_KERNEL)?,
            module,
        })
    }

    /// Makes an empty address space of `size` pages. With `shared` a VMA may share the anon_vma of
    /// any neighbour, as in 2010; otherwise only of one whose chain has one link.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn space(&self, size: usize, shared: bool) -> Result<Space, Error> {
        let sharing = if shared {
            Sharing::Any
        } else {
            Sharing::Singleton
        };
        let mm = model::mm::Mm::new(&self.cache, size, sharing)?;
        Ok(Space::new(mm, self.module.clone()))
    }

    /// `kmem_cache_shrink()`: empty slabs of anon_vmas are given back after a grace period.
    pub fn shrink(&self) {
        self.cache.shrink();
    }
}

/// Takes a graph of all address spaces that are related to each other, none of which is used
/// meanwhile.
///
/// # Errors
///
/// `ENOMEM`; `EINVAL` if the graph cannot be built.
pub fn graph(spaces: &[&Space]) -> Result<Graph, Error> {
    let mms: Vec<_> = spaces.iter().map(|space| space.mm()).collect();
    Ok(Graph::new(verify::look(&mms)?.graph))
}

/// Verifies all address spaces that are related to each other, none of which is used meanwhile.
///
/// # Errors
///
/// Those of [`graph`].
pub fn verify(spaces: &[&Space]) -> Result<Verdict, Error> {
    let mms: Vec<_> = spaces.iter().map(|space| space.mm()).collect();
    let verdict = verify::verify(&mms)?;
    Ok(Verdict {
        violations: verdict.violations,
        first: verdict.first().map(|(_, rule, words)| {
            let rule = rule.map(rules::Rule::name);
            (rule, words.to_string_lossy().into_owned())
        }),
    })
}

/// Returns how many violations the engine has counted since the program began.
pub fn violations() -> usize {
    rules::violations()
}

/// Returns the present numbers of objects.
pub fn numbers() -> Numbers {
    let live = Live::now();
    Numbers {
        anon_vmas: live.anon_vmas,
        links: live.links,
        pages: live.pages,
        slots: live.slots,
    }
}

/// Runs `operation`, whose `n`th allocation on this thread fails, from 1. Returns its result, and
/// whether it came to that allocation.
pub fn failing<T>(n: usize, operation: impl FnOnce() -> T) -> (T, bool) {
    kernel::mock::alloc::nth(n, operation)
}
