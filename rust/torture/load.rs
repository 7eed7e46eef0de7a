// SPDX-License-Identifier: GPL-2.0

//! What the threads of a torture do all day, to a forest of address spaces.
//!
//! *Processes* are born, read, write, split, merge, move and unmap, fork, and exit, parents before
//! their children more often than not.  *Walkers* come by a page, as reclaim does: the page of a
//! process, or one that was somebody's once, which they still have a reference on.  A *thief* gives
//! the allocator's spare memory back to the system, and has it filled by somebody else.
//!
//! Everything is done to few processes and few pages, so that the threads meet.

use super::pressure;
use crate::{
    kernel_ext::{
        frame::Frame,
        random::Random,
        typesafe::Pinned, //
    },
    model::{
        mm::Mm,
        page::Page,
        space::Prot,
        take_all::Notifier,
        walk::{
            migrate,
            page_referenced,
            reclaim,
            try_to_unmap,
            unuse, //
        },
        Modelled, //
    },
    rmap::{
        anon_vma::{
            AnonVma,
            Cache, //
        },
        link::Sharing,
        lookup::{
            page_get_anon_vma,
            page_lock_anon_vma, //
        },
        oracle::Oracle,
        rules::{
            Rule,
            Window, //
        }, //
    },
};
use core::ops::ControlFlow;
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

/// Addresses of a process, in pages.
const SIZE: usize = 32;

/// The lower half is where it is at home: what is moved away goes as far up.
const HOME: usize = SIZE / 2;

/// How many processes there are at a time, at most, but for those that a thread has for itself.
const PROCESSES: usize = 6;

/// How many times a new process writes.
const WRITES: usize = 4;

/// How many pages are remembered, whoever has them by then.
const REMEMBERED: usize = 12;

