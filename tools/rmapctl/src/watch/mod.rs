// SPDX-License-Identifier: GPL-2.0

//! `rmapctl watch`: views of the module's files that are read again and again.

mod app;
mod draw;
mod keys;
mod lines;
mod screen;
#[cfg(test)]
mod tests;

use crate::cli::{TopArgs, WatchArgs};
use crate::engine;
use crate::kernel::{Debugfs, Target};
use crate::top::Sort;
use anyhow::Result;
use app::{Action, App, Source, Tab};
use draw::Theme;
use keys::Keys;
use nix::sys::signal::Signal;
use screen::Screen;
use std::time::{Duration, Instant};

/// A signal is noticed after so long.
const LATE: Duration = Duration::from_millis(100);

/// `rmapctl watch`.
///
/// # Errors
///
/// There is no terminal, or the module is not loaded.
pub fn run(args: &WatchArgs, target: Option<Target>) -> Result<()> {
    let mut app = App::new(Tab::Chains, target, Sort::Vmas);
    views(&mut app, &Debugfs::new(&args.debugfs.debugfs), args.delay)
}

/// `rmapctl top` on a terminal.
///
/// # Errors
///
/// As for [`run`].
pub fn top(args: &TopArgs) -> Result<()> {
    let mut app = App::new(Tab::Families, None, args.sort);
    views(&mut app, &Debugfs::new(&args.debugfs.debugfs), args.delay)
}

/// Shows the views until a key or a signal ends it.
fn views(app: &mut App, debugfs: &Debugfs, every: u64) -> Result<()> {
    screen::need_terminal()?;
    engine::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let theme = Theme::from_environment(std::env::var_os("NO_COLOR").as_deref());
    let read = |source| match source {
        Source::Shadow(name) => debugfs.read(name),
        Source::Host(target) => debugfs.read_host(target, "chains.json"),
    };
    // Without the module there is nothing to show. Later on, an error is shown in its view.
    read(Source::Shadow("rules"))?;
    let mut screen = Screen::open()?;
    let mut next = Instant::now();
    let mut keys = Keys::default();
    let mut draw = true;
    while !engine::interrupted() {
        if !app.paused && Instant::now() >= next {
            app.refresh(&read);
            next = Instant::now() + Duration::from_secs(every);
            draw = true;
        }
        if std::mem::take(&mut draw) {
            screen.draw(|frame| draw::draw(frame, app, theme, every))?;
        }
        // While it is paused, `next` is in the past.
        let wait = match app.paused {
            true => LATE,
            false => next.saturating_duration_since(Instant::now()).min(LATE),
        };
        for key in keys.read(wait)? {
            draw = true;
            match app.key(key) {
                Action::Quit => return Ok(()),
                Action::Draw => {}
                Action::Read => app.refresh(&read),
            }
        }
    }
    Ok(())
}
