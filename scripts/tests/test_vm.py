# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/vm.py boots a guest and reads its console."""

import io
import subprocess
import sys

import pytest

import vm
from splats import SPLATS, Splats, find_splat

FORMS = ("[    1.234567] {}", "[12345.678901] {}", "<4>[    1.234567] {}",
         "[    1.234567][   T77] {}", "[    1.234567][    C0] {}",
         "the unfinished line of a program[    1.234567] {}")

# Lines that look like reports of the kernel and are none.
HARMLESS = (
    "[    1.234567] KTAP version 1",
    "[    1.234567]     # Subtest: shadow_rmap_BUG",
    "[    1.234567]     # test_warning: EXPECTATION FAILED at rust/rmap/walk.rs:7",
    "[    1.234567]     ok 1 bug_is_caught",
    "[    1.234567]     # WARNING: in a diagnostic of a test",
    "[    1.234567] not ok 2 shadow_rmap_kasan",
    "[    0.000000] Linux version 7.3.4 (DEBUG)",
    "[    0.000000] DEBUG: sleeping is allowed",
    "[    0.100000] rcu: Preemptible hierarchical RCU implementation.",
    "[    0.100000] rcu: \tRCU lockdep checking is enabled.",
    "[    0.200000] kmemleak: Kernel memory leak detector initialized (mem pool available: 3900)",
    "[    2.000000] shadow_rmap: loading out-of-tree module taints kernel.",
    "[    2.000000] shadow_rmap: no WARNING: so far, no Oops, no BUG: either",
    "[    2.000000] LADYBUG: a word with the same end",
    # Output of programs has no time before it, or another one.
    "WARNING: CPU: 0 PID: 1 at fake", "BUG: KASAN: fake", "Kernel panic - not syncing",
    "[1.5] WARNING: not the time of printk", "[   12.345] BUG: nor this",
    "ok 3 Oops: a test may have any name", "12:30:01.123456 WARNING: the log of a program",
)


@pytest.mark.parametrize("name, sample", [(name, one) for name, _, *samples in SPLATS for one in samples])
def test_report_is_recognized(name, sample):
    assert {find_splat(form.format(sample)) for form in FORMS} == {(name, sample)}


@pytest.mark.parametrize("line", HARMLESS)
def test_line_is_no_report(line):
    assert find_splat(line) is None


def test_report_counts_once():
    splats = Splats()
    lines = ["[    0.300000] BUG: x", "[    0.400000] BUG: x", "[    0.500000] x"]
    assert [splats.feed(line) for line in lines] == ["BUG: x", None, None]
    assert splats.bad == [{"name": "BUG", "line": "BUG: x"}]


def guest(tmp_path, *options):
    return vm.parse(["--target", "um", "--quiet", "--out", str(tmp_path), *options, "--", "true"])


def boot(monkeypatch, args, program, boot_limit=60):
    """Boots a program of Python instead of a kernel."""
    monkeypatch.setattr(vm, "BOOT_LIMIT", boot_limit)
    splats = Splats()
    limit, restarts = vm.boot([sys.executable, "-uc", program], args, None, splats, None)
    return limit, restarts, splats


def test_boot_that_hangs_is_repeated(monkeypatch, tmp_path):
    # Hangs in its first boot alone.
    program = (f"import os, time; p = {str(tmp_path / 'again')!r}\n"
               "if not os.path.exists(p): open(p, 'w'); print('acpi'); time.sleep(600)\n"
               f"print({vm.BOOTED!r})")
    limit, restarts, splats = boot(monkeypatch, guest(tmp_path), program, boot_limit=2)
    assert (limit, splats.bad) == (None, []) and restarts >= 1
    assert "acpi" in "".join(path.read_text() for path in tmp_path.glob("console.log.boot*"))


def test_boot_that_always_hangs(monkeypatch, tmp_path):
    monkeypatch.setattr(vm, "BOOTS", 2)
    args = guest(tmp_path)
    limit, restarts, splats = boot(monkeypatch, args, "import time; time.sleep(600)", boot_limit=1)
    assert (limit, restarts) == ("boot", 1)
    assert vm.judge(args, limit, splats)[:2] == (vm.EXIT_SETUP, "boot")


def test_report_in_the_boot_is_not_repeated(monkeypatch, tmp_path):
    monkeypatch.setattr(vm, "SPLAT_GRACE", 1)
    program = "import time; print('[    0.300000] BUG: x'); time.sleep(600)"
    _, restarts, splats = boot(monkeypatch, guest(tmp_path), program)
    assert restarts == 0 and splats.bad


def test_time_limit_counts_from_the_boot(monkeypatch, tmp_path):
    args = guest(tmp_path, "--time-limit", "1")
    program = f"import time; print({vm.BOOTED!r}); time.sleep(600)"
    limit, restarts, splats = boot(monkeypatch, args, program)
    assert (limit, restarts) == ("time", 0)
    assert vm.judge(args, limit, splats)[:2] == (vm.EXIT_TIME, "time-limit")


def test_observer_ends_the_guest(tmp_path):
    """The line that decides may come in pieces."""
    process = subprocess.Popen(["sh", "-c", "printf res; sleep 1; echo ult; exec sleep 600"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, start_new_session=True)
    try:
        limit = vm.watch(process, guest(tmp_path, "--time-limit", "500"), Splats(),
                         io.StringIO(), lambda line: 1 if line == "result" else None)
    finally:
        vm.stop(process, gently=False)
    assert limit is None


def test_monitor_listens_where_it_is_asked_to(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(vm, "stage", lambda args, top: top.mkdir(parents=True))
    args = vm.parse(["--target", "debian", "--qmp", str(tmp_path / "a,b"), "--", "true"])
    command = vm.x86_64_command(args, tmp_path / "bzImage", tmp_path)
    assert command[command.index("-qmp") + 1] == f"unix:{tmp_path}/a,,b,server=on,wait=off"
    with pytest.raises(SystemExit):
        guest(tmp_path, "--qmp", "x")
    assert "--qmp: User-Mode Linux has no monitor" in capsys.readouterr().err


def test_each_node_has_its_part_of_the_memory(tmp_path, capsys):
    words = vm.cpus_and_memory(vm.parse(["--target", "debian", "--nodes", "2", "--", "true"]))
    assert words[:4] == ["-smp", "2,sockets=2", "-m", "1024M"]
    assert "node,nodeid=1,cpus=1,memdev=m1" in words and "memory-backend-ram,id=m1,size=512M" in words
    with pytest.raises(SystemExit):
        guest(tmp_path, "--nodes", "2")
    assert "--nodes: User-Mode Linux has one node" in capsys.readouterr().err
