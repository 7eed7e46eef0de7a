// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of [`kthread`](crate::kernel_ext::kthread).

use kernel::prelude::*;

#[kunit_tests(shadow_rmap_kthread)]
mod suite {
    use super::super::*;
    use kernel::{
        cpu::{
            nr_cpu_ids,
            CpuId, //
        },
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    /// Waits up to ten seconds until `counter` is `n`; returns whether it is.
    fn reached(counter: &Atomic<i32>, n: i32) -> bool {
        for _ in 0..10_000 {
            if counter.load(Relaxed) == n {
                return true;
            }
            fsleep(Delta::from_millis(1));
        }
        false
    }

    /// Adds one to the counter when it is dropped.
    struct Dropped(Arc<Atomic<i32>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    fn counter() -> Result<Arc<Atomic<i32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    /// A thread runs until its handle is dropped, and has ended when the drop returns.
    #[test]
    fn runs_until_it_is_stopped() -> Result {
        let (started, ended) = (counter()?, counter()?);
        let (theirs, dropped) = (started.clone(), Dropped(ended.clone()));
        let thread = KThread::spawn(fmt!("shadow_rmap/{}", 1), move |stop| {
            let _dropped = dropped;
            theirs.add(1, Relaxed);
            while !stop.requested() {
                fsleep(Delta::from_millis(1));
            }
        })?;
        let started = reached(&started, 1);
        let early = ended.load(Relaxed);
        drop(thread);

        assert!(started);
        assert_eq!(early, 0);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// A thread may end before its handle is dropped.
    #[test]
    fn may_end_by_itself() -> Result {
        let ended = counter()?;
        let dropped = Dropped(ended.clone());
        let thread = KThread::spawn(fmt!("shadow_rmap/self"), move |_| drop(dropped))?;
        let by_itself = reached(&ended, 1);
        // By then the thread has most likely exited.
        fsleep(Delta::from_millis(20));
        drop(thread);

        assert!(by_itself);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// The closure is dropped when the thread is stopped before it has run.
    #[test]
    fn may_never_run() -> Result {
        let (ran, ended) = (counter()?, counter()?);
        let (theirs, dropped) = (ran.clone(), Dropped(ended.clone()));
        let thread = KThread::create(fmt!("shadow_rmap/never"), move |_| {
            let _dropped = dropped;
            theirs.add(1, Relaxed);
        })?;
        drop(thread);

        assert_eq!(ran.load(Relaxed), 0);
        assert_eq!(ended.load(Relaxed), 1);
        Ok(())
    }

    /// Many threads run at once, each on its own CPU; some are stopped before they run.
    #[test]
    fn many_on_all_cpus() -> Result {
        let (there, elsewhere, ended) = (counter()?, counter()?, counter()?);
        let mut threads = KVec::new();
        let mut refused = 0;
        for cpu in 0..nr_cpu_ids() {
            for i in 0..8 {
                let (there, elsewhere) = (there.clone(), elsewhere.clone());
                let dropped = Dropped(ended.clone());
                let thread = KThread::spawn_on(cpu, fmt!("shadow_rmap/{cpu}.{i}"), move |stop| {
                    let _dropped = dropped;
                    there.add(1, Relaxed);
                    while !stop.requested() {
                        if CpuId::current().as_u32() != cpu {
                            elsewhere.add(1, Relaxed);
                        }
                        fsleep(Delta::from_millis(1));
                    }
                });
                match thread {
                    Ok(thread) => threads.push(thread, GFP_KERNEL)?,
                    // A possible CPU need not be online.
                    Err(_) => refused += 1,
                }
            }
        }
        let n = threads.len() as i32;
        let all = reached(&there, n);
        drop(threads);
        // These are stopped at once; many of them never run.
        for i in 0..64 {
            let dropped = Dropped(ended.clone());
            drop(KThread::spawn(fmt!("shadow_rmap/{i}"), |_| drop(dropped))?);
        }

        assert!(n >= 8 && all);
        assert_eq!(elsewhere.load(Relaxed), 0);
        assert_eq!(ended.load(Relaxed), n + refused + 64);
        Ok(())
    }

    /// The closure is dropped when the thread cannot be created.
    #[test]
    fn no_thread_no_closure() -> Result {
        let ended = counter()?;
        let dropped = Dropped(ended.clone());
        let nowhere = KThread::spawn_on(u32::MAX, fmt!("shadow_rmap/nowhere"), |_| drop(dropped));
        let dropped = Dropped(ended.clone());
        let (failed, hit) = fail::nth(1, || {
            KThread::spawn(fmt!("shadow_rmap/none"), |_| drop(dropped)).err()
        });

        assert!(nowhere.err() == Some(EINVAL) && failed == Some(ENOMEM) && hit);
        assert_eq!(ended.load(Relaxed), 2);
        Ok(())
    }
}
