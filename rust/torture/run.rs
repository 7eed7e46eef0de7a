// SPDX-License-Identifier: GPL-2.0

//! One torture from beginning to end.
//!
//! ```text
//!   control --write--> start()
//!                        |
//!            monitor     |      director, for Model<L, AtRunTime>
//!              |         +--------> |---- thief
//!   every      |                    |---- workers, in rounds of so many deeds each:
//!   millisecond:                    |       all work | all wait, the director verifies the forest;
//!   has an oracle spoken up?        |                | now and then everybody exits, and nothing
//!   has the kernel complained?      |                | may be left
//!   does anybody get on?            |
//!              | <----- is over --->|
//!              v
//!           results
//! ```
//!
//! What a thread does in a round comes from the seed, the round's number and its own.  The first
//! report of an oracle ends a torture, so that the bug is caught before it can do much: where a
//! rule was broken on purpose, nothing more is begun, what is left stays as it is, and so does the
//! module.

use super::{
    busted::Bust,
    load::{
        self,
        Mix,
        Own,
        World,
        DEEDS, //
    },
    pressure::{
        self,
        Mode,
        Seated,
        MOST_THREADS, //
    },
};
use crate::{
    kernel_ext::{
        kthread::{
            is_online,
            KThread,
            Stop, //
        },
        lock::{
            self,
            FamilyLock, //
        },
        random::Random,
        rwsem,
        sched::Complaints,
    },
    model::{
        mm::Mm,
        verify::{
            verify,
            Live, //
        },
        Model,
        Modelled, //
    },
    rmap::{
        oracle::{
            self,
            Oracle, //
        },
        rules::{
            self,
            AtRunTime,
            Rule,
            Window,
            WINDOWS, //
        },
    },
};
use kernel::{
    cpu::nr_cpu_ids,
    fmt, new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Which lock a family has, and with it how a lookup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A sleeping lock, from 2011 on.
    RwSem,
    /// A spinning lock, until 2010.
    Spin,
    /// A spinning lock whose holder can be preempted.
    Preemptible,
}

/// All protocols, by name.
pub(super) const PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::RwSem, "rwsem"),
    (Protocol::Spin, "spin"),
    (Protocol::Preemptible, "preemptible"),
];

impl Protocol {
    /// Its name in `control`.
    pub(super) fn name(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(protocol, _)| *protocol == self)
            .map_or("?", |(_, name)| name)
    }
}

/// What a torture is to do.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Which rule is to be broken, if any.
    pub(super) bust: &'static Bust,
    /// Under which load.
    pub(super) mix: Mix,
    /// Under which lock.
    pub(super) protocol: Protocol,
    /// Who decides when a thread stays in a window.
    pub(super) mode: Mode,
    /// Where all that is random comes from.
    pub(super) seed: u64,
    /// Threads, without the thief.
    pub(super) threads: usize,
    /// For how long, in seconds.
    pub(super) secs: u64,
    /// For how many operations; 0 for any number.
    pub(super) ops: usize,
    /// At random, one passage of a window out of so many takes longer.
    pub(super) stay: usize,
    /// One allocation of so many fails; 0 for none.
    pub(super) fail: usize,
    /// After so many milliseconds in which nobody has done anything somebody hangs.
    pub(super) hangs: i64,
}

/// A torture, as all who take part in it see it.
#[pin_data]
pub(crate) struct Run {
    pub(super) plan: Plan,
    begin: Instant<Monotonic>,
    /// The number of the round in which the workers are, from 1 on.
    round: Atomic<usize>,
    /// Workers who have done their part of it.
    arrived: Atomic<usize>,
    /// Operations that were done, by deed.
    deeds: [Atomic<usize>; DEEDS.len()],
    /// Deeds that were tried: whoever hangs adds none to them.
    beats: Atomic<usize>,
    /// 1 when it is to end.
    over: Atomic<usize>,
    /// 1 when the director has ended, with all threads.
    ended: Atomic<usize>,
    /// 1 when there will be no more news.
    told: Atomic<usize>,
    /// How often each rule had been violated before it began.
    violations: [usize; rules::ALL.len()],
    /// What the kernel had complained of before.
    complaints: Complaints,
    /// What became of it.
    #[pin]
    outcome: Mutex<Outcome>,
}

