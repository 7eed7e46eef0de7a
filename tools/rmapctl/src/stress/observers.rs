// SPDX-License-Identifier: GPL-2.0

//! What watches the busy processes: checks of the mapping and of the host's own reverse map, readers
//! of debugfs, requests to unload the module.

use super::board::Board;
use crate::kernel::{
    Check, Debugfs, Device, Target, ambiguous, compare_counts, complaints, host_check,
};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

/// The files that are read in turn. `compare` is a check that says what it has found, and comes most often.
const FILES: [&str; 10] = [
    "chains",
    "compare",
    "chains.json",
    "compare",
    "chains.dot",
    "compare",
    "rules",
    "compare",
    "stats",
    "compare",
];
/// How often the kernel is asked to unload the module.
const UNLOADS: Duration = Duration::from_millis(200);

/// Watches, and counts what it sees.
pub(super) struct Observers<'a> {
    device: &'a Device,
    debugfs: &'a Debugfs,
    board: &'a Board,
    /// The process group of the busy processes.
    group: Pid,
    /// Whether want of memory is no failure.
    oom: bool,
    pub(super) stop: AtomicBool,
    checks: AtomicU64,
    /// Microseconds that the checks took, in all, and the longest one.
    micros: AtomicU64,
    longest: AtomicU64,
    interrupted: AtomicU64,
    again: AtomicU64,
    reads: AtomicU64,
    host_checks: AtomicU64,
    unloads: AtomicU64,
    ambiguous: AtomicU64,
    untracked: AtomicU64,
    violations: AtomicU64,
    differences: AtomicU64,
    /// The first thing that was wrong, and the lines of `compare` at that time.
    wrong: Mutex<Option<(String, Vec<String>)>>,
}

impl<'a> Observers<'a> {
    pub(super) fn new(
        device: &'a Device,
        debugfs: &'a Debugfs,
        board: &'a Board,
        group: Pid,
        oom: bool,
    ) -> Self {
        Self {
            device,
            debugfs,
            board,
            group,
            oom,
            stop: AtomicBool::default(),
            checks: AtomicU64::default(),
            micros: AtomicU64::default(),
            longest: AtomicU64::default(),
            interrupted: AtomicU64::default(),
            again: AtomicU64::default(),
            reads: AtomicU64::default(),
            host_checks: AtomicU64::default(),
            unloads: AtomicU64::default(),
            ambiguous: AtomicU64::default(),
            untracked: AtomicU64::default(),
            violations: AtomicU64::default(),
            differences: AtomicU64::default(),
            wrong: Mutex::default(),
        }
    }

    /// Returns the first thing that was wrong, and the lines of `compare` at that time.
    pub(super) fn wrong(&self) -> Option<(String, Vec<String>)> {
        self.wrong.lock().ok().and_then(|wrong| wrong.clone())
    }

    fn report(&self, what: String) {
        self.report_with(what, || match self.debugfs.read("compare") {
            Ok(text) => said(&text),
            Err(error) => vec![format!("{error:#}")],
        });
    }

    /// Notes the first thing that was wrong, with the lines of `compare`. The busy processes stop
    /// first, so that a comparison after a check may find the same.
    fn report_with(&self, what: String, compare: impl FnOnce() -> Vec<String>) {
        let Ok(mut wrong) = self.wrong.lock() else {
            return;
        };
        if wrong.is_none() {
            let _ = killpg(self.group, Signal::SIGSTOP);
            *wrong = Some((what, compare()));
        }
    }

    /// Checks again and again.
    pub(super) fn check(&self) {
        while !self.stop.load(Relaxed) {
            self.check_once();
        }
    }

    /// Checks once; [`None`] if the check did not come through.
    pub(super) fn check_once(&self) -> Option<Check> {
        let begin = Instant::now();
        let check = match self.device.try_check() {
            Ok(check) => check,
            Err(Errno::EINTR) => {
                self.interrupted.fetch_add(1, Relaxed);
                return None;
            }
            Err(Errno::EAGAIN) => {
                self.again.fetch_add(1, Relaxed);
                return None;
            }
            Err(Errno::ENOMEM) if self.oom => {
                self.board.starved.fetch_add(1, Relaxed);
                return None;
            }
            Err(errno) => {
                self.report(format!("check: {errno}"));
                return None;
            }
        };
        let micros = begin.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.checks.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
        self.longest.fetch_max(micros, Relaxed);
        if self.is_bad(check) {
            self.report(check.to_string());
        }
        Some(check)
    }

    /// Counts what a check has found, and returns whether it has found anything.
    fn is_bad(&self, check: Check) -> bool {
        self.untracked.fetch_max(check.untracked, Relaxed);
        self.violations.fetch_max(check.violations, Relaxed);
        self.differences.fetch_max(check.differences, Relaxed);
        // Without memory the shadow does not have all VMAs, and says so.
        let untracked = if self.oom { 0 } else { check.untracked };
        (check.differences, check.violations, untracked) != (0, 0, 0)
    }

