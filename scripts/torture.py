#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Switches on the deliberate bugs one at a time, each in a boot of its own, and says who caught
each and when; then runs the correct rules under the same load, where nobody may have anything to
say.  `make torture` and `make soak` start it by scripts/torture.sh.

  scripts/torture.sh [NAME=VALUE...]          as make torture
  scripts/torture.sh --soak [HOURS=N]         as make soak

  BUST=all         all of them, and the correct rules; or none (the correct rules alone), list, or
                   some by their rule (R12), number (museum:16), or type (SkipsSecondCheck)
  SECS=30          the longest that a bug may stay unnoticed; 120 where VM= is not um.  With
                   BUST=none: how long to run, instead of until there are enough operations
  SEED=            where chance begins: that of the first boot; the others' follow from it, and are
                   shown.  By default another one each time
  THREADS=         as many as the module thinks best, when not given
  VM=um            or x86_64, x86_64-kasan, x86_64-kasan-recycle.  The correct rules do most of what
                   they do on um-bench, which is um without lockdep, and, with BUST=all, on
                   x86_64-kasan; BUST=none VM=um has them stay there.  make soak takes turns, unless
                   it is told which
  PROTOCOL=        rwsem, spin or preemptible: by default, the one that suits the bug, and each for
                   the correct rules
  MODE=random      or pct, with DEPTH=
  LOAD=            another than the bug's own, as control of the module names them
  STAY=128         one passage of a window out of so many takes longer
  FAIL=64          one allocation out of so many fails; 0 for none
  REPEAT=1         boots for each bug, which counts only when each has caught it
  HOURS=1          how long make soak goes on, all its runs of this module taken together

Leaves out/torture.json, out/torture.svg, and all that was said in out/torture/; make soak leaves
out/soak.json, and goes on where it stopped: with the same module and parameters.  The last line is

  torture: busted caught X/Y, correct clean X/Y

and the exit status 0 when both are complete.
"""

import argparse
import fcntl
import hashlib
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torture_report as report
import vm

SCRIPTS = Path(__file__).resolve().parent
TOP = SCRIPTS.parent
PROTOCOLS = ("rwsem", "spin", "preemptible")

# Operations that the correct rules have to survive under each protocol, and the longest that they
# may take, in seconds.  User-Mode Linux does some 100,000 a second, 15,000 with lockdep, and x86_64
# with KASAN 4,000.
ENOUGH = {"um-bench": (10_000_000, 600), "um": (2_000_000, 600), "x86_64": (350_000, 600)}
# What is added to the time of a torture: for the boot and for leaks to be looked for.
ROOM = {"um": 60, "x86_64": 300}
# How long a guest may go on when all is known that can be.
GRACE = {"um": 10, "x86_64": 30}
# After so many seconds more than it was to take, a torture hangs.
HANGS = 20
# The short form: how long each bug may take, the correct rules do take, and all bugs together may.
SHORT_SECS, SHORT_CORRECT, SHORT_ALL = 45, 10, 300
# How long the correct rules are tried under the load of some bugs, where nobody may see one.
CONTROL_SECS = 5
# A piece of a soak, in seconds: x86_64 does 30 times fewer operations a second.
PIECE = {"um": 120, "x86_64": 480}

# Which oracle a complaint of the kernel stands for: the first that fits its name in vm.SPLATS.
SPOKESMEN = (
    ("LD", r"lockdep|sleeping"),
    ("WD", r"RCU stall|hung task|lockup"),
    ("RL", r"memory leak|slab: objects remain"),
    ("KA", r""),
)


def say(text):
    print(text, flush=True)


class Mistake(Exception):
    """The caller's; one line says what it is."""


# What can be asked for: the values that are allowed.
def whole(least, most):
    def parse(name, text):
        if not re.fullmatch(r"\d{1,20}", text) or not least <= int(text) <= most:
            raise Mistake(f"{name}={text}: not a whole number from {least} to {most}")
        return int(text)
    return parse


def one_of(*words):
    def parse(name, text):
        if text not in words:
            raise Mistake(f"{name}={text}: not one of {', '.join(words)}")
        return text
    return parse


def hours(name, text):
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", text) or float(text) <= 0:
        raise Mistake(f"{name}={text}: not a number of hours")
    return float(text)


PARAMETERS = {
    "BUST": (lambda _, text: text, "all"),
    "SECS": (whole(1, 7 * 24 * 3600), None),
    "SEED": (whole(0, 2 ** 64 - 1), None),
    "THREADS": (whole(1, 1000), None),
    "VM": (one_of(*vm.TARGETS), None),
    "PROTOCOL": (one_of(*PROTOCOLS), None),
    "MODE": (one_of("random", "pct"), None),
    "DEPTH": (whole(1, 1000), None),
    "LOAD": (lambda _, text: text, None),
    "STAY": (whole(1, 2 ** 32 - 1), None),
    "FAIL": (whole(0, 2 ** 32 - 1), None),
    "REPEAT": (whole(1, 10_000), 1),
    "HOURS": (hours, 1.0),
    "KASAN": (one_of("1"), None),
}

