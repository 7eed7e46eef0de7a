// SPDX-License-Identifier: GPL-2.0

//! The words of a line: names, numbers, ranges of pages, environment variables.

use super::{Condition, MAX_NAME, Range, Target};

/// The words of one command that are not parsed yet.
pub(super) struct Words<'a> {
    keyword: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(keyword: &'a str, rest: &'a str) -> Self {
        Self { keyword, rest }
    }

    pub(super) fn is_empty(&self) -> bool {
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

    /// Takes the next word; `what` names it in the error.
    pub(super) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let word = self
            .peek()
            .ok_or_else(|| format!("`{}`: expected {what}, found the end of line", self.keyword))?;
        self.advance();
        Ok(word)
    }

    /// Takes the next word if it is `keyword`.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek() == Some(keyword);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn take_rest(&mut self) -> String {
        std::mem::take(&mut self.rest).to_owned()
    }

    pub(super) fn name(&mut self, what: &str) -> Result<String, String> {
        let word = self.next(what)?;
        check_name(word)?;
        Ok(word.to_owned())
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u64, String> {
        number(self.next(what)?)
    }

    pub(super) fn optional<T>(
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

    pub(super) fn range(&mut self) -> Result<Range, String> {
        range(self.next("a range of pages")?)
    }

    pub(super) fn target(&mut self) -> Result<Target, String> {
        Ok(Target {
            process: self.name("a process")?,
            mapping: self.name("a mapping")?,
            range: self.range()?,
        })
    }

    pub(super) fn conditions(&mut self) -> Result<Vec<Condition>, String> {
        let mut conditions = Vec::new();
        while let Some(word) = self.peek() {
            self.advance();
            conditions.push(word.parse()?);
        }
        Ok(conditions)
    }

    pub(super) fn end(&self) -> Result<(), String> {
        match self.peek() {
            Some(word) => Err(format!("`{}`: unexpected argument `{word}`", self.keyword)),
            None => Ok(()),
        }
    }
}

pub(super) fn number(word: &str) -> Result<u64, String> {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => word.parse(),
    }
    .map_err(|_| format!("`{word}` is not a number: decimal, or hexadecimal after 0x"))
}

pub(super) fn byte(word: &str) -> Result<u8, String> {
    number(word)?
        .try_into()
        .map_err(|_| format!("`{word}` is not a byte: 0 to 255"))
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

pub(super) fn check_name(word: &str) -> Result<(), String> {
    let mut chars = word.chars();
    let starts_well = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Err(match word.find(['$', '{']) {
            Some(_) => format!(
                "`{word}` uses a counter; put the line inside `repeat N as COUNTER` ... `end`"
            ),
            None => format!(
                "`{word}` is not a name: a letter or `_`, then letters, digits, `_`, `.` and `-`"
            ),
        });
    }
    if word.len() > MAX_NAME {
        return Err(format!("`{word}` is longer than {MAX_NAME} bytes"));
    }
    Ok(())
}

/// Replaces `${NAME}` and `${NAME:-default}` in `text` by the value of the environment variable.
pub(super) fn environment(text: &str) -> Result<String, String> {
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
            (_, None) => {
                return Err(format!(
                    "the environment variable {name} is not set; `${{{name}:-DEFAULT}}` gives a default"
                ));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
