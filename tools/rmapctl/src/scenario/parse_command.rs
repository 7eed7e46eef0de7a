// SPDX-License-Identifier: GPL-2.0

//! Parses the commands that a process executes.

use super::words::{Words, byte, check_name};
use super::{Destination, MAX_PAGES, MAX_TREE, Place, Prot, Range, Step, Target};

/// Parses the command `keyword`; [`None`] if there is no such command.
pub(super) fn command(keyword: &str, words: &mut Words<'_>) -> Result<Option<Step>, String> {
    let step = match keyword {
        "map" => map(words)?,
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
        "advise" => Step::Advise {
            target: words.target()?,
            advice: words.next("an advice")?.parse()?,
        },
        "lock" => Step::Lock {
            target: words.target()?,
        },
        "unlock" => Step::Unlock {
            target: words.target()?,
        },
        "seal" => Step::Seal {
            target: words.target()?,
        },
        "poke" => {
            let writer = words.name("the process that writes")?;
            let target = words.target()?;
            let force = words.keyword("force");
            let byte = match force {
                true => None,
                false => words.optional(byte)?,
            };
            Step::Poke {
                writer,
                target,
                byte,
                force: force || words.keyword("force"),
            }
        }
        "pin" => Step::Pin {
            target: words.target()?,
        },
        "unpin" => Step::Unpin {
            process: words.name("a process")?,
            byte: words.optional(byte)?,
        },
        "move" => relocate(words)?,
        "tree" => tree(words)?,
        _ => return Ok(None),
    };
    Ok(Some(step))
}

fn pages(number: u64) -> Result<u64, String> {
    match number {
        1..=MAX_PAGES => Ok(number),
        _ => Err(format!(
            "a mapping has 1 to {MAX_PAGES} pages, not {number}"
        )),
    }
}

fn place(words: &mut Words<'_>) -> Result<Place, String> {
    Ok(Place {
        mapping: words.name("a mapping")?,
        page: words.number("a page")?,
    })
}

fn map(words: &mut Words<'_>) -> Result<Step, String> {
    let process = words.name("a process")?;
    let mapping = words.name("a mapping")?;
    let pages = pages(words.number("a number of pages")?)?;
    let prot = match (words.keyword("ro"), words.keyword("none")) {
        (false, false) => Prot::ReadWrite,
        (true, false) => Prot::Read,
        (false, true) => Prot::None,
        (true, true) => return Err("a mapping is either `ro` or `none`".to_owned()),
    };
    let over = match words.keyword("over") {
        true => Some(place(words)?),
        false => None,
    };
    let pgoff = match words.keyword("at") {
        true => words.number("a page offset")?,
        false => 0,
    };
    Ok(Step::Map {
        process,
        mapping,
        pages,
        prot,
        over,
        pgoff,
    })
}

fn relocate(words: &mut Words<'_>) -> Result<Step, String> {
    let target = words.target()?;
    let size = match words.keyword("to") {
        true => Some(pages(words.number("a number of pages")?)?),
        false => None,
    };
    let to = if words.keyword("as") {
        Destination::As(words.name("a new mapping")?)
    } else if words.keyword("onto") {
        Destination::Onto(place(words)?)
    } else {
        Destination::Elsewhere
    };
    let keep = words.keyword("keep");
    if keep && (to == Destination::Elsewhere || size.is_some()) {
        return Err(
            "what `keep` leaves behind has the old name and the old size: \
             `move P M RANGE as NAME keep`, or `onto M PAGE keep`"
                .to_owned(),
        );
    }
    if matches!(target.range, Range::Stride(..)) {
        return Err("`A..B/S` cannot be moved: move each page by itself".to_owned());
    }
    if to == Destination::Elsewhere && target.range != Range::All {
        return Err(
            "a part of a mapping moves under a new name: `move P M RANGE as NAME`".to_owned(),
        );
    }
    Ok(Step::Move {
        target,
        pages: size,
        to,
        keep,
    })
}

fn tree(words: &mut Words<'_>) -> Result<Step, String> {
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
    Ok(Step::Tree {
        target: Target {
            process,
            mapping,
            range,
        },
        depth,
        children,
        byte,
    })
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
