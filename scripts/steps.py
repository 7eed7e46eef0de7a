# SPDX-License-Identifier: GPL-2.0
"""The steps of scripts/test.py, which describes them. It is imported, not run."""

import os
import re
import shutil
from pathlib import Path

import debian_guest
import in_tree_kernel
import preload
import versions
from common import (CARGO_FOLDER, OUT, SCRIPTS, TOP, read, read_json, script_lines, stream,
                    toolchain_env)
from packed import packed
from results import (LONGEST, UNCHECKED, add_broken_rules, add_freed, add_results, add_rules, add_tests,
                     add_torture)


def host_scripts(step):
    add_results(step, *step.stream(["/usr/bin/python3", "-m", "pytest", "-v", "-p", "no:cacheprovider",
                                    SCRIPTS / "tests"], r" (FAILED|ERROR) +\["))


def cargo_test(step, folder, *options, **env):
    """Runs the tests of a folder of tools/; returns the exit status and the output."""
    env |= {"CARGO_TARGET_DIR": str(CARGO_FOLDER / Path(folder).name), "CARGO_TERM_COLOR": "never"}
    return step.stream(["cargo", "test", "--locked", *options], r"^test .* FAILED|^error",
                       cwd=TOP / "tools" / folder, env=toolchain_env() | env)


def host_rmapctl(step):
    # Some tests need calls of Linux 6.17: cargo ignores them, which counts as skipped.
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    newer = ("--", "--include-ignored") if release >= (6, 17) else ()
    add_results(step, *cargo_test(step, "rmapctl", *newer))


def host_userspace(step):
    # The usual random sequences, then one that is new in each run.
    for seed in (0, step.lab.seed):
        code, output = cargo_test(step, "userspace", "--workspace", "--no-fail-fast",
                                  SHADOW_RMAP_SEED=str(seed))
        output = re.sub(r"^test (?=.* \.\.\. )", f"test seed {seed}: ", output, flags=re.M)
        add_results(step, code, output)
        if code:
            return


def has_host(step):
    """Returns whether the host's own mm/ can be compiled for user space; counts a test if not."""
    reason = versions.without_user_space(step.lab.version)
    if reason:
        step.add("the host's own mm/ in user space", "skipped", reason)
    return not reason


def host_mm(step):
    if not has_host(step):
        return
    add_results(step, *step.stream([SCRIPTS / "host_test.py"], r"^test .* FAILED|^error"))


def host_schedules(step):
    add_results(step, *cargo_test(step, "userspace/schedules"))
    add_results(step, *cargo_test(step, "userspace/orders"))
    (OUT / "schedules.json").unlink(missing_ok=True)
    code, _ = step.stream([SCRIPTS / "schedules.py", "--short"], r"MISSED|NOT |^schedules: ")
    result = read_json(OUT / "schedules.json")
    for row in result.get("bugs", ()):
        step.check(f"{row['bug']} is found and replayed", row["caught"], row["result"].get("words"))
    for row in result.get("alone", ()):
        step.check(f"{row['bug']} is met by one thread", row["seen"], row["result"].get("words"))
    for row in result.get("correct", ()):
        step.check(f"{row['scenario']}, {row['way']}", row["clean"], str(row["results"]))
    cores = result.get("orders", {})
    for row in cores.get("bugs", ()):
        step.check(f"{row['bug']} is found in a core", row["caught"], row["result"].get("words"))
    for row in cores.get("correct", ()):
        step.check(f"core {row['core']}", row["clean"], str(row["result"]))
    step.must_have_run(code)


def host_fuzz(step):
    if not has_host(step):
        return
    add_results(step, *step.stream([SCRIPTS / "fuzz_test.py"], r"^test .* FAILED|^error"))


def judge(step):
    if os.environ.get("KDIR"):
        step.add("the judge", "skipped", "its broken hosts are patches of the lab's source")
        return
    add_results(step, *step.stream([SCRIPTS / "judge_self_test.py", "--sample"],
                                   r"^test .* FAILED|^error"))


def host_litmus(step):
    (OUT / "litmus.json").unlink(missing_ok=True)
    code, _ = step.stream([SCRIPTS / "litmus.sh"], r": FAILED: |^error")
    for row in read_json(OUT / "litmus.json"):
        step.check(row["name"], not row["reason"], row["reason"])
    step.must_have_run(code)


