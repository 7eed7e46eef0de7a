// SPDX-License-Identifier: GPL-2.0

//! Runs the program on a folder that stands in for the module's folder in debugfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `host/chains.json` of a process with one VMA.
pub const CHAINS: &str = r#"{"version":1,"source":"host","mms":[{"id":1,"pid":7,"comm":"init","vmas":[
    {"id":2,"start":4096,"end":8192,"pgoff":1,"anon_vma":1,"chain":[1]}]}],
    "anon_vmas":[{"id":1,"root":1,"parent":1,"refcount":1,"num_children":1,"num_active_vmas":1,
    "vmas":[2]}],"pages":[]}"#;

/// `host/check` of that process.
pub const GOOD: &str = "host check: mms=1 vmas=1 anon_vmas=1 chains=1 violations=0\n";

/// The folder.
pub struct Module(pub PathBuf);

/// What a program printed: its standard output, and both outputs for a message.
pub struct Run {
    pub stdout: String,
    pub all: String,
}

impl Module {
    pub fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("host")).expect("is made");
        let module = Self(root);
        module.file("host/pid", "");
        module.file("host/chains.json", CHAINS);
        module.file("host/chains.dot", "digraph { a }");
        module.file("host/check", GOOD);
        module
    }

    pub fn file(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("is written");
    }

    /// Returns which process was chosen, if any, and forgets that: the program gives the file what it
    /// had before.
    pub fn pid(&self) -> String {
        let path = self.0.join("host/pid");
        let pid = fs::read_to_string(&path).expect("is there");
        fs::write(path, "").expect("is written");
        pid
    }

    /// The program with the words of `arguments`.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rmapctl"));
        command.args(arguments.split_whitespace());
        command.arg("--debugfs").arg(&self.0);
        command
    }

    /// Runs the program. Returns its exit status and its output.
    pub fn run(&self, arguments: &str) -> (Option<i32>, Run) {
        finish(&mut self.command(arguments))
    }
}

/// Runs `command` to its end. Returns its exit status and its output.
pub fn finish(command: &mut Command) -> (Option<i32>, Run) {
    let output = command.output().expect("runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let all = format!("{stdout}--- standard error:\n{stderr}");
    (output.status.code(), Run { stdout, all })
}
