// SPDX-License-Identifier: GPL-2.0

//! Parses one line of a scenario into a [`Step`].

use super::parse_command::command;
use super::words::{Words, environment};
use super::{Mode, Range, Step};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::str::FromStr;

/// Beyond the numbers of all errors that user space sees.
const MAX_ERRNO: i32 = 134;

impl Step {
    /// Parses one line whose counters are already replaced.
    pub fn parse(line: &str) -> Result<Step, String> {
        let (keyword, rest) = match line.split_once(char::is_whitespace) {
            Some((keyword, rest)) => (keyword, rest.trim()),
            None => (line, ""),
        };
        if keyword == "print" {
            return Ok(Step::Print(rest.to_owned()));
        }
        let mut words = Words::new(keyword, rest);
        if let Some(step) = command(keyword, &mut words)? {
            words.end()?;
            return Ok(step);
        }
        let step = match keyword {
            "dies" => {
                let word = words.next("a signal")?;
                let signal = Signal::from_str(word)
                    .map_err(|_| format!("`{word}` is not a signal such as SIGSEGV"))?;
                Step::Dies {
                    signal,
                    touch: one_command(&words.take_rest(), "dies SIGNAL", |step| {
                        matches!(step, Step::Touch { .. })
                    })?,
                }
            }
            "refused" => {
                let word = words.next("an errno")?;
                let errno = (1..MAX_ERRNO)
                    .map(Errno::from_raw)
                    .find(|errno| format!("{errno:?}") == word)
                    .ok_or_else(|| format!("`{word}` is not an errno such as EPERM"))?;
                Step::Refused {
                    errno,
                    command: one_command(&words.take_rest(), "refused ERRNO", is_one_call)?,
                }
            }
            "fail" => {
                let after = words.number("a number of allocations")?;
                Step::Fail {
                    after,
                    command: one_command(&words.take_rest(), "fail N", |step| {
                        is_one_call(step) || matches!(step, Step::Fork { .. } | Step::Touch { .. })
                    })?,
                }
            }
            "thread" => Step::Thread {
                thread: words.name("the name of a thread")?,
                command: one_command(&words.take_rest(), "thread T", is_of_thread)?,
            },
            "wait" => {
                let mut threads = Vec::new();
                while !words.is_empty() {
                    threads.push(words.name("the name of a thread")?);
                }
                Step::Wait { threads }
            }
            "mode" => match words.next("pinned")? {
                "pinned" => Step::Mode(Mode::Pinned),
                "mergeable" => Step::Mode(Mode::Mergeable),
                other => {
                    return Err(format!("a mode is pinned or mergeable, not `{other}`"));
                }
            },
            "check" => match words.keyword("every") {
                true if words.keyword("off") => Step::CheckEvery(None),
                true => match words.number("a number of steps, or off")? {
                    0 => {
                        return Err(
                            "`check every 0`: write `check every off` to stop the checks"
                                .to_owned(),
                        );
                    }
                    n => Step::CheckEvery(Some(n)),
                },
                false => Step::Check(words.conditions()?),
            },
            "expect" => match words.conditions()? {
                conditions if conditions.is_empty() => {
                    return Err("expected a condition such as vmas=3".to_owned());
                }
                conditions => Step::Expect(conditions),
            },
            "show" => Step::Show,
            "compare" => Step::Compare,
            "rules" => Step::Rules,
            "save" => {
                let name = words.next("the name of a debugfs file")?;
                if name.starts_with('/') || name.split('/').any(|part| part == "..") {
                    return Err(format!("`{name}` is not the name of a debugfs file"));
                }
                let name = name.to_owned();
                let path = environment(&words.take_rest())?;
                if path.is_empty() {
                    return Err("expected a path to save to".to_owned());
                }
                Step::Save { name, path }
            }
            other => {
                return Err(format!(
                    "`{other}` is not a command; `rmapctl run --help` lists them"
                ));
            }
        };
        words.end()?;
        Ok(step)
    }
}

/// Parses the command that follows `dies`, `refused`, `fail` or `thread`.
fn one_command(text: &str, word: &str, fits: fn(&Step) -> bool) -> Result<Box<Step>, String> {
    // None of these follows another. This is said first: a line may be long.
    let first = text.split_whitespace().next();
    if let Some(prefix @ ("dies" | "refused" | "fail" | "thread")) = first {
        return Err(format!("`{prefix} ...` cannot follow `{word}`"));
    }
    let step = Step::parse(text)?;
    match fits(&step) {
        true => Ok(Box::new(step)),
        false => Err(format!("`{step}` cannot follow `{word}`")),
    }
}

/// Returns whether a command is one system call of one process.
fn is_one_call(step: &Step) -> bool {
    match step {
        Step::Map { .. } => true,
        Step::Protect { target, .. }
        | Step::Unmap { target }
        | Step::Dontneed { target }
        | Step::Advise { target, .. }
        | Step::Lock { target }
        | Step::Unlock { target }
        | Step::Seal { target }
        | Step::Pin { target }
        | Step::Poke { target, .. }
        | Step::Move { target, .. } => !matches!(target.range, Range::Stride(..)),
        _ => false,
    }
}

/// Returns whether a thread can execute a command: it changes no addresses that others need.
fn is_of_thread(step: &Step) -> bool {
    matches!(
        step,
        Step::Touch { .. }
            | Step::Protect { .. }
            | Step::Unmap { .. }
            | Step::Dontneed { .. }
            | Step::Advise { .. }
            | Step::Lock { .. }
            | Step::Unlock { .. }
    )
}
