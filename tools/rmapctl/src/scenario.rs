// SPDX-License-Identifier: GPL-2.0

//! The scenario language: one command a line, parsed and checked before anything runs.
//!
//! A [`Scenario`] keeps the lines and the nesting of `repeat` blocks. [`Scenario::walk`] unrolls the
//! blocks, puts the loop counters in and hands out one [`Step`] after another; the static check, the
//! engine and the tests all walk in the same way.

use crate::model::Model;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The most pages that one mapping may have.
pub const MAX_PAGES: u64 = 1 << 20;
/// The most processes that one `tree` may make.
pub const MAX_TREE: u64 = 4096;
/// The most steps that the blocks of one file may unroll to.
const MAX_STEPS: u64 = 10_000_000;
/// The longest name of a process or mapping, so that a request fits into one atomic pipe write.
const MAX_NAME: usize = 63;

/// Where a scenario went wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// Line number, from 1; 0 when the trouble belongs to no line.
    pub line: usize,
    /// What happened, in words.
    pub message: String,
}

impl ScenarioError {
    /// An error of `line`.
    pub fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }

    /// `FILE:LINE: message`.
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            0 => format!("{file}: {}", self.message),
            line => format!("{file}:{line}: {}", self.message),
        }
    }
}

/// The protection of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prot {
    /// `rw`: read and write.
    ReadWrite,
    /// `r`: read only.
    Read,
    /// `none`: no access.
    None,
}

impl fmt::Display for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Prot::ReadWrite => "rw",
            Prot::Read => "r",
            Prot::None => "none",
        })
    }
}

/// Which pages of a mapping a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// `all`: every page that is still mapped.
    All,
    /// `N` or `A..B`, half open: one call.
    Span(u64, u64),
    /// `A..B/S`: pages A, A+S, ...: a call for each.
    Stride(u64, u64, u64),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Range::All => f.write_str("all"),
            Range::Span(a, b) if b == a + 1 => write!(f, "{a}"),
            Range::Span(a, b) => write!(f, "{a}..{b}"),
            Range::Stride(a, b, s) => write!(f, "{a}..{b}/{s}"),
        }
    }
}

/// A mapping of a process, and pages in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The process.
    pub process: String,
    /// The mapping.
    pub mapping: String,
    /// The pages.
    pub range: Range,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.process, self.mapping, self.range)
    }
}

/// The number of a check that a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Live VMAs of the file.
    Vmas,
    /// Shadow anon_vmas.
    AnonVmas,
    /// Links between them.
    Chains,
    /// Anonymous pages.
    Pages,
    /// Mappings the shadow gave up.
    Untracked,
    /// Broken rules.
    Violations,
    /// Differences between shadow and host.
    Differences,
}

impl Field {
    /// Every field, in the order in which a check prints them.
    pub const ALL: [Field; 7] = [
        Field::Vmas,
        Field::AnonVmas,
        Field::Chains,
        Field::Pages,
        Field::Untracked,
        Field::Violations,
        Field::Differences,
    ];

    /// The name in the language and in debugfs.
    pub fn name(self) -> &'static str {
        match self {
            Field::Vmas => "vmas",
            Field::AnonVmas => "anon_vmas",
            Field::Chains => "chains",
            Field::Pages => "pages",
            Field::Untracked => "untracked",
            Field::Violations => "violations",
            Field::Differences => "differences",
        }
    }
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
}

/// `KEY=VALUE` and the like, about the last check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The number asked about.
    pub field: Field,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

