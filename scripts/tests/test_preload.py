# SPDX-License-Identifier: GPL-2.0
"""The shim of samples/preload/ without the device: all memory is anonymous then, and its allocator
works."""

import os
import re
import subprocess

import preload
import pytest

ALLOCATOR = """
import ctypes, ctypes.util
libc = ctypes.CDLL(None)
for name in ("malloc", "calloc", "realloc", "aligned_alloc", "pvalloc"):
    getattr(libc, name).restype = ctypes.c_void_p
size_t = ctypes.c_size_t
libc.malloc_usable_size.restype = size_t

def fill(p, size, byte):
    ctypes.memset(ctypes.c_void_p(p), byte, size)

def holds(p, size, byte):
    return ctypes.string_at(p, size) == bytes([byte]) * size

def usable(p):
    return libc.malloc_usable_size(ctypes.c_void_p(p))

# Blocks of all sizes, at the same time: none reaches into another one.
sizes = [*range(1, 200), *(1 << n for n in range(8, 20)), *((1 << n) + 1 for n in range(8, 20))]
blocks = []
for n, size in enumerate(sizes):
    p = libc.malloc(size_t(size))
    assert p % 16 == 0 and usable(p) >= size
    fill(p, usable(p), n % 251)
    blocks.append((p, usable(p), n % 251))
assert all(holds(*block) for block in blocks)

# From each size to each other one the content stays.
for p, size, byte in blocks[::7]:
    for other in (3 * size, 100_000, 300_000, 5, 70_000):
        p = libc.realloc(ctypes.c_void_p(p), size_t(other))
        assert holds(p, min(size, other), byte) and usable(p) >= other
        size = min(size, other)
    libc.free(ctypes.c_void_p(p))

for size in (1, 40, 5000, 65_520, 65_521, 200_000):
    # What was freed is given out again, and calloc() clears it.
    p = libc.malloc(size_t(size))
    fill(p, size, 9)
    libc.free(ctypes.c_void_p(p))
    p = libc.calloc(size_t(1), size_t(size))
    assert holds(p, size, 0)
    for shift in range(3, 17):
        p = libc.aligned_alloc(size_t(1 << shift), size_t(size))
        assert p % (1 << shift) == 0 and usable(p) >= size
        fill(p, usable(p), 7)
        p = libc.realloc(ctypes.c_void_p(p), size_t(size + 70_000))
        assert holds(p, size, 7)
        libc.free(ctypes.c_void_p(p))
assert libc.pvalloc(size_t(1)) % 4096 == 0
assert all(libc.aligned_alloc(size_t(24), size_t(n)) % 32 == 0 for n in range(1, 100))

# No memory, and no overflow.
p = ctypes.c_void_p()
assert libc.posix_memalign(ctypes.byref(p), size_t(24), size_t(8)) == 22
assert libc.malloc(size_t(2**64 - 1)) is None and libc.calloc(size_t(2**33), size_t(2**33)) is None
assert libc.aligned_alloc(size_t(4096), size_t(2**63 - 4096)) is None
assert libc.posix_memalign(ctypes.byref(p), size_t(64), size_t(8)) == 0 and p.value % 64 == 0
assert libc.malloc(size_t(2**63 - 9000)) is None
print("allocator: ok")
"""


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    """Returns a function that runs python3 with the shim, and returns its output and report."""
    monkeypatch.setattr(preload, "FOLDER", tmp_path)
    shim, report = preload.build_shim(), tmp_path / "report"

    def run(*arguments):
        env = os.environ | {"LD_PRELOAD": str(shim), "SHADOW_PRELOAD_REPORT": str(report),
                            "SHADOW_PRELOAD_CHECK": "1"}
        done = subprocess.run(["/usr/bin/python3", *map(str, arguments)], env=env, timeout=100,
                              stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout, report.read_text()
    return run


needs_no_device = pytest.mark.skipif(os.path.exists("/dev/shadow_rmap"), reason="has the device")


def test_the_allocator_works(run):
    output, _ = run("-c", ALLOCATOR)
    assert output == "allocator: ok\n"


@needs_no_device
def test_without_the_device_memory_is_anonymous_and_counted(run):
    program = preload.SHIM / "forks.py"
    plain = subprocess.run(["/usr/bin/python3", program], stdout=subprocess.PIPE, text=True,
                           check=True).stdout
    output, report = run(program)
    assert output == plain
    # Ten processes, of which the three of the pool are ended by a signal; each has its own line.
    lines = report.splitlines()
    names = {re.match(r"python3\[\d+\]:", line)[0] for line in lines}
    assert 7 <= len(lines) <= 10 and len(names) == len(lines)
    assert all("mappings=0 pages=0 " in line and line.endswith("no check: the file is not open")
               for line in lines)
    assert any(int(n) > 5 for n in re.findall(r" refused=(\d+)", report))


def test_a_self_test_that_does_not_compile_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(preload, "FOLDER", tmp_path)
    with pytest.raises(preload.Mistake, match="^merge cannot be built$"):
        preload.build_self_test("merge", tmp_path)
