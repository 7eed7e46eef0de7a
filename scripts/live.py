#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Live mappings, or the host's own structures, in a test guest, for as long as is asked.

  scripts/live.py random    random steps of several processes, with a check after each
  scripts/live.py stress    processes and threads at full speed, while checks run and files are read
  scripts/live.py host      stress-ng without the device, while host/check checks all processes

The first two are commands of rmapctl, and print its results. A difference or a violation ends a run.
--mode both does all of it twice, in one boot of a guest each. In QEMU KSM, huge pages and compaction are on; pages
are swapped out, and moved between two nodes.

The last line is `random: PASS` or `random: FAIL, see above`, and so for the others. out/live has the console of each
guest.
"""

import random
from pathlib import Path

from common import (OUT, SCRIPTS, TARGETS, attached, command_line, kernel_folder, machine, modules, program, say,
                    script_lines)
from packed import packed

# Of one sequence: each begins with new processes.
STEPS = 2000
# Microseconds that a task may wait for a check.
LONGEST = 1_000_000
# So many steps a second at least: emulated, on a busy machine, with pages that are read in from swap.
SLOWEST = 4


def guest_files(target):
    """Returns the files of the guest, by their names there, and options of scripts/vm.py."""
    files = {"rmapctl": script_lines("rmapctl.sh")[-1]}
    files |= {f"{name}.sh": SCRIPTS / f"guest/{name}.sh" for name in ("try", "memory")}
    if target == "debian":
        swap = Path(kernel_folder("debian")) / "swap"
        files |= {f"swap/{path.name}": path for path in swap.iterdir()}
    return files, [] if machine(target) == "um" else ["--nodes", "2"]


def words(args):
    """Returns the arguments of rmapctl, and a time limit in seconds."""
    if args.command == "stress":
        return ["stress", "--secs", args.secs, "--seed", args.seed], 3 * args.secs + 480
    sequences = -(-args.steps // STEPS)
    steps = -(-args.steps // sequences)
    kind = ["--shifts"] if args.shifts else ["--check-every", 1]
    kind += ["--fail"] if args.fail else []
    return ["random", "--seed", args.seed, "--seeds", sequences, "--steps", steps, *kind], \
        args.steps // SLOWEST + 300


def rmapctl(args, boot):
    """Boots a guest for each mode. Returns 0 if nothing was wrong."""
    files, options = guest_files(args.target)
    (command, *arguments), limit = words(args)
    if command == "random" and machine(args.target) == "um":
        # One step comes after another: with two CPUs each waits until this machine runs the other one.
        options += ["--cpus", "1"]
    say(f"seed {args.seed}; repeat with --seed {args.seed}")
    status = 0
    for mode in ("pinned", "mergeable") if args.mode == "both" else (args.mode,):
        status |= boot(f"{command}-{mode}", files, options, limit, "live.sh", mode, command, *arguments)
    return status


def main():
    parser = command_line(__doc__)
    add = parser.add_argument
    add("command", choices=("random", "stress", "host"))
    add("--target", choices=[*TARGETS, "debian"], default="um", help="the guest (default um)")
    add("--mode", choices=("pinned", "mergeable", "both"), default="both", help="of random and stress (default both)")
    add("--steps", type=int, default=20_000, help="of random, in each mode (default 20000)")
    add("--shifts", action="store_true",
        help="random: short rounds in which boundaries between VMAs shift, with a check after each alone")
    add("--fail", action="store_true", help="random: an allocation fails in some commands (not on um-bench, debian)")
    add("--secs", type=int, default=60, help="of stress, in each mode, or of host (default 60)")
    add("--seed", type=int, default=random.getrandbits(31),
        help="of random and stress; default: a random one, which is printed")
    args = parser.parse_args()
    for name in ("steps", "secs"):
        if not 0 < getattr(args, name) <= 100_000_000:
            parser.error(f"--{name}: not from 1 to 100000000")
    module = modules(args.target)["shadow_rmap"]

    def boot(name, files, options, limit, script, *arguments):
        files = files | {"shadow_rmap.ko": module}
        copies = [word for name, path in files.items() for word in ("--file", f"{path}:{name}")]
        return attached(
            [SCRIPTS / "vm.py", "--target", args.target, "--time-limit", str(limit),
             "--out", OUT / f"live/{args.target}-{name}", *options, *copies,
             "--", SCRIPTS / f"guest/{script}", *arguments])

    if args.command == "host":
        files = packed("stress-ng", "--programs") | {"try.sh": SCRIPTS / "guest/try.sh"}
        status = boot("host", files, [], 3 * args.secs + 300, "host_stress.sh", args.secs,
                      LONGEST)
    else:
        status = rmapctl(args, boot)
    say(f"{args.command}: {'FAIL, see above' if status else 'PASS'}")
    return 1 if status else 0


if __name__ == "__main__":
    program("live", main)
