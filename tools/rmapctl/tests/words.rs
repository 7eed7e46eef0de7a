// SPDX-License-Identifier: GPL-2.0

//! Shows the effect of each word on real memory: a scenario that would fail if the word did nothing.

mod common;

use common::run;

/// Runs scenarios that must succeed.
fn good(cases: &[(&str, &str)]) {
    for (name, text) in cases {
        let run = run(name, text);
        assert!(run.good, "{name}: {}", run.all);
    }
}

/// Runs scenarios that must fail with this message.
fn bad(cases: &[(&str, &str, &str)]) {
    for (name, text, message) in cases {
        let run = run(name, text);
        assert!(!run.good, "{name}: {}", run.all);
        let expected = format!("FILE:{message}\n");
        assert!(run.stdout.starts_with(&expected), "{name}: {}", run.all);
    }
}

#[test]
#[ignore = "needs Linux 6.17"]
fn advice_has_an_effect() {
    good(&[
        (
            "guard",
            "map main m 4\ntouch main m all write 3\nadvise main m 1 guard\n\
             fork main c\ndies SIGSEGV touch c m 1 read\n\
             advise main m 1 unguard\ntouch main m 1 read 0\ntouch main m 2 read 3",
        ),
        (
            "populate",
            "map main m 4\nprotect main m 2 r\nprotect main m 3 none\n\
             advise main m 0..2 populate-write\nadvise main m 0..3 populate-read\n\
             refused EINVAL advise main m 2 populate-write\n\
             refused EINVAL advise main m 3 populate-read",
        ),
        (
            "pageout",
            "map main m 4\ntouch main m all\nadvise main m all pageout\n\
             lock main m 1\nrefused EINVAL advise main m 1 pageout\ntouch main m 1 read 1",
        ),
        (
            "dofork",
            "map main m 4\ntouch main m all write 5\nadvise main m 1..3 dontfork\n\
             advise main m 2 dofork\nfork main c\ntouch c m 2 read 5",
        ),
    ]);
    // A page that is not forked is not there.
    bad(&[(
        "dontfork",
        "map main m 2\nmap main n 2\nadvise main m all dontfork\nfork main c\ntouch c m 0",
        "5: process `c` has no mapping `m`",
    )]);
    let ksm = std::path::Path::new("/sys/kernel/mm/ksm").exists();
    if ksm {
        good(&[("mergeable", "map main m 2\nadvise main m all mergeable")]);
    } else {
        good(&[(
            "mergeable",
            "map main m 2\nrefused EINVAL advise main m all mergeable",
        )]);
    }
}

