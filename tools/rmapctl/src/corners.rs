// SPDX-License-Identifier: GPL-2.0

//! Corners of the host: what it does to a mapping, or to two at once, without a word to the driver.
//!
//! A shadow that follows calls and faults alone differs from the host after each of them. They need
//! calls or timing that the language of scenarios has no words for, except the one that
//! `samples/boundary-shift.scn` has too.

use crate::kernel::{Debugfs, Device, complaints};
use crate::selftest::Child;
use crate::worker::PAGE_SIZE;
use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MRemapFlags, MapFlags, ProtFlags};
use nix::sys::mman::{mmap, mmap_anonymous, mprotect, mremap, munmap};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, setpgid};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const NONE: ProtFlags = ProtFlags::PROT_NONE;
const READ: ProtFlags = ProtFlags::PROT_READ;
const READ_WRITE: ProtFlags = READ.union(ProtFlags::PROT_WRITE);
/// How long a thread or process waits for another.
const PATIENCE: Duration = Duration::from_secs(20);
/// When a process that nobody has ended ends itself, in seconds.
const LAST_RESORT: u32 = 60;
/// Lines of `compare` shown after a failure.
const SHOWN: usize = 4;
/// Pages of address space that a case has for itself.
const ARENA: u64 = 1024;

/// A case.
pub type Case = fn(&Path, &Debugfs) -> Result<()>;

/// All cases by name.
pub const CASES: [(&str, Case); 6] = [
    ("corner: a fault after MREMAP_DONTUNMAP", dontunmap),
    ("corner: a boundary that shifts", boundary_shift),
    ("corner: a move beside an unfaulted VMA", move_beside),
    ("corner: faults of a thread during a fork", faults_at_fork),
    ("corner: first faults of two threads", first_faults),
    ("corner: a parent's exit during a fork", exit_at_fork),
];

/// An open device and a range of addresses to map it at, side by side as a case wants.
struct Arena<'a> {
    device: Device,
    debugfs: &'a Debugfs,
    base: NonNull<c_void>,
    /// What earlier cases are to blame for: the module counts violations from its load on.
    violations: u64,
}

// SAFETY: The pages are only reached through `write` and `read`, a byte at a time, and no byte by two
// threads at once.
unsafe impl Sync for Arena<'_> {}

impl<'a> Arena<'a> {
    fn new(path: &Path, debugfs: &'a Debugfs) -> Result<Self> {
        let device = Device::open(path)?;
        let violations = device.check()?.violations;
        let length = NonZeroUsize::new(bytes(ARENA)).context("an arena of no page")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap_anonymous(None, length, NONE, MapFlags::MAP_PRIVATE) }
            .context("mmap() of the arena")?;
        Ok(Self {
            device,
            debugfs,
            base,
            violations,
        })
    }

    fn at(&self, page: u64) -> NonNull<c_void> {
        assert!(page < ARENA, "page {page} of {ARENA}");
        // SAFETY: Within the arena.
        unsafe { self.base.byte_add(bytes(page)) }
    }

    fn length(&self, pages: &Range<u64>) -> Result<NonZeroUsize> {
        ensure!(
            pages.start < pages.end && pages.end <= ARENA,
            "pages {pages:?}"
        );
        NonZeroUsize::new(bytes(pages.end - pages.start)).context("no page")
    }

    /// Maps the device over these pages.
    fn map(&self, pages: Range<u64>) -> Result<()> {
        let at = self.at(pages.start).addr();
        let length = self.length(&pages)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: Within the arena, which holds nothing but what a case has put there.
        unsafe { mmap(Some(at), length, READ_WRITE, flags, &self.device, 0) }.context("mmap()")?;
        Ok(())
    }

    fn protect(&self, pages: Range<u64>, prot: ProtFlags) -> Result<()> {
        let length = self.length(&pages)?.get();
        // SAFETY: Within the arena, as in `map`.
        unsafe { mprotect(self.at(pages.start), length, prot) }.context("mprotect()")
    }

    /// Moves pages to another place of the arena; `keep` leaves the VMA behind, without its pages.
    fn shift(&self, pages: Range<u64>, to: u64, keep: bool) -> Result<()> {
        let length = self.length(&pages)?;
        self.length(&(to..to + pages.end - pages.start))?;
        let mut flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        if keep {
            flags |= MRemapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP);
        }
        let (old, bytes) = (self.at(pages.start), length.get());
        // SAFETY: From the arena to the arena, as in `map`.
        unsafe { mremap(old, bytes, bytes, flags, Some(self.at(to))) }.context("mremap()")?;
        if !keep {
            // The hole belongs to the arena before anything else can be mapped there.
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
            // SAFETY: Within the arena, as in `map`.
            unsafe { mmap_anonymous(Some(old.addr()), length, NONE, flags) }.context("mmap()")?;
        }
        Ok(())
    }

    fn write(&self, pages: Range<u64>, byte: u8) {
        for page in pages {
            // SAFETY: The case has mapped the page for writing.
            unsafe { self.at(page).cast::<u8>().write_volatile(byte) };
        }
    }

    fn read(&self, pages: Range<u64>) {
        for page in pages {
            // SAFETY: The case has mapped the page.
            unsafe { self.at(page).cast::<u8>().read_volatile() };
        }
    }

    /// The check must find nothing to complain about.
    fn check(&self) -> Result<()> {
        let check = self.device.check()?;
        let violations = check.violations.saturating_sub(self.violations);
        if (check.differences, violations, check.untracked) == (0, 0, 0) {
            return Ok(());
        }
        let mut said = check.to_string();
        match self.debugfs.read("compare") {
            Ok(compare) => {
                for line in complaints(&compare).iter().take(SHOWN) {
                    said.push_str("\n    ");
                    said.push_str(line);
                }
            }
            Err(error) => said.push_str(&format!("\n    {error:#}")),
        }
        bail!(said)
    }
}

