# SPDX-License-Identifier: GPL-2.0
"""Tests what scripts/module.sh says of a build folder in which no module can be built."""

import os
import shutil
import subprocess

import pytest

from build_folders import KBUILD, METADATA, RUST
from common import SCRIPTS, TOP, toolchain_env

CONFIG = ("X86_64=y", "MODULES=y", "RUST=y", "DEBUG_FS=y")
VARIANT = f"test-{os.getpid()}"


def rustc_version():
    """Returns the version of the lab's rustc, as a kernel's configuration has it."""
    env = toolchain_env()
    text = subprocess.run([env["RUSTC"], "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, patch = (int(n) for n in text.split()[1].split("-")[0].split("."))
    return major * 100000 + minor * 100 + patch


def build_folder(tmp_path, config=CONFIG, files=METADATA, version=None):
    """Makes a folder with as much of a built kernel as is asked for."""
    for name in (*KBUILD, *(RUST if files else ()), "include/config/auto.conf", "rust/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# something\n")
    lines = [*config, f"RUSTC_VERSION={version or rustc_version()}"]
    (tmp_path / "include/config/auto.conf").write_text("".join(f"CONFIG_{line}\n" for line in lines))
    (tmp_path / "include/config/kernel.release").write_text("7.3.4\n")
    (tmp_path / "Module.symvers").write_text("0x0\tsymbol\tvmlinux\tEXPORT_SYMBOL\n")
    for name in files:
        (tmp_path / "rust" / name).write_text("metadata")
    return tmp_path


@pytest.fixture(autouse=True)
def _nothing_stays():
    """Removes what the tests have built."""
    yield
    for target in ("x86_64", "um"):
        shutil.rmtree(TOP / f"build/{target}-{VARIANT}", ignore_errors=True)
        (TOP / f"build/{target}-{VARIANT}.lock").unlink(missing_ok=True)


def run(*command, **env):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env=os.environ | env)
    return done.returncode, done.stderr


def module(folder, target="um"):
    return run(SCRIPTS / "module.sh", target, KDIR=str(folder), VARIANT=VARIANT)


def lacking(output):
    """Returns the lines of the one error between its first and its last line."""
    lines = output.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    first = next(n for n, line in enumerate(lines) if line.endswith(", which lacks:"))
    last = next(n for n, line in enumerate(lines) if "VM=debian" in line)
    return lines[first + 1:last]


@pytest.mark.parametrize("option", ["X86_64", "MODULES", "DEBUG_FS"])
def test_missing_option_is_named(tmp_path, option):
    config = [line for line in CONFIG if not line.startswith(option)]
    code, output = module(build_folder(tmp_path, config))
    assert code == 1
    assert [line.split(":")[0] for line in lacking(output)] == [f"CONFIG_{option}=y"]


def test_kernel_without_rust_lacks_only_that(tmp_path):
    code, output = module(build_folder(tmp_path, [c for c in CONFIG if c != "RUST=y"], files=()))
    assert (code, lacking(output)) == (1, ["CONFIG_RUST=y"])


@pytest.mark.parametrize("name", METADATA)
def test_missing_metadata_is_named(tmp_path, name):
    code, output = module(build_folder(tmp_path, files=[other for other in METADATA if other != name]))
    assert (code, lacking(output)) == (1, [f"rust/{name}: metadata of the kernel's Rust code"])


def test_headers_without_any_metadata_and_of_another_rustc(tmp_path):
    code, output = module(build_folder(tmp_path, files=(), version=109999))
    assert code == 1
    assert [line.split(":")[0].split()[0] for line in lacking(output)] == [
        *RUST, *(f"rust/{name}" for name in METADATA), "the"]
    assert "1.99.99 compiled the kernel" in output


def test_missing_symbols_are_named(tmp_path):
    folder = build_folder(tmp_path)
    (folder / "Module.symvers").unlink()
    code, output = module(folder)
    assert code == 1
    assert lacking(output) == ["Module.symvers: a complete build of the kernel (make) writes it"]


def test_complete_folder_goes_on_to_make(tmp_path):
    """Nothing is lacking, so the folder's own Makefile is asked, which is not there."""
    code, output = module(build_folder(tmp_path))
    assert code == 1
    assert "lacks" not in output
    assert "No rule to make target" in output or "no makefile" in output.lower()


def test_a_warning_fails_the_next_build_too(tmp_path):
    folder = build_folder(tmp_path)
    (folder / "Makefile").write_text(
        "modules:\n\t[ -f $(MO)/rust/a.o ] || { mkdir -p $(MO)/rust; echo 'warning: unused'; }\n"
        "\ttouch $(MO)/rust/a.o $(MO)/shadow_rmap.ko\n")
    for _ in range(2):
        code, errors = module(folder)
        assert code == 1 and "does not compile without warnings" in errors


@pytest.mark.parametrize("command, own", [
    (("make", "module"), True), (("make", "install"), True), ((SCRIPTS / "module.sh", "um"), False),
    ((SCRIPTS / "kernel.sh", "um"), False), (("make", "demo"), False), (("make", "demo", "VM=x86_64"), False)])
def test_only_make_and_install_are_for_the_kernel_of_a_build_folder(tmp_path, command, own):
    """All others build the lab's kernel of its source, which must be clean; this one is not."""
    folder = build_folder(tmp_path / "build", [c for c in CONFIG if c != "RUST=y"], files=())
    (tmp_path / "source/mm").mkdir(parents=True)
    (tmp_path / "source/mm/rmap.c").touch()
    (tmp_path / "source/.config").touch()
    (folder / "source").symlink_to(tmp_path / "source")
    code, errors = run(*command, KDIR=str(folder))
    assert code
    assert (f"error: no module can be built in {folder}, which lacks:\nCONFIG_RUST=y" in errors) == own
    assert (f"error: {tmp_path}/source: built in place" in errors) != own


@pytest.mark.parametrize("name", ["KDIR", "KERNEL_TARBALL"])
def test_debian_kernel_is_not_built_from_another_source(name, tmp_path):
    done = subprocess.run([SCRIPTS / "debian.sh"], capture_output=True, text=True, check=False,
                          env=os.environ | {name: str(tmp_path)})
    assert done.returncode == 1
    assert "Debian's own kernel" in done.stderr
