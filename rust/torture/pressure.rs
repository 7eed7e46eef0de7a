// SPDX-License-Identifier: GPL-2.0

//! What threads do in the windows between two steps: they let the others act.
//!
//! A race needs somebody on the other side to come by while one is between two steps.  By itself
//! that hardly ever happens.  So a thread that passes a [`Window`] now and then stays there: it is
//! preempted, spins, or, where it may, sleeps; most often until somebody has passed a window of the
//! other side.  Where somebody has, that was a *near miss*: the other side was at work meanwhile, in
//! this family or another.
//!
//! There are two ways of deciding who stays where.
//!
//! *At random*, each time anew.
//!
//! *By priority* (probabilistic concurrency testing: Burckhardt, Kothari, Musuvathi and Nagarakatte,
//! ASPLOS 2010).  At the beginning of a round each of the `n` threads gets a priority; at a window a
//! thread waits for all of a higher one.  At `d - 1` of the `k` windows of a round, chosen
//! beforehand, the thread that passes loses its priority.  A bug that needs `d` steps in a certain
//! order is met in a round with a probability of at least `1 / (n * k^(d-1))`, if threads run
//! nowhere but where they are let.  Here that is so only as far as preemption allows: a thread does
//! not wait for one that is waiting for it, so it gives up after a while; and between two windows all
//! run at the same time.
//!
//! All decisions come from the seed.  See `Documentation/torture.rst` for how far that carries.

use crate::{
    kernel_ext::{
        random::Random,
        sched::{
            preempt_here,
            Context, //
        },
    },
    rmap::{
        oracle,
        rules::{
            Window,
            WINDOWS, //
        }, //
    },
    stats,
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    task::Task,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

/// How many threads there can be.
pub(super) const MOST_THREADS: usize = 32;

/// How it is decided who stays where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// At random.
    Random,
    /// By priority, with so many steps that are to come in a certain order.
    Priorities(usize),
}

impl Mode {
    /// Its name in `control`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Priorities(_) => "pct",
        }
    }
}

/// A thread of the torture, as the windows know it.
///
/// Only that thread changes it while it is named, but for `priority` between two rounds.
struct Seat {
    /// Which thread; 0 for none.
    task: Atomic<usize>,
    random: Atomic<u64>,
    /// Who has the lowest waits for all others.
    priority: Atomic<usize>,
    /// 1 while the thread is at work, and not between two rounds.
    busy: Atomic<usize>,
}

static SEATS: [Seat; MOST_THREADS] = [const {
    Seat {
        task: Atomic::new(0),
        random: Atomic::new(0),
        priority: Atomic::new(0),
        busy: Atomic::new(0),
    }
}; MOST_THREADS];

impl Seat {
    /// That of this thread, if it has one, and its number.
    fn mine() -> Option<(usize, &'static Self)> {
        let me = me();
        SEATS
            .iter()
            .enumerate()
            .find(|(_, seat)| seat.task.load(Relaxed) == me)
    }

    /// The next number of this thread's sequence: the generator that Knuth gives for MMIX, whose
    /// state is one word, so that it can live in an atomic.
    fn next(&self) -> u32 {
        let state = self
            .random
            .load(Relaxed)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random.store(state, Relaxed);
        // The lower bits repeat themselves soon.
        (state >> 32) as u32
    }
}

/// What makes a thread this one and no other.
fn me() -> usize {
    Task::current_raw().addr()
}

/// How often each window was passed.
static PASSED: [Atomic<usize>; WINDOWS.len()] = [const { Atomic::new(0) }; WINDOWS.len()];

/// How often somebody of the other side came by while a thread stayed in it.
static NEAR: [Atomic<usize>; WINDOWS.len()] = [const { Atomic::new(0) }; WINDOWS.len()];

/// How often a window of each side was passed.
static SIDES: [Atomic<usize>; 2] = [const { Atomic::new(0) }; 2];

/// 0 for [`Mode::Random`], or the number of steps.
static DEPTH: Atomic<usize> = Atomic::new(0);

/// Windows in which threads stay more often, and longer: a bit for each.
static FOCUS: Atomic<u64> = Atomic::new(0);

/// One passage of so many is not just that.
static STAY: Atomic<usize> = Atomic::new(1);

/// One allocation of so many fails; 0 for none.
static FAILURES: Atomic<usize> = Atomic::new(0);