# Those that the module is told by the same names; it knows best what it takes.
PASSED_ON = ("THREADS", "MODE", "DEPTH", "LOAD", "STAY", "FAIL")


def parameters(words):
    """`NAME=VALUE` words as a dictionary; an empty value is none."""
    found = {name: default for name, (_, default) in PARAMETERS.items()}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in PARAMETERS:
            raise Mistake(f"{word}: not NAME=VALUE, with NAME one of {', '.join(PARAMETERS)}")
        if text:
            found[name] = PARAMETERS[name][0](name, text)
    if found["DEPTH"] and found["MODE"] != "pct":
        raise Mistake("DEPTH= is for MODE=pct")
    return found


class Bust:
    """One line of torture/control."""

    def __init__(self, line):
        words, _, reason = line.partition("not-shown:")
        _, self.name, *rest = words.split()
        self.rule, self.museum, self.protocols, self.harmless = None, [], [], []
        self.not_shown = reason.strip()
        for word in rest:
            key, _, value = word.partition("museum:")
            if re.fullmatch(r"R\d+", word):
                self.rule = word
            elif not key and value.isdigit():
                self.museum.append(int(value))
            elif word.startswith("protocols="):
                self.protocols = [p for p in word.partition("=")[2].split(",") if p]
            elif word.startswith("harmless="):
                self.harmless = word.partition("=")[2].split(",")

    def __str__(self):
        words = [self.name, self.rule or "-", *(f"museum:{n}" for n in self.museum),
                 f"protocols={','.join(self.protocols)}",
                 *([f"harmless={','.join(self.harmless)}"] if self.harmless else [])]
        return " ".join(words + ([f"not-shown: {self.not_shown}"] if self.not_shown else []))


def parse_control(text):
    """The bugs that there are, and the loads."""
    busts = [Bust(line) for line in text.splitlines() if re.match(r"bust \S", line)]
    loads = [word for line in text.splitlines() if line.startswith("loads:")
             for word in line.split()[1:]]
    if not busts:
        raise Mistake("the module offers no bug: torture/control lists none")
    return busts, loads


def choose(busts, wanted):
    """Those that BUST= means."""
    if wanted == "all":
        return [bust for bust in busts if bust.name != "none"]
    if wanted == "none":
        return []
    number = re.fullmatch(r"museum:(\d+)", wanted)
    found = [bust for bust in busts if wanted in (bust.name, bust.rule)
             or number and int(number[1]) in bust.museum]
    if not found:
        raise Mistake(f"BUST={wanted}: no such bug; BUST=list shows them")
    return found


def derived(seed, index):
    """The seed of one boot: that of the first is what was asked for, so that it can be replayed."""
    if index == 0:
        return seed
    digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def parse_results(text):
    """torture/results, or the same lines from the console: (passed or None, diagnostics)."""
    passed, said = None, {}
    for line in text.splitlines():
        verdict = re.match(r"(not )?ok 1 ", line)
        if verdict:
            passed = not verdict[1]
        key, colon, value = line[2:].partition(": ") if line.startswith("# ") else ("", "", "")
        if colon and re.fullmatch(r"\w+", key) and key != "torture":
            said[key] = f"{said[key]}, {value}" if key in said else value
    return passed, said


CAUGHT = re.compile(r"shadow_rmap: torture: (?:caught|reported) by (\w+) \((R\d+|-)\) after"
                    r" (\d+) ms, (\d+) operations, near misses (\d+)(?:: (.*))?")
STATUS = re.compile(r"torture: (state=\w.*)")
KTAP_LINE = re.compile(r"shadow_rmap: (KTAP version 1|1\.\.1|# .*|(?:not )?ok 1 .*)$")


