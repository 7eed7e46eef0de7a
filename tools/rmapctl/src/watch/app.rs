// SPDX-License-Identifier: GPL-2.0

//! What `watch` shows, and what the keys do.

use super::lines::{self, Line, Mark, View};
use crate::kernel::Target;
use crate::top::Sort;
use anyhow::Result;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::{Duration, Instant};

/// The views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// Processes and their chains.
    Chains,
    /// The families of the host.
    Families,
    /// Steps, checks and violations of each rule.
    Rules,
    /// The counters of `stats`.
    Counters,
    /// What differs between shadow and host.
    Differences,
}

impl Tab {
    /// All views, in the order of their keys.
    pub const ALL: [Tab; 5] = [
        Tab::Chains,
        Tab::Families,
        Tab::Rules,
        Tab::Counters,
        Tab::Differences,
    ];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Tab::Chains => "chains",
            Tab::Families => "families",
            Tab::Rules => "rules",
            Tab::Counters => "counters",
            Tab::Differences => "differences",
        }
    }
}

/// A file of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file about the shadow.
    Shadow(&'static str),
    /// `host/chains.json` of these processes.
    Host(Target),
}

/// What the program does after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Draw again.
    Draw,
    /// Read the files, and draw again.
    Read,
    /// End.
    Quit,
}

/// The state of `watch`.
#[derive(Debug)]
pub struct App {
    /// The view that is shown.
    pub tab: Tab,
    /// The lines that are scrolled away at the top, and the columns at the left.
    pub offset: (usize, usize),
    /// Lines of the view that fit on the screen, as of the last drawing.
    pub height: usize,
    /// Whether the files are not read from time to time.
    pub paused: bool,
    /// The processes of the chains; `None` means the shadow.
    pub target: Option<Target>,
    /// The order of the families.
    pub sort: Sort,
    /// The view, or why it cannot be shown.
    pub view: Result<View, String>,
    /// The totals, in one line.
    pub summary: Line,
    /// How long the last reading took.
    pub took: Duration,
    /// `rules` and `stats` at the last reading, and at the one before.
    texts: Option<(String, String)>,
    before: Option<(String, String)>,
}

impl App {
    /// Starts with `tab`.
    pub fn new(tab: Tab, target: Option<Target>, sort: Sort) -> Self {
        Self {
            tab,
            offset: (0, 0),
            height: 1,
            paused: false,
            target,
            sort,
            view: Ok(View::default()),
            summary: Line {
                text: String::new(),
                mark: Mark::Plain,
            },
            took: Duration::ZERO,
            texts: None,
            before: None,
        }
    }

    /// Reads the files of the view by `read`.
    pub fn refresh(&mut self, read: &dyn Fn(Source) -> Result<String>) {
        let start = Instant::now();
        self.view = self.read(read).map_err(|error| format!("{error:#}"));
        self.took = start.elapsed();
        self.scroll_to(self.offset.0);
    }

    fn read(&mut self, read: &dyn Fn(Source) -> Result<String>) -> Result<View> {
        let rules = read(Source::Shadow("rules"))?;
        let stats = read(Source::Shadow("stats"))?;
        self.summary = lines::summary(&rules, &stats)?;
        self.before = self.texts.take();
        let before = self.before.as_ref();
        let view = match self.tab {
            Tab::Chains => {
                let shadow = Source::Shadow("chains.json");
                lines::chains(&read(self.target.map_or(shadow, Source::Host))?)
            }
            Tab::Families => lines::families(&read(Source::Host(Target::All))?, &stats, self.sort),
            Tab::Rules => lines::rules(&rules, before.map(|(rules, _)| rules.as_str())),
            Tab::Counters => {
                let before = before.map(|(_, stats)| stats.as_str());
                Ok(lines::counters(&stats, before))
            }
            Tab::Differences => lines::differences(&read(Source::Shadow("compare"))?),
        };
        self.texts = Some((rules, stats));
        view
    }

    /// Obeys a key.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        let (line, column) = self.offset;
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Action::Quit;
            }
            KeyCode::Char(digit @ '1'..='5') => {
                return self.open(digit as usize - '1' as usize);
            }
            KeyCode::Tab => return self.open(self.tab as usize + 1),
            KeyCode::BackTab => return self.open(self.tab as usize + Tab::ALL.len() - 1),
            KeyCode::Char('s') if self.tab == Tab::Families => {
                self.sort = self.sort.next();
                return Action::Read;
            }
            KeyCode::Char('r') => return Action::Read,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Up => self.scroll_to(line.saturating_sub(1)),
            KeyCode::Down => self.scroll_to(line + 1),
            KeyCode::PageUp => self.scroll_to(line.saturating_sub(self.height)),
            KeyCode::PageDown => self.scroll_to(line + self.height),
            KeyCode::Home => self.offset = (0, 0),
            KeyCode::End => self.scroll_to(usize::MAX),
            KeyCode::Left => self.offset.1 = column.saturating_sub(8),
            KeyCode::Right => self.offset.1 = column + 8,
            _ => {}
        }
        Action::Draw
    }

    fn open(&mut self, number: usize) -> Action {
        self.tab = Tab::ALL[number % Tab::ALL.len()];
        self.offset = (0, 0);
        Action::Read
    }

    /// Makes `line` the first on the screen, if the view is long enough.
    fn scroll_to(&mut self, line: usize) {
        let lines = self.view.as_ref().map_or(0, |view| view.lines.len());
        self.offset.0 = line.min(lines.saturating_sub(self.height));
    }
}