impl Condition {
    /// Does `number` meet the condition?
    pub fn holds(&self, number: u64) -> bool {
        match self.comparison {
            Comparison::Equal => number == self.value,
            Comparison::Greater => number > self.value,
            Comparison::AtLeast => number >= self.value,
            Comparison::Less => number < self.value,
            Comparison::AtMost => number <= self.value,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Equal => "=",
            Comparison::Greater => ">",
            Comparison::AtLeast => ">=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
        };
        write!(f, "{}{sign}{}", self.field.name(), self.value)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let bad = || format!("`{word}` is not a condition such as vmas=3 or anon_vmas<=10");
        let at = word.find(['=', '>', '<']).ok_or_else(bad)?;
        let (key, rest) = word.split_at(at);
        let (comparison, value) = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
            ("=", Comparison::Equal),
        ]
        .into_iter()
        .find_map(|(sign, c)| rest.strip_prefix(sign).map(|value| (c, value)))
        .ok_or_else(bad)?;
        let field = Field::ALL
            .into_iter()
            .find(|f| f.name() == key)
            .ok_or_else(|| {
                let names = Field::ALL.map(Field::name).join(", ");
                format!("`{key}` is not a number of a check; these are: {names}")
            })?;
        Ok(Condition {
            field,
            comparison,
            value: number(value)?,
        })
    }
}

/// The kind of mapping that the driver makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The host never merges a VMA away.
    Pinned,
    /// The host may merge VMAs.
    Mergeable,
}

/// One command with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `map P M PAGES [at PGOFF]`
    Map {
        process: String,
        mapping: String,
        pages: u64,
        pgoff: u64,
    },
    /// `touch P M RANGE [write|read] [BYTE]`
    Touch {
        target: Target,
        write: bool,
        byte: Option<u8>,
    },
    /// `fork P C...`
    Fork {
        process: String,
        children: Vec<String>,
    },
    /// `exit P...`; a name may end in `*`
    Exit { processes: Vec<String> },
    /// `exec P`
    Exec { process: String },
    /// `protect P M RANGE rw|r|none`
    Protect { target: Target, prot: Prot },
    /// `unmap P M RANGE`
    Unmap { target: Target },
    /// `dontneed P M RANGE`
    Dontneed { target: Target },
    /// `move P M RANGE [to NEWPAGES] [as NAME]`
    Move {
        target: Target,
        pages: Option<u64>,
        name: Option<String>,
    },
    /// `tree P DEPTH CHILDREN write M RANGE [BYTE]`
    Tree {
        target: Target,
        depth: u64,
        children: u64,
        byte: u8,
    },
    /// `dies SIGNAL touch ...`: the touch must kill the process.
    Dies { signal: Signal, touch: Box<Step> },
    /// `mode pinned|mergeable`
    Mode(Mode),
    /// `check [CONDITION...]`
    Check(Vec<Condition>),
    /// `check every N|off`
    CheckEvery(Option<u64>),
    /// `expect CONDITION...`
    Expect(Vec<Condition>),
    /// `show`
    Show,
    /// `compare`
    Compare,
    /// `rules`
    Rules,
    /// `save NAME PATH`
    Save { name: String, path: String },
    /// `print TEXT`
    Print(String),
}

impl Step {
    /// Does the step make a process do something (and so count for `check every`)?
    pub fn is_command(&self) -> bool {
        !matches!(
            self,
            Step::Mode(_)
                | Step::Check(_)
                | Step::CheckEvery(_)
                | Step::Expect(_)
                | Step::Show
                | Step::Compare
                | Step::Rules
                | Step::Save { .. }
                | Step::Print(_)
        )
    }