class Console:
    """What the guest has said up to now; vm.watch() hands over each line."""

    def __init__(self, target, what="", merciful=False):
        self.grace = None if merciful else GRACE[target.partition("-")[0]]
        self.what = what
        self.began = self.shown = time.monotonic()
        self.begun = self.caught = self.splat = None
        self.ended = self.hangs = False
        self.refused = self.wrong = ""
        self.status, self.ktap, self.last = {}, [], ""

    def __call__(self, line):
        """Returns how long the guest still has, when that has changed."""
        news = line is not None and self.read(line)
        now = time.monotonic()
        if self.what and now - self.shown >= 1:
            self.shown = now
            self.progress()
        return self.grace if news else None

    def read(self, line):
        """Whether something was said after which all is known, or as good as."""
        ours = re.search(r"torture: (ended|hangs|refused: .*|wrong: .*)", line)
        status = STATUS.search(line)
        if status:
            self.status = dict(word.split("=", 1) for word in status[1].split() if "=" in word)
        elif ours:
            self.ended |= ours[1] == "ended"
            self.hangs |= ours[1] == "hangs"
            if ours[1].startswith("wrong"):
                self.wrong = ours[1]
            if ours[1].startswith("refused"):
                self.refused = f"{ours[1]}: {self.last}".removesuffix(": ")
            return True
        for prefix in vm.PREFIX.finditer(line):
            message = line[prefix.end():]
            seconds = float(re.search(r"\d+\.\d+", prefix[0])[0])
            if message.startswith("torture: begins"):
                self.begun = seconds
            if self.begun is None:
                continue
            if message.startswith("shadow_rmap: torture: "):
                self.last = message.partition("torture: ")[2].strip()
            caught = CAUGHT.match(message)
            if caught and not self.caught:
                oracle, rule, ms, operations, near_misses, words = caught.groups()
                self.caught = {"oracle": oracle, "oracle_rule": rule, "words": words or "",
                               "milliseconds": int(ms), "operations": int(operations),
                               "near_misses": int(near_misses), "first": not self.splat}
                return True
            ktap = KTAP_LINE.match(message)
            if ktap:
                self.ktap.append(ktap[1])
        found = self.begun is not None and not self.splat and vm.find_splat(line)
        if found:
            name, words = found
            self.splat = {"name": name, "words": words,
                          "milliseconds": round((seconds - self.begun) * 1000)}
        return bool(found)

    def check(self):
        """What one boot refuses, all would."""
        if self.refused:
            raise Mistake(self.refused)

    def figure(self, name):
        value = self.status.get(name, "")
        return int(value) if value.isdigit() else 0

    def progress(self):
        if self.begun is None or self.ended:
            what = "looks at what is left" if self.ended else "boots"
            text = f"{what}, {time.monotonic() - self.began:.0f} s"
        else:
            text = (f"{self.figure('elapsed_ms') // 1000} s, "
                    f"{self.figure('operations'):,} operations, "
                    f"{self.figure('near_misses'):,} near misses")
        Progress.show(f"{self.what}: {text}")


class Progress:
    """A line each second; on a terminal, the same one again."""

    pending = False

    @classmethod
    def show(cls, text):
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f"\r\033[K{text[:width]}")
            sys.stdout.flush()
            cls.pending = True
        else:
            say(f"  {text}")

    @classmethod
    def clear(cls):
        if cls.pending:
            sys.stdout.write("\r\033[K")
            cls.pending = False


def figures(console, said):
    """What was counted until the end, or the last that was heard."""
    def figure(name):
        value = said.get(name, "")
        return int(value) if value.isdigit() else None
    return {
        "milliseconds": figure("milliseconds"),
        "operations": figure("operations") or console.figure("operations"),
        "near_misses": figure("near_misses") or console.figure("near_misses"),
        "rounds": figure("rounds"),
        "reports": figure("reports"),
        "violations": figure("violations"),
        "diagnostics": said,
    }


def judge_bust(console, results, guest):
    """What became of a deliberate bug; `guest` is what vm.json says, empty when the guest had to be
    stopped.

    The oracle counts if it was first; otherwise what the kernel complained of, or died of.
    """
    passed, said = parse_results(results or "\n".join(console.ktap))
    run = {"caught": True, "how": "oracle", "oracle": None, "oracle_rule": None, "words": ""}
    run |= figures(console, said)
    splat, caught = console.splat, console.caught
    if not caught and passed and said.get("caught") == "yes":
        caught = {key: said.get(key, "") for key in ("oracle", "oracle_rule", "words")}
        caught["first"] = not splat
    console.check()
    if console.begun is None or console.wrong:
        why = console.wrong or guest.get("text", "the guest did not get so far")
        return run | {"caught": False, "how": "not run", "words": why}
    if caught:
        run |= {key: value for key, value in caught.items() if key != "first"}
        if run["oracle_rule"] == "-":
            run["oracle_rule"] = None
    if splat and not (caught and caught["first"]):
        oracle = next(name for name, pattern in SPOKESMEN if re.search(pattern, splat["name"]))
        if run["oracle"] != oracle:
            run |= {"oracle": oracle, "oracle_rule": None}
        lived = "complained" if console.ended else "died"
        return run | {"how": f"kernel {lived}: {splat['name']}", "words": splat["words"],
                      "milliseconds": splat["milliseconds"]}
    if caught:
        return run
    # Nobody has said that it was the bug: it may have been the machine.
    if console.hangs or not console.ended and guest.get("reason") == "time-limit":
        return run | {"caught": False, "how": "hang", "words": "the guest hangs, and says nothing"}
    if not console.ended and passed is None:
        return run | {"caught": False, "how": "kernel died: silently",
                      "words": guest.get("text", "")}
    return run | {"caught": False, "how": "missed", "words": said.get("error", "")}


