// SPDX-License-Identifier: GPL-2.0

//! What this crate has in the place of `rust/torture/run/`, which it cannot compile, says the same.

use std::{fs, path::Path};

/// Returns an item of a file, from `begin` to its end, without comments and indentation.
fn item(path: &str, begin: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).expect("a source file");
    let mut lines = text.lines().skip_while(|line| !line.contains(begin));
    let first = lines
        .next()
        .unwrap_or_else(|| panic!("{begin} is not in {}", path.display()));
    let indentation = first.len() - first.trim_start().len();
    let mut item = vec![first[first.find(begin).unwrap_or(0)..].to_owned()];
    for line in lines {
        let line = &line[indentation.min(line.len())..];
        if !line.trim_start().starts_with("//") {
            item.push(line.to_owned());
        }
        if line.starts_with(['}', ']']) {
            break;
        }
    }
    item
}

#[test]
fn copies_are_the_same() {
    for (begin, least) in [
        ("enum Protocol {", 5),
        ("const PROTOCOLS: [(Protocol, &str)", 5),
    ] {
        let original = item("../../../rust/torture/run/mod.rs", begin);
        assert!(original.len() >= least, "{original:?}");
        assert_eq!(item("src/torture.rs", begin), original);
    }
}