    /// Parses one line that has no counters left in it.
    pub fn parse(line: &str) -> Result<Step, String> {
        let (keyword, rest) = match line.split_once(char::is_whitespace) {
            Some((keyword, rest)) => (keyword, rest.trim()),
            None => (line, ""),
        };
        if keyword == "print" {
            return Ok(Step::Print(rest.to_owned()));
        }
        let mut words = Words::new(keyword, rest);
        let step = match keyword {
            "map" => {
                let process = words.name("a process")?;
                let mapping = words.name("a mapping")?;
                let pages = words.number("a number of pages")?;
                if pages == 0 || pages > MAX_PAGES {
                    return Err(format!("a mapping has 1 to {MAX_PAGES} pages, not {pages}"));
                }
                let pgoff = match words.keyword("at") {
                    true => words.number("a page offset")?,
                    false => 0,
                };
                Step::Map {
                    process,
                    mapping,
                    pages,
                    pgoff,
                }
            }
            "touch" => {
                let target = words.target()?;
                let write = words.keyword("write") || !words.keyword("read");
                let byte = words.optional(byte)?;
                Step::Touch {
                    target,
                    write,
                    byte,
                }
            }
            "fork" => {
                let process = words.name("a process")?;
                let mut children = vec![words.name("the name of a child")?];
                while !words.is_empty() {
                    children.push(words.name("the name of a child")?);
                }
                Step::Fork { process, children }
            }
            "exit" => {
                let mut processes = Vec::new();
                while processes.is_empty() || !words.is_empty() {
                    let word = words.next("a process")?;
                    match word.strip_suffix('*') {
                        Some("") => {}
                        Some(stem) => check_name(stem)?,
                        None => check_name(word)?,
                    }
                    processes.push(word.to_owned());
                }
                Step::Exit { processes }
            }
            "exec" => Step::Exec {
                process: words.name("a process")?,
            },
            "protect" => {
                let target = words.target()?;
                let prot = match words.next("rw, r or none")? {
                    "rw" => Prot::ReadWrite,
                    "r" => Prot::Read,
                    "none" => Prot::None,
                    other => return Err(format!("a protection is rw, r or none, not `{other}`")),
                };
                Step::Protect { target, prot }
            }
            "unmap" => Step::Unmap {
                target: words.target()?,
            },
            "dontneed" => Step::Dontneed {
                target: words.target()?,
            },
            "move" => {
                let target = words.target()?;
                let pages = match words.keyword("to") {
                    true => Some(words.number("a number of pages")?),
                    false => None,
                };
                let name = match words.keyword("as") {
                    true => Some(words.name("a new mapping")?),
                    false => None,
                };
                if pages.is_some_and(|n| n == 0 || n > MAX_PAGES) {
                    return Err(format!("a mapping has 1 to {MAX_PAGES} pages"));
                }
                if matches!(target.range, Range::Stride(..)) {
                    return Err("a stride cannot be moved".to_owned());
                }
                if name.is_none() && target.range != Range::All {
                    return Err(
                        "a part that moves needs a name of its own: `move P M RANGE as NAME`"
                            .to_owned(),
                    );
                }
                Step::Move {
                    target,
                    pages,
                    name,
                }
            }
            "tree" => {
                let process = words.name("a process")?;
                let depth = words.number("a depth")?;
                let children = words.number("a number of children")?;
                let word = words.next("write")?;
                if word != "write" {
                    return Err(format!("expected `write`, found `{word}`"));
                }
                let mapping = words.name("a mapping")?;
                let range = words.range()?;
                let byte = words.optional(byte)?.unwrap_or(1);
                if tree_size(depth, children).is_none_or(|n| n == 0 || n > MAX_TREE) {
                    return Err(format!("a tree makes 1 to {MAX_TREE} processes"));
                }
                Step::Tree {
                    target: Target {
                        process,
                        mapping,
                        range,
                    },
                    depth,
                    children,
                    byte,
                }
            }
            "dies" => {
                let word = words.next("a signal")?;
                let signal = Signal::from_str(word)
                    .map_err(|_| format!("`{word}` is not a signal such as SIGSEGV"))?;
                let touch = Step::parse(&words.take_rest())?;
                if !matches!(touch, Step::Touch { .. }) {
                    return Err("only a `touch` can be expected to be fatal".to_owned());
                }
                Step::Dies {
                    signal,
                    touch: Box::new(touch),
                }
            }
            "mode" => match words.next("pinned or mergeable")? {
                "pinned" => Step::Mode(Mode::Pinned),
                "mergeable" => Step::Mode(Mode::Mergeable),
                other => {
                    return Err(format!("a mode is pinned or mergeable, not `{other}`"));
                }
            },
            "check" => match words.keyword("every") {
                true if words.keyword("off") => Step::CheckEvery(None),
                true => match words.number("a number of steps, or off")? {
                    0 => return Err("check every 0 steps? Say `check every off`".to_owned()),
                    n => Step::CheckEvery(Some(n)),
                },
                false => Step::Check(words.conditions()?),
            },
            "expect" => match words.conditions()? {
                conditions if conditions.is_empty() => {
                    return Err("expected a condition such as vmas=3".to_owned());
                }
                conditions => Step::Expect(conditions),
            },
            "show" => Step::Show,
            "compare" => Step::Compare,
            "rules" => Step::Rules,
            "save" => {
                let name = words.next("the name of a debugfs file")?;
                if name.starts_with('/') || name.split('/').any(|part| part == "..") {
                    return Err(format!("`{name}` is not the name of a debugfs file"));
                }
                let name = name.to_owned();
                let path = environment(&words.take_rest())?;
                if path.is_empty() {
                    return Err("expected a path to save to".to_owned());
                }
                Step::Save { name, path }
            }
            other => return Err(format!("`{other}` is not a command")),
        };
        words.end()?;
        Ok(step)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |conditions: &[Condition]| -> String {
            conditions.iter().map(|c| format!(" {c}")).collect()
        };
        match self {
            Step::Map {
                process,
                mapping,
                pages,
                pgoff,
            } => {
                write!(f, "map {process} {mapping} {pages}")?;
                match pgoff {
                    0 => Ok(()),
                    pgoff => write!(f, " at {pgoff}"),
                }
            }
            Step::Touch {
                target,
                write,
                byte,
            } => {
                let verb = if *write { "write" } else { "read" };
                write!(f, "touch {target} {verb}")?;
                byte.map_or(Ok(()), |byte| write!(f, " {byte}"))
            }
            Step::Fork { process, children } => {
                write!(f, "fork {process} {}", children.join(" "))
            }
            Step::Exit { processes } => write!(f, "exit {}", processes.join(" ")),
            Step::Exec { process } => write!(f, "exec {process}"),
            Step::Protect { target, prot } => write!(f, "protect {target} {prot}"),
            Step::Unmap { target } => write!(f, "unmap {target}"),
            Step::Dontneed { target } => write!(f, "dontneed {target}"),
            Step::Move {
                target,
                pages,
                name,
            } => {
                write!(f, "move {target}")?;
                if let Some(pages) = pages {
                    write!(f, " to {pages}")?;
                }
                match name {
                    Some(name) => write!(f, " as {name}"),
                    None => Ok(()),
                }
            }
            Step::Tree {
                target,
                depth,
                children,
                byte,
            } => write!(
                f,
                "tree {} {depth} {children} write {} {} {byte}",
                target.process, target.mapping, target.range
            ),
            Step::Dies { signal, touch } => write!(f, "dies {} {touch}", signal.as_str()),
            Step::Mode(Mode::Pinned) => f.write_str("mode pinned"),
            Step::Mode(Mode::Mergeable) => f.write_str("mode mergeable"),
            Step::Check(conditions) => write!(f, "check{}", list(conditions)),
            Step::CheckEvery(None) => f.write_str("check every off"),
            Step::CheckEvery(Some(n)) => write!(f, "check every {n}"),
            Step::Expect(conditions) => write!(f, "expect{}", list(conditions)),
            Step::Show => f.write_str("show"),
            Step::Compare => f.write_str("compare"),
            Step::Rules => f.write_str("rules"),
            Step::Save { name, path } => write!(f, "save {name} {path}"),
            Step::Print(text) => write!(f, "print {text}"),
        }
    }
}