def judge_correct(console, results, guest, enough):
    """What became of the correct rules: whatever there is to be said makes them unclean."""
    passed, said = parse_results(results or "\n".join(console.ktap))
    run = figures(console, said)
    reasons = []
    console.check()
    if console.begun is None:
        reasons.append(f"not run: {guest.get('text', 'the guest did not get so far')}")
    elif console.hangs:
        reasons.append("it hangs")
    elif passed is None:
        reasons.append("no results")
    if console.caught:
        reasons.append(f"{console.caught['oracle']} reported: {console.caught['words']}")
    if passed is False:
        reasons.append(said.get("words") if said.get("words", "-") != "-" else
                       said.get("error") or "not ok")
    reasons += [f"{run[name]} {name}" for name in ("reports", "violations") if run[name]]
    if said.get("found") == "0":
        reasons.append("nothing was there to be found")
    if "deaf" in said:
        reasons.append(f"the kernel had complained before, {said['deaf']} is deaf")
    splats = guest.get("splats", [])
    reasons += [f"{splat['name']}: {splat['line']}" for splat in splats]
    if console.splat and not splats:
        reasons.append(f"{console.splat['name']}: {console.splat['words']}")
    if guest.get("exit") == 4 and guest.get("reason") == "exit":
        reasons.append("the module cannot be unloaded")
    elif (guest.get("reason"), guest.get("exit")) != ("exit", 0) and not reasons:
        reasons.append(guest.get("text", "the guest left no status"))
    if not reasons and enough and run["operations"] < enough:
        reasons.append(f"only {run['operations']:,} of {enough:,} operations in time")
    return run | {"clean": not reasons, "reasons": reasons}


def script_line(name, *args, **env):
    done = subprocess.run([SCRIPTS / name, *args], stdout=subprocess.PIPE, text=True, check=False,
                          stdin=subprocess.DEVNULL, env=os.environ | env)
    if done.returncode:
        raise Mistake(f"scripts/{name} {shlex.join(args)} failed")
    return done.stdout.splitlines()[-1]


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def read_json(path):
    try:
        return json.loads(read(path))
    except ValueError:
        return {}


