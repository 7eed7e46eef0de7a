# SPDX-License-Identifier: GPL-2.0
"""Tests the ways to one's own kernel: scripts/probe.sh, scripts/in_tree.sh, dkms.conf and
scripts/install.sh. Nothing is compiled."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from build_folders import KBUILD, METADATA, RUST
from common import SCRIPTS, TOP, script_lines, toolchain_env

# What the probe looks for in a build folder.
FILES = ("Module.symvers", "include/config/kernel.release", *KBUILD, *RUST,
         *(f"rust/{name}" for name in METADATA))


def run(*command, cwd=None, **env):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd,
                          check=False, env=os.environ | {k: str(v) for k, v in env.items()})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="kernel")
def _kernel(tmp_path):
    """A folder with as much of a built kernel as the probe looks at."""
    text = run(toolchain_env()["RUSTC"], "--version")[1].split()[1].split("-")[0]
    major, minor, patch = (int(n) for n in text.split("."))
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("something")
    (tmp_path / "include/config/auto.conf").write_text("".join(f"CONFIG_{line}\n" for line in (
        "X86_64=y", "MODULES=y", "RUST=y", "DEBUG_FS=y",
        f"RUSTC_VERSION={major * 100000 + minor * 100 + patch}")))
    (tmp_path / "include/config/kernel.release").write_text("7.3.4\n")
    return tmp_path


def probe(kernel, **env):
    return run(SCRIPTS / "probe.sh", kernel, **{"RUSTC": toolchain_env()["RUSTC"]} | env)


def test_a_complete_folder_passes(kernel):
    code, output, _ = probe(kernel)
    assert (code, output) == (0, f"{kernel}: modules can be built\n")


def test_the_folder_of_a_kernel_passes():
    folder = Path(script_lines("kernel.sh", "um")[-1])
    assert probe(folder) == (0, f"{folder}: modules can be built\n", "")


def test_the_probe_needs_neither_home_nor_cache(kernel):
    done = subprocess.run([SCRIPTS / "probe.sh", kernel], capture_output=True, text=True, check=False,
                          env={"PATH": os.environ["PATH"], "RUSTC": toolchain_env()["RUSTC"]})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(kernel, name):
    (kernel / name).unlink()
    code, _, errors = probe(kernel)
    first, *lacking = errors.splitlines()
    assert code == 1 and first == f"error: no module can be built in {kernel}, which lacks:"
    assert len(lacking) == 1 and lacking[0].startswith(f"{name}: ")


@pytest.mark.parametrize("option", ["X86_64", "MODULES", "RUST", "DEBUG_FS"])
def test_a_missing_option_is_named(kernel, option):
    config = kernel / "include/config/auto.conf"
    config.write_text(config.read_text().replace(f"CONFIG_{option}=y\n", ""))
    code, _, errors = probe(kernel)
    assert code == 1 and errors.splitlines()[1].startswith(f"CONFIG_{option}=y")


@pytest.mark.parametrize("release, code, words", [
    ("7.3.4+deb13-amd64", 0, ""), ("7.3-rc1", 0, ""), ("7.2.12", 0, ""), ("7.10.1", 0, "note: "),
    ("7.4-rc3", 0, "note: the modules were tested with Linux 7.3 7.2, and this is 7.4-rc3"),
    ("7.1.9", 1, "Linux 7.2 or later: this is 7.1.9"), ("6.12.3", 1, "Linux 7.2 or later: ")])
def test_the_version_of_the_kernel(kernel, release, code, words):
    (kernel / "include/config/kernel.release").write_text(f"{release}\n")
    status, output, errors = probe(kernel)
    assert (status, bool(output)) == (code, not code)
    assert words in errors and (words or not errors)


def test_another_compiler_is_named(kernel):
    config = kernel / "include/config/auto.conf"
    config.write_text(config.read_text().replace("RUSTC_VERSION=", "RUSTC_VERSION=9"))
    code, _, errors = probe(kernel)
    assert code == 1 and "compiled the kernel" in errors


@pytest.mark.parametrize("rustc", ["/bin/true", "/no/such/compiler"])
def test_what_is_no_compiler_is_an_error(kernel, rustc):
    assert probe(kernel, RUSTC=rustc) == (1, "", f"error: {rustc}: no Rust compiler (set RUSTC=)\n")


@pytest.mark.parametrize("script", ["probe.sh", "install.sh"])
def test_what_is_no_build_folder_is_an_error(tmp_path, script):
    code, _, errors = run(SCRIPTS / script, KDIR=tmp_path)
    assert code == 1 and errors.startswith(f"error: {tmp_path}: ")


@pytest.mark.parametrize("has_map", [False, True])
def test_depmod_runs_where_the_kernel_leaves_it_out(kernel, has_map):
    """Without System.map the kernel's own modules_install runs no depmod. Programs that write what they
    are asked for take the place of the kernel's Makefile and of depmod."""
    (kernel / "Makefile").write_text("modules:\n\techo built >$(MO)/shadow_rmap.ko\n"
                                     "modules_install:\n\tcp $(MO)/shadow_rmap.ko $(INSTALL_MOD_PATH)\n")
    if has_map:
        (kernel / "System.map").write_text("something")
    root, asked = kernel / "root", kernel / "asked"
    root.mkdir()
    (kernel / "depmod").write_text(f'#!/bin/sh\necho "$*" >{asked}\n')
    (kernel / "depmod").chmod(0o755)
    variant = f"own-{kernel.name}"
    try:
        code, _, errors = run(SCRIPTS / "install.sh", KDIR=kernel, INSTALL_MOD_PATH=root, VARIANT=variant,
                              PATH=f"{kernel}:{os.environ['PATH']}")
    finally:
        shutil.rmtree(TOP / f"build/x86_64-{variant}", ignore_errors=True)
        (TOP / f"build/x86_64-{variant}.lock").unlink(missing_ok=True)
    assert code == 0, errors
    assert (root / "shadow_rmap.ko").read_text() == "built\n"
    assert (asked.read_text() if asked.exists() else "") == ("" if has_map else f"-b {root} 7.3.4\n")


