// SPDX-License-Identifier: GPL-2.0

//! Runs the program on a file of zeroes instead of the device.
//!
//! Guard regions of a file came with Linux 6.15, moves of several VMAs with 6.17: a test that needs
//! them is ignored by `cargo test`, and run by `cargo test -- --include-ignored`.

use std::path::Path;
use std::process::{Command, Output};

pub fn rmapctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmapctl"));
    command.args(arguments);
    command
}

pub const DRY: [&str; 5] = [
    "--no-check",
    concat!("--device=", env!("CARGO_TARGET_TMPDIR"), "/zeros"),
    "--debugfs=/nonexistent",
    // A hanging process fails the test; a slow machine does not.
    "--timeout=600",
    "--keep-going",
];

/// The result of a program: whether it succeeded, its standard output, and both outputs for a
/// message.
pub struct Run {
    pub good: bool,
    pub stdout: String,
    pub all: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        Self {
            good: output.status.success(),
            all: format!("{stdout}--- standard error:\n{stderr}"),
            stdout,
        }
    }
}

/// Writes `text` into a file of this test.
pub fn scenario(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.scn"));
    std::fs::write(&path, text).expect("the scenario is written");
    path.display().to_string()
}

/// Runs `text` as a scenario; the output calls the file `FILE`.
pub fn run(name: &str, text: &str) -> Run {
    make_zeros();
    let path = scenario(name, text);
    let output = rmapctl(&["run", &path]).args(DRY).output().expect("runs");
    let mut run = Run::from(output);
    run.stdout = run.stdout.replace(&path, "FILE");
    run
}

/// Makes the file that [`DRY`] maps: pages without content, as many as a sample maps.
pub fn make_zeros() {
    let file = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(concat!(env!("CARGO_TARGET_TMPDIR"), "/zeros"));
    let file = file.expect("the file of zeroes is made");
    file.set_len(1 << 32).expect("the file of zeroes is long");
}