/// What became of a torture.
#[derive(Clone, Copy)]
struct Outcome {
    /// Milliseconds until the first report, or the end.
    millis: i64,
    /// Operations until then.
    operations: usize,
    /// Near misses until then.
    near_misses: usize,
    /// Why it could not even be done.
    error: Option<Error>,
    /// Lookups until the end that found a mapped page's anon_vma.
    found: usize,
    /// Some thread did not come back.
    stuck: bool,
    /// The oracle that was first, and of which rule it spoke.
    first: Option<(Oracle, Option<Rule>)>,
    /// How often each oracle has spoken.
    reports: [u32; oracle::ALL.len()],
    /// How often each rule was violated.
    violations: [usize; rules::ALL.len()],
}

impl Outcome {
    /// Nothing yet.
    const fn new() -> Self {
        Self {
            millis: 0,
            operations: 0,
            near_misses: 0,
            error: None,
            found: 0,
            stuck: false,
            first: None,
            reports: [0; oracle::ALL.len()],
            violations: [0; rules::ALL.len()],
        }
    }
}

/// How often each rule has been violated, ever.
fn violations() -> [usize; rules::ALL.len()] {
    let mut counts = [0; rules::ALL.len()];
    for (count, (rule, ..)) in counts.iter_mut().zip(rules::ALL) {
        *count = rule.counts().1;
    }
    counts
}

/// [`Plan::hangs`], where nobody says otherwise.
pub(super) const HANGS: i64 = 4_000;

/// How many traces of rounds are kept, for those who want to compare.
const TRACES: usize = 8;

impl Run {
    /// A torture that has not begun.  Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(plan: Plan) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                plan,
                begin: Instant::now(),
                round: Atomic::new(0),
                arrived: Atomic::new(0),
                deeds: [const { Atomic::new(0) }; DEEDS.len()],
                beats: Atomic::new(0),
                over: Atomic::new(0),
                ended: Atomic::new(0),
                told: Atomic::new(0),
                violations: violations(),
                complaints: Complaints::now(),
                outcome <- new_mutex!(Outcome::new(), "shadow_rmap::torture_outcome"),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether there will be no more news.
    pub(super) fn is_done(&self) -> bool {
        self.told.load(Acquire) != 0
    }

    /// Whether some thread did not come back.
    pub(super) fn is_stuck(&self) -> bool {
        self.outcome.lock().stuck
    }

    /// Tells all threads to come to an end.
    pub(super) fn end(&self) {
        self.over.store(1, Release);
    }

    /// Whether an oracle has spoken up, or time is over.
    fn is_over(&self) -> bool {
        self.over.load(Acquire) != 0 || oracle::first().is_some()
    }

    /// Whether it has lasted as long as it was to.
    fn is_late(&self) -> bool {
        self.millis() >= self.plan.secs as i64 * 1_000
    }

    fn millis(&self) -> i64 {
        self.begin.elapsed().as_millis()
    }