macro_rules! deeds {
    ($($(#[$about:meta])* $deed:ident $name:literal;)*) => {
        /// What a thread can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Deed {
            $($(#[$about])* $deed,)*
        }

        /// All of it, by name, in order.
        pub(super) const DEEDS: &[&str] = &[$($name),*];
    };
}

deeds! {
    /// Reads a word.
    Read "read";
    /// Writes one.
    Write "write";
    /// Writes one without `mmap_lock`, where that is possible.
    WriteFast "write_vma_lock";
    /// Replaces a process by a new one.
    Create "create";
    /// A process that is born, writes, and dies, with others looking at its page.
    ShortLife "short_life";
    /// Many such at once, so that whole slabs are empty when they are gone.
    Crowd "crowd";
    /// Replaces a process by another's child.
    Fork "fork";
    /// Replaces a process by its own child: the parent exits first.
    ForkAndExit "fork_and_exit";
    /// A child writes to a page that its parent leaves to it.
    TakeOver "take_over";
    /// Two processes read a page back from swap, the child first.
    SwapBack "swap_back";
    /// A line of processes each of which exits when it has a child.
    Lineage "lineage";
    /// A process exits.
    Exit "exit";
    /// Forgets a page.
    Discard "discard";
    /// Maps addresses.
    Map "map";
    /// Unmaps some.
    Unmap "unmap";
    /// Changes what may be done there: splits and merges.
    Protect "protect";
    /// Lets a VMA grow.
    Grow "grow";
    /// Moves addresses away from home.
    MoveAway "move_away";
    /// Moves them back.
    MoveBack "move_back";
    /// Moves them, and leaves an empty VMA behind.
    MoveAndKeep "move_and_keep";
    /// Moves a VMA back to where a new one waits that nobody has written to.
    MoveBeside "move_beside";
    /// Shifts a boundary into a VMA that nobody has written to.
    ShiftBoundary "shift_boundary";
    /// Merges a VMA of a forked process with a new one.
    MergeWithNew "merge_with_new";
    /// Moves a VMA, pages and all, to lower addresses, as exec does with the stack.
    ShiftDown "shift_down";
    /// Counts who maps a page.
    Reference "referenced";
    /// Locks a page's anon_vma, and walks.
    Lookup "lookup";
    /// Pins a page's anon_vma, and keeps it for a while.
    Pin "pin";
    /// Takes a page out of all page tables.
    TryToUnmap "try_to_unmap";
    /// The same, and writes it to swap.
    Reclaim "reclaim";
    /// Moves a page to new memory.
    Migrate "migrate";
    /// Does without a slot of swap.
    Unuse "unuse";
    /// A notifier joins.
    Notify "notify";
}

impl Deed {
    /// Whether it begins with a page, and takes no lock of a process.
    fn is_walk(self) -> bool {
        matches!(
            self,
            Deed::Reference
                | Deed::Lookup
                | Deed::Pin
                | Deed::TryToUnmap
                | Deed::Reclaim
                | Deed::Migrate
        )
    }
}

/// A load: what is done more often, and what less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Everything.
    All,
    /// Walkers, and processes that share pages.
    Walkers,
    /// Anon_vmas that are freed, and come again as others.
    Recycling,
    /// Anon_vmas whose memory is given back to the system.
    Emptying,
    /// Forks, in lines and bushes.
    Forks,
    /// Splits and merges.
    Merges,
    /// The same, where any neighbour's anon_vma may be shared, as in 2010.
    SharedMerges,
    /// Moves.
    Moves,
}

/// All loads, by name.
pub(super) const MIXES: [(Mix, &str); 8] = [
    (Mix::All, "all"),
    (Mix::Walkers, "walkers"),
    (Mix::Recycling, "recycling"),
    (Mix::Emptying, "emptying"),
    (Mix::Forks, "forks"),
    (Mix::Merges, "merges"),
    (Mix::SharedMerges, "shared_merges"),
    (Mix::Moves, "moves"),
];

impl Mix {
    /// Its name in `control`.
    pub(super) fn name(self) -> &'static str {
        MIXES
            .iter()
            .find(|(mix, _)| *mix == self)
            .map_or("?", |(_, name)| name)
    }

    /// So many times out of the sum of all.
    fn weights(self) -> &'static [(Deed, usize)] {
        use Deed::*;
        match self {
            Mix::All => &[
                (Read, 6),
                (Write, 14),
                (WriteFast, 6),
                (Create, 2),
                (ShortLife, 4),
                (Crowd, 1),
                (Fork, 4),
                (ForkAndExit, 4),
                (TakeOver, 2),
                (SwapBack, 2),
                (Lineage, 1),
                (Exit, 1),
                (Discard, 3),
                (Map, 4),
                (Unmap, 3),
                (Protect, 6),
                (Grow, 1),
                (MoveAway, 3),
                (MoveBack, 4),
                (MoveAndKeep, 2),
                (MoveBeside, 2),
                (ShiftBoundary, 2),
                (MergeWithNew, 2),
                (ShiftDown, 1),
                (Reference, 6),
                (Lookup, 14),
                (Pin, 4),
                (TryToUnmap, 4),
                (Reclaim, 2),
                (Migrate, 4),
                (Unuse, 2),
                (Notify, 1),
            ],
            Mix::Walkers => &[
                (Read, 8),
                (Write, 12),
                (Create, 1),
                (Fork, 4),
                (ForkAndExit, 2),
                (TakeOver, 8),
                (SwapBack, 4),
                (Exit, 1),
                (Discard, 2),
                (Map, 2),
                (Reference, 4),
                (Lookup, 8),
                (TryToUnmap, 8),
                (Reclaim, 6),
                (Migrate, 6),
                (Unuse, 4),
                (Notify, 2),
            ],
            Mix::Recycling => &[
                (Write, 2),
                (Create, 2),
                (ShortLife, 16),
                (Crowd, 6),
                (Fork, 1),
                (ForkAndExit, 1),
                (Lookup, 20),
                (Pin, 8),
                (Reference, 4),
                (TryToUnmap, 3),
                (Migrate, 8),
            ],
            Mix::Emptying => &[(ShortLife, 4), (Crowd, 6), (Lookup, 20), (Pin, 4)],
            Mix::Forks => &[
                (Write, 8),
                (Create, 1),
                (Fork, 6),
                (ForkAndExit, 8),
                (Lineage, 2),
                (Exit, 3),
                (Unmap, 2),
                (Map, 2),
                (Lookup, 6),
                (Pin, 2),
                (TryToUnmap, 3),
                (Reclaim, 1),
                (Migrate, 2),
            ],
            Mix::Merges | Mix::SharedMerges => &[
                (Read, 2),
                (Write, 8),
                (WriteFast, 24),
                (Create, 1),
                (Fork, 2),
                (ForkAndExit, 2),
                (Map, 4),
                (Unmap, 3),
                (Protect, 12),
                (Grow, 2),
                (ShiftBoundary, 8),
                (MergeWithNew, 8),
                (TryToUnmap, 8),
                (Lookup, 2),
                (Migrate, 16),
            ],
            Mix::Moves => &[
                (Read, 2),
                (Write, 12),
                (WriteFast, 4),
                (Create, 1),
                (Fork, 3),
                (ForkAndExit, 1),
                (Map, 4),
                (Unmap, 2),
                (MoveAway, 4),
                (MoveBack, 6),
                (MoveAndKeep, 6),
                (MoveBeside, 10),
                (ShiftDown, 6),
                (TryToUnmap, 6),
                (Migrate, 24),
            ],
        }
    }

    /// How many processes there are at a time, and how many pages are remembered: the fewer, the more
    /// often threads meet.
    fn crowd(self) -> (usize, usize) {
        match self {
            Mix::All => (PROCESSES, REMEMBERED),
            Mix::Forks => (4, 4),
            Mix::Walkers | Mix::Recycling => (3, 4),
            // Who lives on keeps the memory of others.
            Mix::Emptying => (0, 4),
            Mix::Merges | Mix::SharedMerges | Mix::Moves => (2, 3),
        }
    }

    /// How many deeds each worker does in a round, after which the forest is verified; and after how
    /// many rounds everybody exits, so that what is left over is found.
    pub(super) fn round(self) -> (usize, usize) {
        match self {
            // What is wrong with a family is gone with its VMAs.
            Mix::Forks => (32, 48),
            // What is wrong with a reference stays.
            Mix::Recycling | Mix::Emptying => (192, 2),
            Mix::All | Mix::Walkers | Mix::Merges | Mix::SharedMerges | Mix::Moves => (192, 8),
        }
    }

    /// The windows that it is about: who passes one of these stays there more often, and longer.
    pub(super) fn focus(self) -> &'static [Window] {
        match self {
            Mix::All | Mix::Forks => &[],
            Mix::Walkers => &[Window::MappingStored, Window::PrepareTested],
            Mix::Recycling | Mix::Emptying => &[
                Window::Found,
                Window::Locked,
                Window::RcuLeft,
                Window::Referenced,
                Window::Pinned,
                Window::Outlived,
                Window::PageUnmapped,
            ],
            Mix::Merges | Mix::SharedMerges => {
                &[Window::Published, Window::Linked, Window::PrepareTested]
            }
            Mix::Moves => &[
                Window::DestinationReady,
                Window::RangeMoved,
                Window::BetweenVmas,
            ],
        }
    }

    /// Whether processes share their neighbours' anon_vmas as in 2010; those of `epoch`.
    fn sharing(self, epoch: usize) -> Sharing {
        match self {
            Mix::SharedMerges => Sharing::Any,
            Mix::All if epoch % 4 == 3 => Sharing::Any,
            _ => Sharing::Singleton,
        }
    }

    /// What a thread does next.  A walker mostly walks: whoever else may be waiting for a process, it
    /// is not.
    pub(super) fn choose(self, walker: bool, random: &mut Random) -> Deed {
        let walks = walker && random.chance(7, 8);
        let weights = || {
            let all = self.weights().iter();
            all.filter(|(deed, _)| !walks || deed.is_walk())
        };
        let mut left = random.below(weights().map(|(_, weight)| weight).sum());
        for (deed, weight) in weights() {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *deed,
            }
        }
        Deed::Read
    }
}