impl Drop for Arena<'_> {
    fn drop(&mut self) {
        // SAFETY: Whoever uses the pages borrows this.
        let _ = unsafe { munmap(self.base, bytes(ARENA)) };
    }
}

const fn bytes(pages: u64) -> usize {
    (pages * PAGE_SIZE) as usize
}

/// Waits until the number is at least `least`, and says whether it came to that.
fn reaches(number: &AtomicU32, least: u32) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for _ in 0..64 {
            if number.load(SeqCst) >= least {
                return true;
            }
            std::hint::spin_loop();
        }
        // A guest may have one CPU.
        thread::yield_now();
    }
    false
}

fn wait_for(number: &AtomicU32, least: u32, what: &str) -> Result<()> {
    ensure!(reaches(number, least), "waited in vain for {what}");
    Ok(())
}

/// A move with `MREMAP_DONTUNMAP` strips the old VMA of its links, but not of its life. The next
/// fault there gives it an `anon_vma` anew, which no VMA operation has announced.
fn dontunmap(path: &Path, debugfs: &Debugfs) -> Result<()> {
    let arena = Arena::new(path, debugfs)?;
    arena.map(0..4)?;
    arena.write(0..4, 1);
    arena.check()?;
    arena.shift(0..4, 100, true)?;
    arena.write(0..1, 3);
    arena.check()
}

/// `mprotect` may move the boundary between two VMAs without an `open` or `close` for either, and a
/// first fault takes over the `anon_vma` of a neighbour. Which neighbour that is depends on where the
/// boundaries are now, not on where they were when the VMAs were made.
fn boundary_shift(path: &Path, debugfs: &Debugfs) -> Result<()> {
    let arena = Arena::new(path, debugfs)?;
    arena.map(0..8)?;
    arena.protect(4..8, NONE)?;
    arena.protect(4..6, READ_WRITE)?;
    arena.protect(5..6, READ)?;
    arena.protect(6..8, READ_WRITE)?;
    arena.write(6..7, 1);
    arena.protect(5..6, READ_WRITE)?;
    arena.write(5..6, 1);
    arena.check()
}

/// A VMA that is moved back beside one without pages may be merged into it, and the links come with
/// it: the VMA that is left has never had a fault of its own, and nobody is told that it has pages.
fn move_beside(path: &Path, debugfs: &Debugfs) -> Result<()> {
    let arena = Arena::new(path, debugfs)?;
    arena.map(0..8)?;
    arena.protect(4..8, READ)?;
    arena.write(0..4, 1);
    let (_child, result) = Child::new(|| {
        arena.write(0..1, 2);
        Ok(())
    })?;
    result.map_err(anyhow::Error::msg)?;
    arena.check()?;
    arena.shift(0..4, 100, false)?;
    arena.protect(4..8, READ_WRITE)?;
    arena.shift(100..104, 0, false)?;
    arena.check()
}