def write_json(path, value):
    """All of it or nothing: who is interrupted leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.replace(path)


class Lab:
    """Kernels, modules, and one guest at a time."""

    def __init__(self, args, wanted):
        self.wanted, self.out = wanted, args.out
        self.kernels, self.modules = dict(args.kernel), dict(args.module)
        self.boots = 0
        self.append = ""  # More for the kernel's command line.
        self.seed = random.getrandbits(32) if wanted["SEED"] is None else wanted["SEED"]
        self.lock = None

    def claim(self):
        """Has `out` for itself from now on: boots of two runs would share their folders."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.out / "lock", "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Mistake(f"{self.out} is in use by another run") from None

    def kernel(self, target):
        if target not in self.kernels:
            self.kernels[target] = script_line("kernel.sh", target)
        return self.kernels[target]

    def module(self, target):
        if target not in self.modules:
            self.modules[target] = script_line("module.sh", target, "SHADOW_RMAP_TESTS=n",
                                               VARIANT=os.environ.get("VARIANT", "torture"))
        return self.modules[target]

    def boot(self, target, name, arguments, limit, console, leaks=False):
        """One guest; returns its folder, and what vm.json says."""
        out = self.out / name
        out.mkdir(parents=True, exist_ok=True)
        for old in ("results.ktap", "control.txt", "vm.json"):
            (out / old).unlink(missing_ok=True)
        # An oops is the end: what goes on after it says nothing.
        command = ["--target", target, "--kernel", str(self.kernel(target)), "--quiet",
                   "--module", str(self.module(target)), "--out", str(out),
                   "--time-limit", str(limit), "--append",
                   f"kunit.filter_glob=none oops=panic {self.append}".strip(),
                   *(["--kmemleak"] if leaks else []),
                   "--", str(SCRIPTS / "guest/torture.sh"), *arguments]
        try:
            vm.run(vm.parse(command), console)
        except vm.SetupError as error:
            return out, {"text": str(error)}
        finally:
            Progress.clear()
        return out, read_json(out / "vm.json")

    def offered(self, target):
        out, guest = self.boot(target, "list", ["list"], ROOM[target.partition("-")[0]],
                               Console(target, merciful=True))
        text = read(out / "control.txt")
        if not text:
            raise Mistake(f"no torture/control: {guest.get('text', 'the guest said nothing')}")
        return parse_control(text)

    def line(self, bust, protocol, secs, seed, enough=0):
        """What is written to torture/control."""
        words = [f"bust={bust}", f"protocol={protocol}", f"secs={secs}", f"seed={seed}"]
        words += [f"ops={enough}"] if enough else []
        words += [f"{name.lower()}={self.wanted[name]}" for name in PASSED_ON
                  if self.wanted[name] is not None]
        return " ".join(words)

    def replay(self, bust, protocol, target, secs, seed, enough=0):
        words = [f"BUST={bust}", f"PROTOCOL={protocol}", f"VM={target}"]
        # By default there are to be so many operations, and then other loads.
        words += (["LOAD=all"] if enough and not self.wanted["LOAD"] else [])
        words += ([] if enough else [f"SECS={secs}"]) + [f"SEED={seed}"]
        words += [f"{name}={self.wanted[name]}" for name in PASSED_ON
                  if self.wanted[name] is not None]
        return "make torture " + " ".join(words)

    def torture(self, kind, name, target, protocol, secs, what, enough=0):
        """One boot, one torture; returns what there is to judge, and how it was run."""
        seed = derived(self.seed, self.boots)
        self.boots += 1
        # What has to be built is no part of it.
        self.kernel(target)
        self.module(target)
        console = Console(target, what, merciful=kind == "correct")
        folder = f"{self.boots:03}-{name}-{protocol}-{target}"
        begin = time.monotonic()
        out, guest = self.boot(target, folder, [kind, self.line(name, protocol, secs, seed, enough),
                                                str(secs + HANGS)],
                               secs + HANGS + ROOM[target.partition("-")[0]], console,
                               leaks=kind == "correct" and not target.startswith("um"))
        return (console, read(out / "results.ktap"), guest), {
            "bust": name, "protocol": protocol, "vm": target, "seed": seed, "secs": secs,
            "mode": self.wanted["MODE"] or "random", "depth": self.wanted["DEPTH"],
            "threads": self.wanted["THREADS"], "load": self.wanted["LOAD"],
            "seconds": round(time.monotonic() - begin),
            "append": self.append, "folder": folder,
            "control": self.line(name, protocol, secs, seed, enough),
            "replay": self.replay(name, protocol, target, secs, seed, enough),
        }

    def bust(self, bust, protocol, secs, place):
        words = " ".join(filter(None, [bust.name, bust.rule, protocol]))
        told, how = self.torture("bust", bust.name, self.wanted["VM"] or "um", protocol, secs,
                                 f"{place} {words}")
        run = {"rule": bust.rule, "museum": bust.museum} | how | judge_bust(*told)
        if run["caught"]:
            rule = f" ({run['oracle_rule']})" if run["oracle_rule"] else ""
            news = (f"caught by {run['oracle']}{rule} after "
                    f"{report.number(run['milliseconds'])} ms, {run['operations']:,} operations")
            news += "" if run["how"] == "oracle" else f"; {run['how']}"
        else:
            news = f"NOT CAUGHT ({run['how']}) {run['words']}".strip()
        say(f"{place} {words}: {news}, seed {run['seed']}")
        return run

    def correct(self, target, protocol, secs, enough, load, place):
        what = f"{place} correct rules, {protocol}, {target}{f', {load}' if load else ''}"
        asked, self.wanted = self.wanted, self.wanted | {"LOAD": load}
        try:
            told, how = self.torture("correct", "none", target, protocol, secs, what, enough)
        finally:
            self.wanted = asked
        run = how | {"wanted": enough} | judge_correct(*told, enough)
        said = "clean" if run["clean"] else "NOT CLEAN: " + "; ".join(run["reasons"][:3])
        say(f"{what}: {said}, {run['operations']:,} operations in {run['seconds']} s, "
            f"seed {run['seed']}")
        return run


def correct_plan(busts, loads, wanted, short):
    """(target, protocol, seconds, operations, load) of each run of the correct rules.  Whether they
    must do so many operations, or run for so long, is a question of time."""
    listed = next(bust.protocols for bust in busts if bust.name == "none")
    protocols = [wanted["PROTOCOL"]] if wanted["PROTOCOL"] else listed
    target, every, load = wanted["VM"], wanted["BUST"] == "all", wanted["LOAD"]
    if not every and wanted["SECS"]:
        return [(target or "um", protocol, wanted["SECS"], 0, load) for protocol in protocols]
    # Where a bug is seen that is not there, it is seen under the load of those that are.
    others = [other for other in loads if other != "all"] if not load else []
    if short:
        return ([("um", protocol, SHORT_CORRECT, 0, load) for protocol in protocols]
                + [("um", protocols[i % len(protocols)], CONTROL_SECS, 0, other)
                   for i, other in enumerate(others)])
    # Most of what the correct rules do they do where nobody looks at each lock: that is many times
    # faster.  Each of the other kernels looks at something else.
    targets = [target or "um-bench"]
    if every and target in (None, "um"):
        targets = ["um-bench", "x86_64-kasan"]
    plan = []
    for machine in targets:
        enough, secs = ENOUGH.get(machine) or ENOUGH[machine.partition("-")[0]]
        plan += [(machine, protocol, secs, enough, load) for protocol in protocols]
    return plan + [(target or "um", protocol, CONTROL_SECS, 0, other)
                   for other in others for protocol in protocols]


