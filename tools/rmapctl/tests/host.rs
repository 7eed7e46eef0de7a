// SPDX-License-Identifier: GPL-2.0

//! `show` and `check` of the host's own reverse map, on files that stand in for debugfs.

mod module;

use module::{CHAINS, GOOD, Module, finish};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn check_has_three_exit_statuses() {
    let module = Module::new("check");
    let (code, run) = module.run("check --host");
    assert_eq!((code, run.stdout.as_str()), (Some(0), GOOD));
    assert_eq!(module.pid(), "0\n");
    let bad = "vma 2: no link\nhost check: mms=1 vmas=1 anon_vmas=1 chains=0 violations=1\n";
    module.file("host/check", bad);
    let (code, run) = module.run("check --host 7");
    assert_eq!((code, run.stdout.as_str()), (Some(1), bad));
    assert_eq!(module.pid(), "7\n");
    for text in ["", "host check: mms=1\n", &GOOD.replace("mms=1", "mms=0")] {
        module.file("host/check", text);
        let (code, run) = module.run("check --host");
        assert_eq!(code, Some(2), "{text}: {}", run.all);
    }
    fs::remove_dir_all(&module.0).expect("is removed");
    let (code, run) = module.run("check --host");
    assert_eq!(code, Some(2), "{}", run.all);
    assert!(run.all.contains("load the module"), "{}", run.all);
}

/// Neither file alone has all violations.
#[test]
fn check_of_the_shadow_adds_up_all_files() {
    let module = Module::new("check-shadow");
    let good = |name: &str| match name {
        "compare" => {
            "compare: vmas=1 anon_vmas=1 chains=1 pages=1 untracked=0 violations=0 differences=0\n"
        }
        "rules" => "R1 a title steps=1 checks=1 violations=0\n",
        _ => "structure_violations: 0\n",
    };
    for name in ["compare", "rules", "stats"] {
        module.file(name, good(name));
    }
    assert_eq!(module.run("check").0, Some(0));
    let structure = format!("violation of the structure: a ring\n{}", good("compare"));
    for (name, bad) in [
        ("compare", structure.as_str()),
        (
            "compare",
            &good("compare").replace("violations=0", "violations=1"),
        ),
        (
            "compare",
            &good("compare").replace("violations=0", "violations=oops"),
        ),
        (
            "rules",
            &good("rules").replace("violations=0", "violations=1"),
        ),
        (
            "rules",
            &good("rules").replace("violations=0", "violations=oops"),
        ),
        ("rules", ""),
        ("stats", "structure_violations: 1\n"),
        ("stats", "violations: 0\n"),
    ] {
        module.file(name, bad);
        let (code, run) = module.run("check");
        assert_eq!(code, Some(1), "{bad}: {}", run.all);
        module.file(name, good(name));
    }
}

#[test]
fn show_has_four_formats() {
    let module = Module::new("show");
    let (code, run) = module.run("show --host 7");
    assert_eq!(code, Some(0), "{}", run.all);
    assert!(
        run.stdout.contains("* init(7) 1000-2000 4K chain 1\n"),
        "{}",
        run.all
    );
    assert_eq!(module.pid(), "7\n");
    let (_, run) = module.run("show --host --all --format json");
    assert_eq!((&*run.stdout, &*module.pid()), (CHAINS, "0\n"));
    let (_, run) = module.run("show --host 7 --format dot");
    assert_eq!((&*run.stdout, &*module.pid()), ("digraph { a }", "7\n"));
    let (code, run) = module.run("show --host 8 --format svg");
    assert_eq!(module.pid(), "8\n");
    // Where Graphviz is installed it draws; elsewhere the error says so.
    match code {
        Some(0) => assert!(run.stdout.contains("<svg"), "{}", run.all),
        _ => assert!(run.all.contains("install graphviz"), "{}", run.all),
    }
}

#[test]
fn a_picture_needs_graphviz() {
    let module = Module::new("svg");
    let programs = module.0.join("programs");
    fs::create_dir(&programs).expect("is made");
    let svg = "show --host 7 --format svg";
    let (code, run) = finish(module.command(svg).env("PATH", &programs));
    assert_eq!(code, Some(1), "{}", run.all);
    assert!(run.all.contains("install graphviz"), "{}", run.all);
    let dot = programs.join("dot");
    let script = |text: &str| {
        fs::write(&dot, text).expect("is written");
        fs::set_permissions(&dot, fs::Permissions::from_mode(0o755)).expect("is set");
    };
    script("#!/bin/sh\necho \"$@\"\nexec /bin/cat\n");
    let (code, run) = finish(module.command(svg).env("PATH", &programs));
    assert_eq!(
        (code, run.stdout.as_str()),
        (Some(0), "-Tsvg\ndigraph { a }")
    );
    script("#!/bin/sh\nexit 3\n");
    let (code, run) = finish(module.command(svg).env("PATH", &programs));
    assert_eq!(code, Some(1), "{}", run.all);
    assert!(run.all.contains("exit status: 3"), "{}", run.all);
}

#[test]
fn bad_input_is_refused() {
    let module = Module::new("refused");
    for arguments in [
        "show --host",
        "show --host 7 --all",
        "show --host 0",
        "show --host -1",
        "show --host init",
        "show --host 4194304",
        "show --host 99999999999999999999",
        "show file.json --all",
        "show file.json --format dot",
        "show file.json --format svg",
        "show --format png",
        "check --host 7 --all",
        "check --host --compare-file x",
    ] {
        let (code, run) = module.run(arguments);
        assert_eq!(code, Some(2), "{arguments}: {}", run.all);
        assert!(run.all.contains("error: "), "{arguments}: {}", run.all);
        assert_eq!(module.pid(), "", "{arguments}");
    }
    for (text, message) in [
        ("", "not a chains.json"),
        ("{\"version\":1", "not a chains.json"),
        ("{\"version\":2}", "this rmapctl reads version 1"),
        (
            &CHAINS.replace("\"chain\":[1]", "\"chain\":[3]"),
            "which is not listed",
        ),
    ] {
        module.file("host/chains.json", text);
        let (code, run) = module.run("show --host 7");
        assert_eq!(code, Some(1), "{text}: {}", run.all);
        assert!(run.all.contains(message), "{text}: {}", run.all);
    }
    fs::remove_dir_all(module.0.join("host")).expect("is removed");
    let (code, run) = module.run("show --all");
    assert_eq!(code, Some(1), "{}", run.all);
    assert!(
        run.all.contains("does not show the host's reverse map"),
        "{}",
        run.all
    );
}