    /// Operations that were done.
    fn operations(&self) -> usize {
        self.deeds.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Whether a rule is broken on purpose.
    pub(super) fn is_busted(&self) -> bool {
        self.plan.bust.rule.is_some()
    }

    fn fail(&self, error: Error) {
        self.outcome.lock().error = Some(error);
        self.end();
    }

    /// A number that follows from the seed and from what it is for.
    fn derived(&self, what: usize, number: usize) -> u64 {
        let mixed = self.plan.seed ^ ((what as u64) << 40) ^ ((number as u64) << 8);
        Random::new(mixed ^ mixed >> 32).u64()
    }
}

/// Starts a torture: returns its director.  There is no other.  Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` when the caller is killed.
pub(super) fn start(run: &Arc<Run>) -> Result<KThread> {
    let plan = &run.plan;
    pressure::begin(plan.mode, plan.mix.focus(), plan.stay, plan.fail);
    AtRunTime::set(plan.bust.breaks);
    match plan.protocol {
        Protocol::RwSem => start_under::<rwsem::RwSem>(run),
        Protocol::Spin => start_under::<lock::Spin>(run),
        Protocol::Preemptible => start_under::<lock::Preemptible>(run),
    }
}

/// The same, of the lock `L`.
fn start_under<L: FamilyLock>(run: &Arc<Run>) -> Result<KThread> {
    let world = World::<Model<L, AtRunTime>>::new(run.plan.mix)?;
    let run = run.clone();
    KThread::spawn(fmt!("shadow_rmap/direct"), move |_| {
        let baseline = Live::now();
        if let Err(error) = direct(&run, &world, baseline) {
            run.fail(error);
        }
        if oracle::first().is_none() {
            world.clear();
            Oracle::Refcount.holds(Rule::R18, Live::now() == baseline);
        }
        if run.is_busted() && oracle::first().is_some() {
            // Whatever has been broken is left as it is.
            core::mem::forget(world);
        } else {
            // The last to know it: the cache is destroyed, and complains of what is left in it.
            drop(world);
        }
        run.ended.store(1, Release);
    })
}

/// The director: has all threads work in rounds, and looks at what they have done in between.
fn direct<R: Modelled>(run: &Arc<Run>, world: &Arc<World<R>>, baseline: Live) -> Result {
    let thief = {
        let (run, world) = (run.clone(), world.clone());
        KThread::spawn(fmt!("shadow_rmap/thief"), move |stop| {
            let mut random = Random::new(run.derived(MOST_THREADS, 0));
            let pause = match run.plan.mix {
                Mix::Recycling | Mix::Emptying => 20,
                _ => 1_000,
            };
            while !stop.requested() && !run.is_over() {
                // Without memory it comes again later.
                let _ = load::steal(&world, &mut random);
                fsleep(Delta::from_micros(pause));
            }
        })?
    };
    let mut threads = KVec::with_capacity(run.plan.threads, GFP_KERNEL)?;
    let mut spawned = Ok(());
    for i in 0..run.plan.threads {
        match worker(run, world, i) {
            Ok(thread) => threads.push(thread, GFP_KERNEL)?,
            Err(error) => {
                spawned = Err(error);
                break;
            }
        }
    }
    let worked = spawned.and_then(|()| rounds(run, world, threads.len(), baseline));
    run.end();
    // All have seen that it is over, or are stuck: who watches tells.
    drop(threads);
    drop(thief);
    worked
}

/// Starts worker `i`: every other one is bound to a CPU, the others mostly walk.
fn worker<R: Modelled>(run: &Arc<Run>, world: &Arc<World<R>>, i: usize) -> Result<KThread> {
    let (theirs, world) = (run.clone(), world.clone());
    let job = move |stop: &Stop| work(&theirs, &world, i, stop);
    let cpu = (i / 2) as u32 % nr_cpu_ids();
    // A CPU that is not online takes nobody.
    if i % 2 == 0 && is_online(cpu) {
        KThread::spawn_on(cpu, fmt!("shadow_rmap/work{i}"), job)
    } else {
        KThread::spawn(fmt!("shadow_rmap/work{i}"), job)
    }
}

/// A worker.
fn work<R: Modelled>(run: &Run, world: &World<R>, i: usize, stop: &Stop) {
    let Some(seat) = Seated::take(i, 0) else {
        return;
    };
    let mut own = Own::new();
    let (deeds, _) = run.plan.mix.round();
    let mut last = 0;
    while !stop.requested() && !run.is_over() {
        let round = run.round.load(Acquire);
        if round == last {
            fsleep(Delta::from_micros(20));
            continue;
        }
        last = round;
        let numbers = run.derived(i, round);
        seat.set_busy(true, numbers);
        let mut random = Random::new(numbers);
        for _ in 0..deeds {
            // How many numbers a deed needs depends on what it meets.
            let mut theirs = Random::new(random.u64());
            if run.is_over() || run.is_late() {
                break;
            }
            let deed = world.mix().choose(i % 2 == 1, &mut theirs);
            let done = load::act(world, deed, &mut own, &mut theirs);
            run.beats.fetch_add(1, Relaxed);
            if let (Ok(operations), Some(n)) = (done, run.deeds.get(deed as usize)) {
                n.fetch_add(operations, Relaxed);
            }
        }
        seat.set_busy(false, 0);
        if !run.is_over() {
            // What is pinned is no leak, but looks like one.
            own = Own::new();
        }
        run.arrived.fetch_add(1, Release);
    }
    if run.is_busted() && oracle::first().is_some() {
        // It may be anything by now.
        core::mem::forget(own);
    }
}

/// Round after round.
fn rounds<R: Modelled>(run: &Run, world: &World<R>, threads: usize, baseline: Live) -> Result {
    let mut random = Random::new(run.derived(MOST_THREADS, 1));
    let (_, epoch) = run.plan.mix.round();
    for round in 1.. {
        pressure::begin_round(threads, &mut random);
        run.arrived.store(0, Relaxed);
        run.round.store(round, Release);
        while run.arrived.load(Acquire) < threads {
            if run.is_over() {
                return Ok(());
            }
            fsleep(Delta::from_micros(50));
        }
        if run.is_over() {
            return Ok(());
        }
        if round <= TRACES && run.plan.mode != Mode::Random {
            pr_info!("torture: round {round}: trace {:016x}\n", pressure::trace());
        }
        look(world)?;
        if round % epoch == 0 {
            world.clear();
            Oracle::Refcount.holds(Rule::R18, Live::now() == baseline);
        }
        let enough = run.plan.ops > 0 && run.operations() >= run.plan.ops;
        if enough || run.is_late() {
            return Ok(());
        }
    }
    Ok(())
}

/// Nobody is at work: whether all is as it must be.
fn look<R: Modelled>(world: &World<R>) -> Result {
    let processes = world.processes()?;
    let mut mms: KVec<&Mm<R>> = KVec::with_capacity(processes.len(), GFP_KERNEL)?;
    for mm in &processes {
        mms.push(mm, GFP_KERNEL)?;
    }
    let verdict = verify(&mms)?;
    if let Some((rule, words)) = verdict.first() {
        pr_info!(
            "torture: {}: {}\n",
            rule.map_or("structure", Rule::name),
            words
        );
        witness(rule).report(rule);
    }
    Ok(())
}

/// Which oracle it is that speaks up when `rule` does not hold in a forest at rest.
fn witness(rule: Option<Rule>) -> Oracle {
    match rule {
        Some(Rule::R3) => Oracle::Mapcount,
        Some(Rule::R16 | Rule::R18 | Rule::R37) => Oracle::Refcount,
        Some(Rule::R20 | Rule::R33 | Rule::R36 | Rule::R39) => Oracle::WalkCompleteness,
        _ => Oracle::Topology,
    }
}

/// Has an oracle speak up where the kernel has complained since the torture began, as `now` tells.
/// Sleeps.
fn hear_the_kernel(run: &Run, now: impl Fn() -> Complaints) {
    let mut complaints = now();
    if complaints.locks && !run.complaints.locks && !complaints.differ(run.complaints) {
        // Whatever the kernel complains of switches lockdep off as well, and first.
        fsleep(Delta::from_millis(10));
        complaints = now();
    }
    if complaints.differ(run.complaints) {
        Oracle::Kernel.report(None);
    } else if complaints.locks && !run.complaints.locks {
        Oracle::LockDiscipline.report(None);
    }
}

/// Which oracles have heard the kernel `before` the torture began: they would not know it if it
/// complained again.
fn deaf(before: Complaints) -> impl Iterator<Item = Oracle> {
    [
        (before.has_taints(), Oracle::Kernel),
        (before.locks, Oracle::LockDiscipline),
    ]
    .into_iter()
    .filter_map(|(deaf, oracle)| deaf.then_some(oracle))
}

/// How long somebody has been waited for, as far as who waits was there to see it: of the time in
/// which the machine as a whole stood still nobody else has had any either.
struct Patience {
    last: i64,
    waited: i64,
}

impl Patience {
    /// The most that passes between two looks, in milliseconds.
    const STEP: i64 = 50;