def ktap(result):
    """One test for each bug and each run of the correct rules."""
    lines = []
    for row in result["busts"]:
        what = f"{row['bust']} is caught ({row['rule'] or '-'}, {row['protocol']}, {row['vm']})"
        how = "; ".join(f"{run['how']} {run['words']}" for run in result["runs"]
                        if (run["bust"], run["protocol"]) == (row["bust"], row["protocol"])
                        and not run["caught"])
        if row["runs"] < row["wanted"]:
            how = f"only {row['runs']} of {row['wanted']} boots; {how}"
        lines.append((report.is_caught(row), what, how))
    for run in result["correct"]:
        where = ", ".join(filter(None, (run["protocol"], run["vm"], run["load"])))
        lines.append((run["clean"], f"correct rules are clean ({where})",
                      "; ".join(run["reasons"])))
    yield "KTAP version 1"
    yield f"1..{sum(result['planned']) + len(result['not_shown'])}"
    for number, (good, what, why) in enumerate(lines, 1):
        if not good:
            yield f"# {why.replace('#', '')}"
        yield f"{'ok' if good else 'not ok'} {number} {what}"
    for number, bust in enumerate(result["not_shown"], len(lines) + 1):
        yield f"ok {number} {bust['bust']} # SKIP not shown here: {bust['reason']}"


def last_line(result):
    good = sum(map(report.is_caught, result["busts"]))
    clean = sum(run["clean"] for run in result["correct"])
    busts, correct = result["planned"]
    return f"torture: busted caught {good}/{busts}, correct clean {clean}/{correct}"


def is_complete(result):
    """Whether all that was planned was done, and came out as it should."""
    rows = [*map(report.is_caught, result["busts"]), *(run["clean"] for run in result["correct"])]
    return bool(rows) and all(rows) and len(rows) == sum(result["planned"])


def refuse_others(wanted, used):
    """What would be ignored is not taken."""
    for name, (_, default) in PARAMETERS.items():
        if name not in used and wanted[name] != default:
            raise Mistake(f"{name}= has no meaning here, only {', '.join(used)}")


def pick(busts, wanted):
    """What is to be switched on, by BUST= and PROTOCOL=; and, of all, what is left out, and why."""
    protocol = wanted["PROTOCOL"]
    chosen, left_out = [], []
    for bust in choose(busts, wanted["BUST"]):
        if bust.not_shown:
            left_out.append((bust, bust.not_shown))
        elif protocol in bust.harmless:
            left_out.append((bust, f"no harm is done under {protocol}, see "
                                   "Documentation/torture.rst"))
        elif protocol and protocol not in bust.protocols:
            left_out.append((bust, f"not offered under {protocol}"))
        else:
            chosen.append(bust)
    if left_out and not chosen:
        raise Mistake("; ".join(f"{bust.name}: {why}" for bust, why in left_out))
    return chosen, left_out


def torture(args, wanted):
    refuse_others(wanted, [name for name in PARAMETERS if name not in ("HOURS", "KASAN")])
    target = wanted["VM"] or "um"
    lab = Lab(args, wanted)
    lab.claim()
    busts, loads = lab.offered(target)
    if wanted["BUST"] == "list":
        for bust in busts:
            say(str(bust))
        return 0
    if wanted["LOAD"] not in (None, *loads):
        raise Mistake(f"LOAD={wanted['LOAD']}: not one of {', '.join(loads)}")
    chosen, left_out = pick(busts, wanted)
    for bust, why in left_out:
        say(f"not shown: {bust.name}: {why}")
    secs = SHORT_SECS if args.short else wanted["SECS"] or (30 if target.startswith("um") else 120)
    plan = []
    if wanted["BUST"] in ("all", "none"):
        plan = correct_plan(busts, loads, wanted, args.short)
    repeat = wanted["REPEAT"]
    total = len(chosen) * repeat + len(plan)
    say(f"torture: {len(chosen)} deliberate bugs on {target}, {len(plan)} runs of the correct "
        f"rules; seed {lab.seed}")
    asked = {name.lower(): value for name, value in wanted.items()
             if name not in ("SEED", "HOURS", "KASAN")}
    asked |= ({"vm": target, "secs": secs} if chosen or not plan else
              {"vm": plan[0][0], "secs": plan[0][2]})
    result = {"version": 1, "seed": lab.seed, "parameters": asked,
              "planned": [len(chosen), len(plan)], "runs": [], "busts": [], "correct": [],
              "not_shown": [{"bust": bust.name, "rule": bust.rule, "museum": bust.museum,
                             "reason": why} for bust, why in left_out]}
    for old in args.out.iterdir():
        if re.match(r"\d{3,}-", old.name):
            shutil.rmtree(old)
    begin = time.monotonic()
    try:
        for bust in chosen:
            for _ in range(repeat):
                left = SHORT_ALL - (time.monotonic() - begin) if args.short else secs
                allowed = max(1, min(secs, int(left)))
                place = f"[{len(result['runs']) + 1}/{total}]"
                result["runs"].append(lab.bust(bust, wanted["PROTOCOL"] or bust.protocols[0],
                                               allowed, place))
        for which in plan:
            place = f"[{len(result['runs']) + len(result['correct']) + 1}/{total}]"
            result["correct"].append(lab.correct(*which, place))
    finally:
        done = len(result["runs"]) + len(result["correct"])
        if done:
            save(args, result, repeat)
        if 0 < done < total:
            say(f"torture: stopped after {done} of {total}: they are in {args.json}")
    show(result)
    return 0 if is_complete(result) else 1


