// SPDX-License-Identifier: GPL-2.0

//! Processes of this program: the host may crash or hang in them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// `SIGKILL`.
const KILLED: i32 = 9;

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
    /// The error that the process has reported, and an end that is not the host's doing.
    pub fn ended(&mut self) -> Result<Option<String>, String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(None);
        }
        let messages: Vec<String> = self.errors.iter().collect();
        match messages.iter().find(|line| line.starts_with("error: ")) {
            Some(error) => Err(error.trim_start_matches("error: ").to_owned()),
            // No code of the host does that.
            None if status.signal() == Some(KILLED) => {
                Err("a process was killed: there may be too little memory".to_owned())
            }
            None => reason(&messages, &status.to_string()).map(Some),
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
///
/// # Errors
///
/// A panic of this program or of the engine. One in the crate `host` is the host's doing: what the
/// host's code calls there panics when it is called wrongly.
pub fn reason(messages: &[String], status: &str) -> Result<String, String> {
    let telling = [
        "ERROR: ",
        "runtime error:",
        "panicked at",
        "Assertion",
        "BUG",
    ];
    let at = messages
        .iter()
        .position(|line| telling.iter().any(|word| line.contains(word)));
    let Some(at) = at else {
        return Ok(format!("the host crashes: {status}"));
    };
    let line = &messages[at];
    if line.contains("panicked at") && !line.contains("host/src/") {
        let words = messages.get(at + 1).map_or("", String::as_str);
        return Err(format!("the fuzzer fails: {line} {words}"));
    }
    // Addresses and process ids are other ones each time.
    let words = line
        .split_whitespace()
        .filter(|word| !word.starts_with("=="));
    let words = words.collect::<Vec<_>>().join(" ");
    Ok(format!("the host crashes: {words}"))
}
