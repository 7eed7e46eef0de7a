// SPDX-License-Identifier: GPL-2.0

//! A slab allocator for use after free: it does at once what SLUB does sooner or later.
//!
//! * A cache has slabs, a slab has slots; a slot is constructed when its slab joins the cache, and
//!   never again.
//! * A freed slot is handed out again at will: the last one freed, or any, as the seed says.
//! * An empty slab goes back to the system, at will or by [`shrink`](Cache::shrink); of a type-safe
//!   cache after a grace period. From then on each access to its memory is a fault, which ends the
//!   process with a line that says so. Its addresses are not used again for long.
//! * An object of a cache that is not type-safe is overwritten when it is freed.
//! * Freeing what is not allocated, or by another cache, and destroying a cache with objects, is a
//!   [`splat`].
//! * Caches are merged if they may be: equal size, no constructor, no flag against it.

mod memory;

pub use memory::{is_mapped, on_fault};

use super::{
    context::{self, splat},
    random::{Random, seed_of_process},
    rcu, schedule,
};
use memory::Memory;
use std::{
    collections::BTreeMap,
    ffi::c_void,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// `SLAB_TYPESAFE_BY_RCU`.
pub const TYPESAFE_BY_RCU: u32 = 1;
/// `SLAB_NO_MERGE`.
pub const NO_MERGE: u32 = 2;
/// `SLAB_ACCOUNT`, which means nothing here.
pub const ACCOUNT: u32 = 4;
/// `SLAB_POISON`: freed objects are overwritten, also those of type-safe caches.
pub const POISON: u32 = 8;

/// `POISON_FREE`.
const POISON_FREE: u8 = 0x6b;

/// Makes an object of raw memory.
pub type Constructor = unsafe extern "C" fn(*mut c_void);

/// What a cache is made for.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Size of an object.
    pub size: usize,
    /// Alignment of an object; 0 for that of a word.
    pub align: usize,
    /// Flags.
    pub flags: u32,
    /// The constructor.
    pub constructor: Option<Constructor>,
}

impl Layout {
    /// Distance from one slot to the next.
    fn stride(&self) -> usize {
        self.size
            .max(1)
            .next_multiple_of(self.align.max(align_of::<usize>()))
    }

    fn may_be_merged(&self) -> bool {
        self.constructor.is_none() && self.flags & (TYPESAFE_BY_RCU | NO_MERGE | POISON) == 0
    }

    fn is_typesafe(&self) -> bool {
        self.flags & TYPESAFE_BY_RCU != 0
    }
}

/// A slab: memory, and which of its slots are allocated.
struct Slab {
    /// Which slab it is of all that there ever were: its address differs from run to run.
    number: usize,
    cache: Arc<Cache>,
    memory: Memory,
    allocated: Vec<bool>,
    /// Which slots have ever been allocated.
    used: Vec<bool>,
}

impl Slab {
    fn is_empty(&self) -> bool {
        !self.allocated.contains(&true)
    }
}

/// All caches and slabs.
struct All {
    caches: Vec<Arc<Cache>>,
    /// By their addresses.
    slabs: BTreeMap<usize, Slab>,
    /// The number of the next slab.
    next: usize,
    random: Option<Random>,
}

static ALL: Mutex<All> = Mutex::new(All {
    caches: Vec::new(),
    slabs: BTreeMap::new(),
    next: 0,
    random: None,
});

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl All {
    fn random(&mut self) -> &mut Random {
        self.random
            .get_or_insert_with(|| Random::new(seed_of_process()))
    }

    /// Returns the slab at `address`, with its own address.
    fn slab_at(&mut self, address: usize) -> Option<(usize, &mut Slab)> {
        let (&base, slab) = self.slabs.range_mut(..=address).next_back()?;
        (address < base + slab.memory.len()).then_some((base, slab))
    }

    /// Takes the empty slabs of a cache off, but for `kept` of them.
    fn take_empty(&mut self, cache: &Arc<Cache>, kept: usize) -> Vec<Memory> {
        let empty = self
            .slabs
            .iter()
            .filter(|(_, slab)| Arc::ptr_eq(&slab.cache, cache) && slab.is_empty());
        let mut empty: Vec<_> = empty.map(|(&base, slab)| (slab.number, base)).collect();
        empty.sort_unstable();
        let mut state = cache.state();
        let mut taken = Vec::new();
        for (_, base) in empty.into_iter().skip(kept) {
            if let Some(slab) = self.slabs.remove(&base) {
                let range = base..base + slab.memory.len();
                state.free.retain(|slot| !range.contains(slot));
                taken.push(slab.memory);
            }
        }
        taken
    }
}

