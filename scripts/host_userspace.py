#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compiles the host kernel's own VMA and anonymous rmap code for user space, from a kernel's tree.

The kernel compiles mm/vma.c, mm/vma_init.c, mm/vma_exec.c and the maple tree in user space itself,
in tools/testing/vma. To these come functions that are cut out of the tree by name: the anon_vma
half of mm/rmap.c, mm/interval_tree.c, dup_mmap(), exit_mmap(), free_pgtables(), do_mremap().
What is missing is in tools/userspace/host/c. Nothing is written to the tree.

Prints the path of the shared object, one for each --variant:
  plain      fast
  sanitized  with AddressSanitizer and UndefinedBehaviorSanitizer
  coverage   counts the lines that were run, for gcov

The results are kept in the cache by the contents of what they were made from. The tree's own tests
of tools/testing/vma run once for each.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

from c_text import CFile
from common import (CACHE, CORES, TOP, Mistake, command_line, finish, locked, program, read,
                    script_lines)
from host_program import ensure_tools, script_output
from patches import patched

OWN = TOP / "tools/userspace/host/c"
# So many results stay in the cache.
KEPT = 40
VMA_TEST, SHARED = "tools/testing/vma", "tools/testing/shared"

# What the tests of the tree stub and the host's own code replaces.
REMOVED = {
    "custom.h": ["anon_vma", "unlink_anon_vmas", "anon_vma_clone", "__anon_vma_prepare",
                 "anon_vma_prepare"],
    "stubs.h": ["anon_vma_lock_write", "anon_vma_unlock_write", "anon_rmap_tree_insert",
                "anon_rmap_tree_remove", "unmap_vmas", "free_pgtables", "move_page_tables",
                "do_munmap"],
    "dup.h": ["anon_vma_chain"],
}
# A line at the top of a structure.
FIELDS = {"dup.h": {"mm_struct": "HOST_MM_STRUCT;", "file_operations": "HOST_FILE_OPERATIONS;"}}

# Derived file: (source, names or a range) in the order of their use.
PIECES = {
    "types.h": [("include/linux/rmap.h", "cut", ["anon_vma", "anon_vma_chain"])],
    "inline.h": [
        ("mm/internal.h", "cut", ["get_anon_vma", "put_anon_vma", "anon_vma_lock_write",
                                  "anon_vma_trylock_write", "anon_vma_unlock_write",
                                  "anon_vma_lock_read", "anon_vma_trylock_read",
                                  "anon_vma_unlock_read", "anon_vma_prepare", "__vma_address",
                                  "vma_anon_address"]),
        ("mm/util.c", "cut", ["folio_anon_vma"]),
        ("include/linux/mm.h", "cut", ["vma_iter_bulk_store"]),
        ("include/linux/mm.h", "macros", ["anon_rmap_tree_foreach"]),
        ("include/linux/rmap.h", "cut", ["__folio_try_dup_anon_rmap",
                                         "folio_try_dup_anon_rmap_pte", "rmap_walk_control"])],
    "interval_tree.c": [
        ("mm/interval_tree.c", "cut", ["avc_start_pgoff", "avc_last_pgoff", "__anon_rmap_tree",
                                       "anon_rmap_tree_insert", "anon_rmap_tree_remove",
                                       "anon_rmap_tree_iter_first", "anon_rmap_tree_iter_next"])],
    "rmap.c": [
        ("mm/rmap.c", "after_includes", ["anon_vma_init"]),
        ("mm/rmap.c", "cut", ["__folio_add_rmap", "folio_move_anon_rmap", "__folio_set_anon",
                              "__page_check_anon_rmap", "__folio_add_anon_rmap",
                              "folio_add_anon_rmap_ptes", "folio_add_new_anon_rmap",
                              "__folio_remove_rmap", "folio_remove_rmap_ptes", "__put_anon_vma",
                              "rmap_walk_anon_lock", "rmap_walk_anon"])],
    "memory.c": [("mm/memory.c", "cut", ["free_pgtables", "unmap_vmas"])],
    "mmap.c": [("mm/mmap.c", "cut", ["do_munmap", "tear_down_vmas", "exit_mmap", "dup_mmap"])],
    "mprotect.c": [("mm/mprotect.c", "cut", ["mprotect_fixup"])],
    "mremap.c": [("mm/mremap.c", "cut", ["mremap_type", "vma_remap_struct"]),
                 ("mm/mremap.c", "between", ["vrm_remap_type", "do_mremap"])],
}
# Without these the host's own decisions would be ours: a tree that has renamed one is refused.
REQUIRED = {"mm/rmap.c": ["anon_vma_clone", "anon_vma_fork", "unlink_anon_vmas",
                          "__anon_vma_prepare"]}