/// The number of processes that a `tree` makes, or [`None`] when it is beyond counting.
fn tree_size(depth: u64, children: u64) -> Option<u64> {
    let mut total = 0u64;
    let mut level = 1u64;
    for _ in 0..depth.min(MAX_TREE + 1) {
        level = level.checked_mul(children)?;
        total = total.checked_add(level)?;
        if total > MAX_TREE {
            return None;
        }
    }
    Some(total)
}

/// The words of one command after its keyword.
struct Words<'a> {
    keyword: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new(keyword: &'a str, rest: &'a str) -> Self {
        Self { keyword, rest }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn peek(&self) -> Option<&'a str> {
        self.rest.split_whitespace().next()
    }

    fn advance(&mut self) {
        self.rest = match self.rest.split_once(char::is_whitespace) {
            Some((_, rest)) => rest.trim_start(),
            None => "",
        };
    }

    /// The next word, which is `what`.
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let word = self
            .peek()
            .ok_or_else(|| format!("`{}`: expected {what}, found the end of line", self.keyword))?;
        self.advance();
        Ok(word)
    }

    /// Takes the next word if it is `keyword`.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek() == Some(keyword);
        if found {
            self.advance();
        }
        found
    }

    fn take_rest(&mut self) -> String {
        std::mem::take(&mut self.rest).to_owned()
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        let word = self.next(what)?;
        check_name(word)?;
        Ok(word.to_owned())
    }

    fn number(&mut self, what: &str) -> Result<u64, String> {
        number(self.next(what)?)
    }

    fn optional<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.peek() {
            Some(word) => {
                self.advance();
                parse(word).map(Some)
            }
            None => Ok(None),
        }
    }

    fn range(&mut self) -> Result<Range, String> {
        range(self.next("a range of pages")?)
    }

    fn target(&mut self) -> Result<Target, String> {
        Ok(Target {
            process: self.name("a process")?,
            mapping: self.name("a mapping")?,
            range: self.range()?,
        })
    }

    fn conditions(&mut self) -> Result<Vec<Condition>, String> {
        let mut conditions = Vec::new();
        while let Some(word) = self.peek() {
            self.advance();
            conditions.push(word.parse()?);
        }
        Ok(conditions)
    }

    fn end(&self) -> Result<(), String> {
        match self.peek() {
            Some(word) => Err(format!("`{}`: `{word}` is too much", self.keyword)),
            None => Ok(()),
        }
    }
}

