// SPDX-License-Identifier: GPL-2.0

//! What the messages of a dead process say: an end of the host, or an error of this program.

use fuzz::process::reason;

fn because(messages: &[&str]) -> Result<String, String> {
    let messages: Vec<String> = messages.iter().map(|&line| line.to_owned()).collect();
    reason(&messages, "signal: 11 (SIGSEGV)")
}

#[test]
fn the_host_ends_a_process() {
    for (messages, words) in [
        (&["unmapped"][..], "signal: 11 (SIGSEGV)"),
        (
            &["==7==ERROR: AddressSanitizer: heap-use-after-free", "#0 a"],
            "AddressSanitizer: heap-use-after-free",
        ),
        (
            &["mm/vma.c:7: runtime error: load"],
            "mm/vma.c:7: runtime error: load",
        ),
        (
            &["vma.c:9: Assertion `0' failed."],
            "vma.c:9: Assertion `0' failed.",
        ),
        (
            &[
                "thread 'main' panicked at /x/userspace/host/src/tables.rs:1:2:",
                "a page",
            ],
            "thread 'main' panicked at /x/userspace/host/src/tables.rs:1:2:",
        ),
    ] {
        assert_eq!(because(messages), Ok(format!("the host crashes: {words}")));
    }
}

#[test]
fn a_panic_of_this_program_is_an_error() {
    for place in [
        "src/pair.rs:1:2:",
        "/x/kernel/src/bindings/rwsem.rs:1:2:",
        "/x/rust/rmap/fork.rs:1:2:",
    ] {
        let line = format!("thread 'main' panicked at {place}");
        assert_eq!(
            because(&["noise", &line, "splat: rwsem bad magic", "ERROR: x"]),
            Err(format!("the fuzzer fails: {line} splat: rwsem bad magic"))
        );
    }
}