    /// Reads one file of debugfs after the other.
    pub(super) fn read(&self) {
        for file in FILES.into_iter().cycle() {
            if self.stop.load(Relaxed) {
                return;
            }
            let text = match self.debugfs.try_read(file) {
                Ok(text) if text.is_empty() => return self.report(format!("{file} is empty")),
                Ok(text) => text,
                Err(error) if self.oom && error.raw_os_error() == Some(libc::ENOMEM) => {
                    self.board.starved.fetch_add(1, Relaxed);
                    continue;
                }
                Err(error) => return self.report(format!("{file}: {error}")),
            };
            self.reads.fetch_add(1, Relaxed);
            if file == "compare" {
                match (compare_counts(&text), ambiguous(&text)) {
                    (Ok(check), Ok(ambiguous)) => {
                        self.ambiguous.fetch_max(ambiguous, Relaxed);
                        if self.is_bad(check) {
                            self.report_with(format!("compare: {check}"), || said(&text));
                        }
                    }
                    (Err(error), _) | (_, Err(error)) => self.report(format!("{error:#}")),
                }
            }
        }
    }

    /// Checks the host's own reverse map, for half of the time: of a busy process, sometimes of all.
    pub(super) fn check_host(&self) {
        for round in 0_u64.. {
            if self.stop.load(Relaxed) {
                return;
            }
            let begin = Instant::now();
            let busy = self.board.last_pid().filter(|_| round % 16 > 0);
            let text = match self
                .debugfs
                .one_answer(busy.map_or(Target::All, Target::Pid))
            {
                Ok(text) => text,
                // The process has ended; or the busy processes have taken all memory.
                Err(error)
                    if [libc::ESRCH, libc::ENOMEM]
                        .map(Some)
                        .contains(&error.raw_os_error()) =>
                {
                    String::new()
                }
                Err(error) => return self.report(format!("host/check: {error}")),
            };
            match host_check(&text) {
                _ if text.is_empty() => {}
                Ok(check) if check.violations == 0 => {
                    self.host_checks.fetch_add(1, Relaxed);
                }
                Ok(check) => {
                    self.violations.fetch_max(check.violations, Relaxed);
                    let what = format!("host/check: violations={}", check.violations);
                    let lines = || text.lines().map(str::to_owned).collect();
                    self.report_with(what, lines);
                }
                Err(error) => return self.report(format!("{error:#}")),
            }
            thread::sleep(begin.elapsed());
        }
    }

    /// Asks the kernel to unload the module, which is in use all the time.
    pub(super) fn unload(&self) {
        while !self.stop.load(Relaxed) {
            // SAFETY: The name is a C string.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_delete_module,
                    c"shadow_rmap".as_ptr(),
                    libc::O_NONBLOCK,
                )
            };
            match Errno::result(result) {
                Err(Errno::EBUSY | Errno::EWOULDBLOCK) => {
                    self.unloads.fetch_add(1, Relaxed);
                }
                Err(errno) => return self.report(format!("delete_module(): {errno}")),
                Ok(_) => return self.report("the module was unloaded while in use".to_owned()),
            }
            thread::sleep(UNLOADS);
        }
    }

    /// Returns what has never come through.
    pub(super) fn idle(&self) -> Option<String> {
        let counts = [
            ("check", &self.checks),
            ("read of debugfs", &self.reads),
            ("check of the host", &self.host_checks),
            ("request to unload the module", &self.unloads),
        ];
        let (what, _) = counts.into_iter().find(|(_, n)| n.load(Relaxed) == 0)?;
        Some(format!("no {what} has come through"))
    }

    /// Returns the counts after so many seconds.
    pub(super) fn summary(&self, board: &Board, secs: f64) -> String {
        let get = |n: &AtomicU64| n.load(Relaxed);
        let checks = get(&self.checks);
        format!(
            "{secs:.0} s, operations={} refused={} forks={} kills={} ooms={} visits={} \
             starved={} checks={checks} \
             ({:.1} a second, {:.1} ms each, longest {:.1} ms) EINTR={} EAGAIN={} reads={} \
             host_checks={} unloads_refused={} untracked={} ambiguous={} violations={} differences={}",
            get(&board.operations),
            get(&board.refused),
            get(&board.forks),
            get(&board.kills),
            get(&board.ooms),
            get(&board.visits),
            get(&board.starved),
            checks as f64 / secs.max(f64::EPSILON),
            get(&self.micros) as f64 / 1000.0 / checks.max(1) as f64,
            get(&self.longest) as f64 / 1000.0,
            get(&self.interrupted),
            get(&self.again),
            get(&self.reads),
            get(&self.host_checks),
            get(&self.unloads),
            get(&self.untracked),
            get(&self.ambiguous),
            get(&self.violations),
            get(&self.differences),
        )
    }
}

/// Returns what `compare` complains about.
fn said(compare: &str) -> Vec<String> {
    complaints(compare).into_iter().map(str::to_owned).collect()
}
