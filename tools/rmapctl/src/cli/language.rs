// SPDX-License-Identifier: GPL-2.0

//! The language of scenarios, in short.

/// Printed at the end of `rmapctl run --help`.
pub(super) const LANGUAGE: &str = "\
A scenario has one command on each line; `#` begins a comment. A complete example:

  check every 1                    # let the module check after each command
  map main buf 8                   # process `main` maps 8 pages and calls them `buf`
  touch main buf all write         # it writes to all pages
  fork main child                  # it forks a process `child`, which inherits `buf`
  touch child buf 0..2 write       # the child writes to pages 0 and 1
  show                             # draw the chains

P and C are names of processes; every scenario starts with one process, `main`. M is the name of a
mapping in process P. RANGE is a page N, pages A..B (without B), A..B/S (every S-th page) or `all`.

  mode pinned|mergeable                before the first map: whether the host may merge VMAs
  map P M PAGES [ro|none] [over M2 PAGE] [at PGOFF]
                                       mmap() of the device, over pages of M2 from PAGE on
  touch P M RANGE [write|read] [BYTE]  write BYTE to each page, or read it and compare
  fork P C...                          fork(), once for each C
  exit P...                            exit; STEM* stands for all names that begin with STEM
  exec P                               execve()
  protect P M RANGE rw|r|none          mprotect()
  unmap P M RANGE                      munmap()
  dontneed P M RANGE                   madvise(MADV_DONTNEED)
  move P M RANGE [to PAGES] [as NAME]  mremap() to another address
  move P M RANGE [to PAGES] onto M2 PAGE
                                       mremap() to the place of pages of M2, from PAGE on
  move P M RANGE as NAME|onto M2 PAGE keep
                                       with MREMAP_DONTUNMAP: the old place stays, without its pages
  advise P M RANGE ADVICE              madvise(): dontfork, dofork, guard, unguard, populate-read,
                                       populate-write, mergeable, pageout,
                                       random, normal
  lock P M RANGE, unlock P M RANGE     mlock(), munlock()
  seal P M RANGE                       mseal()
  poke Q P M RANGE [BYTE] [force]      Q writes to pages of P; `force`: whatever their protection is
  pin P M RANGE, unpin P [BYTE]        hold references on pages; release all, which must begin with BYTE
  tree P DEPTH N write M RANGE [BYTE]  every process forks N children, DEPTH levels deep
  dies SIGNAL touch ...                the touch must kill the process
  refused ERRNO COMMAND                the kernel must refuse the call
  fail N COMMAND                       after N allocations one fails; COMMAND is repeated if it fails
  thread T COMMAND, wait [T...]        a thread executes COMMAND, together with the next command
  repeat N [as i] ... $i ... end       the lines between, N times
  check [CONDITION...]                 check now; the default is violations=0 differences=0 untracked=0
  check every N|off                    check after every N commands
  expect CONDITION...                  conditions on the last check
  show, compare, rules                 print the chains, the last line of `compare`, the rules
  save FILE PATH                       copy a file of debugfs
  print TEXT                           print TEXT

CONDITION is KEY=VALUE, or has >, >=, < or <=; KEY is vmas, anon_vmas, chains, pages, untracked,
violations, differences, opens or closes; VALUE is N, KEY or N*KEY. Documentation/scenarios.rst describes the language in full.

Exit status: 0 all scenarios passed, 1 a scenario failed, 2 the command line is wrong.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// The example of `run --help` is a valid scenario of six commands.
    #[test]
    fn the_example_of_the_help_is_a_scenario() {
        let example: Vec<&str> = LANGUAGE
            .lines()
            .skip_while(|line| !line.starts_with("  "))
            .take_while(|line| line.starts_with("  "))
            .collect();
        assert_eq!(example.len(), 6);
        Scenario::parse(&example.join("\n")).expect("the example parses");
    }

    /// Every keyword of the language that a process executes is explained in `run --help`.
    #[test]
    fn the_help_names_every_command() {
        for keyword in [
            "mode", "map", "touch", "fork", "exit", "exec", "protect", "unmap", "dontneed", "move",
            "tree", "dies", "repeat", "check", "expect", "show", "save", "print", "advise", "lock",
            "seal", "poke", "pin", "refused", "fail", "thread",
        ] {
            assert!(
                LANGUAGE
                    .lines()
                    .any(|line| line.starts_with(&format!("  {keyword} "))
                        || line.starts_with(&format!("  {keyword},"))),
                "{keyword}"
            );
        }
    }
}
