// SPDX-License-Identifier: GPL-2.0

//! The address spaces and pages of a torture.

use super::{
    Mix,
    HOME,
    PROCESSES,
    REMEMBERED,
    SIZE,
    WRITES, //
};
use crate::{
    kernel_ext::{
        random::Random,
        typesafe::Pinned, //
    },
    model::{
        mm::Mm,
        page::Page,
        space::Prot,
        Modelled, //
    },
    rmap::anon_vma::{
        AnonVma,
        Cache, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// The number of worlds that were made.
static WORLDS: Atomic<usize> = Atomic::new(0);

/// The forest: the address spaces and pages that the threads share.
#[pin_data]
pub(in super::super) struct World<R: Modelled> {
    pub(super) cache: Arc<Cache<R>>,
    #[pin]
    processes: [Mutex<Option<Arc<Mm<R>>>>; PROCESSES],
    #[pin]
    pages: [Mutex<Option<Arc<Page<R>>>>; REMEMBERED],
    mix: Mix,
    epoch: Atomic<usize>,
    /// An address near which a thread is at work.
    pub(super) hot: Atomic<usize>,
}

impl<R: Modelled> World<R> {
    /// Makes a world without processes. Sleeps.
    pub(in super::super) fn new(mix: Mix) -> Result<Arc<Self>> {
        // The cache of a bug that was caught is never destroyed, and no two may have one name.
        let number = WORLDS.fetch_add(1, Relaxed) + 1;
        let name = CString::try_from_fmt(fmt!("shadow_rmap_torture_{number}"))?;
        let cache = Arc::new(Cache::with_name(&name)?, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                cache,
                processes <- pin_init::pin_init_array_from_fn(
                    |_| new_mutex!(None, "shadow_rmap::torture_process")
                ),
                pages <- pin_init::pin_init_array_from_fn(
                    |_| new_mutex!(None, "shadow_rmap::torture_page")
                ),
                mix,
                epoch: Atomic::new(0),
                hot: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns its load.
    pub(in super::super) fn mix(&self) -> Mix {
        self.mix
    }

    /// Returns all processes. Sleeps.
    pub(in super::super) fn processes(&self) -> Result<KVec<Arc<Mm<R>>>> {
        let mut all = KVec::with_capacity(PROCESSES, GFP_KERNEL)?;
        for place in &self.processes {
            if let Some(mm) = &*place.lock() {
                all.push(mm.clone(), GFP_KERNEL)?;
            }
        }
        Ok(all)
    }

    /// Ends an epoch: all processes exit, and no page is remembered. Sleeps.
    pub(in super::super) fn clear(&self) {
        for place in &self.processes {
            let gone = place.lock().take();
            drop(gone);
        }
        for place in &self.pages {
            let gone = place.lock().take();
            drop(gone);
        }
        self.epoch.store(self.epoch.load(Relaxed) + 1, Relaxed);
    }

    /// Replaces a process.
    pub(super) fn put(&self, random: &mut Random, mm: Option<Arc<Mm<R>>>) {
        if let Some(place) = self.processes.get(random.below(self.mix.sizes().0)) {
            let gone = core::mem::replace(&mut *place.lock(), mm);
            // It may exit now, without the lock.
            drop(gone);
        }
    }

    /// Chooses a process; makes one if its place is empty.
    pub(super) fn process(&self, random: &mut Random) -> Result<Arc<Mm<R>>> {
        let place = self
            .processes
            .get(random.below(self.mix.sizes().0))
            .ok_or(ENOENT)?;
        let mm = (*place.lock()).clone();
        match mm {
            Some(mm) => Ok(mm),
            None => {
                let mm = self.create(random)?;
                self.put(random, Some(mm.clone()));
                Ok(mm)
            }
        }
    }

    /// Makes a process that has written to some of its pages.
    pub(super) fn create(&self, random: &mut Random) -> Result<Arc<Mm<R>>> {
        let sharing = self.mix.sharing(self.epoch.load(Relaxed));
        let mm = Mm::new(&self.cache, SIZE, sharing)?;
        mm.map(0, 8, Prot::WRITE)?;
        for _ in 0..WRITES {
            mm.write(random.below(8), 0, 1)?;
        }
        Ok(Arc::new(mm, GFP_KERNEL)?)
    }

    /// Chooses an address in the lower half, in one of two cases near one at which a thread is at
    /// work.
    pub(super) fn address(&self, random: &mut Random) -> usize {
        if random.chance(1, 2) {
            (self.hot.load(Relaxed) + random.below(4)) % HOME
        } else {
            random.below(HOME)
        }
    }

    /// Remembers a page.
    pub(super) fn remember(&self, random: &mut Random, page: Arc<Page<R>>) {
        if let Some(place) = self.pages.get(random.below(self.mix.sizes().1)) {
            let gone = place.lock().replace(page);
            drop(gone);
        }
    }

    /// Chooses a page: one of a process, or one that is remembered.
    pub(super) fn page(&self, random: &mut Random) -> Result<Arc<Page<R>>> {
        if self.mix.sizes().0 > 0 && random.chance(1, 2) {
            let page = self
                .process(random)?
                .page_at(random.below(SIZE))
                .ok_or(ENOENT)?;
            if random.chance(1, 2) {
                self.remember(random, page.clone());
            }
            return Ok(page);
        }
        let place = self
            .pages
            .get(random.below(self.mix.sizes().1))
            .ok_or(ENOENT)?;
        let page = (*place.lock()).clone();
        page.ok_or(ENOENT)
    }
}

/// The data of one worker.
pub(in super::super) struct Own<R: Modelled> {
    pub(super) pin: Option<Pinned<AnonVma<R>>>,
}

impl<R: Modelled> Own<R> {
    /// No data.
    pub(in super::super) fn new() -> Self {
        Self { pin: None }
    }
}
