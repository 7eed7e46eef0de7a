# SPDX-License-Identifier: GPL-2.0
"""Tests the checks of scripts/debian.sh: what must be equal, so that the kernel takes the module."""

import os
import subprocess

import pytest

from common import SCRIPTS

RELEASE = "7.3.4+deb13-amd64"
HEADERS = f"linux-headers-{RELEASE}"
NAMES = (HEADERS, f"linux-headers-{RELEASE[:-6]}-common", f"linux-binary-{RELEASE}", "linux-source-7.3")
SYMBOLS = "0x0\t_RNvNtCs1_6kernel5print\tvmlinux\tEXPORT_SYMBOL_GPL\n0x0\tkfree\tvmlinux\tEXPORT_SYMBOL\n"


def shell(script, **env):
    """Runs a script with the functions of debian.sh."""
    done = subprocess.run(["bash", "-c", f"source {SCRIPTS}/debian.sh\n{script}"], text=True, check=False,
                          capture_output=True, env=os.environ | env)
    return done.returncode, done.stdout, done.stderr


def choose(versions, found=HEADERS):
    """Chooses a release from an archive with these versions of packages."""
    cases = "\n".join(f"{name}) echo '{version}' ;;" for name, version in versions.items())
    return shell(f"""
        version() {{ case $1 in {cases} esac; }}
        names() {{ case $1 in *source*) echo linux-source-7.4 ;; *) printf '%s\\n' {found} ;; esac; }}
        choose_release
        echo "$release" "${{wanted[@]}}" """)


def test_release_is_chosen_with_all_its_packages():
    code, output, _ = choose(dict.fromkeys(NAMES, "7.3.4-1"))
    assert (code, output.split()) == (0, [RELEASE, *(f"{name}=7.3.4-1" for name in NAMES)])


def test_newest_release_is_chosen():
    names = [name.replace("7.3.4", "7.3.10") for name in NAMES[:3]] + [NAMES[3]]
    code, output, _ = choose(dict.fromkeys(names, "7.3.10-1"), f"{HEADERS} {names[0]}")
    assert (code, output.split()[0]) == (0, "7.3.10+deb13-amd64")


def test_image_may_be_in_the_older_package():
    names = [name.replace("binary", "image") for name in NAMES]
    code, output, _ = choose(dict.fromkeys(names, "7.3.4-1"))
    assert (code, output.split()[3]) == (0, f"linux-image-{RELEASE}=7.3.4-1")


def test_modules_may_have_a_package_of_their_own():
    modules = f"linux-modules-{RELEASE}"
    code, output, _ = choose(dict.fromkeys([*NAMES, modules], "7.3.4-1"))
    # The source, which is unpacked later, is the last one.
    names = [*NAMES[:3], modules, NAMES[3]]
    assert (code, output.split()) == (0, [RELEASE, *(f"{name}=7.3.4-1" for name in names)])


@pytest.mark.parametrize("name", NAMES[1:])
def test_packages_of_two_versions_are_refused(name):
    code, _, errors = choose(dict.fromkeys(NAMES, "7.3.4-1") | {name: "7.3.5-1"})
    assert code == 1
    assert errors.startswith(f"error: {HEADERS} is version 7.3.4-1, but {name} is 7.3.5-1: ")


def test_archive_without_such_a_kernel():
    code, _, errors = choose({}, "''")
    assert code == 1
    assert "has no kernel 7.3 or 7.2; it has linux-source-7.4" in errors


def test_older_release_is_taken_where_there_is_no_other():
    old = [name.replace("7.3.4", "7.2.12").replace("7.3", "7.2") for name in NAMES]
    code, output, errors = shell(f"""
        version() {{ case $1 in {" | ".join(old)}) echo 7.2.12-1 ;; esac; }}
        names() {{ case $1 in *headers-7*2*) echo {old[0]} ;; esac; }}
        choose_release
        echo "$release" "${{wanted[@]}}" """)
    assert (code, output.split()) == (0, ["7.2.12+deb13-amd64", *(f"{name}=7.2.12-1" for name in old)])
    assert errors == "trixie-backports has no kernel 7.3\n"


