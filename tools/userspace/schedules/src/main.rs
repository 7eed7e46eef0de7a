// SPDX-License-Identifier: GPL-2.0

//! Searches for a schedule that shows a bug, or replays one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match schedules::cli::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("error: {words}");
            ExitCode::from(2)
        }
    }
}