# The folders of a tree from which anything is used.
LINKED = ["include/linux", "include/asm-generic", "lib", "mm", "tools/arch/x86", "tools/include",
          "tools/lib", "tools/testing/vma", "tools/testing/shared"]
LIBRARIES = ["slab", "find_bit", "bitmap", "hweight", "vsprintf"]
STRICT = ["-Werror=implicit-function-declaration", "-Werror=incompatible-pointer-types",
          "-Wno-attributes"]
# Here, because checkpatch takes a definition of these for a use.
MACROS = ["EXPORT_SYMBOL(name)=", "EXPORT_SYMBOL_GPL(name)=", "BUILD_BUG()=assert(0)",
          "VM_BUG_ON_FOLIO(condition,...)=assert(!(condition))",
          "VM_BUG_ON_PAGE(condition,...)=assert(!(condition))"]
SLAB_CALLS = ["kmem_cache_alloc_lru", "kmem_cache_alloc_bulk", "kmem_cache_prefill_sheaf",
              "kmem_cache_refill_sheaf", "__kmem_cache_create_args"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
              "-fno-omit-frame-pointer"]
VARIANTS = {
    "plain": ["-O2"],
    "sanitized": ["-Og", *SANITIZERS],
    "coverage": ["-O0", "--coverage", "-fprofile-update=single"],
}


# The tests of a tree need less than a second.
OWN_TESTS = 300


class TestsFail(Mistake):
    """The tree's own tests fail: that is about the tree, not about how they were compiled."""


def digest(*paths):
    """Returns a key of the compiler and the contents of files."""
    key = hashlib.sha256(script_output(["gcc", "--version"]).encode())
    for path in paths:
        key.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