/// How many windows were passed in this round, in the mode of priorities.
static STEP: Atomic<usize> = Atomic::new(0);

/// The most that there were in a round.
static LONGEST: Atomic<usize> = Atomic::new(0);

/// How many steps in a certain order can be asked for.
pub(super) const MOST_STEPS: usize = 8;

/// At which windows of a round a thread loses its priority.
static CHANGES: [Atomic<usize>; MOST_STEPS - 1] = [const { Atomic::new(0) }; MOST_STEPS - 1];

/// Who passed what in which order, in this round: two rounds that went the same way have the same.
static TRACE: Atomic<u64> = Atomic::new(0);

/// How many passages of each thread are remembered.  Each has its own, since one that is between two
/// steps for long is what is to be told, and the others have passed hundreds of windows by then.
const REMEMBERED: usize = 16;

/// The last passages of each thread: when, counted in passages of all, and where; see [`recent`].
static HISTORY: [[Atomic<usize>; REMEMBERED]; MOST_THREADS] =
    [const { [const { Atomic::new(0) }; REMEMBERED] }; MOST_THREADS];

/// How many passages there were until an oracle spoke up.
static PASSAGES: Atomic<usize> = Atomic::new(0);

/// How many bits of a word of the history say where.
const WINDOW_BITS: u32 = 8;

/// Remembers that thread `i` has come to `at`, unless there is something to be told already.
fn remember(i: usize, at: Window) {
    if oracle::first().is_some() {
        return;
    }
    let when = PASSAGES.fetch_add(1, Relaxed) + 1;
    // Nobody else writes what is this thread's: the oldest is the one with the lowest number.
    let oldest = HISTORY
        .get(i)
        .and_then(|own| own.iter().min_by_key(|word| word.load(Relaxed)));
    if let Some(oldest) = oldest {
        oldest.store(when << WINDOW_BITS | at as usize, Relaxed);
    }
}

/// A passage that is remembered: when, by which thread, and through which window.
pub(super) struct Passage {
    pub(super) when: usize,
    pub(super) thread: usize,
    pub(super) window: &'static str,
}

/// The first passage after `when` of those that are remembered.
pub(super) fn recent(when: usize) -> Option<Passage> {
    let all = HISTORY
        .iter()
        .enumerate()
        .flat_map(|(thread, own)| own.iter().map(move |word| (word.load(Relaxed), thread)));
    let (word, thread) = all
        .filter(|(word, _)| word >> WINDOW_BITS > when)
        .min_by_key(|(word, _)| *word)?;
    Some(Passage {
        when: word >> WINDOW_BITS,
        thread,
        window: WINDOWS.get(word & ((1 << WINDOW_BITS) - 1))?,
    })
}

/// Begins a torture: forgets what was counted.
pub(super) fn begin(mode: Mode, focus: &[Window], stay: usize, failures: usize) {
    let counts = [&PASSED[..], &NEAR[..], &SIDES[..]];
    for count in counts.into_iter().flatten() {
        count.store(0, Relaxed);
    }
    for passage in HISTORY.iter().flatten() {
        passage.store(0, Relaxed);
    }
    PASSAGES.store(0, Relaxed);
    for seat in &SEATS {
        seat.task.store(0, Relaxed);
    }
    LONGEST.store(0, Relaxed);
    STEP.store(0, Relaxed);
    TRACE.store(0, Relaxed);
    let focus = focus.iter().fold(0, |all, at| all | 1_u64 << *at as u32);
    FOCUS.store(focus, Relaxed);
    STAY.store(stay.max(1), Relaxed);
    FAILURES.store(failures, Relaxed);
    let depth = match mode {
        Mode::Random => 0,
        Mode::Priorities(depth) => depth.clamp(1, MOST_STEPS),
    };
    DEPTH.store(depth, Relaxed);
}

