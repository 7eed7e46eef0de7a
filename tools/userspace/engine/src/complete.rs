// SPDX-License-Identifier: GPL-2.0

//! Checks that no KUnit suite is left out.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folders whose suites run here.
const FOLDERS: [&str; 4] = ["kernel_ext", "model", "rmap", "snapshot"];

/// Files with suites that cannot: why.
const LEFT_OUT: [(&str, &str); 0] = [];

/// Returns all Rust files below a folder.
fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// Returns the suites of a source file, each with the number of its tests.
fn suites(text: &str) -> Vec<(String, usize)> {
    let mut suites = Vec::<(String, usize)>::new();
    for line in text.lines().map(str::trim) {
        if let Some((_, name)) = line
            .split_once("kunit_tests(")
            .filter(|_| line.starts_with("#["))
        {
            suites.push((name.trim_end_matches(")]").to_owned(), 0));
        } else if let ("#[test]", Some(suite)) = (line, suites.last_mut()) {
            suite.1 += 1;
        }
    }
    suites
}

/// Each suite that is in the sources is a part of this program, with all its tests.
#[test]
fn all_suites_are_here() {
    let rust = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../rust");
    let mut paths = Vec::new();
    for folder in FOLDERS {
        files(&rust.join(folder), &mut paths);
    }
    let mut expected = BTreeMap::new();
    for path in paths {
        let name = path
            .strip_prefix(&rust)
            .expect("below rust/")
            .to_string_lossy()
            .into_owned();
        if LEFT_OUT.iter().all(|(file, _)| *file != name) {
            expected.extend(suites(&fs::read_to_string(path).expect("a file")));
        }
    }
    let program = std::env::current_exe().expect("this program");
    let list = Command::new(program)
        .arg("--list")
        .output()
        .expect("the list")
        .stdout;
    let mut here = BTreeMap::<String, usize>::new();
    for test in String::from_utf8_lossy(&list).lines() {
        let path = test.trim_end_matches(": test");
        if let Some(suite) = path
            .rsplit("::")
            .nth(1)
            .filter(|name| name.starts_with("shadow_rmap_"))
        {
            *here.entry(suite.to_owned()).or_default() += 1;
        }
    }
    assert!(
        expected.len() > 30,
        "only {} suites in the sources",
        expected.len()
    );
    assert_eq!(here, expected);
}
