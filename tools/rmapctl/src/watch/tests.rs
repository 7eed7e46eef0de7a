// SPDX-License-Identifier: GPL-2.0

//! Tests of what is drawn, on a screen of 80x24, and of the keys.

use super::app::{Action, App, Source, Tab};
use super::draw::{Theme, draw};
use crate::graph::tests::{FORKS, HOST};
use crate::kernel::Target;
use crate::top::Sort;
use anyhow::{Result, bail};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use std::cell::Cell;

const RULES: &str = "R3 mapcount is atomic and equals the PTEs steps=52 checks=12 violations=0\n\
                     R15 only the root's lock protects a tree steps=7 checks=0 violations=0\n";
const STATS: &str = "bytes_host_anon_vma: 104\nbytes_host_anon_vma_chain: 64\n\
                     live_anon_vmas: 4\nlive_chains: 6\nlive_pages: 2\nlookups: 40\n\
                     structure_violations: 0\n";
const COMPARE: &str = "vma 2 (pid 51 main) [0x1000, 0x2000): same\n\
                       compare: vmas=1 anon_vmas=1 chains=1 pages=1 untracked=0 \
                       violations=0 differences=0\n";

fn read(source: Source) -> Result<String> {
    Ok(match source {
        Source::Shadow("rules") => RULES.to_owned(),
        Source::Shadow("stats") => STATS.to_owned(),
        Source::Shadow("compare") => COMPARE.to_owned(),
        Source::Shadow("chains.json") => FORKS.to_owned(),
        Source::Host(_) => HOST.to_owned(),
        Source::Shadow(name) => bail!("{name} is not there"),
    })
}

/// Draws on a screen of 80x24. Returns its lines, and whether a cell has a colour.
fn screen(app: &mut App, colours: bool) -> (Vec<String>, bool) {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("is made");
    let theme = Theme { colours };
    terminal
        .draw(|frame| draw(frame, app, theme, 2))
        .expect("is drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let lines = (0..24).map(|y| line(y).trim_end().to_owned()).collect();
    let coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset);
    (lines, coloured)
}

/// Starts with `tab`, and reads the fixtures.
fn started(tab: Tab) -> App {
    let mut app = App::new(tab, None, Sort::Vmas);
    app.refresh(&read);
    app
}

fn press(app: &mut App, code: KeyCode) -> Action {
    let action = app.key(KeyEvent::new(code, KeyModifiers::NONE));
    if action == Action::Read {
        app.refresh(&read);
    }
    action
}

#[test]
fn every_view_fits_on_the_screen() {
    for (tab, expected) in [
        (
            Tab::Chains,
            "│  └─ anon_vma 3 refcount=1 num_children=0 num_active_vmas=1           vmas: gra",
        ),
        (
            Tab::Families,
            "      1     5     3     3     4      9     3     5     4     992 init",
        ),
        (
            Tab::Rules,
            "R3  mapcount is atomic and equal         52                12                  0",
        ),
        (
            Tab::Counters,
            "lookups                                         40",
        ),
        (Tab::Differences, "shadow and host are the same"),
    ] {
        let (lines, coloured) = screen(&mut started(tab), true);
        assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
        assert!(lines[0].starts_with("rmapctl watch   every 2 s, read in "));
        assert_eq!(
            lines[1],
            " 1 chains   2 families   3 rules   4 counters   5 differences"
        );
        assert_eq!(
            lines[2],
            "steps=59 checks=12 violations=0  live: anon_vmas=4 chains=6 pages=2"
        );
        assert!(lines[23].starts_with("q quit  1-5 view"), "{lines:#?}");
        assert_eq!(lines[23].ends_with("s sort"), tab == Tab::Families);
        assert!(!coloured, "nothing is marked");
    }
}

#[test]
fn the_chains_may_be_those_of_the_host() {
    let mut app = App::new(Tab::Chains, Some(Target::Pid(52)), Sort::Vmas);
    let asked = Cell::new(None);
    app.refresh(&|source| {
        if matches!(source, Source::Host(_)) {
            asked.set(Some(source));
        }
        read(source)
    });
    assert_eq!(asked.get(), Some(Source::Host(Target::Pid(52))));
    let (lines, _) = screen(&mut app, true);
    assert!(lines[1].contains("1 chains of pid 52"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("└─ anon_vma 4")));
}

