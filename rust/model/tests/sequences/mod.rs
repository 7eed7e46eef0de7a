// SPDX-License-Identifier: GPL-2.0

//! Random sequences of steps, done by the model and by the [reference](super::reference), which
//! must agree after each step.
//!
//! Compared are: the VMAs; the content of all pages; which PTEs map the same page; where each page
//! leads, and its mapcount; the chain of each VMA, in order, and its `->anon_vma`; the relatives
//! and the three counts of each anon_vma; the number of objects of each kind. Model and reference
//! have different names for an anon_vma or a page; they become a pair when they are first compared,
//! until both are gone.
//!
//! A sequence is a number. It is printed, and `insmod shadow_rmap_kunit.ko seed=N` repeats it.

mod choose;
mod compare;
mod pair;
mod tests;

use super::reference::{
    Id,
    Reached, //
};
use crate::{
    kernel_ext::random::Random,
    model::{
        verify::Live,
        Modelled, //
    },
};
use choose::Chooser;
use kernel::{
    alloc::AllocError,
    fmt,
    prelude::*, //
};
use pair::Pair;

/// Pages of each address space.
const SIZE: usize = 48;
/// The most address spaces at a time.
const MMS: usize = 8;
/// No VMAs are added to an address space that has this many.
const AREAS: usize = 28;
/// Steps between two verifications.
const VERIFIED: usize = 100;

/// A step, which the model and the reference do. Addresses are in pages.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        /// Whether VMAs may share any neighbour's anon_vma, as in April 2010 (R25).
        shared: bool,
    },
    Exit {
        mm: usize,
    },
    Fork {
        mm: usize,
    },
    Map {
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    },
    Unmap {
        mm: usize,
        first: usize,
        pages: usize,
    },
    Protect {
        mm: usize,
        first: usize,
        pages: usize,
        write: bool,
    },
    Grow {
        mm: usize,
        address: usize,
        pages: usize,
    },
    Move {
        mm: usize,
        old: usize,
        pages: usize,
        new: usize,
        keep: bool,
    },
    Shift {
        mm: usize,
        address: usize,
        pages: usize,
    },
    Discard {
        mm: usize,
        first: usize,
        pages: usize,
    },
    Read {
        mm: usize,
        address: usize,
        word: usize,
    },
    Write {
        mm: usize,
        address: usize,
        word: usize,
        value: u64,
    },
    SwapOut {
        mm: usize,
        address: usize,
        freed: bool,
    },
    Unuse {
        mm: usize,
        address: usize,
    },
    Migrate {
        mm: usize,
        address: usize,
    },
}

/// The first difference.
#[derive(Clone, Copy)]
struct Difference {
    what: &'static str,
    mm: usize,
    /// An address, or the position in a list.
    at: usize,
    is: i64,
    should_be: i64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "mm {}, at {}: {} is {}, should be {}",
            self.mm,
            self.at,
            self.what,
            self.is,
            self.should_be
        ))
    }
}

/// Why a sequence ended early.
enum Stop {
    /// The reference failed.
    Error(Error),
    /// Model and reference differ.
    Differs(Difference),
    /// They agree, and the verifier has found a violation, which it has printed.
    Unclean,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<AllocError> for Stop {
    fn from(error: AllocError) -> Self {
        Self::Error(error.into())
    }
}

/// A place at which values are compared.
struct Place {
    mm: usize,
    at: usize,
}

impl Place {
    fn same(&self, what: &'static str, is: u64, should_be: u64) -> Result<(), Stop> {
        if is == should_be {
            return Ok(());
        }
        Err(Stop::Differs(Difference {
            what,
            mm: self.mm,
            at: self.at,
            is: is as i64,
            should_be: should_be as i64,
        }))
    }

    fn size(&self, what: &'static str, is: usize, should_be: usize) -> Result<(), Stop> {
        self.same(what, is as u64, should_be as u64)
    }

