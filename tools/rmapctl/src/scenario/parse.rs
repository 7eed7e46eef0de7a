// SPDX-License-Identifier: GPL-2.0

//! Parses one line of a scenario into a [`Step`].

use super::words::{Words, byte, check_name, environment};
use super::{MAX_PAGES, MAX_TREE, Mode, Prot, Range, Step, Target};
use nix::sys::signal::Signal;
use std::str::FromStr;

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
        let step = match keyword {
            "map" => {
                let process = words.name("a process")?;
                let mapping = words.name("a mapping")?;
                let pages = words.number("a number of pages")?;
                if pages == 0 || pages > MAX_PAGES {
                    return Err(format!("a mapping has 1 to {MAX_PAGES} pages, not {pages}"));
                }
                let pgoff = match words.keyword("at") {
                    true => words.number("a page offset")?,
                    false => 0,
                };
                Step::Map {
                    process,
                    mapping,
                    pages,
                    pgoff,
                }
            }
            "touch" => {
                let target = words.target()?;
                let write = words.keyword("write") || !words.keyword("read");
                let byte = words.optional(byte)?;
                Step::Touch {
                    target,
                    write,
                    byte,
                }
            }
            "fork" => {
                let process = words.name("a process")?;
                let mut children = vec![words.name("the name of a child")?];
                while !words.is_empty() {
                    children.push(words.name("the name of a child")?);
                }
                Step::Fork { process, children }
            }
            "exit" => {
                let mut processes = Vec::new();
                while processes.is_empty() || !words.is_empty() {
                    let word = words.next("a process")?;
                    match word.strip_suffix('*') {
                        Some("") => {}
                        Some(stem) => check_name(stem)?,
                        None => check_name(word)?,
                    }
                    processes.push(word.to_owned());
                }
                Step::Exit { processes }
            }
            "exec" => Step::Exec {
                process: words.name("a process")?,
            },
            "protect" => {
                let target = words.target()?;
                let prot = match words.next("rw, r or none")? {
                    "rw" => Prot::ReadWrite,
                    "r" => Prot::Read,
                    "none" => Prot::None,
                    other => return Err(format!("a protection is rw, r or none, not `{other}`")),
                };
                Step::Protect { target, prot }
            }
            "unmap" => Step::Unmap {
                target: words.target()?,
            },
            "dontneed" => Step::Dontneed {
                target: words.target()?,
            },
            "move" => {
                let target = words.target()?;
                let pages = match words.keyword("to") {
                    true => Some(words.number("a number of pages")?),
                    false => None,
                };
                let name = match words.keyword("as") {
                    true => Some(words.name("a new mapping")?),
                    false => None,
                };
                let keep = words.keyword("keep");
                if keep && (name.is_none() || pages.is_some()) {
                    return Err(
                        "what `keep` leaves behind has the old name and the old size: \
                         `move P M RANGE as NAME keep`"
                            .to_owned(),
                    );
                }
                if pages.is_some_and(|n| n == 0 || n > MAX_PAGES) {
                    return Err(format!("a mapping has 1 to {MAX_PAGES} pages"));
                }
                if matches!(target.range, Range::Stride(..)) {
                    return Err("`A..B/S` cannot be moved: move each page by itself".to_owned());
                }
                if name.is_none() && target.range != Range::All {
                    return Err(
                        "a part of a mapping moves under a new name: `move P M RANGE as NAME`"
                            .to_owned(),
                    );
                }
                Step::Move {
                    target,
                    pages,
                    name,
                    keep,
                }
            }
            "tree" => {
                let process = words.name("a process")?;
                let depth = words.number("a depth")?;
                let children = words.number("a number of children")?;
                let word = words.next("write")?;
                if word != "write" {
                    return Err(format!("expected `write`, found `{word}`"));
                }
                let mapping = words.name("a mapping")?;
                let range = words.range()?;
                let byte = words.optional(byte)?.unwrap_or(1);
                if tree_size(depth, children).is_none_or(|n| n == 0 || n > MAX_TREE) {
                    return Err(format!("a tree makes 1 to {MAX_TREE} processes"));
                }
                Step::Tree {
                    target: Target {
                        process,
                        mapping,
                        range,
                    },
                    depth,
                    children,
                    byte,
                }
            }
            "dies" => {
                let word = words.next("a signal")?;
                let signal = Signal::from_str(word)
                    .map_err(|_| format!("`{word}` is not a signal such as SIGSEGV"))?;
                let touch = Step::parse(&words.take_rest())?;
                if !matches!(touch, Step::Touch { .. }) {
                    return Err("`dies SIGNAL` is followed by `touch ...`".to_owned());
                }
                Step::Dies {
                    signal,
                    touch: Box::new(touch),
                }
            }
            "mode" => match words.next("pinned")? {
                "pinned" => Step::Mode(Mode::Pinned),
                "mergeable" => Step::Mode(Mode::Mergeable),
                other => {
                    return Err(format!("the mode is pinned, not `{other}`"));
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

/// Returns the number of processes that a `tree` makes, or [`None`] if it is above [`MAX_TREE`].
fn tree_size(depth: u64, children: u64) -> Option<u64> {
    let mut total = 0u64;
    let mut level = 1u64;
    for _ in 0..depth.min(MAX_TREE + 1) {
        level = level.checked_mul(children)?;
        total = total.checked_add(level)?;
        if total > MAX_TREE {
            return None;
        }
    }
    Some(total)
}
