// SPDX-License-Identifier: GPL-2.0

//! The terminal: taken at the start, given back at each end, a panic included.

use anyhow::{Context, Result, bail};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::panic;

/// The size of a terminal that does not say how large it is, as a serial line.
const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// The terminal, in raw mode and with a screen of its own until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// Standard input or output is not a terminal.
    pub fn open() -> Result<Self> {
        need_terminal()?;
        let viewport = match size() {
            Ok((columns, lines)) if columns > 0 && lines > 0 => Viewport::Fullscreen,
            _ => Viewport::Fixed(Rect::new(0, 0, COLUMNS, LINES)),
        };
        let options = TerminalOptions { viewport };
        let terminal = Terminal::with_options(CrosstermBackend::new(stdout()), options)
            .context("the terminal")?;
        // From here on, dropping this gives the terminal back.
        let screen = Self { terminal };
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // The message of the panic follows on the usual screen.
            restore();
            hook(info);
        }));
        enable_raw_mode().context("raw mode of the terminal")?;
        execute!(stdout(), EnterAlternateScreen, Hide).context("the terminal")?;
        Ok(screen)
    }

    /// Draws a frame.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(view).context("the terminal")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Fails if standard input or output is not a terminal.
pub fn need_terminal() -> Result<()> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        bail!("this needs a terminal; without one, use `rmapctl top --once` or `rmapctl show`");
    }
    Ok(())
}

/// Gives the terminal back. Nothing can be done if that fails.
fn restore() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::{LocalFlags, tcgetattr};
    use std::fs::File;
    use std::io::Read;
    use std::process::Command;

    /// Set in a process that a test starts to run the same test.
    const INSIDE: &str = "RMAPCTL_TEST_INSIDE";

    /// Runs a test of this file again, in a process of its own.
    fn again(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("is known"));
        command.args(["--exact", "--nocapture"]).env(INSIDE, "1");
        command.arg(format!("watch::screen::tests::{test}"));
        command
    }

    /// Takes the terminal, and panics.
    fn panic_on_a_screen() {
        let mut screen = Screen::open().expect("is a terminal");
        screen.draw(|_| ()).expect("is drawn");
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(INSIDE).is_some() {
            return panic_on_a_screen();
        }
        let pty = openpty(None, None).expect("is opened");
        let before = tcgetattr(&pty.slave).expect("is a terminal");
        let stdio = || pty.slave.try_clone().expect("is cloned");
        let status = again("a_panic_gives_the_terminal_back")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .status()
            .expect("runs");
        assert_eq!(status.code(), Some(101));
        let after = tcgetattr(&pty.slave).expect("is a terminal");
        assert!(
            after
                .local_flags
                .contains(LocalFlags::ICANON | LocalFlags::ECHO)
        );
        assert_eq!(after, before);
        drop(pty.slave);
        let mut output = Vec::new();
        // The end of a terminal is an error.
        let _ = File::from(pty.master).read_to_end(&mut output);
        let output = String::from_utf8_lossy(&output);
        let entered = output.find("\u{1b}[?1049h").expect("the screen was taken");
        let left = output.find("\u{1b}[?1049l").expect("and given back");
        let message = output.find("on purpose").expect("the message is shown");
        assert!(entered < left && left < message, "{output}");
        assert!(output.contains("\u{1b}[?25h"), "the cursor is shown");
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        if std::env::var_os(INSIDE).is_some() {
            return panic_on_a_screen();
        }
        let output = again("what_is_no_terminal_is_refused").output();
        let output = output.expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("use `rmapctl top --once`"), "{text}");
        assert!(!text.contains("on purpose"), "{text}");
    }
}