    /// Compares an object of the model with the one that `id` stands for; 0 is none.
    fn name(
        &self,
        what: &'static str,
        names: &mut Names,
        name: u64,
        id: Option<Id>,
    ) -> Result<(), Stop> {
        let id = id.unwrap_or(0);
        match (name, id) {
            (0, 0) => Ok(()),
            (0, _) | (_, 0) => self.size(what, names.id(name), id),
            _ if names.match_up(name, id)? => Ok(()),
            // Numbers of the reference are printed.
            _ => self.size(what, names.id(name), id),
        }
    }
}

/// Pairs of a number of the reference and the object of the model that it stands for, in order of
/// the numbers.
struct Names(KVVec<(Id, u64)>);

impl Names {
    /// Returns the number of an object, 0 if it has none.
    fn id(&self, name: u64) -> Id {
        let found = self.0.iter().find(|&&(_, known)| known == name);
        found.map_or(0, |&(id, _)| id)
    }

    /// Returns whether both are a pair. If neither is in a pair, they become one.
    fn match_up(&mut self, name: u64, id: Id) -> Result<bool> {
        match self.0.binary_search_by_key(&id, |&(id, _)| id) {
            Ok(at) => Ok(self.0.get(at).is_some_and(|&(_, known)| known == name)),
            Err(_) if self.id(name) != 0 => Ok(false),
            Err(at) => {
                self.0.reserve(1, GFP_KERNEL)?;
                let inserted = self.0.insert_within_capacity(at, (id, name));
                inserted.map_err(|_| EINVAL)?;
                Ok(true)
            }
        }
    }

    /// Removes the pairs whose number is not in the list `living`, which is in order of `id`.
    fn keep_only<T>(&mut self, living: &[T], id: impl Fn(&T) -> Id) {
        self.0
            .retain(|&mut (known, _)| living.binary_search_by_key(&known, &id).is_ok());
    }
}

/// How a sequence ended.
#[derive(Clone, Copy)]
struct Report {
    /// Steps that were done.
    steps: usize,
    /// Whether model and reference agreed to the end.
    agreed: bool,
}

/// A sequence.
#[derive(Clone, Copy)]
struct Plan {
    /// Its number.
    seed: u64,
    /// So many steps, and those of a merge that has begun.
    steps: usize,
    /// Whether they must agree: then the verifier runs as well, and the first difference is
    /// printed.
    must_agree: bool,
}

impl Plan {
    /// Does the sequence, up to the first difference.
    fn carry_out<R: Modelled>(&self, pair: &mut Pair<R>) -> Result<Report> {
        let mut random = Random::new(self.seed);
        let mut report = Report {
            steps: 0,
            agreed: true,
        };
        while report.steps < self.steps {
            let steps = Chooser {
                random: &mut random,
                reference: &pair.reference,
                // By the rules of 2010 every other time.
                shared: self.seed % 2 == 0,
            }
            .steps();
            for step in steps.into_iter().flatten() {
                report.steps += 1;
                let mut stopped = pair.step(step);
                if self.must_agree && report.steps % VERIFIED == 0 && stopped.is_ok() {
                    stopped = pair.verified();
                }
                if let Err(stop) = stopped {
                    self.print(&report, step, &stop)?;
                    report.agreed = false;
                    return Ok(report);
                }
            }
        }
        if self.must_agree {
            report.agreed = pair.verified().is_ok();
        }
        Ok(report)
    }

    fn print(&self, report: &Report, step: Step, stop: &Stop) -> Result {
        let (seed, n) = (self.seed, report.steps);
        match stop {
            Stop::Error(error) => return Err(*error),
            Stop::Differs(difference) if self.must_agree => {
                pr_err!("reference: seed {seed}, step {n}: {step:?}: {difference}\n");
            }
            Stop::Unclean => {
                pr_err!("reference: seed {seed}, step {n}: {step:?}: a rule does not hold\n");
            }
            Stop::Differs(_) => {}
        }
        Ok(())
    }
}