/// Makes all choices anew by `seed`.
pub fn set_seed(seed: u64) {
    all().random = Some(Random::new(seed));
}

/// Returns how many slabs there are, of all caches.
pub fn slabs() -> usize {
    all().slabs.len()
}

/// What changes in a cache.
#[derive(Default)]
struct State {
    /// The free slots; the last one freed is the last.
    free: Vec<usize>,
    /// Number of caches that were merged into this one, itself included.
    users: usize,
    allocated: usize,
    /// Allocations of slots that had been allocated before.
    recycled: usize,
    /// What C has for the cache, see [`Cache::handle`].
    handle: usize,
}

/// A cache. It lives until [`destroy`](Cache::destroy) of the last user.
pub struct Cache {
    name: String,
    layout: Layout,
    state: Mutex<State>,
}

impl Cache {
    /// `kmem_cache_create()`. Sleeps.
    pub fn create(name: &str, layout: Layout) -> Arc<Self> {
        context::might_sleep();
        let mut all = all();
        let same = all.caches.iter().find(|cache| {
            let other = cache.layout;
            layout.may_be_merged() && other.may_be_merged() && other.stride() == layout.stride()
        });
        let cache = same.cloned().unwrap_or_else(|| {
            let new = Arc::new(Self {
                name: name.to_owned(),
                layout,
                state: Mutex::default(),
            });
            all.caches.push(new.clone());
            new
        });
        cache.state().users += 1;
        cache
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what C has for the cache; `make` makes it, once.
    pub(crate) fn handle(
        self: &Arc<Self>,
        make: impl FnOnce(Arc<Self>) -> *mut c_void,
    ) -> *mut c_void {
        let mut state = self.state();
        if state.handle == 0 {
            state.handle = make(self.clone()).expose_provenance();
        }
        std::ptr::with_exposed_provenance_mut(state.handle)
    }

    /// Returns how many objects are allocated.
    pub fn allocated(&self) -> usize {
        self.state().allocated
    }

    /// Returns how many allocations were of slots that had been allocated before.
    pub fn recycled(&self) -> usize {
        self.state().recycled
    }

    /// `kmem_cache_alloc()`. The caller has made sure that it may sleep.
    pub fn alloc(self: &Arc<Self>) -> *mut c_void {
        schedule::point(schedule::Grain::Call);
        rcu::poll();
        loop {
            let mut all = all();
            let mut state = self.state();
            if let Some(last) = state.free.len().checked_sub(1) {
                let random = all.random();
                let at = match random.below(2) {
                    0 => last,
                    _ => random.below(last + 1),
                };
                let slot = state.free.remove(at);
                state.allocated += 1;
                let Some((base, slab)) = all.slab_at(slot) else {
                    unreachable!("{}: a free slot without a slab", self.name);
                };
                let at = (slot - base) / self.layout.stride();
                slab.allocated[at] = true;
                state.recycled += usize::from(std::mem::replace(&mut slab.used[at], true));
                return slab.memory.at(slot - base).cast();
            }
            drop(state);
            drop(all);
            self.grow();
        }
    }

    /// Adds a slab, whose slots are constructed.
    fn grow(self: &Arc<Self>) {
        let stride = self.layout.stride();
        let memory = Memory::new((8 * stride).next_multiple_of(4096));
        let slots = memory.len() / stride;
        if let Some(constructor) = self.layout.constructor {
            for slot in 0..slots {
                // SAFETY: Memory of the size and alignment of an object, which stays in place.
                unsafe { constructor(memory.at(slot * stride).cast()) };
            }
        }
        let mut all = all();
        let base = memory.at(0) as usize;
        self.state()
            .free
            .extend((0..slots).rev().map(|slot| base + slot * stride));
        all.next += 1;
        let slab = Slab {
            number: all.next,
            cache: self.clone(),
            memory,
            allocated: vec![false; slots],
            used: vec![false; slots],
        };
        all.slabs.insert(base, slab);
    }

    /// `kmem_cache_shrink()`: gives all empty slabs back. Sleeps.
    pub fn shrink(self: &Arc<Self>) {
        context::might_sleep();
        schedule::point(schedule::Grain::Call);
        let taken = all().take_empty(self, 0);
        self.give_back(taken);
        rcu::poll();
    }

    fn give_back(&self, taken: Vec<Memory>) {
        for memory in taken {
            if self.layout.is_typesafe() {
                rcu::call(move || drop(memory));
            } else {
                drop(memory);
            }
        }
    }

    /// `kmem_cache_destroy()`. Sleeps, for a grace period if the cache is type-safe. The memory of
    /// objects that are left is kept.
    ///
    /// Returns whether this was the last user of the cache.
    pub fn destroy(self: Arc<Self>) -> bool {
        context::might_sleep();
        let mut all = all();
        let mut state = self.state();
        state.users -= 1;
        if state.users > 0 {
            return false;
        }
        let left = state.allocated;
        drop(state);
        all.caches.retain(|cache| !Arc::ptr_eq(cache, &self));
        let taken = all.take_empty(&self, 0);
        drop(all);
        self.give_back(taken);
        if self.layout.is_typesafe() {
            rcu::barrier();
        }
        if left > 0 {
            splat(&format!(
                "{}: objects remaining on kmem_cache_destroy(): {left}",
                self.name
            ));
        }
        true
    }
}

/// `kfree()`. Any context.
#[track_caller]
pub fn free(object: *mut c_void) {
    release(None, object);
}

/// `kmem_cache_free()`. Any context.
#[track_caller]
pub fn free_of(cache: &Arc<Cache>, object: *mut c_void) {
    release(Some(cache), object);
}

/// Frees an object, of `owner` if that is known.
#[track_caller]
fn release(owner: Option<&Arc<Cache>>, object: *mut c_void) {
    schedule::point(schedule::Grain::Call);
    let address = object as usize;
    let mut all = all();
    let Some((base, slab)) = all.slab_at(address) else {
        drop(all);
        return splat("kfree() of memory that no slab has");
    };
    let cache = slab.cache.clone();
    if let Some(owner) = owner.filter(|owner| !Arc::ptr_eq(owner, &cache)) {
        drop(all);
        return splat(&format!(
            "kmem_cache_free(): an object of {} is freed as one of {}",
            cache.name, owner.name
        ));
    }
    let (stride, offset) = (cache.layout.stride(), address - base);
    let slot = slab.allocated.get_mut(offset / stride);
    let Some(allocated) = slot.filter(|allocated| offset % stride == 0 && **allocated) else {
        drop(all);
        return splat(&format!(
            "{}: kfree() of what is not an allocated object",
            cache.name
        ));
    };
    *allocated = false;
    if !cache.layout.is_typesafe() || cache.layout.flags & POISON != 0 {
        // SAFETY: The slot is mapped, and belongs to no object any more.
        unsafe {
            object
                .cast::<u8>()
                .write_bytes(POISON_FREE, cache.layout.size)
        };
    }
    let empty = slab.is_empty();
    let mut state = cache.state();
    state.free.push(address);
    state.allocated -= 1;
    drop(state);
    // SLUB keeps a slab for each CPU, and some that are empty.
    let taken = match empty && all.random().below(2) == 0 {
        true => all.take_empty(&cache, 1),
        false => Vec::new(),
    };
    drop(all);
    cache.give_back(taken);
}