/// Begins a round of `threads` threads: gives them their priorities, and says where they lose them.
/// No thread is at work.
pub(super) fn begin_round(threads: usize, random: &mut Random) {
    let longest = longest_round();
    LONGEST.store(longest, Relaxed);
    STEP.store(0, Relaxed);
    TRACE.store(0, Relaxed);
    let depth = DEPTH.load(Relaxed);
    if depth == 0 {
        return;
    }
    // Those that are lost are 0 to depth - 2.
    let seats = SEATS.iter().take(threads);
    for (i, seat) in seats.clone().enumerate() {
        seat.priority.store(depth + i, Relaxed);
    }
    for i in (1..threads).rev() {
        let (Some(a), Some(b)) = (SEATS.get(i), SEATS.get(random.below(i + 1))) else {
            continue;
        };
        let one = a.priority.load(Relaxed);
        a.priority.store(b.priority.load(Relaxed), Relaxed);
        b.priority.store(one, Relaxed);
    }
    for change in CHANGES.iter().take(depth - 1) {
        change.store(1 + random.below(longest.max(1)), Relaxed);
    }
}

/// How the round went, see [`TRACE`].
pub(super) fn trace() -> u64 {
    TRACE.load(Relaxed)
}

/// The most windows that were passed in a round.
pub(super) fn longest_round() -> usize {
    LONGEST.load(Relaxed).max(STEP.load(Relaxed))
}

/// How often window `i` was passed, and how often somebody of the other side came by meanwhile.
pub(super) fn counts(i: usize) -> (usize, usize) {
    let of = |counts: &[Atomic<usize>]| counts.get(i).map_or(0, |count| count.load(Relaxed));
    (of(&PASSED), of(&NEAR))
}

/// Near misses in all windows.
pub(super) fn near_misses() -> usize {
    NEAR.iter().map(|count| count.load(Relaxed)).sum()
}