class Build:
    """One kernel tree, and the folder of the cache that is made from it."""

    def __init__(self, tree, skip_tests=False):
        self.tree, self.skip_tests = tree, skip_tests
        for needed in (f"{VMA_TEST}/vma_internal.h", f"{SHARED}/linux.c", "mm/vma.c"):
            if not (tree / needed).is_file():
                raise Mistake(f"{tree} has no {needed}: this is no kernel that tests its mm/vma.c "
                              "in user space")
        shared, vma, mine = self._shared_inputs(), self._vma_inputs(), self._mine()
        cut = self._there({source for pieces in PIECES.values() for source, _, _ in pieces})
        self.folder = CACHE / f"host-{digest(*shared, *vma, *mine, *cut)}"
        # What no patch of mm/ changes is compiled once.
        self.common = CACHE / f"host-common-{digest(*shared, *mine)}"
        self.tested = CACHE / f"host-vma-tests-{digest(*shared, *vma)}"

    def _shared_inputs(self):
        """Returns the files of the maple tree, the red-black tree, and what the kernel's user-space
        tests share."""
        tree, paths = self.tree, []
        for folder in (SHARED, "tools/include", "tools/lib", "tools/arch/x86/include"):
            paths += sorted(p for p in (tree / folder).rglob("*.[ch]") if p.is_file())
        named = {"lib/maple_tree.c", "lib/rbtree.c"}
        for header in (tree / SHARED / "linux").glob("*.h"):
            named |= set(re.findall(r'"(?:\.\./)+(include/linux/\w+\.h)"', read(header)))
        return paths + self._there(named)

    def _vma_inputs(self):
        """Returns what the tree's own tests are made from besides."""
        return [*sorted(p for p in (self.tree / VMA_TEST).rglob("*.[ch]") if p.is_file()),
                *self._there({"mm/vma.c", "mm/vma.h", "mm/vma_init.c", "mm/vma_exec.c"})]

    def _there(self, names):
        return [self.tree / name for name in sorted(names) if (self.tree / name).is_file()]

    @staticmethod
    def _mine():
        return [Path(__file__), Path(__file__).with_name("c_text.py"), *sorted(OWN.rglob("*.[ch]"))]

    def derive(self):
        """Writes what is derived from the tree."""
        to = self.folder / "derived"
        shutil.rmtree(to, ignore_errors=True)
        files = {}

        def file(name):
            return files.setdefault(name, CFile(self.tree / name, name))

        for name, required in REQUIRED.items():
            for function in required:
                file(name).find(function)
        (to / "include").mkdir(parents=True)
        (to / "cut").mkdir()
        (to / "generated").mkdir()
        for name, removed in REMOVED.items():
            source = file(f"{VMA_TEST}/include/{name}")
            (to / "include" / name).write_text(source.without(*removed, fields=FIELDS.get(name)))
        shutil.copy(self.tree / VMA_TEST / "vma_internal.h", to)
        for name, pieces in PIECES.items():
            texts = [getattr(file(source), how)(*names) for source, how, names in pieces]
            (to / "cut" / name).write_text("\n".join(texts))
        (to / "generated/map-shift.h").write_text("#define XA_CHUNK_SHIFT 3\n")
        (to / "generated/bit-length.h").write_text(
            "#define CONFIG_64BIT 1\n#define CONFIG_PHYS_ADDR_T_64BIT 1\n")
        shutil.copy(self.tree / SHARED / "autoconf.h", to / "generated")

    def flags(self, own):
        """Returns the flags of tools/testing/vma, with our headers first for the host's code."""
        folders = [OWN] if own else []
        folders += [self.folder / "derived"]
        folders += [self.tree / f for f in (SHARED, VMA_TEST, "tools/include",
                                            "tools/arch/x86/include", "lib")]
        return ["-g", "-fPIC", "-D_LGPL_SOURCE", "-DNUM_VMA_FLAG_BITS=64", "-DNUM_MM_FLAG_BITS=64",
                *(f"-D{macro}" for macro in MACROS), "-iquote", self.tree,
                *(f"-I{folder}" for folder in folders)]

    def compile(self, sources, options, to):
        """Compiles each source; returns the objects."""
        to.mkdir(exist_ok=True)
        jobs = [(source, to / f"{Path(source).stem}.o", [*self.flags(own), *extra, *options])
                for source, own, extra in sources]
        with ThreadPool(CORES) as pool:
            pool.starmap(self._gcc, jobs, chunksize=1)
        return [target for _, target, _ in jobs]

    def _gcc(self, source, target, options):
        code, _, errors = finish(["gcc", "-c", *options, source, "-o", target],
                                 env=os.environ | {"LC_ALL": "C"})
        if code:
            (self.folder / "compiler.log").write_text(errors, encoding="utf-8")
            raise Mistake(self._explain(errors.strip() or f"exit status {code}"))

    def _explain(self, output):
        """Names the function of the tree that does not compile."""
        error = re.search(r"^(\S+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", output, re.M)
        if not error:
            return f"the compiler failed: {output.strip().splitlines()[-1]}"
        function = re.findall(r"In function '(\w+)'", output[:error.start()])
        place = error[1].replace(f"{self.tree}/", "")
        where = f"{function[-1]}() of " if function else ""
        return (f"{where}{place}, line {error[2]}, does not compile in user space: {error[3]}"
                f" (all of it is in {self.folder / 'compiler.log'}; what this tree has and "
                f"others do not goes to {(OWN / 'adaptors.h').relative_to(TOP)})")

    @staticmethod
    def _hooks():
        return [f"-D{name}=host_{name}" for name in SLAB_CALLS] + STRICT

    def host_sources(self, variant):
        # gcov has its own way to tell what has run.
        traced = [] if variant == "coverage" else ["-fsanitize-coverage=trace-pc"]
        return [(OWN / "host.c", True, [*self._hooks(), *traced]),
                (OWN / "coverage.c", True, STRICT)]

    def common_sources(self):
        shared, library = self.tree / SHARED, self.tree / "tools/lib"
        return [(OWN / "slab_hooks.c", True, STRICT),
                (shared / "maple-shim.c", True, [*self._hooks(), "-Dkfree=host_kfree"]),
                (shared / "rbtree-shim.c", True, []), (shared / "linux.c", True, []),
                *((library / f"{name}.c", True, []) for name in LIBRARIES)]

    def test_sources(self):
        shared, library = self.tree / SHARED, self.tree / "tools/lib"
        return [(self.tree / VMA_TEST / "main.c", False, []),
                (self.tree / VMA_TEST / "shared.c", False, []),
                (shared / "maple-shim.c", False, []), (shared / "linux.c", False, []),
                *((library / f"{name}.c", False, []) for name in LIBRARIES)]

    def own_tests(self):
        """Runs the tests of tools/testing/vma, as the tree has them."""
        tell("compiling the tree's own tools/testing/vma ...")
        objects = self.compile(self.test_sources(), VARIANTS["sanitized"],
                               self.folder / "vma-tests")
        tests = self.folder / "vma"
        link(["gcc", *objects, *SANITIZERS, "-o", tests, "-lpthread", "-lurcu"])
        code, output, errors = finish([tests], limit=OWN_TESTS)
        if code == -signal.SIGKILL:
            raise Mistake("tools/testing/vma of this tree was killed")
        last = (output.strip().splitlines() or ["it has printed no result"])[-1]
        if code or not re.fullmatch(r"[1-9]\d* tests run, \d+ passed, 0 failed\.", last):
            how = f"no end in {OWN_TESTS} s" if code == 124 else f"exit status {code}"
            first = (errors.strip().splitlines() or [how])[0]
            raise TestsFail(f"tools/testing/vma of this tree fails: {last}: {first} "
                            f"(--skip-tests accepts that)")
        tell(f"  {last}")
        self.tested.write_text(output, encoding="utf-8")

    def ensure_tested(self):
        """Runs the tree's own tests, once for each contents of it."""
        if self.tested.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            if self.tested.is_file():
                return
            self.derive()
            self.own_tests()
            shutil.rmtree(self.folder / "vma-tests")
            (self.folder / "vma").unlink()

    def library(self, variant):
        """Returns the path of the shared object, which is built where it is missing."""
        path = self.folder / f"host-{variant}.so"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder):
                if not path.is_file():
                    self._build(variant, path)
        if not self.skip_tests:
            self.ensure_tested()
        return path

    def _build(self, variant, path):
        options = VARIANTS[variant]
        tell(f"compiling the host's own mm/ for user space ({variant}) ...")
        self.derive()
        objects = self.compile(self.host_sources(variant), options, self.folder / variant)
        objects += self._common_objects(variant, options)
        new = path.with_suffix(".new")
        link(["gcc", "-shared", *objects, *options, "-Wl,-Bsymbolic,-z,defs", "-o", new,
              "-lpthread", "-lurcu"])
        new.rename(path)
        # gcov needs the data beside the object.
        if variant != "coverage":
            shutil.rmtree(self.folder / variant, ignore_errors=True)
        forget_old()

    def _common_objects(self, variant, options):
        done = self.common / f"{variant}.done"
        self.common.mkdir(exist_ok=True)
        with locked(self.common):
            if not done.is_file():
                self.compile(self.common_sources(), options, self.common / variant)
                done.touch()
        return sorted((self.common / variant).glob("*.o"))