/// How many worlds there have been.
static WORLDS: Atomic<usize> = Atomic::new(0);

/// What the threads share.
#[pin_data]
pub(super) struct World<R: Modelled> {
    cache: Arc<Cache<R>>,
    #[pin]
    processes: [Mutex<Option<Arc<Mm<R>>>>; PROCESSES],
    #[pin]
    pages: [Mutex<Option<Arc<Page<R>>>>; REMEMBERED],
    mix: Mix,
    epoch: Atomic<usize>,
    /// An address at which somebody is at work.
    hot: Atomic<usize>,
}

impl<R: Modelled> World<R> {
    /// A world without processes.  Sleeps.
    pub(super) fn new(mix: Mix) -> Result<Arc<Self>> {
        // A bug that was caught leaves its cache behind.
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

    /// What is done here more often, and what less.
    pub(super) fn mix(&self) -> Mix {
        self.mix
    }

    /// All processes.  Sleeps.
    pub(super) fn processes(&self) -> Result<KVec<Arc<Mm<R>>>> {
        let mut all = KVec::with_capacity(PROCESSES, GFP_KERNEL)?;
        for place in &self.processes {
            if let Some(mm) = &*place.lock() {
                all.push(mm.clone(), GFP_KERNEL)?;
            }
        }
        Ok(all)
    }

    /// Everybody exits, and no page is remembered: an epoch is over.  Sleeps.
    pub(super) fn clear(&self) {
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
    fn put(&self, random: &mut Random, mm: Option<Arc<Mm<R>>>) {
        if let Some(place) = self.processes.get(random.below(self.mix.crowd().0)) {
            let gone = core::mem::replace(&mut *place.lock(), mm);
            // It may exit now, without the lock.
            drop(gone);
        }
    }

    /// One of the processes, if there is one in the place that was chosen.
    fn process(&self, random: &mut Random) -> Result<Arc<Mm<R>>> {
        let place = self
            .processes
            .get(random.below(self.mix.crowd().0))
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

    /// A new process, which has written to some of its pages.
    fn create(&self, random: &mut Random) -> Result<Arc<Mm<R>>> {
        let sharing = self.mix.sharing(self.epoch.load(Relaxed));
        let mm = Mm::new(&self.cache, SIZE, sharing)?;
        mm.map(0, 8, Prot::WRITE)?;
        for _ in 0..WRITES {
            mm.write(random.below(8), 0, 1)?;
        }
        Ok(Arc::new(mm, GFP_KERNEL)?)
    }

    /// An address at home; where somebody is at work, as often as not.
    fn address(&self, random: &mut Random) -> usize {
        if random.chance(1, 2) {
            (self.hot.load(Relaxed) + random.below(4)) % HOME
        } else {
            random.below(HOME)
        }
    }

    /// Remembers a page.
    fn remember(&self, random: &mut Random, page: Arc<Page<R>>) {
        if let Some(place) = self.pages.get(random.below(self.mix.crowd().1)) {
            let gone = place.lock().replace(page);
            drop(gone);
        }
    }

    /// A page: one that a process has now, or one that somebody had once.
    fn page(&self, random: &mut Random) -> Result<Arc<Page<R>>> {
        if self.mix.crowd().0 > 0 && random.chance(1, 2) {
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
            .get(random.below(self.mix.crowd().1))
            .ok_or(ENOENT)?;
        let page = (*place.lock()).clone();
        page.ok_or(ENOENT)
    }
}

/// What a thread has for itself.
pub(super) struct Own<R: Modelled> {
    pin: Option<Pinned<AnonVma<R>>>,
}

impl<R: Modelled> Own<R> {
    pub(super) fn new() -> Self {
        Self { pin: None }
    }
}

/// A few addresses, on a boundary of so many; at home.
fn block(random: &mut Random) -> (usize, usize) {
    let pages = 1 << random.below(3);
    (random.below(HOME / pages) * pages, pages)
}

fn prot(random: &mut Random) -> Prot {
    if random.chance(2, 3) {
        Prot::WRITE
    } else {
        Prot::READ
    }
}

/// How many pages a thread looks up at a time.
const LOOKUPS: usize = 8;

/// Does something, and returns how many operations that were: calls of the model, or of a lookup.
/// Sleeps.
///
/// # Errors
///
/// Those of the operation: in a world like this many a thing is not there, or busy.
pub(super) fn act<R: Modelled>(
    world: &World<R>,
    deed: Deed,
    own: &mut Own<R>,
    random: &mut Random,
) -> Result<usize> {
    let address = random.below(SIZE);
    let (first, pages) = block(random);
    let one = |()| 1;
    match deed {
        Deed::Read => world.process(random)?.read(address, 0).map(|_| 1),
        Deed::Write => {
            let mm = world.process(random)?;
            mm.write(world.address(random), 0, 1).map(one)
        }
        Deed::WriteFast => {
            let mm = world.process(random)?;
            let address = world.address(random);
            mm.write_under_vma_lock(address, 0, 1)?;
            remember(world, random, &mm, address);
            Ok(1)
        }
        Deed::Create => {
            let mm = world.create(random)?;
            world.put(random, Some(mm));
            Ok(WRITES + 2)
        }
        Deed::ShortLife => short_life(world, random),
        Deed::Crowd => crowd(world, random),
        Deed::Fork => {
            let child = Arc::new(world.process(random)?.fork()?, GFP_KERNEL)?;
            world.put(random, Some(child));
            Ok(1)
        }
        Deed::ForkAndExit => {
            let parent = world.process(random)?;
            let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
            parent.exit();
            world.put(random, Some(child));
            Ok(2)
        }
        Deed::TakeOver => take_over(world, random),
        Deed::SwapBack => swap_back(world, random),
        Deed::Lineage => lineage(world, random),
        Deed::Exit => {
            world.put(random, None);
            Ok(1)
        }
        Deed::Discard => world.process(random)?.discard(address, 1).map(one),
        Deed::Map => {
            let prot = prot(random);
            world.process(random)?.map(first, pages, prot).map(one)
        }
        Deed::Unmap => world.process(random)?.unmap(first, pages).map(one),
        Deed::Protect => {
            let prot = prot(random);
            world.process(random)?.protect(first, pages, prot).map(one)
        }
        Deed::Grow => world.process(random)?.grow(address, 1).map(one),
        Deed::MoveAway => {
            let mm = world.process(random)?;
            mm.remap(first, pages, first + HOME, false).map(one)
        }
        Deed::MoveBack => {
            let mm = world.process(random)?;
            mm.remap(first + HOME, pages, first, false).map(one)
        }
        Deed::MoveAndKeep => {
            let mm = world.process(random)?;
            let (from, to) = if random.chance(1, 2) {
                (first, first + HOME)
            } else {
                (first + HOME, first)
            };
            mm.remap(from, pages, to, true)?;
            mm.write(from, 0, 1)?;
            Ok(2)
        }
        Deed::MoveBeside => move_beside(world, random),
        Deed::ShiftBoundary => shift_boundary(world, random),
        Deed::MergeWithNew => merge_with_new(world, random),
        Deed::ShiftDown => shift_down(world, random),
        Deed::Reference => {
            page_referenced(&*world.page(random)?);
            Ok(1)
        }
        Deed::Lookup => {
            let mut made = 0;
            for _ in 0..LOOKUPS {
                let Ok(page) = world.page(random) else {
                    continue;
                };
                look_up(&page);
                made += 1;
            }
            Ok(made)
        }
        Deed::Pin => {
            let pin = page_get_anon_vma(&world.page(random)?.rmap);
            let before = core::mem::replace(&mut own.pin, pin);
            drop(before);
            Ok(1)
        }
        Deed::TryToUnmap => try_to_unmap(&world.page(random)?).map(|_| 1),
        Deed::Reclaim => reclaim(&world.page(random)?).map(|_| 1),
        Deed::Migrate => {
            let new = migrate(&world.page(random)?)?;
            world.remember(random, new);
            Ok(1)
        }
        Deed::Unuse => {
            let slot = world.process(random)?.slot_at(address).ok_or(ENOENT)?;
            unuse(&slot).map(|_| 1)
        }
        Deed::Notify => {
            let mm = world.process(random)?;
            mm.register_notifier(Notifier::new()?).map(one)
        }
    }
}

/// Locks a page's anon_vma, and goes through its VMAs.
fn look_up<R: Modelled>(page: &Page<R>) {
    let index = page.rmap.index();
    if let Some(anon_vma) = page_lock_anon_vma(&page.rmap) {
        let _: ControlFlow<()> = anon_vma.for_each_vma(index, index, |_| ControlFlow::Continue(()));
    }
}

/// A process with one page, which is remembered when it is gone.
fn short_life<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = Mm::new(&world.cache, 4, Sharing::Singleton)?;
    mm.map(0, 4, Prot::WRITE)?;
    mm.write(1, 0, 1)?;
    remember(world, random, &mm, 1);
    if random.chance(1, 3) {
        // Who looks it up now has to wait for the lock, with a reference.
        let mmap = mm.core().mmap_read();
        if let Some(vma) = mm.space().vmas.find(1) {
            let family = vma.core.anon_vma(&mmap).map(AnonVma::lock_write);
            pressure::linger(random);
            drop(family);
        }
    } else if random.chance(1, 2) {
        // A family for a moment, before both are gone.
        let child = mm.fork()?;
        pressure::linger(random);
        drop(mm);
        child.write(1, 0, 2)?;
        return Ok(6);
    }
    pressure::linger(random);
    Ok(3)
}

/// How many processes make more than one slab of anon_vmas.
const CROWD: usize = 40;

/// Processes of one page each, all of which exit at once; the memory of their anon_vmas goes back to
/// the system as soon as it may.
fn crowd<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mut all = KVec::with_capacity(CROWD, GFP_KERNEL)?;
    for _ in 0..CROWD {
        let mm = Mm::new(&world.cache, 1, Sharing::Singleton)?;
        mm.map(0, 1, Prot::WRITE)?;
        mm.write(0, 0, 1)?;
        remember(world, random, &mm, 0);
        all.push(mm, GFP_KERNEL)?;
    }
    pressure::linger(random);
    drop(all);
    world.cache.shrink();
    Ok(CROWD * 3)
}

/// A child whose parent exits writes to a page that is its alone by then, and goes to its anon_vma.
fn take_over<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let parent = world.process(random)?;
    let address = random.below(8);
    parent.write(address, 0, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    parent.exit();
    remember(world, random, &child, address);
    child.write(address, 0, 2)?;
    world.put(random, Some(child));
    Ok(4)
}

/// A page that two processes share is written to swap, and both read it back: it is where both are
/// linked, whoever comes first.
fn swap_back<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let parent = world.process(random)?;
    let address = random.below(8);
    parent.write(address, 0, 1)?;
    let child = Arc::new(parent.fork()?, GFP_KERNEL)?;
    if let Some(page) = parent.page_at(address) {
        reclaim(&page)?;
    }
    child.read(address, 0)?;
    parent.read(address, 0)?;
    remember(world, random, &parent, address);
    world.put(random, Some(child));
    Ok(5)
}

/// How many generations a line has.
const GENERATIONS: usize = 16;

/// How much longer the chains at its end may be: the last two processes' own anon_vmas, and as many
/// of processes whose children have not all exited yet.
const LONGER: usize = 4;

/// A line of processes: each ancestor that is gone is good for a descendant, so chains do not grow
/// with the number of generations (R24).
fn lineage<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mut last = world.process(random)?.fork()?;
    let before = longest_chain(&last);
    for _ in 0..GENERATIONS {
        let next = last.fork()?;
        last = next;
    }
    Oracle::Topology.check(Rule::R24, longest_chain(&last) <= before + LONGER);
    if random.chance(1, 2) {
        world.put(random, Some(Arc::new(last, GFP_KERNEL)?));
    }
    Ok(2 * GENERATIONS + 1)
}