#[test]
#[ignore = "needs Linux 6.17"]
fn pages_are_put_at_a_place() {
    good(&[
        (
            "onto",
            "map main m 4\nmap main n 4\ntouch main m all write 3\ntouch main n all write 4\n\
             move main m 1..3 onto n 2\ntouch main n 0..2 read 4\ntouch main n 2..4 read 3\n\
             move main n 2 onto m 1\ntouch main m 0..2 read 3",
        ),
        (
            "onto_keep",
            "map main m 4\nmap main n 4\ntouch main m all write 3\n\
             move main m 1..3 onto n 0 keep\ntouch main m 1..3 read 0\n\
             touch main n 0..2 read 3\ntouch main m 1 write 9\ntouch main n 0 read 3",
        ),
        (
            "onto_to",
            "map main m 4\nmap main n 4\ntouch main m all write 3\n\
             move main m 0 to 2 onto n 1\ntouch main n 1 read 3\ntouch main n 2 read 0",
        ),
        // The addresses of a hole stay free until pages are put there.
        (
            "onto_hole",
            "map main m 8\ntouch main m all write 3\nunmap main m 2..6\n\
             map main a 1\nmap main b 1\nmap main c 4\ntouch main c all write 7\n\
             move main c all onto m 2\ntouch main m 2..6 read 7\ntouch main m 6..8 read 3",
        ),
        (
            "over",
            "map main m 8\ntouch main m all write 3\nmap main n 3 over m 2 at 2\n\
             touch main n all read 0\nmap main m 2 over m 6\ntouch main m 6..8 read 0\n\
             touch main m 0..2 read 3\ntouch main m 5 read 3",
        ),
        (
            "map_ro",
            "map main m 2 ro\ntouch main m all read 0\nfork main c\n\
             dies SIGSEGV touch c m 0 write\nprotect main m all rw\ntouch main m all",
        ),
        (
            "map_none",
            "map main m 2 none\ndies SIGSEGV touch main m 1 read",
        ),
        (
            "several_vmas",
            "map main m 6\ntouch main m all write 3\nprotect main m 2..4 r\n\
             move main m 1..5 as n\ntouch main n all read 3\nfork main c\n\
             dies SIGSEGV touch c n 1 write",
        ),
    ]);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn locks_and_seals_hold() {
    good(&[
        (
            "lock",
            "map main m 4\nlock main m 1..3\nrefused EINVAL dontneed main m 2\n\
             refused EINVAL advise main m 1 guard\nunlock main m 2\ndontneed main m 2\n\
             refused EINVAL dontneed main m 1\nfork main c\ndontneed c m 1",
        ),
        (
            "seal",
            "map main m 4\nmap main n 4\nseal main m 1..3\nrefused EPERM unmap main m 0..2\n\
             refused EPERM protect main m 2 r\nrefused EPERM move main m 1..3 as x\n\
             refused EPERM move main n 0 onto m 1\nrefused EPERM map main y 1 over m 2\n\
             unmap main m 0\nfork main c\nrefused EPERM unmap c m 1\nexit c",
        ),
    ]);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn another_process_writes() {
    good(&[
        (
            "poke",
            "map main m 4\nfork main a b\npoke b a m 1..3 7\ntouch a m 1..3 read 7\n\
             touch main m 1 read 0\ntouch b m 1 read 0\npoke a a m 0\ntouch a m 0 read 1",
        ),
        (
            "poke_force",
            "map main m 4 ro\nfork main a\ntouch a m all read 0\npoke main a m 1 7 force\n\
             touch a m 1 read 7\ntouch main m 1 read 0\nprotect a m 2 none\n\
             poke main a m 2 8 force\nprotect a m 2 r\ntouch a m 2 read 8",
        ),
    ]);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn pinned_pages_stay() {
    good(&[
        (
            "pin",
            "map main m 4\ntouch main m all write 3\npin main m 0..2\npin main m 3\n\
             touch main m all write 4\nunpin main 4\npin main m 0..4/2\n\
             dontneed main m all\ntouch main m all write 9\nunpin main 4",
        ),
        (
            "pin_fork",
            "map main m 2\ntouch main m all write 3\npin main m all\nfork main c\n\
             exec c\nunmap main m all\nunpin main 3",
        ),
    ]);
    bad(&[(
        "unpin_other",
        "map main m 2\ntouch main m all write 3\npin main m all\nunpin main 4",
        "4: process `main`: page 0 holds 3, expected 4",
    )]);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn threads_make_calls() {
    good(&[
        (
            "thread",
            "map main m 8\ntouch main m all write 3\nthread a touch main m 0..4 write 5\n\
             thread b protect main m 6..8 none\ntouch main m 4..6 write 6\nwait b\nwait a\n\
             touch main m 0..4 read 5\ntouch main m 4..6 read 6\n\
             dies SIGSEGV touch main m 7 read",
        ),
        (
            "thread_fork",
            "map main m 64\nthread a touch main m 1..64 write 5\nfork main c\nwait\n\
             touch main m 1..64 read 5\ntouch c m 0 write 2\nthread a touch c m 1 write 3\n\
             wait a\ntouch c m 1 read 3",
        ),
    ]);
    bad(&[(
        "thread_fails",
        "map main m 2\ntouch main m 0 write 3\nthread a touch main m 0 read 4\nwait",
        "4: thread `a`: process `main`: page 0 holds 3, expected 4",
    )]);
}

#[test]
#[ignore = "needs Linux 6.17"]
fn a_call_that_is_not_refused_fails() {
    bad(&[
        (
            "not_refused",
            "map main m 4\nrefused EPERM unmap main m 1",
            "2: `unmap main m 1` succeeded, expected EPERM",
        ),
        (
            "otherwise_refused",
            "map main m 4\nseal main m 1\nrefused EINVAL unmap main m 1",
            "3: process `main`: munmap of page 1: EPERM: Operation not permitted, expected EINVAL",
        ),
    ]);
}
