// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/shadow_rmap/host/`: the host's own reverse map of any process.

use crate::{
    ffi::EUCLEAN,
    host::{
        chains,
        fsck::{
            self,
            Counts,
            Finding, //
        },
        process::{
            Pid,
            Process, //
        },
    },
    kernel_ext::debugfs::{
        Dir,
        File,
        Text, //
    },
    snapshot::{
        dot,
        json,
        text::{
            self,
            name, //
        },
        Graph, //
    },
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    str::BStr,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta,
    uaccess::UserSliceReader,
};

/// Most lines about faults of one text; further faults are counted.
const MOST_LINES: usize = 1000;

/// The process that the files show; `None` for every process.
#[pin_data]
pub(super) struct Chosen {
    #[pin]
    pid: Mutex<Option<(Arc<Pid>, i32)>>,
    /// For how long a check keeps the lock of a root between two looks.
    hold: Delta,
}

type Shared = Arc<Chosen>;

impl Chosen {
    /// Returns the process that is chosen now.
    fn get(&self) -> Option<(Arc<Pid>, i32)> {
        self.pid.lock().clone()
    }
}

/// The files; dropping this removes them.
pub(super) struct HostFiles {
    _pid: File<Shared>,
    _chains: File<Shared>,
    _chains_json: File<Shared>,
    _chains_dot: File<Shared>,
    _check: File<Shared>,
}

impl HostFiles {
    /// Makes the folder `host` with the files. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(dir: &Dir, hold: Delta) -> Result<Self> {
        let dir = dir.subdir(c"host")?;
        let chosen = Arc::pin_init(
            pin_init!(Chosen {
                pid <- new_mutex!(None, "shadow_rmap::chosen"),
                hold,
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _pid: dir.read_write_file(c"pid", chosen.clone(), show_pid, choose)?,
            _chains: dir.read_file(c"chains", chosen.clone(), |chosen, to| {
                show_graph(chosen, to, text::show)
            })?,
            _chains_json: dir.read_file(c"chains.json", chosen.clone(), |chosen, to| {
                show_graph(chosen, to, json::show)
            })?,
            _chains_dot: dir.read_file(c"chains.dot", chosen.clone(), |chosen, to| {
                show_graph(chosen, to, dot::show)
            })?,
            _check: dir.read_write_file(c"check", chosen, show_check, answer_check)?,
        })
    }
}

/// Reads a pid that was written: a decimal number. `None` for 0, which is every process.
///
/// # Errors
///
/// `EINVAL` if it is no number, or that of a kernel thread; `ERANGE` if no pid is so large; `ESRCH`
/// if there is no such process.
fn read_pid(from: &mut UserSliceReader) -> Result<Option<(Pid, i32)>> {
    let mut bytes = [0; 32];
    let bytes = bytes.get_mut(..from.len()).ok_or(EINVAL)?;
    from.read_slice(bytes)?;
    let digits = bytes.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(EINVAL);
    }
    let number = digits.iter().try_fold(0i32, |number, digit| {
        number.checked_mul(10)?.checked_add((digit - b'0').into())
    });
    match number.ok_or(ERANGE)? {
        0 => Ok(None),
        number => {
            let pid = Pid::find(number)?;
            Process::of(&pid, number)?;
            Ok(Some((pid, number)))
        }
    }
}

fn show_pid(chosen: &Shared, text: &mut Text) -> Result {
    let number = chosen.get().map_or(0, |(_, number)| number);
    text.add(|f| f.write_fmt(fmt!("{number}\n")))
}

fn choose(chosen: &Shared, from: &mut UserSliceReader, _: &mut Text) -> Result {
    let pid = match read_pid(from)? {
        Some((pid, number)) => Some((Arc::new(pid, GFP_KERNEL)?, number)),
        None => None,
    };
    let old = core::mem::replace(&mut *chosen.pid.lock(), pid);
    drop(old);
    Ok(())
}

/// Writes the graph of the process that is chosen, as `show` does.
fn show_graph(
    chosen: &Shared,
    text: &mut Text,
    show: fn(&Graph, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> Result {
    let pid = chosen.get();
    let graph = chains::take(pid.as_ref().map(|(pid, number)| (&**pid, *number)))?;
    text.add(|f| show(&graph, f))
}

fn show_check(chosen: &Shared, text: &mut Text) -> Result {
    let pid = chosen.get();
    let which = pid.as_ref().map(|(pid, number)| (&**pid, *number));
    check(which, chosen.hold, text)?;
    Ok(())
}

/// Checks the process with the pid that was written, whatever is chosen in `host/pid`.
///
/// # Errors
///
/// `EUCLEAN` if there are violations.
fn answer_check(chosen: &Shared, from: &mut UserSliceReader, text: &mut Text) -> Result {
    let pid = read_pid(from)?;
    let which = pid.as_ref().map(|(pid, number)| (pid, *number));
    let counts = check(which, chosen.hold, text)?;
    if counts.violations > 0 {
        return Err(Error::from_errno(-(EUCLEAN as c_int)));
    }
    Ok(())
}

/// Checks a process, or all, and writes a line for each fault and the result.
fn check(which: Option<(&Pid, i32)>, hold: Delta, text: &mut Text) -> Result<Counts> {
    let mut lines = 0;
    let counts = fsck::check(which, hold, &mut |finding| {
        lines += 1;
        if lines > MOST_LINES {
            return Ok(());
        }
        text.add(|f| write_finding(&finding, f))
    })?;
    text.add(|f| {
        if lines > MOST_LINES {
            f.write_fmt(fmt!("{} more lines are left out\n", lines - MOST_LINES))?;
        }
        if counts.left_out > 0 {
            f.write_fmt(fmt!(
                "VMAs left out, because another task waited for a lock: {}\n",
                counts.left_out
            ))?;
        }
        f.write_fmt(fmt!(
            "host check: mms={} vmas={} anon_vmas={} chains={} violations={}\n",
            counts.mms,
            counts.vmas,
            counts.anon_vmas,
            counts.chains,
            counts.violations
        ))
    })?;
    Ok(counts)
}

fn write_finding(finding: &Finding<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match finding.fault.map(|fault| fault.rule()) {
        Some(Some(rule)) => f.write_fmt(fmt!("violation of {}: ", rule.name()))?,
        _ => f.write_str("violation of the structure: ")?,
    }
    f.write_fmt(fmt!(
        "pid {} {} [{:#x}, {:#x}): ",
        finding.pid,
        BStr::from_bytes(name(finding.comm)),
        finding.start,
        finding.end
    ))?;
    match finding.fault {
        Some(fault) => f.write_fmt(fmt!("{fault}\n")),
        None => f.write_fmt(fmt!("{} more violations\n", finding.more)),
    }
}
