// SPDX-License-Identifier: GPL-2.0

//! Comments and loop counters in a line.

use std::collections::BTreeMap;

/// The values of the counters of the blocks around a line.
pub(super) type Counters = BTreeMap<String, u64>;

/// Removes a comment, which begins with `#` at the start of a word.
pub(super) fn strip_comment(line: &str) -> &str {
    let mut previous = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && previous.is_whitespace() {
            return &line[..at];
        }
        previous = c;
    }
    line
}

/// Replaces `$i`, `${i}` and `{i}` by the value of the counter `i`. Other text stays unchanged.
pub(super) fn substitute(text: &str, counters: &Counters) -> String {
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