# Name, vm.py options, command, expected exit status, expected reason and part of the text of
# vm.json.
FAKE = 'echo "<4>WARNING: CPU: 0 PID: 1 at fake" >/dev/kmsg'
RUNNER_TESTS = (
    ("the exit status is passed through", [], "exit 7", 7, "exit", ""),
    ("a report of the kernel fails the run", [], FAKE, 3, "splat", "at fake"),
    ("the time limit is enforced", ["--time-limit", "5"], "sleep 3000 & sleep 3000", 124,
     "time-limit", "5"),
    ("a guest that dies is noticed", [], "poweroff -f; sleep 600", 125, "died", "without"),
    ("a file that is no module is refused", ["--module", __file__], "true", 126, "insmod", ""),
    ("a kernel that does not look for leaks is noticed", ["--kmemleak", "--append", "kmemleak=off"], "true",
     126, "kmemleak", ""),
    ("results come back, and nothing else can be written", [],
     'echo here >"$OUT/probe" && [ "$(head -n 1 steps.py)" = "# SPDX-License-Identifier: GPL-2.0" ] && '
     'if [ "$VM_TARGET" = um ]; then ! touch /shadow-rmap-probe; fi', 0, "exit", ""),
)


def leak_tests(step):
    """Memory that a module leaks fails the run where the kernel has kmemleak."""
    if step.target == "um":
        return ()
    return (("a leak of memory fails the run",
             ["--kmemleak", "--file", script_lines("leak.sh", step.target)[-1]],
             "insmod kmemleak-test.ko && rmmod kmemleak_test", 3, "splat", "kmemleak: unreferenced object"),)


def vm_runner(step):
    for name, options, command, code, reason, text in RUNNER_TESTS + leak_tests(step):
        out = step.out / re.sub(r"\W+", "-", name)
        shutil.rmtree(out, ignore_errors=True)
        done, _ = stream(step.vm(out, "--quiet", "--time-limit", "600", "--file", __file__,
                                 *options, "--", command),
                         out.with_suffix(".log"), f"{step.name}: {name}", limit=LONGEST)
        got = read_json(out / "vm.json")
        good = done == code and got.get("reason") == reason and text in got.get("text", "")
        if command.startswith("echo here"):
            good = good and (out / "probe").is_file()
        step.check(name, good, f"exit status {done} for {code}; {got.get('text', 'no vm.json')}")
        step.restarts += got.get("restarts", 0)


def expected_suites():
    """Returns the names in `#[kunit_tests(name)]` of rust/."""
    return sorted({name for path in (TOP / "rust").rglob("*.rs") for name in re.findall(
        r"^\s*#\[(?:\w+::)*kunit_tests\((\w+)\)\]", path.read_text(), re.M)})


def boot(step, files, script, *args, append="", options=()):
    """Runs a script of scripts/guest/ and counts its tests. `files` are paths by name."""
    shutil.rmtree(step.out, ignore_errors=True)
    files = files | {name: SCRIPTS / "guest" / name for name in ("try.sh", "host.sh", "trace.sh")}
    copies = [word for name, path in files.items() for word in ("--file", f"{path}:{name}")]
    step.stream(step.vm(step.out, *options, "--append", append, "--time-limit", LONGEST - 900,
                        *copies, "--", SCRIPTS / "guest" / script, *args), r"^not ok: |^vm: \w+: ")
    summary = read_json(step.out / "vm.json")
    step.restarts += summary.get("restarts", 0)
    # A failed test is counted below; this is what no line of a test can say.
    step.check("guest: ran to its end, without a report of the kernel",
               summary.get("reason") == "exit", summary.get("text", "vm.py left no vm.json"))
    # If the guest died, the console has the tests until then.
    add_tests(step, script, read(step.out / "tests.txt") or read(step.log))


# Rules of which no live mapping causes a check: the spinning lock (R9), a lookup that waits (R10), merges
# by the rules of 2010 (R25), all locks of a process at once (R38), swap (R39).
NEVER_LIVE = set("R9 R10 R25 R38 R39".split())


def add_suites(step):
    """Counts the KUnit suites; each that is named in rust/ must be there."""
    seen = []
    for path in sorted((step.out / "kunit").glob("*.ktap")):
        seen += step.lab.kunit.add(step, path.read_text(), path.stem)
    for name in expected_suites() or ["no #[kunit_tests] in rust/"]:
        if name not in seen:
            step.add(f"kunit: {name}", "failed", "the suite did not run")
    add_rules(step, step.out / "kunit")
    add_broken_rules(step, read(step.out / "kunit/stats"))


def files_of(step, *names):
    """Returns the paths of modules, by their names in the guest."""
    return {f"{name}.ko": step.lab.modules[step.target][name] for name in names}