/// This thread has a seat until this is dropped.
pub(super) struct Seated(&'static Seat);

impl Seated {
    /// Takes seat `i`, with a sequence of its own.
    pub(super) fn take(i: usize, random: u64) -> Option<Self> {
        let seat = SEATS.get(i)?;
        seat.random.store(random, Relaxed);
        seat.busy.store(0, Relaxed);
        seat.task.store(me(), Release);
        Some(Self(seat))
    }

    /// The thread begins to work, with a sequence of its own for this round, or has done its work.
    pub(super) fn set_busy(&self, busy: bool, random: u64) {
        self.0.random.store(random, Relaxed);
        self.0.busy.store(busy.into(), Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.task.store(0, Release);
    }
}

/// Whether an allocation may go ahead: of those of the torture's threads, one out of so many may not.
///
/// # Errors
///
/// `ENOMEM` where it may not.
pub(crate) fn allocate() -> Result {
    let one_of = FAILURES.load(Relaxed);
    if one_of == 0 {
        return Ok(());
    }
    match Seat::mine() {
        Some((_, seat)) if seat.next() as usize % one_of == 0 => Err(ENOMEM),
        _ => Ok(()),
    }
}

/// On which side of a race a window is: 1 for those who have come by a page and believe what they
/// have read, 0 for those who change it meanwhile.
fn side(at: Window) -> usize {
    match at {
        Window::Found
        | Window::RootRead
        | Window::Locked
        | Window::RcuLeft
        | Window::Referenced
        | Window::Pinned
        | Window::Confirmed
        | Window::Outlived
        | Window::BetweenVmas
        | Window::PageUnmapped
        | Window::PrepareTested => 1,
        _ => 0,
    }
}

fn inc(counts: &[Atomic<usize>], i: usize) -> usize {
    counts.get(i).map_or(0, |count| count.fetch_add(1, Relaxed))
}

fn load(counts: &[Atomic<usize>], i: usize) -> usize {
    counts.get(i).map_or(0, |count| count.load(Relaxed))
}

/// A thread is in a window.  Any context.
pub(crate) fn pass(at: Window) {
    let Some((i, seat)) = Seat::mine() else {
        return;
    };
    remember(i, at);
    inc(&PASSED, at as usize);
    inc(&SIDES, side(at));
    let others = 1 - side(at);
    let before = load(&SIDES, others);
    let stayed = match DEPTH.load(Relaxed) {
        0 if sleeps_long(at) && Context::here() == Context::Sleepable => sleep_long(at, seat),
        0 => stay_at_random(at, seat, others),
        depth => stay_by_priority(at, i, seat, depth),
    };
    if stayed && load(&SIDES, others) != before {
        inc(&NEAR, at as usize);
        stats::NEAR_MISSES.inc();
    }
}

/// One of so many, in a window that the load is about.
const ONE_OF_FEW: u32 = 4;

/// Stays a while, or not; returns whether.
fn stay_at_random(at: Window, seat: &Seat, others: usize) -> bool {
    let stay = STAY.load(Relaxed) as u32;
    let focus = FOCUS.load(Relaxed) >> at as u32 & 1 != 0;
    let one_of = if focus { ONE_OF_FEW.min(stay) } else { stay };
    let random = seat.next();
    if random % one_of != 0 {
        return false;
    }
    let random = random / one_of;
    let (how, much) = (random % 16, random / 16);
    match how {
        0..2 => preempt_here(),
        2..4 => udelay(Delta::from_micros((1 + much % 16).into())),
        4..15 if !focus => wait_for_others(others, 1 + much as usize % 6),
        // Long enough for somebody to be born, to work, and to die.
        _ => wait_for_others(others, 8 + much as usize % 60),
    }
    true
}

/// For how long a thread waits for others, in microseconds: where it keeps a CPU from them, and
/// where it does not.
const SPINS: i64 = 400;
const WAITS: i64 = 1_500;

/// Whether who is there keeps nobody else from going on, and needs others to come a long way.
fn sleeps_long(at: Window) -> bool {
    matches!(at, Window::RcuLeft | Window::Pinned | Window::Outlived)
}

/// Sleeps, or not; returns whether.
fn sleep_long(at: Window, seat: &Seat) -> bool {
    let random = seat.next();
    let micros = match at {
        // A grace period, and time for the memory to become somebody else's.
        Window::RcuLeft => 20_000 + random % 80_000,
        // Long enough for who drops the last reference.
        Window::Outlived => 1_000 + random % 3_000,
        // Long enough for a process to die.
        _ if random % 8 != 0 => 50 + random % 2_000,
        _ => return false,
    };
    fsleep(Delta::from_micros(micros.into()));
    true
}

/// Stays until others have passed `times` windows of theirs, or for some time.
fn wait_for_others(others: usize, times: usize) {
    let before = load(&SIDES, others);
    let context = Context::here();
    let patience = if context == Context::Atomic {
        SPINS
    } else {
        WAITS
    };
    let begin = Instant::<Monotonic>::now();
    while load(&SIDES, others).wrapping_sub(before) < times {
        if begin.elapsed().as_micros_ceil() > patience {
            return;
        }
        match context {
            Context::Atomic => udelay(Delta::from_micros(1)),
            Context::Preemptible => {
                udelay(Delta::from_micros(2));
                preempt_here();
            }
            Context::Sleepable => fsleep(Delta::from_micros(20)),
        }
    }
}

/// Stays for a moment with something that others may have come by, until somebody has.  Sleepable
/// contexts only.
pub(super) fn linger(random: &mut Random) {
    if DEPTH.load(Relaxed) == 0 && random.chance(1, 2) {
        wait_for_others(1, 1 + random.below(4));
    }
}

/// For how many microseconds a thread waits for those that are more important.
const PATIENCE: u32 = 200;

/// Waits for all who have a higher priority; returns whether there was one.
fn stay_by_priority(at: Window, i: usize, seat: &Seat, depth: usize) -> bool {
    let step = STEP.fetch_add(1, Relaxed) + 1;
    let changes = CHANGES.iter().take(depth - 1);
    if let Some(lost) = changes.clone().position(|c| c.load(Relaxed) == step) {
        // Who loses it first is more important than who loses it last.
        seat.priority.store(depth - 2 - lost, Relaxed);
    }
    let word = (i as u64) << 8 | at as u64;
    let trace = TRACE.load(Relaxed);
    // FNV-1a; two who pass at the same time may overwrite each other, and then the order was not
    // that of another round anyway.
    TRACE.store((trace ^ word).wrapping_mul(0x0100_0000_01b3), Relaxed);

    let mine = seat.priority.load(Relaxed);
    let context = Context::here();
    let patience = if context == Context::Atomic {
        PATIENCE / 10
    } else {
        PATIENCE
    };
    let mut waited = false;
    for i in 0..patience {
        let other = SEATS.iter().any(|other| {
            other.task.load(Relaxed) != 0
                && other.busy.load(Acquire) != 0
                && other.priority.load(Relaxed) > mine
        });
        if !other {
            break;
        }
        waited = true;
        udelay(Delta::from_micros(1));
        if context != Context::Atomic && i % 4 == 0 {
            preempt_here();
        }
    }
    waited
}
