# SPDX-License-Identifier: GPL-2.0
"""Tests that each gate of scripts/check.sh fires, and that it passes what is right."""

import os
import subprocess
from pathlib import Path

import pytest

import compile_fail
import layering
from common import CACHE, SCRIPTS, TOP, toolchain_env


def gate(name, *arguments, before=""):
    """Runs one gate; returns whether it passes."""
    done = subprocess.run(["bash", "-c", f'. "$1"; . "{CACHE}/toolchain.env"; {before} "${{@:2}}"',
                           "bash", SCRIPTS / "check.sh", f"gate_{name}", *arguments], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode not in (126, 127) and "error: no gate" not in done.stdout
    return done.returncode == 0


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("name, file, text, good", [
    ("rustfmt", "a.rs", "// SPDX\n\nfn f() {}\n", True),
    ("rustfmt", "a.rs", "// SPDX\nfn  f( ) { }\n", False),
    ("spdx", "a.rs", "// SPDX-License-Identifier: GPL-2.0\n", True),
    ("spdx", "a.sh", "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0\n", True),
    ("spdx", "a.rs", "// Text\n// SPDX-License-Identifier: GPL-2.0\n", False),
    ("spdx", "a.py", "# SPDX-License-Identifier: MIT\n", False),
    ("spdx", "a.toml", "", False),
    ("spdx", "a.litmus", "C a\n// SPDX-License-Identifier: GPL-2.0\n", True),
    ("spdx", "a.litmus", "C a\n{}\n// SPDX-License-Identifier: GPL-2.0\n", False),
    ("syntax", "a.sh", "#!/usr/bin/env bash\nif true; then :; fi\n", True),
    ("syntax", "a.sh", "#!/usr/bin/env bash\nif true; then\n", False),
    ("syntax", "a.sh", "#!/bin/busybox sh\ncase x in\n", False),
    ("syntax", "a.py", "#!/usr/bin/env python3\nprint(1)\n", True),
    ("syntax", "a.py", "#!/usr/bin/env python3\ndef f(:\n", False),
    ("checkpatch", "a.h", "/* SPDX-License-Identifier: GPL-2.0 */\nint f(void);\n", True),
    ("checkpatch", "a.h", "/* SPDX-License-Identifier: GPL-2.0 */\nint f( int a,int b ) ;\n", False),
])
def test_file_gate(tmp_path, name, file, text, good):
    assert gate(name, write(tmp_path, {file: text}) / file) == good


def test_the_files_that_cargo_makes_are_no_files_of_the_repository():
    """`cargo test` in a folder of tools/ must not fail the gates that look at new files."""
    crates = list((TOP / "tools").rglob("Cargo.toml"))
    assert len(crates) > 5
    for crate in crates:
        subprocess.run(["git", "check-ignore", "-q", crate.parent / "target/debug/out.rs"], cwd=TOP, check=True)


@pytest.mark.parametrize("body, good", [("v.is_empty()", True), ("v.len() == 0", False)])
def test_clippy_of_the_tool(tmp_path, body, good):
    crate = write(tmp_path, {
        "Cargo.toml": '[package]\nname = "trial"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
        "Cargo.lock": 'version = 3\n\n[[package]]\nname = "trial"\nversion = "0.1.0"\n',
        "src/lib.rs": f"pub fn f(v: &[u8]) -> bool {{ {body} }}\n"})
    assert gate("clippy_tool", crate, before=f"export CARGO_TARGET_DIR={tmp_path}/target;") == good


@pytest.mark.parametrize("build, good", [
    ("echo '  RUSTC [M] rust/shadow_rmap_main.o'", True),
    ("echo 'warning: this can be written shorter'", False), ("false", False)])
def test_clippy_of_the_module(build, good):
    assert gate("clippy_module", before=f"MODULE_CLIPPY=({build});") == good


@pytest.mark.parametrize("text, good", [
    ("// SAFETY: Because.\n    unsafe { g() };", True), ("unsafe { g() };", False)])
def test_clippy_demands_safety_comments(tmp_path, text, good):
    """Compiles with the lints that the kernel's build asks for."""
    write(tmp_path, {"a.rs": "#![allow(missing_docs)]\n/// # Safety\n///\n/// Take care.\n"
                             f"pub unsafe fn g() {{}}\npub fn f() {{\n    {text}\n}}\n"})
    done = subprocess.run(["clippy-driver", "--edition=2021", "--crate-type=lib", "--emit=metadata",
                           "-Wclippy::all", "-Wclippy::undocumented_unsafe_blocks", "-Dwarnings",
                           "a.rs"], cwd=tmp_path, check=False, env=os.environ | toolchain_env())
    assert (done.returncode == 0) == good


ROOT = "#![deny(unsafe_code)]\nmodule! {}\n"


@pytest.mark.parametrize("file, text, good", [
    ("rust/shadow_rmap_main.rs", ROOT, True),
    ("rust/shadow_rmap_main.rs", "module! {}\n", False),
    ("rust/shadow_rmap_main.rs", "", False),
    ("rust/rmap/fork.rs", "fn f() {\n    unsafe { g() }\n}\n", False),
    ("rust/rmap/words.rs", "// unsafe\n    /// is unsafe\nfn f() {}\n", True),
    ("rust/rmap/lifts.rs", "#![allow(\n    unsafe_code,\n)]\n", False),
    ("rust/rmap/after.rs", "/* */ unsafe fn g() {}\n", False),
    ("rust/rmap/walk.rs", "#![expect(unsafe_code)]\nfn f() { unsafe { g() } }\n", True),
    ("rust/host/deep/a.rs", "fn f() { unsafe { g() } }\n", True),
    ("rust/rmap/host/a.rs", "fn f() { unsafe { g() } }\n", False),
])
def test_unsafe_rooms(tmp_path, file, text, good):
    tree = {"rust/shadow_rmap_main.rs": ROOT} | {file: text}
    assert gate("unsafe_rooms", write(tmp_path, tree)) == good


TREE = {"rust/shadow_rmap_main.rs": "mod stats;\nmod rmap;\nuse crate::rmap::walk;\nfn seed() {}\n",
        "rust/stats.rs": "//! [`link`]: crate::rmap::walk\npub fn count() {}\n",
        "rust/rmap/mod.rs": "mod walk;\n", "rust/rmap/walk.rs": "use crate::stats;\n",
        "rust/torture/mod.rs": "use crate::{\n    rmap::{\n        self,\n        walk, //\n    },\n"
                               "    stats, //\n};\n"}


@pytest.mark.parametrize("file, text, said", [
    ("rust/new.rs", "", "rust/new: not in ORDER"),
    ("rust/stats.rs", "use crate::rmap::walk;\n", "stats.rs:1: stats uses rmap"),
    ("rust/stats.rs", "fn f() {\n    crate::torture::run();\n}\n", "stats.rs:2: stats uses torture"),
    ("rust/stats.rs", "use crate::{\n    stats::{a, rmap},\n    torture::x, //\n};\n",
     "stats.rs:3: stats uses torture"),
    ("rust/rmap/walk.rs", "use super::super::torture::x;\n", "walk.rs:1: rmap uses torture"),
    ("rust/rmap/walk.rs", "use super::torture::x;\n", None),
    ("rust/rmap/mod.rs", "use super::torture::x;\n", "mod.rs:1: rmap uses torture"),
    ("rust/rmap/walk.rs", "macro_rules! m { () => { $crate::torture::x() } }\n", "uses torture"),
    ("rust/rmap/walk.rs", "fn f() { crate::seed(); }\n", "rmap uses roots (crate::seed)"),
    ("rust/rmap/walk.rs", "fn f() -> crate::LocalModule {}\n", None),
    ("rust/rmap/walk.rs", "    // crate::torture\n", None),
    ("rust/rmap/walk.rs", "#[cfg(shadow_rmap_kunit)]\nuse crate::torture::x;\n", "walk.rs:2:"),
    ("rust/rmap/tests/walk.rs", "use crate::torture::x;\n", None),
])
def test_layering(tmp_path, file, text, said):
    faults, files = layering.check(write(tmp_path, TREE | {file: text}))
    assert files and ([said in fault for fault in faults] == [True] if said else not faults)


def test_layering_knows_each_module():
    """A module that is gone would leave a name in the table that means nothing."""
    present = {layering.module_of(path.relative_to(TOP / "rust"))
               for path in (TOP / "rust").rglob("*.rs")}
    assert set(layering.ORDER) == present


CASE = "error[E0515]\n`a`\n# a comment\n"


@pytest.mark.parametrize("name, stderr, code, output, said", [
    ("bad.rs", CASE, 1, "error[E0515]: cannot return\n  returns a reference to   `a`\n", None),
    ("bad.rs", CASE, 1, "error[E0515]: cannot return `b`\n", "does not say: `a`"),
    ("bad.rs", CASE, 1, "error[E0597]: `a`\n", "fails with error[E0597]"),
    ("bad.rs", CASE, 1, "error[E0515]: `a`\nerror[E0308]: more\n", "fails with error[E0308]"),
    ("bad.rs", CASE, 1, "error[E0515]: `a`\nerror: more\n", "error: more"),
    ("bad.rs", CASE, 0, "", "compiles, and must not"),
    ("bad.rs", "`a`\n", 1, "error[E0515]: `a`\n", "names no error"),
    ("bad.rs", "error: lint\n", 1, "error: lint\nerror: could not compile\n", None),
    ("bad.rs", None, 1, "error[E0515]: `a`\n", "is missing"),
    ("good-x.rs", None, 0, "", None), ("good-x.rs", None, 1, "", "does not compile"),
])
def test_compile_fail(tmp_path, name, stderr, code, output, said):
    path = write(tmp_path, {name: ""}) / name
    if stderr:
        Path(path.with_suffix(".stderr")).write_text(stderr)
    wrong = compile_fail.judge(path, code, output)
    assert (said in wrong) if said else wrong is None
