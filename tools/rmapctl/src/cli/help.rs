// SPDX-License-Identifier: GPL-2.0

//! Texts at the end of `--help`.

/// Printed at the end of `rmapctl --help`.
pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  everything passed; for `check`: differences, violations and untracked are all 0
  1  a step, a check or a comparison failed, or the module or a file cannot be read
  2  the command line is wrong; for `check --host`: nothing was checked
If the reader of the output closes it early, as `head` does, `run`, `random`, `stress` and
`selftest` end there, without a message and with the status 1. That changes no other status.";

/// Printed at the end of `rmapctl show --help`.
pub(super) const SHOW: &str = "Examples:
  rmapctl show                          the shadow's chains
  rmapctl show --host 1                 the host's chains of process 1
  rmapctl show --host --all             ... of all processes
  rmapctl show --host 1 --format svg > chains.svg

The tree of the host marks with `*` the VMAs that have an anon_vma as their ->anon_vma.
Numbers of anon_vmas count from 1 in each output.

Exit status: 0 the graph was printed, 1 it cannot be read or printed, 2 the command line is wrong.";

/// Printed at the end of `rmapctl check --help`.
pub(super) const CHECK: &str = "\
`rmapctl check` compares the shadow with the host. `rmapctl check --host` checks the host's own
structures of all processes against the rules, `rmapctl check --host PID` those of one process.

Exit status:
  0  nothing is wrong: differences, violations and untracked are 0
  1  something is wrong, or, without --host, the module or a file cannot be read
  2  the command line is wrong, or, with --host, the check could not be made";

/// Printed at the end of `rmapctl top --help`.
pub(super) const TOP: &str = "\
A family is a root anon_vma, all anon_vmas that have it as their root, and the VMAs that are
linked to them. One lock, that of the root, covers it. The columns:

  PID, NAME  the first process of the family
  VMAS       VMAs linked to the family
  PROCS      processes of these VMAs
  DEPTH      generations of anon_vmas
  ANON       anon_vmas
  LINKS      links between the VMAs and the anon_vmas: what fork copies and exit removes
  CHAIN      links of the VMA that has most
  TREE       VMAs in the largest interval tree: the most that a walk from a page visits
  REFS       references on the root
  BYTES      bytes of the anon_vmas and links

The module visits all processes for each table. On a terminal, without --once and -n, the table is
read again and again, as the view `families` of `rmapctl watch`.

Exit status: 0 the tables were printed, 1 the module cannot be read, a table was not printed or
there is no terminal, 2 the command line is wrong.";

/// Printed at the end of `rmapctl watch --help`.
pub(super) const WATCH: &str = "\
With --host or --all the view `chains` is that of the host. The other views are the families of the
host, as of `rmapctl top`; the rules, with their steps, checks and violations; the counters of
`stats`; the differences that `compare` finds. The files of the view that is shown are read: the
module stops the processes of its mappings while it takes the chains or compares.

Keys: 1 to 5, Tab: another view. Arrows, PgUp, PgDn, Home, End: scroll. Space: pause. r: read now.
s: another order of the families. q, Ctrl-C: quit.

Colours mark what has changed and what is wrong, unless the variable NO_COLOR is set.

Exit status: 0 after a key or a signal that ends it, 1 the module cannot be read or there is no
terminal, 2 the command line is wrong.";
