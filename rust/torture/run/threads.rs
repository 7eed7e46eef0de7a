// SPDX-License-Identifier: GPL-2.0

//! The threads of a torture.

use super::{
    Protocol,
    Run, //
};
use crate::{
    kernel_ext::{
        kthread::{
            is_online,
            KThread,
            Stop, //
        },
        random::Random,
        rwsem, //
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
        kind::{
            self,
            Rmap, //
        },
        lock::{
            self,
            FamilyLock, //
        },
        oracle::{
            self,
            Oracle, //
        },
        rules::Rule,
        steps::Correct, //
    },
    torture::{
        at_run_time::AtRunTime,
        load::{
            self,
            Mix,
            Own,
            World, //
        },
        preemptible,
        pressure::{
            self,
            Mode,
            Pressure,
            Seated,
            MOST_THREADS, //
        }, //
    },
};
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The number of rounds whose traces are printed, for comparing runs.
const TRACES: usize = 8;

/// Starts a torture, and returns its coordinator. No other torture is running. Sleeps.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` when the caller is killed.
pub(in super::super) fn start(run: &Arc<Run>) -> Result<KThread> {
    let plan = &run.plan;
    pressure::begin(plan.mode, plan.mix.focus(), plan.stay, plan.fail);
    AtRunTime::choose(plan.bust.number);
    match plan.protocol {
        Protocol::RwSem => start_under::<rwsem::RwSem>(run),
        Protocol::Spin => start_under::<lock::Spin>(run),
        Protocol::Preemptible => start_under::<preemptible::Preemptible>(run),
    }
}

/// The kind of a torture without a bug: the engine of live mappings, and windows.
pub(in super::super) type Clean<L> = Model<L, Correct, Pressure>;

/// Without a bug all steps are those of [`Correct`], as for live mappings.
const _: () = {
    const fn has_correct_steps<R>()
    where
        R: Rmap<Steps = Correct> + Modelled<ModelSteps = Correct>,
    {
    }
    const fn is_correct<R: Rmap<Steps = Correct>>() {}
    has_correct_steps::<Clean<rwsem::RwSem>>();
    has_correct_steps::<Clean<lock::Spin>>();
    has_correct_steps::<Clean<preemptible::Preemptible>>();
    is_correct::<kind::Live>();
};

/// The kind of a torture with a bug.
type Busted<L> = Model<L, AtRunTime, Pressure>;

/// Starts a torture with the lock `L`.
fn start_under<L: FamilyLock>(run: &Arc<Run>) -> Result<KThread> {
    if run.is_busted() {
        start_in::<Busted<L>>(run)
    } else {
        start_in::<Clean<L>>(run)
    }
}

/// Starts a torture of the kind `R`.
fn start_in<R: Modelled>(run: &Arc<Run>) -> Result<KThread> {
    let world = World::<R>::new(run.plan.mix)?;
    let run = run.clone();
    KThread::spawn(fmt!("shadow_rmap/run"), move |_| {
        let baseline = Live::now();
        if let Err(error) = coordinate(&run, &world, baseline) {
            run.fail(error);
        }
        finish(&run, world, baseline);
        run.ended.store(1, Release);
    })
}

/// Ends a torture whose threads have ended: all processes exit, and nothing may be left over.
pub(super) fn finish<R: Modelled>(run: &Run, world: Arc<World<R>>, baseline: Live) {
    if oracle::first().is_none() {
        world.clear();
        Oracle::Refcount.holds(Rule::R18, Live::now() == baseline);
    }
    if run.is_busted() && oracle::first().is_some() {
        // After a bug was caught its data stays as it is.
        core::mem::forget(world);
    } else {
        // This destroys the cache: the kernel reports objects that are left in it.
        drop(world);
    }
}

/// Lets all threads work in rounds, and verifies the forest between two rounds.
fn coordinate<R: Modelled>(run: &Arc<Run>, world: &Arc<World<R>>, baseline: Live) -> Result {
    let reuse = {
        let (run, world) = (run.clone(), world.clone());
        KThread::spawn(fmt!("shadow_rmap/reuse"), move |stop| {
            let mut random = Random::new(run.derived(MOST_THREADS, 0));
            let pause = match run.plan.mix {
                Mix::Recycling | Mix::Emptying => 20,
                _ => 1_000,
            };
            while !stop.requested() && !run.is_over() {
                // Without memory it tries again later.
                let _ = load::reuse_freed_memory(&world, &mut random);
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
    // Waits for threads that are stuck; the monitor reports that.
    drop(threads);
    drop(reuse);
    worked
}

/// Starts worker `i`. Workers with an even number are bound to a CPU; the others mostly walk.
fn worker<R: Modelled>(run: &Arc<Run>, world: &Arc<World<R>>, i: usize) -> Result<KThread> {
    let (theirs, world) = (run.clone(), world.clone());
    let job = move |stop: &Stop| work(&theirs, &world, i, stop);
    let cpu = (i / 2) as u32 % nr_cpu_ids();
    // No thread can be bound to a CPU that is offline.
    if i % 2 == 0 && is_online(cpu) {
        KThread::spawn_on(cpu, fmt!("shadow_rmap/work{i}"), job)
    } else {
        KThread::spawn(fmt!("shadow_rmap/work{i}"), job)
    }
}

/// Runs worker `i`.
fn work<R: Modelled>(run: &Run, world: &World<R>, i: usize, stop: &Stop) {
    let Some(seat) = Seated::take(i, 0) else {
        return;
    };
    let mut own = Own::new();
    let (actions, _) = run.plan.mix.round();
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
        for _ in 0..actions {
            // The number of random numbers that an action needs depends on the state of the forest.
            let mut theirs = Random::new(random.u64());
            if run.is_over() || run.is_late() {
                break;
            }
            let action = world.mix().choose(i % 2 == 1, &mut theirs);
            let done = load::act(world, action, &mut own, &mut theirs);
            run.beats.fetch_add(1, Relaxed);
            if let (Ok(operations), Some(n)) = (done, run.done.get(action as usize)) {
                n.fetch_add(operations, Relaxed);
            }
        }
        seat.set_busy(false, 0);
        if !run.is_over() {
            // A pinned anon_vma would be taken for a leak.
            own = Own::new();
        }
        run.arrived.fetch_add(1, Release);
    }
    if run.is_busted() && oracle::first().is_some() {
        // After a bug was caught its data stays as it is.
        core::mem::forget(own);
    }
}

/// Lets the workers do round after round, and verifies the forest after each.
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
        verify_forest(world)?;
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

/// Verifies the forest while no worker works.
fn verify_forest<R: Modelled>(world: &World<R>) -> Result {
    let processes = world.processes()?;
    let mut mms: KVec<&Mm<R>> = KVec::with_capacity(processes.len(), GFP_KERNEL)?;
    for mm in &processes {
        mms.push(mm, GFP_KERNEL)?;
    }
    let verdict = verify(&mms)?;
    if let Some((oracle, rule, words)) = verdict.first() {
        pr_info!(
            "torture: {}: {}\n",
            rule.map_or("structure", Rule::name),
            words
        );
        oracle.report(rule);
    }
    Ok(())
}
