// SPDX-License-Identifier: GPL-2.0

//! Lasting references on pages: `vmsplice()` puts them into a pipe without a copy.

use super::memory::{expect, pages};
use super::protocol::{Answer, PAGE_SIZE};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsRawFd, OwnedFd};

/// The pages that a process has pinned.
#[derive(Default)]
pub(super) struct Pins(Vec<Pin>);

/// The pages of one `pin`.
struct Pin {
    reader: OwnedFd,
    _writer: OwnedFd,
    pages: Vec<u64>,
}

impl Pins {
    /// Holds a reference on each page. A pipe has one byte of each, which is the page's own memory.
    pub(super) fn pin(&mut self, base: u64, runs: &[(u64, u64)]) -> Result<Answer> {
        let pages: Vec<u64> = pages(runs).collect();
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let room = i32::try_from(pages.len() as u64 * PAGE_SIZE).context("too many pages")?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(room)).context("F_SETPIPE_SZ")?;
        for page in &pages {
            let byte = libc::iovec {
                iov_base: (base + page * PAGE_SIZE) as *mut libc::c_void,
                iov_len: 1,
            };
            // SAFETY: The kernel reads the address, and refuses one that is not accessible.
            let spliced = unsafe { libc::vmsplice(writer.as_raw_fd(), &byte, 1, 0) };
            Errno::result(spliced).with_context(|| format!("vmsplice of page {page}"))?;
        }
        self.0.push(Pin {
            reader,
            _writer: writer,
            pages,
        });
        Ok(Answer::Done)
    }

    /// Releases all references; each page must begin with `byte`.
    pub(super) fn unpin(&mut self, byte: Option<u8>) -> Result<Answer> {
        if self.0.is_empty() {
            bail!("no page is pinned");
        }
        for pin in self.0.drain(..) {
            // Reading releases the references, even if a child has the pipe as well.
            let mut found = vec![0; pin.pages.len()];
            let length = read(&pin.reader, &mut found).context("read of pinned pages")?;
            if length != found.len() {
                bail!("{length} of {} pinned pages could be read", found.len());
            }
            for (page, found) in pin.pages.into_iter().zip(found) {
                expect(page, found, byte)?;
            }
        }
        Ok(Answer::Done)
    }
}
