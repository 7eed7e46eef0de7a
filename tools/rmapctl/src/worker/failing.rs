// SPDX-License-Identifier: GPL-2.0

//! Lets one allocation of a call fail, by the kernel's fault injection.

use super::protocol::Answer;
use anyhow::{Context, Result};
use nix::unistd::getpid;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The number of the allocation of this thread that fails next; 0: none does.
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

/// Runs `call`, whose `nth` allocation fails.
///
/// # Errors
///
/// The kernel cannot do that. A failure of `call` is part of the answer.
pub(super) fn failing(nth: u64, call: impl FnOnce() -> Result<Answer>) -> Result<Answer> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(FAIL_NTH)
        .with_context(|| format!("{FAIL_NTH} (the kernel needs CONFIG_FAILSLAB)"))?;
    let set = |nth: u64| file.write_all_at(nth.to_string().as_bytes(), 0);
    set(nth).context(FAIL_NTH)?;
    let caller = getpid();
    let answer = Answer::from_result(call());
    if getpid() != caller {
        // The child of a fork; the file is about its parent.
        return Ok(answer);
    }
    let mut left = [0; 32];
    let length = file.read_at(&mut left, 0);
    set(0).context(FAIL_NTH)?;
    let left = left.get(..length.context(FAIL_NTH)?).unwrap_or_default();
    Ok(Answer::Injected {
        failed: left.trim_ascii() == b"0",
        answer: Box::new(answer),
    })
}