fn number(word: &str) -> Result<u64, String> {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => word.parse(),
    }
    .map_err(|_| format!("`{word}` is not a number"))
}

fn byte(word: &str) -> Result<u8, String> {
    number(word)?
        .try_into()
        .map_err(|_| format!("`{word}` does not fit into a byte"))
}

fn range(word: &str) -> Result<Range, String> {
    let bad = |_| format!("`{word}` is not a range of pages: N, A..B, A..B/S or all");
    if word == "all" {
        return Ok(Range::All);
    }
    let Some((first, rest)) = word.split_once("..") else {
        let page = number(word).map_err(bad)?;
        let end = page
            .checked_add(1)
            .ok_or_else(|| format!("`{word}` is beyond any mapping"))?;
        return Ok(Range::Span(page, end));
    };
    let (end, stride) = match rest.split_once('/') {
        Some((end, stride)) => (end, Some(number(stride).map_err(bad)?)),
        None => (rest, None),
    };
    let first = number(first).map_err(bad)?;
    let end = number(end).map_err(bad)?;
    if first >= end {
        return Err(format!("the range {word} is empty"));
    }
    match stride {
        Some(0) => Err(format!("the range {word} has a stride of 0")),
        Some(stride) => Ok(Range::Stride(first, end, stride)),
        None => Ok(Range::Span(first, end)),
    }
}

fn check_name(word: &str) -> Result<(), String> {
    let mut chars = word.chars();
    let starts_well = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Err(match word.find(['$', '{']) {
            Some(_) => format!("`{word}` has a counter that no `repeat ... as` around it has made"),
            None => format!("`{word}` is not a name: letters, digits, `_`, `.` and `-`"),
        });
    }
    if word.len() > MAX_NAME {
        return Err(format!("`{word}` is longer than {MAX_NAME} bytes"));
    }
    Ok(())
}