def test_debian_takes_the_place_of_a_build_folder(kernel):
    """Debian's kernel has a folder of its own, so KDIR= beside it is refused, and named."""
    for target in ("install", "modules_install"):
        code, output, errors = run("make", target, "VM=debian", f"KDIR={kernel}", cwd=TOP)
        assert (code, output) == (2, "")
        assert errors.startswith("error: VM=debian is Debian's own kernel, which is not built from KDIR")


@pytest.fixture(name="tree")
def _tree(tmp_path):
    misc = tmp_path / "tree/drivers/misc"
    misc.mkdir(parents=True)
    (misc / "Kconfig").write_text('menu "Misc devices"\nsource "drivers/misc/other/Kconfig"\nendmenu\n')
    (misc / "Makefile").write_text("obj-y\t\t\t\t+= other/\n")
    return tmp_path / "tree"


@pytest.mark.parametrize("tool", [("git", "apply"), ("patch", "-s", "-p1", "-i")])
def test_the_patch_applies_and_has_every_file(tree, tool):
    code, patch, errors = run(SCRIPTS / "in_tree.sh", tree)
    assert (code, errors) == (0, "")
    (tree / "x.patch").write_text(patch)
    assert run(*tool, "x.patch", cwd=tree)[0] == 0
    misc = tree / "drivers/misc"
    assert (misc / "Kconfig").read_text().endswith(
        'source "drivers/misc/shadow_rmap/Kconfig"\nendmenu\n')
    assert "+= shadow_rmap/\n" in (misc / "Makefile").read_text()
    names = run("git", "ls-files", "Kbuild", "Kconfig", "rust", "include", cwd=TOP)[1].splitlines()
    assert len(names) > 200
    for name in names:
        assert (misc / "shadow_rmap" / name).read_bytes() == (TOP / name).read_bytes(), name
    # A second patch would add them again.
    code, patch, errors = run(SCRIPTS / "in_tree.sh", tree)
    assert (code, patch) == (1, "") and "has the modules already" in errors


