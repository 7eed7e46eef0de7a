// SPDX-License-Identifier: GPL-2.0

//! debugfs `torture/`: `control`, `status`, `results`, and the counters `rules` and `stats`.

use super::{
    busted::{
        self,
        Bust, //
    },
    load::MIXES,
    pressure::{
        Mode,
        MOST_STEPS,
        MOST_THREADS, //
    },
    run::{
        self,
        Plan,
        Protocol,
        Run,
        HANGS,
        PROTOCOLS, //
    },
};
use crate::{
    kernel_ext::{
        debugfs::{
            Dir,
            File,
            Text, //
        },
        kthread::KThread,
        log::may_warn,
        module::ModuleRef,
        random::Random, //
    },
    rmap::{
        oracle, path,
        rules::{
            self,
            Rule, //
        },
    },
    stats,
};
use core::slice;
use kernel::{
    fmt, new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    uaccess::UserSliceReader,
};

/// The last torture that was started.
#[pin_data]
pub(crate) struct Control {
    #[pin]
    torture: Mutex<Option<Torture>>,
}

/// A torture and its threads. The threads end first.
struct Torture {
    _monitor: KThread,
    _coordinator: KThread,
    run: Arc<Run>,
}

impl Drop for Torture {
    fn drop(&mut self) {
        self.run.end();
    }
}

type Shared = Arc<Control>;

/// The files; dropping this ends a torture and removes them.
pub(crate) struct Files {
    _control: File<Shared>,
    _status: File<Shared>,
    _results: File<Shared>,
    _rules: File<()>,
    _stats: File<()>,
}

impl Files {
    /// Creates the files in `torture/` of `dir`. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dir: &Dir) -> Result<Self> {
        let dir = dir.subdir(c"torture")?;
        let shared: Shared = Arc::pin_init(
            pin_init!(Control {
                torture <- new_mutex!(None, "shadow_rmap::torture"),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _control: dir.read_write_file(c"control", shared.clone(), show_usage, start)?,
            _status: dir.read_file(c"status", shared.clone(), show_status)?,
            _results: dir.read_file(c"results", shared, show_results)?,
            _rules: dir.read_file(c"rules", (), |(), text| text.add(rules::show))?,
            _stats: dir.read_file(c"stats", (), |(), text| {
                text.add(stats::show)?;
                text.add(path::show)
            })?,
        })
    }
}

/// Writes the usage of `control`, and a line for each bug.
fn show_usage(_: &Shared, text: &mut Text) -> Result {
    text.add(usage)
}

fn usage(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "usage: bust=none|R12|museum:16|NAME [secs=10] [ops=N] [seed=N] [threads=4] \
         [load=NAME] [protocol=rwsem|spin|preemptible] [mode=random|pct] [depth=3] [stay=128] [fail=64]"
    )?;
    writeln!(
        f,
        "secs and ops: whichever is first; stay: one passage of a window out of N takes longer; \
         fail: one allocation of N fails, 0 for none"
    )?;
    write!(f, "loads:")?;
    for (_, name) in MIXES {
        write!(f, " {name}")?;
    }
    writeln!(f)?;
    for bust in [slice::from_ref(&busted::CORRECT), busted::ALL]
        .into_iter()
        .flatten()
    {
        let rule = bust.rule.map_or("-", Rule::name);
        write!(f, "bust {} {rule}", bust.name)?;
        for number in bust.museum {
            write!(f, " museum:{number}")?;
        }
        write!(f, " protocols=")?;
        show_protocols(bust.under, f)?;
        if !bust.harmless.is_empty() {
            write!(f, " harmless=")?;
            show_protocols(bust.harmless, f)?;
        }
        for (i, oracle) in bust.oracles.iter().enumerate() {
            let sign = if i == 0 { " oracles=" } else { "," };
            write!(f, "{sign}{}", oracle.name())?;
        }
        if bust.inspection {
            write!(f, " inspection")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// Writes the names of protocols, separated by commas.
fn show_protocols(protocols: &[Protocol], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, protocol) in protocols.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(f, "{comma}{}", protocol.name())?;
    }
    Ok(())
}

fn show_status(control: &Shared, text: &mut Text) -> Result {
    let torture = control.torture.lock();
    text.add(|f| match &*torture {
        Some(torture) => run::write_status(&torture.run, f),
        None => writeln!(f, "state: idle"),
    })
}

fn show_results(control: &Shared, text: &mut Text) -> Result {
    let torture = control.torture.lock();
    text.add(|f| match &*torture {
        Some(torture) if torture.run.is_done() => {
            run::write_results(&torture.run, &mut |line| writeln!(f, "{line}"))
        }
        // There are no results before `state: done`.
        _ => Ok(()),
    })
}

/// The longest line that `control` takes.
const LONGEST: usize = 256;

/// The longest time of a torture, in seconds: a week.
const MOST_SECS: u64 = 7 * 24 * 60 * 60;

