// SPDX-License-Identifier: GPL-2.0

//! Conditions on the numbers of a check: `vmas=3`, `anon_vmas<=2*vmas`.

use super::words::number;
use std::fmt;
use std::str::FromStr;

/// A number that a check reports.
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
    /// VMAs that the shadow does not follow.
    Untracked,
    /// Violations of rules.
    Violations,
    /// Differences between shadow and host.
    Differences,
    /// Calls of `open` between the last two checks: forks, splits and moves of a VMA.
    Opens,
    /// Calls of `close` between the last two checks.
    Closes,
}

impl Field {
    /// Every field.
    pub const ALL: [Field; 9] = [
        Field::Vmas,
        Field::AnonVmas,
        Field::Chains,
        Field::Pages,
        Field::Untracked,
        Field::Violations,
        Field::Differences,
        Field::Opens,
        Field::Closes,
    ];

    /// The fields of the ioctl, in the order in which a check prints them.
    pub const OF_CHECK: [Field; 7] = [
        Field::Vmas,
        Field::AnonVmas,
        Field::Chains,
        Field::Pages,
        Field::Untracked,
        Field::Violations,
        Field::Differences,
    ];

    /// Returns the name in the language and in debugfs.
    pub fn name(self) -> &'static str {
        match self {
            Field::Vmas => "vmas",
            Field::AnonVmas => "anon_vmas",
            Field::Chains => "chains",
            Field::Pages => "pages",
            Field::Untracked => "untracked",
            Field::Violations => "violations",
            Field::Differences => "differences",
            Field::Opens => "opens",
            Field::Closes => "closes",
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

/// The right side of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `N`
    Number(u64),
    /// `KEY` or `N*KEY`
    Times(u64, Field),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Times(1, field) => f.write_str(field.name()),
            Value::Times(factor, field) => write!(f, "{factor}*{}", field.name()),
        }
    }
}

/// A condition on a number of the last check, such as `KEY=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The number of the check.
    pub field: Field,
    /// How it is compared.
    pub comparison: Comparison,
    /// The value it is compared with.
    pub value: Value,
}

impl Condition {
    /// Returns whether the condition holds, given the numbers of a check.
    pub fn holds(&self, get: impl Fn(Field) -> u64) -> bool {
        let number = get(self.field);
        let value = match self.value {
            Value::Number(value) => value,
            Value::Times(factor, field) => factor.saturating_mul(get(field)),
        };
        match self.comparison {
            Comparison::Equal => number == value,
            Comparison::Greater => number > value,
            Comparison::AtLeast => number >= value,
            Comparison::Less => number < value,
            Comparison::AtMost => number <= value,
        }
    }

    /// Returns whether the condition is about [`Field::Opens`] or [`Field::Closes`].
    pub fn is_about_events(&self) -> bool {
        let of_events = |field| matches!(field, Field::Opens | Field::Closes);
        of_events(self.field) || matches!(self.value, Value::Times(_, field) if of_events(field))
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
        Ok(Condition {
            field: key.parse()?,
            comparison,
            value: value.parse()?,
        })
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, String> {
        let found = Field::ALL.into_iter().find(|f| f.name() == key);
        found.ok_or_else(|| {
            let names = Field::ALL.map(Field::name).join(", ");
            format!("`{key}` is not a key of a check; the keys are: {names}")
        })
    }
}

impl FromStr for Value {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.split_once('*') {
            Some((factor, key)) => Ok(Value::Times(number(factor)?, key.parse()?)),
            None if word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                Ok(Value::Times(1, word.parse()?))
            }
            None => number(word).map(Value::Number),
        }
    }
}
