// SPDX-License-Identifier: GPL-2.0

//! Processes of this program: the host may crash or hang in them.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A process of this program. Dropping this ends it.
pub struct Process {
    child: Child,
    /// What it prints.
    pub lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts this program again.
    ///
    /// # Errors
    ///
    /// A text that says why it cannot be started.
    pub fn start(arguments: &[String]) -> Result<Self, String> {
        Self::of(arguments, Stdio::null())
    }

    /// As [`start`](Self::start); returns its standard input as well.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn start_with_input(arguments: &[String]) -> Result<(Self, ChildStdin), String> {
        let mut process = Self::of(arguments, Stdio::piped())?;
        let input = process.child.stdin.take().ok_or("a pipe is missing")?;
        Ok((process, input))
    }

    fn of(arguments: &[String], input: Stdio) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let missing = || "a pipe is missing".to_owned();
        Ok(Self {
            lines: lines_of(child.stdout.take().ok_or_else(missing)?),
            errors: lines_of(child.stderr.take().ok_or_else(missing)?),
            child,
        })
    }

    /// Waits until it has ended. Returns in words how the host has ended it, if it did.
    ///
    /// # Errors
    ///
    /// The error that the process has reported.
    pub fn ended(&mut self) -> Result<Option<String>, String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(None);
        }
        let messages: Vec<String> = self.errors.iter().collect();
        match messages.iter().find(|line| line.starts_with("error: ")) {
            Some(error) => Err(error.trim_start_matches("error: ").to_owned()),
            None => Ok(Some(reason(&messages, &status.to_string()))),
        }
    }

    /// Ends it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }
}

/// Reads the lines of a child in a thread.
fn lines_of(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if send
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    receive
}

/// Chooses the line of a dead process's messages that says why.
fn reason(messages: &[String], status: &str) -> String {
    let telling = [
        "ERROR: ",
        "runtime error:",
        "panicked at",
        "Assertion",
        "BUG",
    ];
    let line = messages
        .iter()
        .find(|line| telling.iter().any(|word| line.contains(word)));
    match line {
        Some(line) => {
            // Addresses and process ids are other ones each time.
            let words = line
                .split_whitespace()
                .filter(|word| !word.starts_with("=="));
            format!("the host crashes: {}", words.collect::<Vec<_>>().join(" "))
        }
        None => format!("the host crashes: {status}"),
    }
}