# Arguments of the kernel and of test.sh, and options of vm.py. User-Mode Linux is built for one kind of
# preemption, for x86_64 the command line chooses it. Kmemleak is in the kernel for x86_64 alone; it switches on
# the checks of kmalloc's caches as well.
GUESTS = {"um": ("slab_debug=F,kmalloc-*", (), ()),
          "x86_64": ("preempt=full", ("--preempt", "full"), ("--kmemleak",))}


def guest(step):
    samples = [*(TOP / "samples").rglob("*.scn")]
    files = files_of(step, "shadow_rmap", "shadow_rmap_kunit") | {"rmapctl": step.lab.rmapctl}
    # QEMU without KVM is slow: one seed there. The last one is new in each run.
    seeds = [*range(1, {"um": 2, "x86_64": 1}[step.target]), step.lab.seed]
    append, mode, options = GUESTS[step.target]
    files["lessons.rst"] = TOP / "Documentation/lessons.rst"
    boot(step, files | {path.relative_to(TOP): path for path in samples}, "test.sh",
         *mode, *seeds, append=append, options=options)
    add_suites(step)
    add_rules(step, step.out / "live", UNCHECKED | NEVER_LIVE)
    add_rules(step, step.out / "starved", UNCHECKED | NEVER_LIVE)
    add_freed(step, read(step.out / "starved/stats"))


def lazy(step):
    # Leaks are looked for, once, by the longer test.
    boot(step, files_of(step, "shadow_rmap_kunit"), "test.sh", "--preempt", "lazy",
         append="preempt=lazy")
    add_suites(step)


def moved(step):
    files = files_of(step, "shadow_rmap") | {"rmapctl": step.lab.rmapctl}
    files |= {path.relative_to(TOP): path for path in (TOP / "samples/swap").glob("*.scn")}
    files |= {f"{name}.sh": SCRIPTS / f"guest/{name}.sh" for name in ("memory", "moving")}
    boot(step, files, "moved.sh", step.lab.seed, debian_guest.STEPS, 20, options=("--nodes", "2"))


def debian(step):
    debian_guest.debian_guest(step, boot)


def busted(step):
    boot(step, {"shadow_rmap.ko": step.lab.modules["busted"]["shadow_rmap"],
                "rmapctl": step.lab.rmapctl}, "busted.sh")


def programs(step):
    correct, wrong = (step.lab.modules[name]["shadow_rmap"] for name in ("um", "busted"))
    boot(step, preload.files(correct, wrong), "preload.sh")


def in_tree(step):
    files = {f"samples/{path.name}": path for path in (TOP / "samples").glob("*.scn")}
    with in_tree_kernel.built(OUT / "in-tree") as (kernel, compiled):
        ours = [name for name in compiled if name.startswith(f"{in_tree_kernel.MODULES}/rust/")]
        step.check("the modules are compiled in the kernel's tree", len(ours) == 4, " ".join(compiled))
        files |= {"rmapctl": step.lab.rmapctl,
                  "shadow_rmap_torture.ko": kernel / in_tree_kernel.MODULES / "shadow_rmap_torture.ko"}
        boot(step, files, "in_tree.sh", options=("--kernel", kernel))


def host_stress(step):
    boot(step, packed("stress-ng", "--programs") | {"shadow_rmap.ko": step.lab.modules["um"]["shadow_rmap"]},
         "host_stress.sh", 15)


def again(step):
    boot(step, files_of(step, "shadow_rmap_torture"), "again.sh")


def torture(step):
    shutil.rmtree(step.out, ignore_errors=True)
    code, _ = step.stream([SCRIPTS / "torture.py", "--short", f"SEED={step.lab.seed}",
                           "--out", step.out], r"(?i)NOT CAUGHT|NOT CLEAN|FINDING|findings$|^torture: ")
    add_torture(step, code, read_json(step.out.with_suffix(".json")))


# As many at a time as there are cores.
STEPS = {"x86_64-guest": guest, "um-guest": guest, "debian-guest": debian, "x86_64-moved": moved,
         "x86_64-lazy": lazy,
         "debian-drgn": debian_guest.debian_drgn,
         "host-rmapctl": host_rmapctl,
         "host-mm": host_mm, "host-userspace": host_userspace, "host-scripts": host_scripts,
         "host-litmus": host_litmus, "host-fuzz": host_fuzz, "host-schedules": host_schedules,
         "um-busted": busted, "um-preload": programs, "um-in-tree": in_tree,
         "um-runner": vm_runner, "x86_64-runner": vm_runner}

# Then these, one by one: their guests keep several cores busy.
ALONE = {"um-judge": judge, "um-again": again, "um-host": host_stress, "um-torture": torture}

# The modules besides shadow_rmap.ko, and the steps that load them.
MODULES = {"kunit": ("guest", "lazy"), "torture": ("again", "torture")}
