// SPDX-License-Identifier: GPL-2.0

//! Draws `watch`, on 80x24 or more.

use super::app::{App, Tab};
use super::lines::{Line, Mark, View};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::Paragraph;

/// The keys, on the last line.
const KEYS: &str = "q quit  1-5 view  arrows PgUp PgDn scroll  space pause  r read now";

/// How things are marked.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Whether colours are wanted; without them, bold and reverse remain.
    pub colours: bool,
}

impl Theme {
    /// Asks the variable `NO_COLOR`: if it is set and not empty, there are no colours.
    pub fn from_environment(no_color: Option<&std::ffi::OsStr>) -> Self {
        Self {
            colours: no_color.is_none_or(std::ffi::OsStr::is_empty),
        }
    }

    fn style(self, mark: Mark) -> Style {
        let colour = |colour| match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        };
        match mark {
            Mark::Plain => Style::new(),
            Mark::Changed => colour(Color::Cyan),
            Mark::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, app: &mut App, theme: Theme, every: u64) {
    let [title, tabs, summary, heading, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(
            app.view
                .as_ref()
                .map_or(0, |view| view.heading.len() as u16),
        ),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    app.height = usize::from(body.height).max(1);
    let state = match app.paused {
        true => "paused".to_owned(),
        false => format!("every {every} s"),
    };
    let text = format!(
        "rmapctl watch   {state}, read in {} ms{}",
        app.took.as_millis(),
        position(app)
    );
    frame.render_widget(Paragraph::new(text), title);
    frame.render_widget(Paragraph::new(names(app)), tabs);
    let style = theme.style(app.summary.mark);
    frame.render_widget(
        Paragraph::new(app.summary.text.as_str()).style(style),
        summary,
    );
    match &app.view {
        Ok(view) => {
            let lines = view.heading.iter().map(|line| Text::raw(line.as_str()));
            let bold = Style::new().add_modifier(Modifier::BOLD);
            let paragraph = Paragraph::new(lines.collect::<Vec<_>>()).style(bold);
            frame.render_widget(scrolled(paragraph, app), heading);
            frame.render_widget(scrolled(Paragraph::new(shown(view, app, theme)), app), body);
        }
        Err(error) => {
            let paragraph = Paragraph::new(error.as_str())
                .style(theme.style(Mark::Bad))
                .wrap(ratatui::widgets::Wrap { trim: true });
            frame.render_widget(paragraph, body);
        }
    }
    let more = if app.tab == Tab::Families {
        "  s sort"
    } else {
        ""
    };
    let reverse = Style::new().add_modifier(Modifier::REVERSED);
    let width = usize::from(keys.width);
    let text = format!("{:width$}", format!("{KEYS}{more}"));
    frame.render_widget(Paragraph::new(text).style(reverse), keys);
}

/// Moves a paragraph to the left, as far as the view is scrolled.
fn scrolled<'a>(paragraph: Paragraph<'a>, app: &App) -> Paragraph<'a> {
    let column = u16::try_from(app.offset.1).unwrap_or(u16::MAX);
    paragraph.scroll((0, column))
}

/// Says which lines are on the screen, if not all are.
fn position(app: &App) -> String {
    let lines = app.view.as_ref().map_or(0, |view| view.lines.len());
    match lines > app.height {
        true => {
            let first = app.offset.0;
            let last = lines.min(first + app.height);
            format!("   lines {}-{last} of {lines}", first + 1)
        }
        false => String::new(),
    }
}

/// The names of the views, with their keys. The one that is shown is reversed.
fn names(app: &App) -> Text<'static> {
    let name = |(number, tab): (usize, Tab)| {
        let style = match tab == app.tab {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        let chains = match (tab, app.target) {
            (Tab::Chains, Some(target)) => format!(" of {target}"),
            _ => String::new(),
        };
        let text = format!(" {} {}{chains} ", number + 1, tab.name());
        [Span::styled(text, style), Span::raw(" ")]
    };
    let tabs = Tab::ALL.into_iter().enumerate();
    Text::from(tabs.flat_map(name).collect::<Vec<_>>())
}

/// The lines that are on the screen.
fn shown<'a>(view: &'a View, app: &App, theme: Theme) -> Vec<Text<'a>> {
    let line = |line: &'a Line| Text::styled(line.text.as_str(), theme.style(line.mark));
    let lines = view.lines.iter().skip(app.offset.0).take(app.height);
    lines.map(line).collect()
}