def forget_old():
    """Removes the oldest results, so that patched trees do not fill the cache."""
    for pattern in ("host-*/derived", "host-*/patched", "host-common-*/lock"):
        folders = sorted((p.parent for p in CACHE.glob(pattern)), key=lambda p: p.stat().st_mtime)
        for folder in folders[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


def tell(text):
    """Reports progress: the standard output is for the paths."""
    print(text, file=sys.stderr, flush=True)


def link(command):
    done = subprocess.run(command, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        missing = re.findall(r"undefined reference to [`‘']([^'’]+)['’]", done.stderr)
        names = ", ".join(sorted(set(missing)))
        if names:
            raise Mistake(f"this tree's code calls {names}, which no adaptor has")
        raise Mistake(f"the linker failed: {done.stderr.strip()[-300:]}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--tree", type=Path, help="a kernel's source (default: scripts/source.sh)")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: sanitized")
    parser.add_argument("--patch", type=Path, help="apply this to a copy of the source first")
    parser.add_argument("--skip-tests", action="store_true",
                        help="accept a tree whose own tools/testing/vma fails")
    options = parser.parse_args()
    ensure_tools()
    tree = (options.tree or Path(script_lines("source.sh")[-1])).resolve()
    build = Build(patched(tree, options.patch, LINKED) if options.patch else tree, options.skip_tests)
    for variant in options.variant or ["sanitized"]:
        print(build.library(variant))


if __name__ == "__main__":
    program("error", main)
