// SPDX-License-Identifier: GPL-2.0

//! Conditions on the numbers of a check: `vmas=3`, `anon_vmas<=10`.

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

/// A condition on a number of the last check, such as `KEY=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The number of the check.
    pub field: Field,
    /// How it is compared.
    pub comparison: Comparison,
    /// The value it is compared with.
    pub value: u64,
}

impl Condition {
    /// Returns whether `number` meets the condition.
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
                format!("`{key}` is not a key of a check; the keys are: {names}")
            })?;
        Ok(Condition {
            field,
            comparison,
            value: number(value)?,
        })
    }
}
