// SPDX-License-Identifier: GPL-2.0

//! `top` on files that stand in for debugfs.

mod module;

use module::Module;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

const STATS: &str = "bytes_host_anon_vma: 104\nbytes_host_anon_vma_chain: 64\n";
const TABLE: &str = "\
top: mms=1 vmas=1 families=1 anon_vmas=1 links=1 bytes=168 sort=vmas
    PID  VMAS PROCS DEPTH  ANON  LINKS CHAIN  TREE  REFS   BYTES NAME
      7     1     1     1     1      1     1     1     1     168 init
";

#[test]
fn tables_are_printed() {
    let module = Module::new("top");
    module.file("stats", STATS);
    let (code, run) = module.run("top --once");
    assert_eq!((code, run.stdout.as_str()), (Some(0), TABLE));
    assert_eq!(module.pid(), "0\n");
    let (code, run) = module.run("top -n 2 --delay 1 --sort tree");
    let sorted = TABLE.replace("sort=vmas", "sort=tree");
    assert_eq!((code, run.stdout), (Some(0), format!("{sorted}\n{sorted}")));
}

/// The tables that were asked for have not all been printed.
#[test]
fn an_interrupted_table_is_an_error() {
    let module = Module::new("top-interrupted");
    module.file("stats", STATS);
    let mut command = module.command("top -n 1000000 --delay 1");
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let mut table = vec![0; TABLE.len()];
    let stdout = child.stdout.as_mut().expect("is piped");
    stdout.read_exact(&mut table).expect("is printed");
    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.expect("runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(1));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let module = Module::new("top-errors");
    let fails = |message: &str| {
        let (code, run) = module.run("top --once");
        assert_eq!(code, Some(1), "{}", run.all);
        assert!(run.all.contains(message), "{}", run.all);
    };
    module.file("stats", "bytes_host_anon_vma: 104\n");
    fails("no line `bytes_host_anon_vma_chain: N`");
    module.file("stats", STATS);
    module.file("host/chains.json", "[]");
    fails("not a chains.json");
    fs::remove_dir_all(&module.0).expect("is removed");
    fails("load the module");
    for arguments in [
        "top --once -n 2",
        "top -n 0",
        "top --delay 0",
        "top --sort size",
    ] {
        let (code, run) = module.run(arguments);
        assert_eq!(code, Some(2), "{arguments}: {}", run.all);
    }
}
