// SPDX-License-Identifier: GPL-2.0

//! `watch` and `top` on a terminal, and without one.

mod module;

use module::{CHAINS, Module};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A slow machine does not fail a test; a program that hangs does.
const LIMIT: Duration = Duration::from_secs(60);

/// Files of a module that has done something.
fn loaded(name: &str) -> Module {
    let module = Module::new(name);
    // A frame prints what differs from the one before. The last rule stands on a line that is
    // empty in the other views, so that its words are printed whole.
    let rules = (1..=9).map(|n| format!("R{n} title{n} steps=52 checks=12 violations=0\n"));
    module.file("rules", &rules.collect::<String>());
    module.file(
        "stats",
        "bytes_host_anon_vma: 104\nbytes_host_anon_vma_chain: 64\nlive_pages: 2\n\
         structure_violations: 0\n",
    );
    module.file("chains.json", &CHAINS.replace("host", "shadow"));
    module
}

/// A program on a terminal of its own.
struct Watched {
    pty: OpenptyResult,
    before: Termios,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Watched {
    fn start(module: &Module, arguments: &str, (columns, lines): (u16, u16)) -> Self {
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).expect("is opened");
        let before = tcgetattr(&pty.slave).expect("is a terminal");
        let stdio = || Stdio::from(pty.slave.try_clone().expect("is cloned"));
        let mut command = module.command(arguments);
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let child = command.spawn().expect("runs");
        let mut master = File::from(pty.master.try_clone().expect("is cloned"));
        let (send, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = master.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            pty,
            before,
            child,
            output,
            seen: String::new(),
        }
    }

    /// Waits until the program has printed `text`.
    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let bytes = self.output.recv_timeout(LIMIT);
            let bytes = bytes.unwrap_or_else(|_| panic!("no `{text}` in {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn type_key(&mut self, key: &str) {
        let mut master = File::from(self.pty.master.try_clone().expect("is cloned"));
        master.write_all(key.as_bytes()).expect("is typed");
    }

    /// Waits for the end. The terminal is as it was.
    fn end(mut self) -> ExitStatus {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("is waited for") {
                break status;
            }
            if start.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("the program does not end: {}", self.seen);
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(
            tcgetattr(&self.pty.slave).expect("is a terminal"),
            self.before
        );
        // The screen is left, and the cursor is shown.
        self.wait_for("\u{1b}[?1049l");
        self.wait_for("\u{1b}[?25h");
        status
    }
}

/// The views, and each way to end.
#[test]
fn the_terminal_is_given_back() {
    let module = loaded("watch");
    for end in ["q", "\u{3}", "INT", "TERM", "HUP"] {
        let mut watched = Watched::start(&module, "watch", (80, 24));
        watched.wait_for("q quit");
        let during = tcgetattr(&watched.pty.slave).expect("is a terminal");
        assert!(!during.local_flags.contains(LocalFlags::ICANON));
        watched.type_key("3");
        watched.wait_for("title9");
        let signal = match end {
            "INT" => Some(Signal::SIGINT),
            "TERM" => Some(Signal::SIGTERM),
            "HUP" => Some(Signal::SIGHUP),
            _ => None,
        };
        match signal {
            Some(signal) => {
                let pid = Pid::from_raw(watched.child.id().cast_signed());
                kill(pid, signal).expect("is sent");
            }
            None => watched.type_key(end),
        }
        assert!(watched.end().success(), "{end:?}");
    }
}

#[test]
fn top_refreshes_on_a_terminal() {
    let module = loaded("top-terminal");
    let mut watched = Watched::start(&module, "top --delay 1", (80, 24));
    watched.wait_for("init");
    module.file("host/chains.json", &CHAINS.replace("init", "later"));
    watched.wait_for("later");
    assert_eq!(module.pid(), "0\n");
    watched.type_key("q");
    assert!(watched.end().success());
}

/// A serial line has no size.
#[test]
fn a_terminal_without_a_size_has_80_columns() {
    let module = loaded("watch-serial");
    let mut watched = Watched::start(&module, "watch", (0, 0));
    watched.wait_for("q quit");
    // The keys are on the last line of 24.
    watched.wait_for("\u{1b}[24;1H");
    watched.type_key("q");
    assert!(watched.end().success());
}

#[test]
fn without_a_terminal_there_is_an_error() {
    let module = loaded("watch-none");
    for arguments in ["watch", "top"] {
        let (code, run) = module.run(arguments);
        assert_eq!(code, Some(1), "{}", run.all);
        assert!(run.all.contains("`rmapctl top --once`"), "{}", run.all);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn without_the_module_there_is_an_error() {
    let module = loaded("watch-unloaded");
    std::fs::remove_dir_all(&module.0).expect("is removed");
    let mut watched = Watched::start(&module, "watch", (80, 24));
    watched.wait_for("load the module");
    assert!(!watched.child.wait().expect("is waited for").success());
    assert!(!watched.seen.contains("\u{1b}[?1049h"));
}