/// Puts `${NAME}` and `${NAME:-default}` from the environment into `text`.
fn environment(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}` has a `${{` without `}}`"))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        out.push_str(before);
        match (std::env::var(name), default) {
            (Ok(value), _) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (_, None) => return Err(format!("the environment variable {name} is not set")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A line, or a block of lines.
#[derive(Debug, Clone)]
enum Node {
    Line {
        line: usize,
        text: String,
    },
    Repeat {
        line: usize,
        count: String,
        counter: Option<String>,
        body: Vec<Node>,
    },
}

/// A scenario file that has been read.
#[derive(Debug, Clone)]
pub struct Scenario {
    nodes: Vec<Node>,
}

/// The values of the counters around a line.
type Counters = BTreeMap<String, u64>;

impl Scenario {
    /// Reads a scenario and checks all of it: syntax, names, ranges.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario = Self::parse_blocks(text)?;
        let mut model = Model::new();
        scenario.walk(&mut |line, step| {
            model
                .apply(step)
                .map_err(|message| ScenarioError::new(line, message))
        })?;
        Ok(scenario)
    }

    fn parse_blocks(text: &str) -> Result<Self, ScenarioError> {
        // The innermost open block is the last; the first holds the file itself.
        let mut open: Vec<(usize, String, Option<String>, Vec<Node>)> =
            vec![(0, String::new(), None, Vec::new())];
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let text = strip_comment(raw).trim();
            let mut words = text.split_whitespace();
            match words.next() {
                None => {}
                Some("repeat") => {
                    let count = words.next().ok_or_else(|| {
                        ScenarioError::new(line, "`repeat`: expected a number of times")
                    })?;
                    let counter = match (words.next(), words.next(), words.next()) {
                        (None, ..) => None,
                        (Some("as"), Some(name), None)
                            if check_name(name).is_ok() && !name.contains(['.', '-']) =>
                        {
                            Some(name.to_owned())
                        }
                        _ => {
                            return Err(ScenarioError::new(
                                line,
                                "expected `repeat N` or `repeat N as COUNTER`",
                            ));
                        }
                    };
                    open.push((line, count.to_owned(), counter, Vec::new()));
                }
                Some("end") => {
                    if words.next().is_some() {
                        return Err(ScenarioError::new(line, "`end` stands alone"));
                    }
                    let block = match open.len() {
                        1 => None,
                        _ => open.pop(),
                    };
                    let (start, count, counter, body) =
                        block.ok_or_else(|| ScenarioError::new(line, "`end` without `repeat`"))?;
                    if let Some((.., outer)) = open.last_mut() {
                        outer.push(Node::Repeat {
                            line: start,
                            count,
                            counter,
                            body,
                        });
                    }
                }
                Some(_) => {
                    if let Some((.., block)) = open.last_mut() {
                        block.push(Node::Line {
                            line,
                            text: text.to_owned(),
                        });
                    }
                }
            }
        }
        match open.pop() {
            Some((0, _, _, nodes)) => Ok(Self { nodes }),
            Some((line, ..)) => Err(ScenarioError::new(line, "`repeat` without `end`")),
            None => Ok(Self { nodes: Vec::new() }),
        }
    }

    /// Calls `f` with the line number and the step, for each step in the order of running.
    pub fn walk<F>(&self, f: &mut F) -> Result<(), ScenarioError>
    where
        F: FnMut(usize, &Step) -> Result<(), ScenarioError>,
    {
        let mut budget = MAX_STEPS;
        walk(&self.nodes, &mut Counters::new(), &mut budget, f)
    }
}

fn walk<F>(
    nodes: &[Node],
    counters: &mut Counters,
    budget: &mut u64,
    f: &mut F,
) -> Result<(), ScenarioError>
where
    F: FnMut(usize, &Step) -> Result<(), ScenarioError>,
{
    for node in nodes {
        match node {
            Node::Line { line, text } => {
                *budget = budget.checked_sub(1).ok_or_else(|| {
                    ScenarioError::new(*line, format!("more than {MAX_STEPS} steps"))
                })?;
                let step = Step::parse(&substitute(text, counters))
                    .map_err(|message| ScenarioError::new(*line, message))?;
                f(*line, &step)?;
            }
            Node::Repeat {
                line,
                count,
                counter,
                body,
            } => {
                let count = number(&substitute(count, counters))
                    .map_err(|message| ScenarioError::new(*line, message))?;
                if count == 0 || count > MAX_STEPS {
                    return Err(ScenarioError::new(
                        *line,
                        format!("`repeat` takes 1 to {MAX_STEPS}, not {count}"),
                    ));
                }
                let hidden = counter
                    .as_ref()
                    .and_then(|name| counters.get(name).map(|value| (name.clone(), *value)));
                for i in 0..count {
                    if let Some(name) = counter {
                        counters.insert(name.clone(), i);
                    }
                    walk(body, counters, budget, f)?;
                }
                if let Some(name) = counter {
                    counters.remove(name);
                }
                counters.extend(hidden);
            }
        }
    }
    Ok(())
}

/// Cuts a comment off: `#` at the start of a word.
fn strip_comment(line: &str) -> &str {
    let mut previous = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && previous.is_whitespace() {
            return &line[..at];
        }
        previous = c;
    }
    line
}