def test_the_tree_may_be_built(tree):
    """It is the default of `make in-tree`, also by the folder in which it was built."""
    (tree / ".config").touch()
    (tree / "include/config").mkdir(parents=True)
    patch = run(SCRIPTS / "in_tree.sh", tree)[1]
    build = tree.parent / "build"
    build.mkdir()
    (build / "source").symlink_to(tree)
    for folder in (tree, build):
        code, output, errors = run("make", "in-tree", f"KDIR={folder}", cwd=TOP)
        assert (code, output, errors) == (0, patch, "")


def test_kconfig_of_a_patched_tree_offers_the_modules(tmp_path):
    """The source itself stays as it is: the tree consists of links to its files."""
    source, tree, out = Path(script_lines("source.sh")[-1]), tmp_path / "tree", tmp_path / "out"
    for folder in ("", "drivers", "drivers/misc"):
        (tree / folder).mkdir()
        for entry in (source / folder).iterdir():
            if entry not in (source / "drivers", source / "drivers/misc"):
                (tree / folder / entry.name).symlink_to(entry)
    for name in ("Kconfig", "Makefile"):
        path = tree / "drivers/misc" / name
        path.unlink()
        path.write_text((source / "drivers/misc" / name).read_text())
    (tmp_path / "x.patch").write_text(run(SCRIPTS / "in_tree.sh", tree)[1])
    assert run("git", "apply", "../x.patch", cwd=tree)[0] == 0
    (tmp_path / "fragment").write_text("CONFIG_SHADOW_RMAP=y\nCONFIG_SHADOW_RMAP_TORTURE_TEST=m\n")
    out.mkdir()
    env = toolchain_env()
    code, output, errors = run(
        "scripts/kconfig/merge_config.sh", "-n", "-s", "-O", out, TOP / ".config.fragment",
        SCRIPTS / "config/um.fragment", tmp_path / "fragment", cwd=tree,
        **env | {"MAKEFLAGS": f"ARCH=um RUSTC={env['RUSTC']} BINDGEN={env['BINDGEN']}"})
    assert code == 0, output + errors
    config = (out / ".config").read_text()
    assert "\nCONFIG_SHADOW_RMAP=y\n" in config and "\nCONFIG_SHADOW_RMAP_TORTURE_TEST=m\n" in config


def test_what_is_no_source_tree_is_an_error(tmp_path):
    code, patch, errors = run(SCRIPTS / "in_tree.sh", tmp_path)
    assert (code, patch) == (1, "") and "no kernel's source tree" in errors


@pytest.mark.parametrize("release, good", [
    ("7.3.4+deb13-amd64", True), ("7.2.0", True), ("7.10.1", True), ("8.0-rc1", True), ("10.1.2", True),
    ("7.1.9", False), ("7.1.20-4-amd64", False), ("6.12.3", False), ("2.6.39", False)])
def test_dkms_passes_older_kernels_by(release, good):
    """DKMS compares the release of a kernel like this."""
    assert (run("bash", "-c", '. ./dkms.conf; [[ $1 =~ $BUILD_EXCLUSIVE_KERNEL ]]', "-", release,
                cwd=TOP)[0] == 0) == good


def test_dkms_calls_the_probe_and_the_compilers_of_the_kernel():
    code, output, _ = run("bash", "-c", 'kernel_source_dir=/k dkms_tree=/t; . ./dkms.conf; '
                          'printf "%s\n" "${MAKE[0]}" "${BUILT_MODULE_NAME[0]}"',
                          cwd=TOP, RUSTC="/r", BINDGEN="/b")
    build, name = output.splitlines()
    probed, make = build.split(" && ")
    assert (code, probed, name) == (0, "scripts/probe.sh /k", "shadow_rmap")
    assert make.startswith("make -j")
    assert make.endswith(" -C /k M=/t/shadow_rmap/0.1.0/build RUSTC=/r BINDGEN=/b modules")