fn longest_chain<R: Modelled>(mm: &Mm<R>) -> usize {
    let mmap = mm.core().mmap_read();
    mm.space()
        .vmas
        .range(0, usize::MAX)
        .map(|slot| slot.vma.core.links(&mmap))
        .max()
        .unwrap_or(0)
}

/// Two parts of one length beside each other, at home: their first addresses, the lower first, and
/// that length.
fn two_parts(random: &mut Random) -> (usize, usize, usize) {
    let pages = 2 << random.below(2);
    let first = random.below(HOME / (2 * pages)) * 2 * pages;
    (first, first + pages, pages)
}

/// As [`two_parts`], in either order.
fn two_sides(random: &mut Random) -> (usize, usize, usize) {
    let (lower, upper, pages) = two_parts(random);
    if random.chance(1, 2) {
        (lower, upper, pages)
    } else {
        (upper, lower, pages)
    }
}

/// Remembers the page at `address` of `mm`, if there is one.
fn remember<R: Modelled>(world: &World<R>, random: &mut Random, mm: &Mm<R>, address: usize) {
    if let Some(page) = mm.page_at(address) {
        world.remember(random, page);
    }
}

/// Moves a part of what has been written away, maps what nobody has written to beside the place
/// where it was, and moves it back: both become one VMA.
fn move_beside<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (stays, moves, pages) = two_sides(random);
    mm.write(moves, 0, 1)?;
    mm.remap(moves, pages, moves + HOME, false)?;
    if random.chance(1, 2) {
        mm.unmap(stays, pages)?;
        mm.map(stays, pages, Prot::WRITE)?;
    }
    remember(world, random, &mm, moves + HOME);
    mm.remap(moves + HOME, pages, moves, random.chance(1, 4))?;
    Ok(5)
}