def save(args, result, repeat):
    result["busts"] = report.summarize(result["runs"], repeat)
    result["summary"] = last_line(result)
    # What the module was not told it has chosen itself.
    said = [run["diagnostics"] for run in result["runs"] + result["correct"]]
    for name in ("threads", "mode", "depth", "stay", "fail"):
        key = "d" if name == "depth" else name
        values = {one[key] for one in said if key in one}
        if result["parameters"][name] is None and len(values) == 1:
            value = values.pop()
            result["parameters"][name] = int(value) if value.isdigit() else value
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "torture.ktap").write_text("\n".join(ktap(result)) + "\n")
    write_json(args.json, result)
    if args.svg:
        args.svg.unlink(missing_ok=True)
        if result["busts"]:
            args.svg.write_text("\n".join(report.svg(result)) + "\n")


def show(result):
    if result["busts"]:
        say("\n" + "\n".join(report.table(result["busts"])))
    if result["correct"]:
        say("\n" + "\n".join(report.correct_table(result["correct"])))
    for bust in result["not_shown"]:
        say(f"not shown: {bust['bust']} ({bust['rule']}): {bust['reason']}")
    say(f"\ntorture: End of test: {'SUCCESS' if is_complete(result) else 'FAILURE'} "
        + echo({"seed": result["seed"]} | result["parameters"]))
    say(last_line(result))


def echo(asked):
    return " ".join(f"{name}={'-' if value is None else value}" for name, value in asked.items())


# What a soak takes in turns, and what it remembers of each piece.
KEPT = ("vm", "protocol", "seed", "secs", "seconds", "cpu_seconds", "operations", "near_misses",
        "rounds", "clean", "reasons", "replay", "module", "asked")
TURNS = (("um-bench", "spin"), ("um-bench", "rwsem"),
         ("x86_64-kasan", "spin"), ("x86_64-kasan", "rwsem"))


def turns(target):
    """Who takes turns: all, or on one machine."""
    return ([turn for turn in TURNS if target in (None, turn[0])]
            or [(target, protocol) for protocol in PROTOCOLS])


def next_turn(pieces, whose):
    """Whose turn it is: of those who have had the fewest, the first."""
    had = [(piece["vm"], piece["protocol"]) for piece in pieces]
    return min(whose, key=had.count)


def counted(pieces, modules, asked):
    """Those that were done with these modules, and with what was asked for."""
    return [piece for piece in pieces
            if piece["asked"] == asked and piece["module"] == modules.get(piece["vm"])]


def totals(pieces):
    rows = []
    for target, protocol in dict.fromkeys((p["vm"], p["protocol"]) for p in pieces):
        own = [p for p in pieces if (p["vm"], p["protocol"]) == (target, protocol)]
        rows.append({"vm": target, "protocol": protocol, "load": own[0]["asked"]["LOAD"],
                     "pieces": len(own), "clean": all(p["clean"] for p in own)}
                    | {name: sum(p[name] for p in own)
                       for name in ("operations", "near_misses", "seconds", "cpu_seconds")})
    return rows


def left_before(path):
    """The pieces of earlier soaks."""
    if not path.exists():
        return []
    state = read_json(path)
    pieces = state.get("pieces") if isinstance(state, dict) else None
    if not isinstance(pieces, list) or not all(
            isinstance(piece, dict) and set(KEPT) <= set(piece) for piece in pieces):
        raise Mistake(f"{path}: not what this soak leaves; move it away")
    return pieces