/// A fork copies VMA after VMA, and where VMAs have locks of their own a thread of the parent can
/// still fault in those that are yet to come: a page that came after the fork began is shared all
/// the same.
fn faults_at_fork(path: &Path, debugfs: &Debugfs) -> Result<()> {
    for round in 0..3 {
        let arena = Arena::new(path, debugfs)?;
        arena.map(0..400)?;
        arena.write(0..400, 1);
        arena.map(500..700)?;
        arena.write(500..501, 1);
        // The zero page: what is there is to be replaced.
        arena.read(501..700);
        let (ready, go) = (AtomicU32::new(0), AtomicU32::new(0));
        let child = thread::scope(|scope| {
            scope.spawn(|| {
                ready.store(1, SeqCst);
                if reaches(&go, 1) {
                    arena.write(501..700, 2);
                }
            });
            let ready = wait_for(&ready, 1, "the thread");
            go.store(1, SeqCst);
            ready.and_then(|()| Child::new(|| Ok(())))
        });
        let (_child, result) = child?;
        result.map_err(anyhow::Error::msg)?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// The first faults of two neighbours may come at once, and each looks for an `anon_vma` to take over
/// from the other. Whether it finds one is decided under locks that the driver does not hold.
fn first_faults(path: &Path, debugfs: &Debugfs) -> Result<()> {
    for round in 0..30 {
        let arena = Arena::new(path, debugfs)?;
        arena.map(0..8)?;
        arena.protect(4..8, READ)?;
        arena.protect(4..8, READ_WRITE)?;
        let (ready, go) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for page in [0, 4] {
                let (arena, ready, go) = (&arena, &ready, &go);
                scope.spawn(move || {
                    ready.fetch_add(1, SeqCst);
                    if reaches(go, 1) {
                        arena.write(page..page + 1, 1);
                    }
                });
            }
            let ready = wait_for(&ready, 2, "the threads");
            go.store(1, SeqCst);
            ready
        })?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// What the processes of a family tell each other.
#[derive(Default)]
#[repr(C)]
struct Board {
    /// The grandchild has its pages.
    ready: AtomicU32,
    /// Fork, and exit.
    go: AtomicU32,
    /// Processes that are there to stay.
    settled: AtomicU32,
}

/// A board that children share.
struct Shared(NonNull<Board>);

impl Shared {
    fn new() -> Result<Self> {
        let length = NonZeroUsize::new(bytes(1)).context("no page")?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let page = unsafe { mmap_anonymous(None, length, READ_WRITE, MapFlags::MAP_SHARED) }
            .context("mmap() of a shared page")?
            .cast();
        // SAFETY: The page is larger than a board, and nobody else has it yet.
        unsafe { page.write(Board::default()) };
        Ok(Self(page))
    }

    fn board(&self) -> &Board {
        // SAFETY: The board stays mapped as long as this, and its fields are atomic.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: Whoever uses the board borrows this.
        let _ = unsafe { munmap(self.0.cast(), bytes(1)) };
    }
}

/// A child with its descendants, until this is dropped. Orphans come to this process.
struct Family(Pid);

impl Family {
    /// Forks; the child ends when `life` does.
    fn new(life: impl FnOnce()) -> Result<Self> {
        set_child_subreaper(true).context("prctl()")?;
        // SAFETY: This program has one thread.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                let _ = setpgid(Pid::this(), Pid::this());
                life();
                leave()
            }
            ForkResult::Parent { child } => {
                // Whoever comes first.
                let _ = setpgid(child, child);
                Ok(Self(child))
            }
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = killpg(self.0, Signal::SIGKILL);
        let group = Pid::from_raw(-self.0.as_raw());
        // All are dying, so this ends; a parent's children are here before it is reaped.
        while matches!(waitpid(group, None), Ok(_) | Err(Errno::EINTR)) {}
        let _ = set_child_subreaper(false);
    }
}

/// Ends a process of a family.
fn leave() -> ! {
    // SAFETY: Ends this process only, with nothing run on the way.
    unsafe { libc::_exit(0) }
}

/// Stays until the family is ended.
fn settle(board: &Board) -> ! {
    // SAFETY: Without a handler the alarm ends this process, whatever has become of the others.
    unsafe { libc::alarm(LAST_RESORT) };
    board.settled.fetch_add(1, SeqCst);
    loop {
        nix::unistd::pause();
    }
}

/// Whether a fork takes over an idle `anon_vma` depends on whether its owner is still there at that
/// moment, and an exit and a fork of two processes have no lock in common that the driver could see.
fn exit_at_fork(path: &Path, debugfs: &Debugfs) -> Result<()> {
    const PAGES: u64 = 500;
    for round in 0..6 {
        let arena = Arena::new(path, debugfs)?;
        arena.map(0..PAGES)?;
        arena.write(0..PAGES, 1);
        let shared = Shared::new()?;
        let board = shared.board();
        let family = Family::new(|| {
            arena.write(0..1, 2);
            // SAFETY: This program has one thread.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                arena.write(0..PAGES, 3);
                board.ready.store(1, SeqCst);
                // SAFETY: This program has one thread.
                if reaches(&board.go, 1) && unsafe { fork() }.is_ok() {
                    settle(board);
                }
                leave();
            }
            if reaches(&board.go, 1) {
                // Now and then the exit comes in the middle of the fork.
                let (start, delay) = (Instant::now(), Duration::from_micros(20 * round));
                while start.elapsed() < delay {
                    std::hint::spin_loop();
                }
            }
        })?;
        let ready = wait_for(&board.ready, 1, "the grandchild");
        board.go.store(1, SeqCst);
        ready?;
        wait_for(&board.settled, 2, "the fork")?;
        waitpid(family.0, None).context("waitpid()")?;
        arena.check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
