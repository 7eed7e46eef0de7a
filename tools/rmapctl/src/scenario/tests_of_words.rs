// SPDX-License-Identifier: GPL-2.0

//! Tests of the errors of single words.

use super::*;

fn error(text: &str) -> String {
    Scenario::parse(text)
        .expect_err("must be refused")
        .in_file("f.scn")
}

fn refused(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let text = format!("map main m 8\n{line}");
        let found = error(&text);
        assert_eq!(
            found.split_once(' ').map(|(_, e)| e),
            Some(*expected),
            "for {text:?}"
        );
    }
}

#[test]
fn words_of_a_line_are_checked() {
    refused(&[
        (
            "advise main m all hot",
            "`hot` is not an advice; there are: dontfork, dofork, guard, unguard, populate-read, \
             populate-write, mergeable, pageout, random, normal",
        ),
        ("map main n 2 ro none", "a mapping is either `ro` or `none`"),
        (
            "map main n 2 over m",
            "`map`: expected a page, found the end of line",
        ),
        (
            "move main m 0 onto m",
            "`move`: expected a page, found the end of line",
        ),
        (
            "move main m all keep",
            "what `keep` leaves behind has the old name and the old size: \
             `move P M RANGE as NAME keep`, or `onto M PAGE keep`",
        ),
        ("poke main main m 0 300", "`300` is not a byte: 0 to 255"),
        (
            "poke main main m 0 3 gently",
            "`poke`: unexpected argument `gently`",
        ),
        (
            "refused EWHAT unmap main m 0",
            "`EWHAT` is not an errno such as EPERM",
        ),
        (
            "refused EPERM touch main m 0",
            "`touch main m 0 write` cannot follow `refused ERRNO`",
        ),
        (
            "refused EPERM unmap main m 0..8/2",
            "`unmap main m 0..8/2` cannot follow `refused ERRNO`",
        ),
        (
            "fail first unmap main m 0",
            "`first` is not a number: decimal, or hexadecimal after 0x",
        ),
        ("fail 1 exit main", "`exit main` cannot follow `fail N`"),
        (
            "dies SIGBUS exit main",
            "`exit main` cannot follow `dies SIGNAL`",
        ),
        (
            "fail 1 refused EPERM seal main m 0",
            "`refused ...` cannot follow `fail N`",
        ),
        (
            "dies SIGBUS dies SIGBUS touch main m 0",
            "`dies ...` cannot follow `dies SIGNAL`",
        ),
        // A copy of the rest for each word would need hundreds of gigabytes.
        (
            &"refused EPERM ".repeat(600_000),
            "`refused ...` cannot follow `refused ERRNO`",
        ),
        (
            "thread t fork main c",
            "`fork main c` cannot follow `thread T`",
        ),
        (
            "check vmas=2*bugs",
            "`bugs` is not a key of a check; the keys are: vmas, anon_vmas, \
          chains, pages, untracked, violations, differences, opens, closes",
        ),
        (
            "check vmas=x*chains",
            "`x` is not a number: decimal, or hexadecimal after 0x",
        ),
    ]);
}

#[test]
fn pages_that_a_word_cannot_use_are_refused() {
    let at = |page: u64, why: &str| format!("page {page} of `m` in `main` {why}");
    let sealed = "is sealed: the call fails; write `refused EPERM ...` if this is intended";
    let locked = "may be locked: the call fails; write `refused EINVAL ...` if this is intended";
    let access = "cannot be accessed: the call fails";
    let cases = [
        ("seal main m 2\nunmap main m 0..4", at(2, sealed)),
        ("seal main m 2\nprotect main m 2 r", at(2, sealed)),
        ("seal main m 2\nmove main m 2 as n", at(2, sealed)),
        ("seal main m 2\nmap main n 2 over m 1", at(2, sealed)),
        ("seal main m 2\nmove main m 5 onto m 2", at(2, sealed)),
        (
            "seal main m 2\nfork main c\nunmap c m 2",
            at(2, sealed).replace("main", "c"),
        ),
        ("lock main m 2\ndontneed main m 2", at(2, locked)),
        ("lock main m 2\nadvise main m 2 guard", at(2, locked)),
        ("lock main m 2\nadvise main m 2 pageout", at(2, locked)),
        ("protect main m 2 none\nlock main m 2", at(2, access)),
        ("advise main m 2 guard\npin main m 2", at(2, access)),
        (
            "protect main m 2 r\nadvise main m 2 populate-write",
            at(2, access),
        ),
        (
            "protect main m 2 r\npoke main main m 2",
            at(
                2,
                "cannot be written to: the call fails with EFAULT; add `force`",
            ),
        ),
        (
            "advise main m 2 guard\ntouch main m 2 read",
            at(
                2,
                "is in a guard region: reading it kills the process; write `dies SIGSEGV touch \
                   ...` if this is intended",
            ),
        ),
        (
            "map main n 2 over m 2\nmove main m 0 onto m 2",
            at(2, "may have given its address to another mapping"),
        ),
        (
            "move main m 2 to 3 as n\nmap main o 1 over m 2",
            at(2, "may have given its address to another mapping"),
        ),
        (
            "advise main m 2 dontfork\nfork main c\ntouch c m 2",
            at(2, "has been unmapped or moved away").replace("main", "c"),
        ),
        (
            "map main n 4 over m 6",
            "mapping `m` of `main` has pages 0..8; 4 from page 6 on are beyond its end".to_owned(),
        ),
        (
            "move main m 0..4 onto m 2",
            "the pages to move and their new place overlap".to_owned(),
        ),
        ("unpin main", "process `main` has pinned no page".to_owned()),
        (
            "map main n 300\npin main n all",
            "a process has at most 256 pages pinned".to_owned(),
        ),
    ];
    for (lines, expected) in cases {
        let found = error(&format!("map main m 8\n{lines}"));
        assert!(
            found.ends_with(&format!(": {expected}")),
            "{lines:?}: {found}"
        );
    }
}

#[test]
fn a_thread_keeps_its_pages() {
    for (lines, expected) in [
        (
            "touch main m 3",
            "f.scn:3: these pages may be in use by thread `t`: `wait t` first",
        ),
        (
            "poke main main m 3",
            "f.scn:3: these pages may be in use by thread `t`: `wait t` first",
        ),
        (
            "exit main",
            "f.scn:3: the process has thread `t`: `wait t` first",
        ),
        (
            "exec main",
            "f.scn:3: the process has thread `t`: `wait t` first",
        ),
        (
            "fork main c",
            "f.scn:3: the VMAs may be changed by thread `t`: `wait t` first",
        ),
        (
            "map main n 1",
            "f.scn:3: addresses may be released by thread `t`: `wait t` first",
        ),
        (
            "thread t touch main m 0",
            "f.scn:3: there is already a thread `t`",
        ),
        ("touch main m 0", "f.scn: thread `t` is never waited for"),
        ("wait u", "f.scn:3: no thread `u` runs"),
        ("wait\nwait", "f.scn:4: no thread runs"),
    ] {
        let text = format!("map main m 8\nthread t unmap main m 2..4\n{lines}");
        assert_eq!(error(&text), expected, "for {lines:?}");
    }
    let text = "map main m 8\nthread t touch main m 2 write 5\nfork main c\nwait\ntouch c m 2 read";
    Scenario::parse(text).expect("a fork is possible beside a touch");
}