/// Puts the counters into a line: `$i` and `{i}`. What names no counter stays as it is.
fn substitute(text: &str, counters: &Counters) -> String {
    if counters.is_empty() || !text.contains(['$', '{']) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (name, length) = match from.strip_prefix('$') {
            Some(after) if after.starts_with('{') => {
                let name = after[1..].split('}').next().unwrap_or("");
                (name, name.len() + 3)
            }
            Some(after) => {
                let end = after
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(after.len());
                (&after[..end], end + 1)
            }
            None => {
                let name = from[1..].split('}').next().unwrap_or("");
                (name, name.len() + 2)
            }
        };
        match counters.get(name) {
            Some(value) if length <= from.len() => {
                out.push_str(&value.to_string());
                rest = &from[length..];
            }
            _ => {
                out.push_str(&from[..1]);
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(usize, String)> {
        let mut out = Vec::new();
        Scenario::parse(text)
            .expect("parses")
            .walk(&mut |line, step| {
                out.push((line, step.to_string()));
                Ok(())
            })
            .expect("walks");
        out
    }

    fn error(text: &str) -> String {
        Scenario::parse(text)
            .expect_err("must be refused")
            .in_file("f.scn")
    }

    #[test]
    fn every_command_prints_as_it_was_written() {
        let text = "\
mode pinned
map main buf 8
map main far 4 at 16
touch main buf 0..4 write
touch main buf 0..8/2 write 7
touch main buf 0 read 7
fork main child other
protect child buf 2..4 r
dies SIGSEGV touch child buf 2 write
dontneed main buf all
move main buf all to 12
move main far 1..3 as part
move main far 0 to 4 as bigger
unmap main far 3
tree main 2 2 write buf 0..2 5
check
check differences>0 vmas>=1
check every 3
check every off
expect anon_vmas<=10 chains=4 pages<9
show
compare
rules
save chains.dot /tmp/chains.dot
print hello  world
exec main
exit main.* other
exit main";
        let printed: Vec<String> = steps(text).into_iter().map(|(_, s)| s).collect();
        assert_eq!(printed.join("\n"), text);
    }

    #[test]
    fn blocks_and_counters() {
        let text = "map main m 20 # a comment\n\
                    repeat 2 as i\n  repeat 2 as j\n    fork main c$i.{j}\n  end\n\
                    touch c$i.0 m 0..1${i} write $i\nend\n";
        assert_eq!(
            steps(text),
            [
                (1, "map main m 20"),
                (4, "fork main c0.0"),
                (4, "fork main c0.1"),
                (6, "touch c0.0 m 0..10 write 0"),
                (4, "fork main c1.0"),
                (4, "fork main c1.1"),
                (6, "touch c1.0 m 0..11 write 1"),
            ]
            .map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn environment_in_paths() {
        assert_eq!(
            steps("save chains ${RMAPCTL_TEST_UNSET:-/tmp}/x"),
            [(1, "save chains /tmp/x".to_owned())]
        );
        assert_eq!(
            error("\nsave chains ${RMAPCTL_TEST_UNSET}/x"),
            "f.scn:2: the environment variable RMAPCTL_TEST_UNSET is not set"
        );
    }

    #[test]
    fn errors_name_their_line() {
        for (text, expected) in [
            ("map main m 4\nfly main", "f.scn:2: `fly` is not a command"),
            (
                "touch main m 0",
                "f.scn:1: process `main` has no mapping `m`",
            ),
            ("map bob m 4", "f.scn:1: there is no process `bob`"),
            (
                "map main m 4\nexit main\ntouch main m 0",
                "f.scn:3: process `main` has ended",
            ),
            (
                "map main m 4\ntouch main m 3..3",
                "f.scn:2: the range 3..3 is empty",
            ),
            (
                "map main m 4\ntouch main m 2..5",
                "f.scn:2: mapping `m` of `main` has 4 pages; 2..5 is beyond",
            ),
            (
                "map main m 4\nunmap main m 1\ntouch main m 0..2",
                "f.scn:3: page 1 of `m` in `main` is not mapped any more",
            ),
            (
                "map main m 4\nprotect main m 1 r\ntouch main m 1",
                "f.scn:3: page 1 of `m` in `main` is protected (r): writing it is fatal; \
                 say `dies SIGSEGV touch ...` if that is meant",
            ),
            (
                "map main m 4\nmap main m 4",
                "f.scn:2: process `main` already has a mapping `m`",
            ),
            ("map main m 4\nfork main main", "f.scn:2: `main` is alive"),
            ("repeat 2\nshow", "f.scn:1: `repeat` without `end`"),
            ("show\nend", "f.scn:2: `end` without `repeat`"),
            (
                "repeat 0\nshow\nend",
                "f.scn:1: `repeat` takes 1 to 10000000, not 0",
            ),
            (
                "map main m$i 4",
                "f.scn:1: `m$i` has a counter that no `repeat ... as` around it has made",
            ),
            (
                "expect vmas=1",
                "f.scn:1: `expect` speaks of the last check; there was none",
            ),
            (
                "check bugs=0",
                "f.scn:1: `bugs` is not a number of a check; these are: vmas, anon_vmas, chains, \
                 pages, untracked, violations, differences",
            ),
            (
                "map main m 4\nmove main m 0..2",
                "f.scn:2: a part that moves needs a name of its own: `move P M RANGE as NAME`",
            ),
            (
                "map main m 4\nunmap main m 1\nmove main m all",
                "f.scn:3: the pages to move are not in one piece",
            ),
            ("map main m 4 5", "f.scn:1: `map`: `5` is too much"),
            (
                "map main m",
                "f.scn:1: `map`: expected a number of pages, found the end of line",
            ),
            (
                "map main m 4\ntouch main m 0 write 256",
                "f.scn:2: `256` does not fit into a byte",
            ),
            (
                "map main m 4\ntree main 9 3 write m 0",
                "f.scn:2: a tree makes 1 to 4096 processes",
            ),
            (
                "map main m 4\nmode mergeable",
                "f.scn:2: `mode` comes before the first `map`",
            ),
            ("exit nobody*", "f.scn:1: no process is called `nobody*`"),
        ] {
            assert_eq!(error(text), expected, "for {text:?}");
        }
    }

    /// Each file in `samples/bad-input` says in its first comments what it must be refused for.
    #[test]
    fn bad_samples_are_refused_as_they_say() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/bad-input");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("samples/bad-input is there") {
            let path = entry.expect("readable").path();
            let text = std::fs::read_to_string(&path).expect("readable");
            let expected = text
                .lines()
                .find_map(|line| line.strip_prefix("# expected: "))
                .expect("says what is expected");
            let found = Scenario::parse(&text).expect_err("must be refused");
            assert_eq!(found.in_file("FILE"), expected, "for {}", path.display());
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} bad samples");
    }

    #[test]
    fn good_samples_are_accepted() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("samples are there") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "scn") {
                let text = std::fs::read_to_string(&path).expect("readable");
                if let Err(error) = Scenario::parse(&text) {
                    panic!("{}", error.in_file(&path.display().to_string()));
                }
                seen += 1;
            }
        }
        assert!(seen >= 8, "only {seen} samples");
    }
}
