// SPDX-License-Identifier: GPL-2.0

//! Every operation, with each of its allocations failing once.
//!
//! After a failure everything is as it was, nothing is left behind, and the operation can be done
//! again.

use super::{
    mm::Mm,
    space::Prot,
    table::Pte,
    verify::{
        verify,
        Live, //
    },
    walk,
    Modelled, //
};
use crate::{
    kernel_ext::fail,
    rmap::{
        anon_vma::Cache,
        link::Sharing, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Pages of each address space.
const SIZE: usize = 64;

/// A process and its child, with something of everything.
///
/// ```text
/// first page  0       8     16    20    24    28   32     36     40
/// parent      pages |     | pages.pages.pages |    empty  pages  |
///             write       | write  read write |    write  read
/// child       the same, and some pages of its own
/// ```
struct World<R: Modelled> {
    parent: Mm<R>,
    child: Mm<R>,
}

impl<R: Modelled> World<R> {
    fn new(cache: &Arc<Cache<R>>) -> Result<Self> {
        let parent = Mm::new(cache, SIZE, Sharing::Singleton)?;
        parent.map(0, 8, Prot::WRITE)?;
        parent.map(16, 12, Prot::WRITE)?;
        parent.map(36, 4, Prot::WRITE)?;
        for address in [0, 1, 4, 7, 17, 21, 25, 37] {
            parent.write(address, 0, 100 + address as u64)?;
        }
        parent.protect(36, 4, Prot::READ)?;
        parent.map(32, 4, Prot::WRITE)?;
        parent.protect(20, 4, Prot::READ)?;
        let child = parent.fork()?;
        child.write(1, 0, 201)?;
        parent.write(4, 0, 304)?;
        Ok(Self { parent, child })
    }

    /// What is written there; `None` where no VMA is.
    fn contents(&self) -> Result<KVVec<Option<u64>>> {
        let mut all = KVVec::from_elem(None, 2 * SIZE, GFP_KERNEL)?;
        for (mm, words) in [&self.parent, &self.child].iter().zip(all.chunks_mut(SIZE)) {
            for slot in mm.space().vmas.range(0, usize::MAX) {
                for address in slot.first..=slot.last {
                    if let Some(word) = words.get_mut(address) {
                        *word = Some(mm.read(address, 0)?);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Whether the rules hold, and whether all that is alive belongs to these two.
    fn is_sound(&self, before: &Live, told: bool) -> Result<bool> {
        let seen = verify(&[&self.parent, &self.child])?;
        if !told {
            return Ok(seen.violations == 0);
        }
        let live = Live::now().since(before);
        let known = Live {
            anon_vmas: seen.anon_vmas,
            links: seen.links,
            // Of the pages that nobody maps the swap cache has some.
            pages: live.pages,
            slots: seen.slots,
        };
        if live != known {
            pr_err!("failures: alive {live:?}, known {known:?}\n");
        }
        Ok(seen.is_clean() && live == known && live.pages >= seen.pages)
    }
}

/// What is done to a world.
type Action<R> = fn(&World<R>) -> Result;

/// Does `operation` with its first allocation failing, then with its second, and so on, each time
/// in a new world that was made `ready`: by one action before, and by one after, it was looked what
/// is written there.
///
/// Returns whether all was as it should be, each time.  If it is to be `told`, the kernel log has what
/// was not, and how many allocations there are.
fn sweep_told<R: Modelled>(
    told: bool,
    name: &str,
    ready: [Action<R>; 2],
    operation: Action<R>,
) -> Result<bool> {
    let cache = Arc::new(Cache::new()?, GFP_KERNEL)?;
    let (mut n, mut right) = (0, true);
    loop {
        let before = Live::now();
        let world = World::new(&cache)?;
        ready[0](&world)?;
        let contents = world.contents()?;
        ready[1](&world)?;
        let (result, hit) = fail::nth(n + 1, || operation(&world));
        let mut fine = world.is_sound(&before, told)?;
        if result.is_err() {
            fine &= hit && result == Err(ENOMEM) && *world.contents()? == *contents;
            fine &= operation(&world).is_ok() && world.is_sound(&before, told)?;
        }
        // Wherever it is now.
        let now = world.contents()?;
        fine &= contents.iter().all(|word| now.contains(word));
        drop(world);
        fine &= Live::now() == before;
        right &= fine;
        if told && !fine {
            pr_err!("failures: {name}: allocation {}: {result:?}\n", n + 1);
        }
        if told && !hit {
            pr_info!("failures: {name}: {n} allocations\n");
        }
        if !hit {
            return Ok(right && n > 0);
        }
        n += 1;
    }
}

/// As [`sweep_told`], told.
fn sweep<R: Modelled>(name: &str, ready: [Action<R>; 2], operation: Action<R>) -> Result<bool> {
    sweep_told(true, name, ready, operation)
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/failures.rs"]
mod tests;
