#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests tools/drgn on Debian's own kernel in QEMU: what drgn reads of the guest while it runs, and of
a dump of its memory, must be what the module has written at the same moment.

  1. Processes of the guest are stopped, and it saves host/chains (scripts/guest/drgn.sh).
  2. tools/drgn/chains.py reads the memory of the guest. Then QEMU dumps it to a file.
  3. The guest, which has a Python with drgn, reads its own /proc/kcore.
  4. The dump is read: the same chains, and folios that page tables and reverse map agree on.
  5. Helpers that are wrong on purpose (scripts/drgn_broken.py) are noticed.
  6. Bad input gets an error.

Each result is a line `test NAME ... ok` or `test NAME ... FAILED`. Files are in out/drgn/.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import vm
from common import (CACHE, OUT, SCRIPTS, TOP, command_line, kernel_folder, modules, program, read, say,
                    script_lines)
from packed import packed_python

RESULTS = OUT / "drgn"
DRGN = TOP / "tools/drgn"
sys.path.insert(0, str(DRGN))
from compare import differences, load  # noqa: E402 pylint: disable=wrong-import-position

# At least so many address spaces are compared, and a chain with so many links.
SPACES, LINKS = 10, 4


class Monitor:
    """The monitor of QEMU."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        for line in self.file:
            answer = json.loads(line)
            if "error" in answer:
                raise vm.Mistake(f"QEMU: {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return
        raise vm.Mistake(f"QEMU: {command}: no answer")

    def close(self):
        self.file.close()
        self.socket.close()


class Tests:
    def __init__(self):
        self.python, self.types = script_lines("drgn.sh", "--prepare")[-2:]
        self.work = Path(tempfile.mkdtemp(prefix="dump-", dir=CACHE))
        self.core, self.qmp = self.work / "core", self.work / "qmp"
        self.failed, self.pid = 0, ""

    def report(self, name, good, why=""):
        self.failed += not good
        say(f"test {name} ... {'ok' if good else 'FAILED'}")
        if not good:
            say(f"  {why}")

    def chains(self, *words, broken=""):
        """Runs chains.py; returns the exit status and the output."""
        script = [SCRIPTS / "drgn_broken.py", broken] if broken else [DRGN / "chains.py"]
        command = [self.python, *script, "--types", self.types, *words]
        done = subprocess.run([str(word) for word in command], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def save(self, name, *words, broken=""):
        """Writes what chains.py prints to a file of RESULTS."""
        (RESULTS / name).write_text(self.chains(*words, broken=broken)[1], encoding="utf-8")

    def observe(self, line):
        """Sees the console of the guest. While this runs, the guest waits for the key."""
        if not line or "drgn: ready" not in line:
            return
        self.pid = line.split()[-1]
        say("reading the guest ...")
        self.save("live.json", "--qmp", self.qmp, "--json")
        self.save("live-folios.txt", "--qmp", self.qmp, "--folios")
        say("dumping its memory ...")
        monitor = Monitor(self.qmp)
        monitor.execute("dump-guest-memory", paging=False, protocol=f"file:{self.core}")
        monitor.execute("send-key", keys=[{"type": "qcode", "data": "ret"}])
        monitor.close()

    def boot(self):
        files = {"shadow_rmap.ko": modules("debian")["shadow_rmap"], "try.sh": SCRIPTS / "guest/try.sh"}
        files |= {f"root/drgn/{path.name}": path for path in [*DRGN.glob("*.py"), Path(self.types)]}
        files |= packed_python(self.python, DRGN / "chains.py", "drgn", "encodings")
        args = vm.parse(["--target", "debian", "--kernel", kernel_folder("debian"), "--quiet",
                         "--time-limit", "1200", "--out", str(RESULTS), "--qmp", str(self.qmp),
                         *(word for name, path in files.items() for word in ("--file", f"{path}:{name}")),
                         "--", str(SCRIPTS / "guest/drgn.sh"), self.python])
        # All of it is dumped.
        args.megabytes = 768
        say("booting Debian's kernel ...")
        code = vm.run(args, self.observe)
        self.report("the guest stood still, and ended without a report of the kernel", code == 0,
                    read(RESULTS / "vm.json") + read(RESULTS / "tests.txt"))

    def same(self, name, file):
        try:
            found = sorted(differences(load(RESULTS / "all.json"), load(RESULTS / file)))
        except (OSError, ValueError) as error:
            found = [f"{error}: {read(RESULTS / file)[:300]}"]
        self.report(name, not found, "; ".join(found[:5]))

    def folios(self, name, file):
        last = (read(RESULTS / file).splitlines() or ["nothing"])[-1]
        counts = re.fullmatch(r"folios: checked=(\d+) mapped=(\d+) differences=0", last)
        # Some are shared.
        self.report(name, counts and 0 < int(counts[1]) < int(counts[2]), last)

    def right(self):
        graph = load(RESULTS / "all.json")
        longest = max(len(vma["chain"]) for mm in graph["mms"] for vma in mm["vmas"])
        self.report("there are families to compare", len(graph["mms"]) >= SPACES and longest >= LINKS,
                    f"{len(graph['mms'])} address spaces, {longest} links on the longest chain")
        self.same("live: the chains are those of host/chains.json", "live.json")
        self.folios("live: page tables and reverse map agree", "live-folios.txt")
        self.report("kcore: the text is that of host/chains (one)",
                    read(RESULTS / "kcore.txt") == read(RESULTS / "one.txt") != "", read(RESULTS / "kcore.txt")[:300])
        self.folios("kcore: page tables and reverse map agree", "kcore-folios.txt")
        self.save("core.json", "--core", self.core, "--json")
        self.same("dump: the chains are those of host/chains.json", "core.json")
        self.save("core-folios.txt", "--core", self.core, "--folios")
        self.folios("dump: page tables and reverse map agree", "core-folios.txt")
        for name, words in (("all", ()), ("one", ("--pid", self.pid))):
            output = self.chains("--core", self.core, *words)[1]
            self.report(f"dump: the text is that of host/chains ({name})",
                        output == read(RESULTS / f"{name}.txt"), output[:300])

    def broken(self):
        graph = load(RESULTS / "all.json")
        for name in ("chain-ends-early", "chain-is-reversed", "root-is-itself", "tree-ends-early",
                     "pgoff-is-of-the-file"):
            code, output = self.chains("--core", self.core, "--json", broken=name)
            found = [] if code else [*differences(graph, json.loads(output))]
            self.report(f"noticed: {name}", found, output[:300])
        for name in ("tree-ends-early", "page-tables-are-not-asked"):
            code, output = self.chains("--core", self.core, "--folios", broken=name)
            self.report(f"noticed by folios: {name}", code == 1 and " differences=0" not in output,
                        output[-300:])

    def errors(self):
        other = self.work / "types.o"
        other.write_bytes(Path(self.types).read_bytes().replace(b"types_release=7", b"types_release=6"))
        for why, error, words in (
                ("a pid that does not exist", "no such process", ("--core", self.core, "--pid", "4000000")),
                ("a kernel thread", "a kernel thread", ("--core", self.core, "--pid", "2")),
                ("a file that is no dump", "not", ("--core", __file__)),
                ("no such file", "No such file", ("--core", self.work / "none")),
                ("no such guest", "No such file", ("--qmp", self.work / "none")),
                ("types of another kernel", "the kernel is",
                 ("--core", self.core, "--types", other)),
                ("a file without types", "not an object file of",
                 ("--core", self.core, "--types", __file__))):
            code, output = self.chains(*words)
            good = code == 2 and output.startswith("error: ") and error in output and output.count("\n") == 1
            self.report(f"refused: {why}", good, f"exit status {code}: {output[-300:]}")

    def run(self):
        try:
            self.boot()
            if self.pid and self.core.exists() and (RESULTS / "all.json").exists():
                self.right()
                self.broken()
                self.errors()
            else:
                self.report("the guest's chains and its memory", False, f"see {RESULTS}")
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        return 1 if self.failed else 0


def main():
    command_line(__doc__).parse_args()
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    return Tests().run()


if __name__ == "__main__":
    program("drgn_test", main)
