// SPDX-License-Identifier: GPL-2.0

//! Requests of the controller and answers of the workers.

use crate::scenario::Prot;
use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsRawFd, RawFd};

/// The signal that announces a request to a worker.
pub const DOORBELL: Signal = Signal::SIGUSR1;
/// The most bytes of a request or reply: a pipe writes at most this much atomically.
pub const MAX_MESSAGE: usize = libc::PIPE_BUF;
/// The most runs of pages in one request; more might exceed [`MAX_MESSAGE`].
pub const MAX_RUNS: usize = 100;

/// The page size of x86-64, the only architecture of the module.
pub const PAGE_SIZE: u64 = 4096;

/// Runs of pages: the first page and the number of pages of each.
pub type Runs = Vec<(u64, u64)>;

/// A call that changes or uses the memory of one process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Call {
    /// Map the device, at address `at` or anywhere; replies with the address. `prot` as for
    /// `Protect`.
    Map {
        pages: u64,
        pgoff: u64,
        prot: u8,
        at: Option<u64>,
    },
    /// Write `byte` to the first byte of each page.
    Write { base: u64, runs: Runs, byte: u8 },
    /// Read the first byte of each page and compare.
    Read {
        base: u64,
        runs: Runs,
        byte: Option<u8>,
    },
    /// mprotect; `prot` is 0 for none, 1 for read, 2 for read and write.
    Protect { base: u64, runs: Runs, prot: u8 },
    /// munmap; `reserve` keeps the addresses from other mappings.
    Unmap {
        base: u64,
        runs: Runs,
        reserve: bool,
    },
    /// madvise with this advice.
    Advise { base: u64, runs: Runs, advice: i32 },
    /// mlock, or munlock.
    Lock { base: u64, runs: Runs, lock: bool },
    /// mseal.
    Seal { base: u64, runs: Runs },
    /// Write `byte` to the first byte of each page of process `pid`; `force` by /proc/PID/mem.
    Poke {
        pid: i32,
        base: u64,
        runs: Runs,
        byte: u8,
        force: bool,
    },
    /// mremap, to address `onto` or anywhere; replies with the new address. `keep` leaves the old
    /// place mapped; `reserve` keeps its addresses from other mappings if it is not mapped.
    Move {
        address: u64,
        old: u64,
        new: u64,
        onto: Option<u64>,
        keep: bool,
        reserve: bool,
    },
}

/// A request to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Make a call.
    Call(Call),
    /// Make a call, or fork under this name; the nth allocation fails. Replies with
    /// [`Answer::Injected`].
    Fail { nth: u64, request: Box<Request> },
    /// Start a thread, which makes the call together with the next request.
    Thread { name: String, call: Call },
    /// Wait for a thread; replies with its answer.
    Wait { name: String },
    /// Hold a reference on each page, until `Unpin`.
    Pin { base: u64, runs: Runs },
    /// Release these references; each page must begin with `byte`.
    Unpin { byte: Option<u8> },
    /// fork; parent and child reply.
    Fork { name: String },
    /// Wait for a child that has ended; replies with its [`Ending`].
    Reap { pid: i32 },
    /// execve; the new program replies.
    Exec { name: String },
    /// Exit; there is no reply.
    Exit,
}

/// The answer of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The request succeeded.
    Done,
    /// The request succeeded; the mapping is at this address.
    Address(u64),
    /// The pid of the forked child.
    Child(i32),
    /// How a child has ended.
    Ended(Ending),
    /// The request failed with this number; the text says why.
    Failed(Option<i32>, String),
    /// The answer to a request, and whether an allocation has failed in it.
    Injected { failed: bool, answer: Box<Answer> },
}

impl Answer {
    /// Makes an answer of a result.
    pub fn from_result(result: Result<Answer>) -> Self {
        result.unwrap_or_else(|error| {
            let number = error.downcast_ref::<Errno>().map(|errno| *errno as i32);
            Answer::Failed(number, format!("{error:#}"))
        })
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ending {
    /// Converts the status that `waitpid` returns for an ended process.
    pub fn from_wait(status: WaitStatus) -> Result<Self> {
        match status {
            WaitStatus::Exited(_, code) => Ok(Ending::Exited(code)),
            WaitStatus::Signaled(_, signal, _) => Ok(Ending::Killed(signal as i32)),
            other => bail!("waitpid returned {other:?}"),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited with status {code}"),
            Ending::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
        }
    }
}

/// An answer with the pid of its worker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The worker.
    pub pid: i32,
    /// Its answer.
    pub answer: Answer,
}

/// The descriptors that every worker inherits.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Inherited {
    /// The device
    #[arg(long)]
    pub device: RawFd,
    /// The pipe of requests
    #[arg(long)]
    pub requests: RawFd,
    /// The pipe of replies
    #[arg(long)]
    pub replies: RawFd,
}

/// Encodes a protection for [`Request::Protect`].
pub fn encode_prot(prot: Prot) -> u8 {
    match prot {
        Prot::None => 0,
        Prot::Read => 1,
        Prot::ReadWrite => 2,
    }
}

impl Inherited {
    /// Names the descriptors that the controller passes to the first worker.
    pub fn new(device: &impl AsRawFd, requests: &impl AsRawFd, replies: &impl AsRawFd) -> Self {
        Self {
            device: device.as_raw_fd(),
            requests: requests.as_raw_fd(),
            replies: replies.as_raw_fd(),
        }
    }
}