def test_version_that_is_asked_for_is_the_only_one():
    script = "names() { case $1 in *headers-7*3*) echo linux-headers-7.3.4+deb13-amd64 ;; esac; }\n"
    code, output, errors = shell(script + "choose_release", KERNEL="7.2")
    assert (code, output) == (1, "") and "has no kernel 7.2; it has" in errors


@pytest.fixture(name="folders")
def built(tmp_path):
    """Makes what was unpacked and what was compiled, with nothing wrong."""
    headers, build, source = tmp_path / "headers", tmp_path / "build", tmp_path / "source"
    common = tmp_path / f"packages/usr/src/{NAMES[1]}"
    for folder in (headers, build / "rust", build / "include/config"):
        folder.mkdir(parents=True)
    for top in (common, source):
        for part in ("include", "arch/x86/include"):
            (top / part).mkdir(parents=True)
            (top / part / "mm.h").write_text("int one;\n")
    for folder, comment in ((headers, "# x86"), (build, "# x86_64")):
        (folder / ".config").write_text(f"{comment}\nCONFIG_RUST=y\n")
    (headers / "Module.symvers").write_text(SYMBOLS)
    (build / "include/config/kernel.release").write_text(RELEASE + "\n")
    code = ".globl _RNvNtCs1_6kernel5print\n_RNvNtCs1_6kernel5print: ret\n"
    subprocess.run(["as", "-o", build / "rust/kernel.o"], input=code, text=True, check=True)
    return tmp_path


def checked(folders, function):
    return shell(f"""
        packages={folders}/packages headers={folders}/headers build={folders}/build root=/compilers
        release={RELEASE}
        {function}""")


def test_what_was_compiled_is_accepted(folders):
    assert checked(folders, "verify") == (0, "", "")
    assert checked(folders, f"same_source {folders}/source") == (0, "", "")


def test_other_configuration_is_named(folders):
    (folders / "build/.config").write_text("# CONFIG_DEBUG_INFO_BTF is not set\nCONFIG_RUSTC_VERSION=109600\n")
    code, _, errors = checked(folders, "verify")
    assert code == 1
    assert "the configuration of" in errors
    assert "< CONFIG_RUST=y\n> CONFIG_RUSTC_VERSION=109600" in errors


def test_other_release_is_named(folders):
    (folders / "build/include/config/kernel.release").write_text("7.3.5+deb13-amd64\n")
    code, _, errors = checked(folders, "verify")
    assert code == 1
    assert f"the source is 7.3.5+deb13-amd64, the kernel is {RELEASE}" in errors


def test_missing_rust_symbol_is_named(folders):
    with open(folders / "headers/Module.symvers", "a", encoding="utf-8") as file:
        file.write("0x0\t_RNvCs2_6kernel4drop\tvmlinux\tEXPORT_SYMBOL_GPL\n"
                   "0x0\t_RNvCs3_6driver4drop\tdrivers/some\tEXPORT_SYMBOL_GPL\n")
    code, _, errors = checked(folders, "verify")
    assert code == 1
    assert errors.startswith(f"error: 1 Rust symbols of {RELEASE} are not among those compiled")
    assert "_RNvCs2_6kernel4drop" in errors and "_RNvCs3" not in errors


def test_other_source_is_noticed(folders):
    (folders / "source/arch/x86/include/mm.h").write_text("int two;\n")
    code, output, _ = checked(folders, f"same_source {folders}/source")
    assert code == 1
    assert "arch/x86/include/mm.h differ" in output


def test_source_may_have_more_files_than_the_packages(folders):
    (folders / "source/include/more.h").write_text("int more;\n")
    assert checked(folders, f"same_source {folders}/source")[0] == 0