def soak(args, wanted):
    refuse_others(wanted, ("HOURS", "SEED", "VM", *PASSED_ON))
    lab = Lab(args, wanted)
    lab.claim()
    pieces = left_before(args.json)
    # The same SEED= goes on with other seeds than it began with.
    lab.boots = len(pieces)
    whose = turns(wanted["VM"])
    modules = {target: hashlib.sha256(Path(lab.module(target)).read_bytes()).hexdigest()[:12]
               for target, _ in whose}
    asked = {name: wanted[name] for name in PASSED_ON}
    mine = counted(pieces, modules, asked)
    goal = wanted["HOURS"] * 3600
    done = sum(piece["seconds"] for piece in mine)
    if len(mine) < len(pieces):
        say(f"soak: {len(pieces) - len(mine)} pieces are of another module, machine or parameters: "
            "they do not count")
    say(f"soak: {done / 3600:.2f} of {wanted['HOURS']:g} hours are done, seed {lab.seed}")
    ends, status = "SUCCESS", 0
    try:
        while done < goal or len(totals(mine)) < len(whose):
            target, protocol = next_turn(mine, whose)
            piece = PIECE[target.partition("-")[0]]
            secs = int(max(10, min(piece, goal - done)))
            lab.kernel(target)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            place = f"[{done / 3600:.2f}/{wanted['HOURS']:g} h]"
            run = lab.correct(target, protocol, secs, 0, wanted["LOAD"], place)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if run["reasons"] and run["reasons"][0].startswith("not run"):
                say(f"soak: {target} does not boot; see {lab.out / run['folder']}")
                ends, status = "FAILURE", 1
                break
            run |= {"cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime
                                         - before.ru_stime),
                    "module": modules[target], "asked": asked}
            pieces.append({name: run[name] for name in KEPT})
            mine.append(pieces[-1])
            done += run["seconds"]
            write_json(args.json, {"version": 1, "totals": totals(mine), "pieces": pieces})
            if not run["clean"]:
                say(f"soak: all that was said is in {lab.out / run['folder']}")
    except KeyboardInterrupt:
        ends, status = "STOPPED", 128 + signal.SIGINT
        say(f"\nsoak: stopped; {args.json} has what is done, and the same command goes on from "
            "there")
    rows = totals(mine)
    if rows:
        say("\n" + "\n".join(report.correct_table(rows)))
        say(f"{sum(row['operations'] for row in rows):,} operations in "
            f"{sum(row['cpu_seconds'] for row in rows):,} CPU-seconds, {len(mine)} pieces")
    result = {"busts": [], "correct": rows, "planned": [0, len(whose)]}
    if status == 0 and not is_complete(result):
        ends, status = "FAILURE", 1
    say(f"\nsoak: End of test: {ends} "
        + echo({"hours": wanted["HOURS"], "seed": lab.seed, "vm": wanted["VM"]}
               | {name.lower(): value for name, value in asked.items()}))
    say(last_line(result))
    return status


def pair(text):
    target, found, value = text.partition("=")
    if not found or target not in vm.TARGETS:
        raise argparse.ArgumentTypeError(f"{text}: TARGET=PATH is wanted")
    return target, Path(value).resolve()


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        raise Mistake(message)


def parse(argv):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                    usage="scripts/torture.py [options] [NAME=VALUE...]")
    add = parser.add_argument
    add("--short", action="store_true",
        help="each bug once, the correct rules for seconds: a part of make test")
    add("--soak", action="store_true", help="the correct rules for hours")
    add("--self-test", action="store_true", help="tests how it is judged; boots nothing")
    add("--out", type=Path, metavar="DIR", help="default out/torture, or out/soak")
    add("--json", type=Path, metavar="FILE")
    add("--svg", type=Path, metavar="FILE")
    add("--module", type=pair, action="append", default=[], metavar="VM=FILE.ko",
        help="instead of one that is built for it")
    add("--kernel", type=pair, action="append", default=[], metavar="VM=DIR")
    add("words", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_args(argv)
    name = "soak" if args.soak else "torture"
    if not args.out:
        args.json = args.json or TOP / f"out/{name}.json"
        args.svg = args.svg or TOP / f"out/{name}.svg"
    args.out = (args.out or TOP / "out" / name).resolve()
    args.json = args.json or args.out / f"{name}.json"
    return args


def terminated(*_):
    print("torture: terminated", file=sys.stderr)
    sys.exit(128 + signal.SIGTERM)


def main():
    # A terminated runner must not leave its guest behind; SystemExit runs the `finally`s.
    signal.signal(signal.SIGTERM, terminated)
    try:
        args = parse(sys.argv[1:])
        if args.self_test:
            import torture_test
            return torture_test.main()
        wanted = parameters(args.words)
        return soak(args, wanted) if args.soak else torture(args, wanted)
    except Mistake as mistake:
        print(f"torture: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("torture: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