/// What has been written moves down as a whole, to where nothing is.
fn shift_down<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (lower, upper, pages) = two_parts(random);
    mm.write(upper, 0, 1)?;
    mm.unmap(lower, pages)?;
    remember(world, random, &mm, upper);
    mm.shift(upper, pages / 2)?;
    Ok(3)
}

/// Of what has been written a part joins the VMA beside it, which nobody has written to.
fn shift_boundary<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (empty, written, pages) = two_sides(random);
    // The part that shifts is beside the boundary.
    let part = if empty < written {
        written
    } else {
        written + pages / 2
    };
    world.hot.store(empty, Relaxed);
    mm.unmap(empty.min(written), 2 * pages)?;
    mm.map(written, pages, Prot::WRITE)?;
    mm.write(part, 0, 1)?;
    mm.protect(written, pages, Prot::READ)?;
    mm.map(empty, pages, Prot::WRITE)?;
    remember(world, random, &mm, part);
    mm.protect(part, pages / 2, Prot::WRITE)?;
    Ok(6)
}

/// A VMA that was forked, and one that is new and shares its anon_vma if it may, become one.
fn merge_with_new<R: Modelled>(world: &World<R>, random: &mut Random) -> Result<usize> {
    let mm = world.process(random)?;
    let (new, old, pages) = two_sides(random);
    remember(world, random, &mm, old);
    mm.unmap(new, pages)?;
    mm.protect(old, pages, Prot::READ)?;
    mm.map(new, pages, Prot::WRITE)?;
    mm.write(new, 0, 1)?;
    mm.protect(old, pages, Prot::WRITE)?;
    Ok(5)
}

/// How much memory a thief takes at a time, in pages.
const LOOT: usize = 48;

/// Gives the allocator's spare memory back, and has somebody else fill it.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn steal<R: Modelled>(world: &World<R>, random: &mut Random) -> Result {
    world.cache.use_as_another_type()?;
    if random.chance(1, 4) {
        world.cache.shrink();
    }
    let mut loot = KVec::with_capacity(LOOT, GFP_KERNEL)?;
    for _ in 0..LOOT {
        let frame = Frame::new()?;
        for word in 0..Frame::WORDS {
            frame.write(word, 0xa5a5_a5a5_a5a5_a5a5);
        }
        loot.push(frame, GFP_KERNEL)?;
    }
    Ok(())
}