/// Starts a torture.
fn start(control: &Shared, line: &mut UserSliceReader, _: &mut Text) -> Result {
    let n = line.len();
    if n > LONGEST {
        return Err(EINVAL);
    }
    let mut bytes = KVec::from_elem(0, n, GFP_KERNEL)?;
    line.read_slice(&mut bytes)?;
    let words = core::str::from_utf8(&bytes).map_err(|_| EINVAL)?;
    let plan = parse(words)?;

    let mut torture = control.torture.lock();
    if torture.as_ref().is_some_and(|last| !last.run.is_done()) {
        return Err(EBUSY);
    }
    // Threads that are stuck hold locks for ever: only a reboot helps.
    if let Some(last) = &*torture {
        if last.run.is_stuck() {
            return Err(EBUSY);
        }
    }
    *torture = None;
    let module = ModuleRef::get()?;
    oracle::clear();
    let run = Run::new(plan)?;
    let coordinator = run::start(&run)?;
    let module = if run.is_busted() {
        // Stale pointers may lead into the module from now on, so it cannot be unloaded any more.
        module.keep();
        None
    } else {
        Some(module)
    };
    let theirs = run.clone();
    let monitor = match KThread::spawn(fmt!("shadow_rmap/watch"), move |_| {
        run::watch(&theirs);
        if theirs.is_stuck() {
            // Unloading the module would wait for ever.
            let _ = ModuleRef::get().map(ModuleRef::keep);
        }
    }) {
        Ok(monitor) => monitor,
        Err(error) => {
            run.end();
            return Err(error);
        }
    };
    drop(module);
    *torture = Some(Torture {
        _monitor: monitor,
        _coordinator: coordinator,
        run,
    });
    Ok(())
}

/// Prints why a line is refused.
fn refuse<T>(why: fmt::Arguments<'_>) -> Result<T> {
    if may_warn() {
        pr_warn!("torture: {why}\n");
    }
    Err(EINVAL)
}

/// Parses the number of `key=number`.
fn number(key: &str, value: &str, from: u64, to: u64) -> Result<u64> {
    match value.parse() {
        Ok(n) if n >= from && n <= to => Ok(n),
        _ => refuse(fmt!("{key}={value}: not a number from {from} to {to}")),
    }
}

/// Returns the bug with this rule, number in the museum, or name.
pub(super) fn bust_named(value: &str) -> Option<&'static Bust> {
    if value == busted::CORRECT.name {
        return Some(&busted::CORRECT);
    }
    let mut offered = busted::ALL.iter().filter(|bust| !bust.under.is_empty());
    match value.strip_prefix("museum:") {
        Some(number) => {
            let number = number.parse().ok()?;
            offered.find(|bust| bust.museum.contains(&number))
        }
        None => offered
            .find(|bust| bust.name == value || bust.rule.is_some_and(|rule| rule.name() == value)),
    }
}

/// Parses a line.
pub(super) fn parse(words: &str) -> Result<Plan> {
    let mut chosen = None;
    let (mut protocol, mut mix) = (None, None);
    let (mut seed, mut threads, mut secs, mut ops, mut fail) = (None, 4, 10, 0, 64);
    let mut stay = 128;
    let (mut pct, mut depth) = (false, 3);
    for word in words.split_whitespace() {
        let Some((key, value)) = word.split_once('=') else {
            return refuse(fmt!("{word}: not of the form key=value"));
        };
        match key {
            "bust" => match bust_named(value) {
                Some(bust) => chosen = Some(bust),
                None => {
                    return refuse(fmt!("bust={value}: no such bug; read control for all bugs"))
                }
            },
            "protocol" => match PROTOCOLS.iter().find(|(_, name)| *name == value) {
                Some((found, _)) => protocol = Some(*found),
                None => return refuse(fmt!("protocol={value}: rwsem, spin or preemptible")),
            },
            "load" => match MIXES.iter().find(|(_, name)| *name == value) {
                Some((found, _)) => mix = Some(*found),
                None => {
                    return refuse(fmt!(
                        "load={value}: no such load; read control for all loads"
                    ))
                }
            },
            "mode" => match value {
                "random" => pct = false,
                "pct" => pct = true,
                _ => return refuse(fmt!("mode={value}: random or pct")),
            },
            "seed" => seed = Some(number(key, value, 0, u64::MAX)?),
            "threads" => threads = number(key, value, 1, MOST_THREADS as u64 - 1)? as usize,
            "secs" => secs = number(key, value, 1, MOST_SECS)?,
            "ops" => ops = number(key, value, 0, u64::MAX)? as usize,
            "fail" => fail = number(key, value, 0, u32::MAX.into())? as usize,
            "stay" => stay = number(key, value, 1, u32::MAX.into())? as usize,
            "depth" => depth = number(key, value, 1, MOST_STEPS as u64)? as usize,
            _ => return refuse(fmt!("{key}: no such key; read control for the usage")),
        }
    }
    let Some(bust) = chosen else {
        return refuse(fmt!("bust= is missing; bust=none breaks no rule"));
    };
    let under = match protocol {
        Some(wanted) => [bust.under, bust.harmless]
            .into_iter()
            .flatten()
            .copied()
            .find(|protocol| *protocol == wanted),
        None => bust.under.first().copied(),
    };
    let Some(protocol) = under else {
        return refuse(fmt!("{} is not offered under that protocol", bust.name));
    };
    Ok(Plan {
        bust,
        mix: mix.unwrap_or(bust.mix),
        protocol,
        mode: if pct {
            Mode::Priorities(depth)
        } else {
            Mode::Random
        },
        seed: seed.unwrap_or_else(Random::any_seed),
        threads,
        secs,
        ops,
        stay,
        fail,
        hangs: HANGS,
    })
}
