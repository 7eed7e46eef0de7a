// SPDX-License-Identifier: GPL-2.0

//! A check: the shadow of live mappings is verified, and compared with the host.

pub(crate) use super::graphs::take;

use super::{
    file::OpenFile,
    registry::Registry,
    violations::{
        NewOnes,
        Reported, //
    }, //
};
use crate::{
    kernel_ext::log::may_warn,
    rmap::rules,
    snapshot::{
        compare::{
            compare,
            Line,
            Outcome, //
        },
        verify::verify, //
    },
    stats,
};
use kernel::{
    fmt,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Number of the verifier's looks at each rule, since the module was loaded.
static LOOKS: [Atomic<usize>; rules::ALL.len()] = [const { Atomic::new(0) }; rules::ALL.len()];

/// Number of the verifier's looks at properties that no rule is about.
static STRUCTURE_LOOKS: Atomic<usize> = Atomic::new(0);

/// Number of violations of each rule that these looks have found.
static FOUND: [Atomic<usize>; rules::ALL.len()] = [const { Atomic::new(0) }; rules::ALL.len()];

/// Number of violations of properties that no rule is about.
static DAMAGES: Atomic<usize> = Atomic::new(0);

/// Prints the numbers of looks, and of the violations that they have found, as `key: value` lines.
pub(crate) fn show_looks(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let structure = STRUCTURE_LOOKS.load(Relaxed);
    let rules: usize = LOOKS.iter().map(|looks| looks.load(Relaxed)).sum();
    writeln!(f, "violations: {}", all_violations())?;
    writeln!(f, "structure_violations: {}", DAMAGES.load(Relaxed))?;
    writeln!(f, "verifier_looks: {}", rules + structure)?;
    writeln!(f, "verifier_looks_structure: {structure}")?;
    for (key, numbers) in [("looks", &LOOKS), ("violations", &FOUND)] {
        for ((_, name, _), number) in rules::ALL.iter().zip(numbers) {
            let number = number.load(Relaxed);
            if number > 0 {
                writeln!(f, "verifier_{key}_{name}: {number}")?;
            }
        }
    }
    Ok(())
}

/// Returns how many violations of rules and of the structure there were since the module was loaded.
fn all_violations() -> usize {
    rules::violations() + DAMAGES.load(Relaxed)
}

/// Returns the result of a check in the order of `struct shadow_rmap_check`.
pub(crate) fn as_array(outcome: &Outcome) -> [u64; 7] {
    [
        outcome.vmas,
        outcome.anon_vmas,
        outcome.chains,
        outcome.pages,
        outcome.untracked,
        outcome.violations,
        outcome.differences,
    ]
    .map(|count| count as u64)
}

/// The result of a check, which counts as delivered once its reader has it.
pub(crate) struct Checked<'a> {
    /// The result.
    pub(crate) outcome: Outcome,
    news: NewOnes<'a>,
}

impl Checked<'_> {
    /// Notes that the reader has the result. Without this call the next check of the reader counts
    /// the violations again that the engine has found.
    pub(crate) fn delivered(self) {
        self.news.delivered();
    }
}

/// Verifies the shadow of all mappings of `files`, and compares it with the host. Sleeps.
///
/// Calls `line` for each line of the report. The last line is missing: it is the result. Lines about
/// differences and violations go to the kernel log as well, as many as [`may_warn`] permits: the caller
/// may want the numbers only, and the next check compares a later state.
///
/// The violations of the result are those that this check finds in the graph of the shadow, and those
/// that the engine has found at events since those that were `reported` to this reader.
///
/// # Errors
///
/// `ENOMEM`; `EINTR` if the caller is being killed; `EAGAIN` if new address spaces do not end,
/// or migration does not.
pub(crate) fn check<'a>(
    registry: &Registry,
    files: &[Arc<OpenFile>],
    reported: &'a Reported,
    line: &mut Line<'_>,
) -> Result<Checked<'a>> {
    stats::CHECKS.inc();
    let mut line = |differs: bool, text: fmt::Arguments<'_>| {
        if differs && may_warn() {
            pr_warn!("check: {text}\n");
        }
        line(differs, text);
    };
    let mut pair = take(registry, files)?;
    pair.retry_untracked(files)?;
    let mut found = 0;
    let looks = verify(&pair.shadow, &mut |_, rule, what| {
        found += 1;
        match rule {
            Some(rule) => {
                registry.verified.lock().add(rule);
                if let Some(found) = FOUND.get(rule as usize) {
                    found.fetch_add(1, Relaxed);
                }
                line(true, fmt!("violation of {}: {what}", rule.name()));
            }
            None => {
                DAMAGES.fetch_add(1, Relaxed);
                line(true, fmt!("violation of the structure: {what}"));
            }
        }
    })?;
    for ((rule, ..), total) in rules::ALL.iter().zip(&LOOKS) {
        total.fetch_add(looks.at(Some(*rule)), Relaxed);
    }
    STRUCTURE_LOOKS.fetch_add(looks.at(None), Relaxed);
    let mut outcome = compare(&pair.shadow, &pair.host, &mut line)?;
    for file in files {
        let numbers = &file.numbers;
        for (n, what) in [
            (
                numbers.unannounced(),
                "calls for VMAs that it has copied without calling open",
            ),
            (
                numbers.unclosed(),
                "VMAs that it has removed without calling close",
            ),
            (
                numbers.against_rules(),
                "VMAs are gone that it had forked or merged against the rules (R24, R26)",
            ),
        ] {
            if n > 0 {
                line(true, fmt!("host: {n} {what}"));
                outcome.differences += 1;
            }
        }
    }
    let untracked = files.iter().map(|file| file.untracked_now()).sum();
    outcome.untracked = outcome.untracked.max(untracked);
    outcome.ambiguous = files.iter().map(|file| file.ambiguous.load(Relaxed)).sum();
    let news = reported.take(&registry.verified.lock());
    outcome.violations = found + news.number();
    Ok(Checked { outcome, news })
}
