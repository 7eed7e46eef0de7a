// SPDX-License-Identifier: GPL-2.0

//! Reads keys from the terminal.
//!
//! The reader of crossterm needs sockets, which the kernel of a small guest may lack: this one
//! needs `poll()` and `read()`. It knows the keys of `watch`, and skips others.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::io::stdin;
use std::os::fd::AsFd;
use std::time::Duration;

const ESCAPE: u8 = 0x1b;
const INTERRUPT: u8 = 3;

/// The keys typed on standard input.
#[derive(Debug, Default)]
pub struct Keys {
    /// The beginning of a sequence that is not complete.
    pending: Vec<u8>,
}

impl Keys {
    /// Waits for keys, at most so long. Returns early if a signal arrives.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn read(&mut self, wait: Duration) -> Result<Vec<KeyEvent>> {
        let stdin = stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, wait) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Vec::new()),
            ready => ready.context("poll() of the terminal")?,
        };
        let mut buffer = [0; 64];
        match read(stdin.as_fd(), &mut buffer) {
            Ok(0) => bail!("the terminal is gone"),
            Err(Errno::EINTR) => Ok(Vec::new()),
            count => Ok(self.decode(&buffer[..count.context("read() of the terminal")?])),
        }
    }

    /// Returns the keys that `bytes` complete.
    fn decode(&mut self, bytes: &[u8]) -> Vec<KeyEvent> {
        self.pending.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut rest = self.pending.as_slice();
        while let Some((key, length)) = first(rest) {
            keys.extend(key);
            rest = &rest[length..];
        }
        self.pending = rest.to_vec();
        keys
    }
}

/// Returns the first key, unless it is unknown, and its length; `None` if it is not complete.
fn first(bytes: &[u8]) -> Option<(Option<KeyEvent>, usize)> {
    let key = |code| Some(KeyEvent::new(code, KeyModifiers::NONE));
    Some(match *bytes {
        [] | [ESCAPE] | [ESCAPE, b'O'] => return None,
        [ESCAPE, b'O', last, ..] => (function(b"", last).and_then(key), 3),
        [ESCAPE, b'[', ref rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            (function(&rest[..end], rest[end]).and_then(key), end + 3)
        }
        [INTERRUPT, ..] => {
            let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            (Some(control_c), 1)
        }
        [b'\t', ..] => (key(KeyCode::Tab), 1),
        [byte @ b' '..=b'~', ..] => (key(KeyCode::Char(char::from(byte))), 1),
        _ => (None, 1),
    })
}

/// Returns the key of a sequence with these parameters and this last byte.
fn function(parameters: &[u8], last: u8) -> Option<KeyCode> {
    Some(match (parameters, last) {
        (b"", b'A') => KeyCode::Up,
        (b"", b'B') => KeyCode::Down,
        (b"", b'C') => KeyCode::Right,
        (b"", b'D') => KeyCode::Left,
        (b"", b'H') | (b"1" | b"7", b'~') => KeyCode::Home,
        (b"", b'F') | (b"4" | b"8", b'~') => KeyCode::End,
        (b"5", b'~') => KeyCode::PageUp,
        (b"6", b'~') => KeyCode::PageDown,
        (b"", b'Z') => KeyCode::BackTab,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(keys: &mut Keys, bytes: &[u8]) -> Vec<KeyCode> {
        keys.decode(bytes).iter().map(|key| key.code).collect()
    }

    #[test]
    fn keys_are_known() {
        let mut keys = Keys::default();
        assert_eq!(
            codes(&mut keys, b"q \t\x1b[A\x1bOB\x1b[C\x1b[D\x1b[5~\x1b[6~"),
            [
                KeyCode::Char('q'),
                KeyCode::Char(' '),
                KeyCode::Tab,
                KeyCode::Up,
                KeyCode::Down,
                KeyCode::Right,
                KeyCode::Left,
                KeyCode::PageUp,
                KeyCode::PageDown,
            ]
        );
        let ends = codes(&mut keys, b"\x1b[H\x1bOH\x1b[1~\x1b[F\x1b[4~\x1b[Z");
        let [home, end] = [KeyCode::Home, KeyCode::End];
        assert_eq!(ends, [home, home, home, end, end, KeyCode::BackTab]);
        let interrupt = keys.decode(b"\x03");
        assert_eq!(interrupt[0].modifiers, KeyModifiers::CONTROL);
    }

    #[test]
    fn unknown_keys_are_skipped() {
        let mut keys = Keys::default();
        assert_eq!(
            codes(&mut keys, b"\x1b[15~\x1b[1;5Cr\x1bOP\xc3\xa4\x1bx"),
            [KeyCode::Char('r'), KeyCode::Char('x')]
        );
    }

    /// A slow line delivers a sequence in parts.
    #[test]
    fn a_sequence_may_arrive_in_parts() {
        let mut keys = Keys::default();
        for part in [b"\x1b", b"[", b"5"] {
            assert_eq!(codes(&mut keys, part), []);
        }
        assert_eq!(
            codes(&mut keys, b"~q"),
            [KeyCode::PageUp, KeyCode::Char('q')]
        );
    }
}