    fn new(now: i64) -> Self {
        Self {
            last: now,
            waited: 0,
        }
    }

    /// It is `now`, in milliseconds, and nothing has happened; returns whether that was so for more
    /// than `most`.
    fn is_over(&mut self, now: i64, most: i64) -> bool {
        self.waited += (now - self.last).min(Self::STEP);
        self.last = now;
        self.waited > most
    }
}

/// Says which oracle was first, if any; returns whether there was one.
fn announce(run: &Run) -> bool {
    let first = oracle::first();
    if let Some((oracle, rule)) = first {
        pr_info!(
            "torture: {} by {} ({}) after {} ms, {} operations, near misses {}: {}\n",
            if run.is_busted() {
                "caught"
            } else {
                "reported"
            },
            oracle.name(),
            rule.map_or("-", Rule::name),
            run.millis(),
            run.operations(),
            pressure::near_misses(),
            oracle.words()
        );
    }
    first.is_some()
}

/// Watches a torture until it is over, and tells what became of it.
pub(super) fn watch(run: &Run) {
    for oracle in deaf(run.complaints) {
        pr_warn!(
            "torture: the kernel has complained before: {} is deaf\n",
            oracle.name()
        );
    }
    let (mut beats, mut patience) = (0, Patience::new(run.millis()));
    while run.ended.load(Acquire) == 0 {
        hear_the_kernel(run, Complaints::now);
        if run.beats.load(Relaxed) != beats || run.is_over() {
            beats = run.beats.load(Relaxed);
            patience = Patience::new(run.millis());
        } else if patience.is_over(run.millis(), run.plan.hangs) {
            Oracle::Watchdog.report(None);
        }
        if run.is_over() {
            break;
        }
        fsleep(Delta::from_millis(1));
    }
    // As soon as it is known: what has been broken may be the end of this kernel.
    let early = announce(run);
    {
        let mut outcome = run.outcome.lock();
        outcome.millis = run.millis();
        outcome.operations = run.operations();
        outcome.near_misses = pressure::near_misses();
    }
    run.end();
    let mut patience = Patience::new(run.millis());
    let mut stuck = false;
    while run.ended.load(Acquire) == 0 && !stuck {
        stuck = patience.is_over(run.millis(), run.plan.hangs);
        fsleep(Delta::from_millis(1));
    }
    if !early {
        if stuck {
            Oracle::Watchdog.report(None);
        }
        // The cache has been destroyed by now, and may have had something to say.
        hear_the_kernel(run, Complaints::now);
        announce(run);
    }
    {
        let mut outcome = run.outcome.lock();
        outcome.stuck = stuck;
        outcome.found = pressure::counts(Window::Confirmed as usize).0;
        outcome.first = oracle::first();
        for (reports, (oracle, ..)) in outcome.reports.iter_mut().zip(oracle::ALL) {
            *reports = oracle.reports();
        }
        outcome.violations = violations();
        for (now, before) in outcome.violations.iter_mut().zip(run.violations) {
            *now = now.wrapping_sub(before);
        }
    }
    run.told.store(1, Release);
    let _ = tell(run, &mut |line| {
        pr_info!("{line}\n");
        Ok(())
    });
}

/// Whether it came out as it should.
fn is_as_expected(run: &Run, outcome: &Outcome) -> bool {
    if run.is_busted() {
        return outcome.first.is_some();
    }
    outcome.first.is_none()
        && outcome.violations.iter().all(|n| *n == 0)
        && outcome.error.is_none()
        // Where nothing was there to be found, nothing was tried.
        && outcome.found > 0
        && !outcome.stuck
}

/// Tells debugfs `torture/results`, line by line: KTAP.
pub(super) fn tell(
    run: &Run,
    say: &mut dyn FnMut(fmt::Arguments<'_>) -> fmt::Result,
) -> fmt::Result {
    let plan = &run.plan;
    let outcome = *run.outcome.lock();
    let first = outcome.first;
    say(fmt!("KTAP version 1"))?;
    say(fmt!("1..1"))?;
    say(fmt!("# name: {}", plan.bust.name))?;
    say(fmt!("# rule: {}", plan.bust.rule.map_or("-", Rule::name)))?;
    for number in plan.bust.museum {
        say(fmt!("# museum: {number}"))?;
    }
    say(fmt!("# load: {}", plan.mix.name()))?;
    say(fmt!("# protocol: {}", plan.protocol.name()))?;
    say(fmt!("# mode: {}", plan.mode.name()))?;
    if let Mode::Priorities(d) = plan.mode {
        let (n, k) = (plan.threads, pressure::longest_round());
        // The bound itself is too small a number for whole ones: one in so many rounds.
        let one_in = (1..d).fold(n as u128, |all, _| all.saturating_mul(k as u128));
        say(fmt!("# n: {n}"))?;
        say(fmt!("# k: {k}"))?;
        say(fmt!("# d: {d}"))?;
        say(fmt!("# bound: 1/{one_in}"))?;
    }
    say(fmt!("# seed: {}", plan.seed))?;
    say(fmt!("# threads: {}", plan.threads))?;
    say(fmt!("# secs: {}", plan.secs))?;
    say(fmt!("# ops: {}", plan.ops))?;
    say(fmt!("# stay: {}", plan.stay))?;
    say(fmt!("# fail: {}", plan.fail))?;
    say(fmt!(
        "# caught: {}",
        if run.is_busted() && first.is_some() {
            "yes"
        } else {
            "no"
        }
    ))?;
    say(fmt!(
        "# oracle: {}",
        first.map_or("-", |(oracle, _)| oracle.name())
    ))?;
    say(fmt!(
        "# oracle_rule: {}",
        first.and_then(|(_, rule)| rule).map_or("-", Rule::name)
    ))?;
    say(fmt!(
        "# words: {}",
        first.map_or("-", |(oracle, _)| oracle.words())
    ))?;
    for oracle in deaf(run.complaints) {
        say(fmt!("# deaf: {}", oracle.name()))?;
    }
    say(fmt!("# milliseconds: {}", outcome.millis))?;
    say(fmt!("# operations: {}", outcome.operations))?;
    say(fmt!("# rounds: {}", run.round.load(Relaxed)))?;
    say(fmt!("# near_misses: {}", outcome.near_misses))?;
    let reports: u32 = outcome.reports.iter().sum();
    let violations: usize = outcome.violations.iter().sum();
    say(fmt!("# reports: {reports}"))?;
    say(fmt!("# violations: {violations}"))?;
    say(fmt!("# found: {}", outcome.found))?;
    say(fmt!("# stuck: {}", outcome.stuck))?;
    if let Some(error) = outcome.error {
        say(fmt!("# error: {error:?}"))?;
    }
    for (n, (_, name, _)) in outcome.reports.iter().zip(oracle::ALL) {
        if *n > 0 {
            say(fmt!("# reports_{name}: {n}"))?;
        }
    }
    for (n, (_, name, _)) in outcome.violations.iter().zip(rules::ALL) {
        if *n > 0 {
            say(fmt!("# violations_{name}: {n}"))?;
        }
    }
    for (i, name) in WINDOWS.iter().enumerate() {
        let (passed, near) = pressure::counts(i);
        say(fmt!("# window_{name}: {passed} {near}"))?;
    }
    let mut last = 0;
    while let (Some(_), Some(step)) = (first, pressure::recent(last)) {
        last = step.when;
        say(fmt!(
            "# step: {last} thread {} {}",
            step.thread,
            step.window
        ))?;
    }
    for (n, name) in run.deeds.iter().zip(DEEDS) {
        say(fmt!("# did_{name}: {}", n.load(Relaxed)))?;
    }
    let good = is_as_expected(run, &outcome);
    say(fmt!(
        "{} 1 {}",
        if good { "ok" } else { "not ok" },
        plan.bust.name
    ))?;
    let verdict = match (run.is_busted(), good) {
        (true, true) => "CAUGHT",
        (true, false) => "MISSED",
        (false, true) => "SUCCESS",
        (false, false) => "FAILURE",
    };
    say(fmt!(
        "# torture: End of test: {verdict} bust={} rule={} load={} protocol={} mode={} depth={} seed={} threads={} \
         secs={} ops={} stay={} fail={} operations={}",
        plan.bust.name,
        plan.bust.rule.map_or("-", Rule::name),
        plan.mix.name(),
        plan.protocol.name(),
        plan.mode.name(),
        match plan.mode {
            Mode::Random => 0,
            Mode::Priorities(depth) => depth,
        },
        plan.seed,
        plan.threads,
        plan.secs,
        plan.ops,
        plan.stay,
        plan.fail,
        outcome.operations
    ))
}

/// Writes debugfs `torture/status`: `key: value` lines.
pub(super) fn status(run: &Run, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plan = &run.plan;
    let state = if run.is_done() { "done" } else { "running" };
    writeln!(f, "state: {state}")?;
    writeln!(f, "bust: {}", plan.bust.name)?;
    writeln!(f, "protocol: {}", plan.protocol.name())?;
    writeln!(f, "mode: {}", plan.mode.name())?;
    writeln!(f, "seed: {}", plan.seed)?;
    writeln!(f, "threads: {}", plan.threads)?;
    writeln!(f, "secs: {}", plan.secs)?;
    let millis = if run.is_done() {
        run.outcome.lock().millis
    } else {
        run.millis()
    };
    writeln!(f, "elapsed_ms: {millis}")?;
    writeln!(f, "operations: {}", run.operations())?;
    writeln!(f, "rounds: {}", run.round.load(Relaxed))?;
    writeln!(f, "near_misses: {}", pressure::near_misses())?;
    writeln!(f, "reports: {}", oracle::reports())
}

#[cfg(shadow_rmap_kunit)]
#[path = "tests/run.rs"]
mod tests;