#[test]
fn what_has_changed_is_marked() {
    for (tab, expected) in [
        (
            Tab::Rules,
            "R3  mapcount is atomic and equal         60      +8        12                  0",
        ),
        (
            Tab::Counters,
            "lookups                                         38            -2",
        ),
    ] {
        let mut app = started(tab);
        app.refresh(&|source| {
            let text = read(source)?;
            Ok(text
                .replace("steps=52", "steps=60")
                .replace("lookups: 40", "lookups: 38"))
        });
        let (lines, coloured) = screen(&mut app, true);
        assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
        assert!(coloured);
        let (same, coloured) = screen(&mut app, false);
        assert_eq!(lines, same);
        assert!(!coloured);
    }
}

#[test]
fn faults_are_marked() {
    for (tab, from, to) in [
        (Tab::Rules, "violations=0", "violations=1"),
        (
            Tab::Counters,
            "structure_violations: 0",
            "structure_violations: 1",
        ),
        (Tab::Differences, "): same", "): root: host 1, shadow 2"),
        (Tab::Differences, "violations=0 ", "violations=1 "),
        (Tab::Differences, "compare: ", "no result: "),
        (Tab::Chains, "\"vmas\":[3]", "\"vmas\":[]"),
        (Tab::Families, "\"version\":1", "\"version\":9"),
    ] {
        let mut app = App::new(tab, None, Sort::Vmas);
        app.refresh(&|source| Ok(read(source)?.replace(from, to)));
        assert!(screen(&mut app, true).1, "{tab:?}");
        assert!(!screen(&mut app, false).1, "{tab:?}");
    }
}

/// The module may be unloaded, or a process may end, while the program runs.
#[test]
fn an_error_is_shown_and_passes() {
    let mut app = started(Tab::Rules);
    app.refresh(&|_| bail!("the module is gone"));
    let (lines, _) = screen(&mut app, true);
    assert_eq!(lines[3], "the module is gone");
    assert!(lines[23].starts_with("q quit"));
    app.refresh(&read);
    assert_ne!(screen(&mut app, true).0[3], "the module is gone");
}

#[test]
fn keys_choose_and_scroll() {
    let mut app = started(Tab::Chains);
    assert_eq!(press(&mut app, KeyCode::Char('4')), Action::Read);
    assert_eq!(app.tab, Tab::Counters);
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.tab, Tab::Chains);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.tab, Tab::Differences);
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Char('s'));
    assert_eq!(app.sort, Sort::Procs);
    assert!(screen(&mut app, true).0[3].ends_with("sort=procs"));
    press(&mut app, KeyCode::Char(' '));
    assert!(app.paused && screen(&mut app, true).0[0].starts_with("rmapctl watch   paused"));

    let mut many = started(Tab::Counters);
    many.refresh(&|source| {
        let lines = (0..100).map(|n| format!("counter_{n}: {n}\n"));
        let text = read(source)?;
        Ok(match source {
            Source::Shadow("stats") => text + &lines.collect::<String>(),
            _ => text,
        })
    });
    let first = |app: &mut App| screen(app, true).0[4].clone();
    assert!(first(&mut many).starts_with("bytes_host_anon_vma "));
    press(&mut many, KeyCode::Down);
    assert!(first(&mut many).starts_with("bytes_host_anon_vma_chain"));
    press(&mut many, KeyCode::End);
    let (lines, _) = screen(&mut many, true);
    assert!(lines[22].starts_with("counter_99 "), "{lines:#?}");
    assert!(lines[0].ends_with("   lines 89-107 of 107"), "{lines:#?}");
    press(&mut many, KeyCode::PageUp);
    assert_eq!(many.offset.0, 69);
    press(&mut many, KeyCode::Home);
    press(&mut many, KeyCode::Up);
    press(&mut many, KeyCode::Right);
    assert!(
        first(&mut many).starts_with("st_anon_vma "),
        "{}",
        first(&mut many)
    );
    assert_eq!(press(&mut many, KeyCode::Char('q')), Action::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(many.key(interrupt), Action::Quit);
}

#[test]
fn no_color_takes_the_colours_away() {
    let theme = |value: Option<&str>| Theme::from_environment(value.map(AsRef::as_ref)).colours;
    assert!(theme(None) && theme(Some("")));
    assert!(!theme(Some("1")) && !theme(Some("0")));
}
