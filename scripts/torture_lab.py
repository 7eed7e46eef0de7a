# SPDX-License-Identifier: GPL-2.0
"""One torture in one guest: what can be asked for, how it is started, how its result is judged.
scripts/torture.py and scripts/experiments.py import it."""

import fcntl
import hashlib
import random
import re
import time

import splats
import vm
from common import SCRIPTS, TARGETS, Mistake, kernel_folder, machine, modules, read, read_json, say

PROTOCOLS = ("rwsem", "spin", "preemptible")

# Seconds that a guest gets besides the torture itself: for the module to be loaded and for leaks to
# be looked for.
ROOM = {"um": 120, "x86_64": 600}
# Seconds that a guest may run on when its result is known.
GRACE = {"um": 10, "x86_64": 30}
# A torture that runs so many seconds longer than it was asked to hangs.
HANGS = 60

# The oracle that a report of the kernel counts as: the first that fits its name in splats.SPLATS.
# That a lock is freed while it is held is a report about memory.
KERNEL_ORACLES = (
    ("KA", r"lockdep: freed"),
    ("LD", r"lockdep|sleeping"),
    ("WD", r"RCU stall|hung task|lockup"),
    ("RL", r"memory leak|slab: objects remain"),
    ("KA", r""),
)


def kernel_oracle(splat):
    return next(name for name, pattern in KERNEL_ORACLES if re.search(pattern, splat["name"]))


# What can be asked for.
PARAMETERS = {
    "BUST": r"\S+", "SECS": r"[1-9]\d{0,5}", "SEED": r"\d{1,19}", "THREADS": r"[1-9]\d{0,2}",
    "VM": "|".join(TARGETS), "PROTOCOL": "|".join(PROTOCOLS), "MODE": "random|pct",
    "DEPTH": r"[1-9]\d{0,2}", "LOAD": r"\w+", "STAY": r"[1-9]\d{0,8}", "FAIL": r"\d{1,9}",
    "REPEAT": r"[1-9]\d{0,3}", "HOURS": r"\d{1,5}(\.\d+)?", "KASAN": "1",
}
# Those that the module knows by the same names; it checks their values.
PASSED_ON = ("THREADS", "MODE", "DEPTH", "LOAD", "STAY", "FAIL")


def parameters(words, used=tuple(PARAMETERS)):
    """Parses `NAME=VALUE` words. An empty value is none; a name that is not `used` is refused."""
    found = dict.fromkeys(PARAMETERS)
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in used:
            raise Mistake(f"{word}: not NAME=VALUE, with NAME one of {', '.join(used)}")
        if text and not re.fullmatch(PARAMETERS[name], text):
            raise Mistake(f"{word}: {name}= must be of the form {PARAMETERS[name]}")
        found[name] = int(text) if text.isdigit() and name != "BUST" else text or None
    return found


class Bust:
    """A deliberate bug: one line of torture/control."""

    def __init__(self, line):
        self.line = line.removeprefix("bust ")
        words, _, reason = self.line.partition("not-shown:")
        self.name, *rest = words.split()
        self.not_shown, self.inspection = reason.strip(), "inspection" in rest
        self.rule = next((word for word in rest if re.fullmatch(r"R\d+", word)), None)
        self.museum = [int(word[7:]) for word in rest if re.fullmatch(r"museum:\d+", word)]
        lists = dict(word.split("=") for word in rest if "=" in word)
        self.protocols, self.harmless, self.oracles = (
            [name for name in lists.get(key, "").split(",") if name]
            for key in ("protocols", "harmless", "oracles"))


def parse_control(text):
    """Returns the bugs and the loads that the module offers."""
    busts = [Bust(line) for line in text.splitlines() if re.match(r"bust \S", line)]
    loads = [word for line in text.splitlines() if line.startswith("loads:")
             for word in line.split()[1:]]
    if not busts:
        raise Mistake("the module offers no bug: torture/control lists none")
    for bust in busts:
        if bust.name != "none" and bust.protocols and not bust.oracles:
            raise Mistake(f"torture/control lists no oracle that may catch {bust.name}")
    return busts, loads


def derived(seed, index):
    """Returns the seed of one boot. The first boot has the seed that was asked for."""
    if index == 0:
        return seed
    digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def parse_results(text):
    """Parses torture/results, or the same lines of the console: (passed or None, diagnostics)."""
    passed, said = None, {}
    for line in text.splitlines():
        verdict = re.match(r"(not )?ok 1 ", line)
        if verdict:
            passed = not verdict[1]
        key, colon, value = line[2:].partition(": ") if line.startswith("# ") else ("", "", "")
        if colon and re.fullmatch(r"\w+", key) and key != "torture":
            said[key] = f"{said[key]}, {value}" if key in said else value
    return passed, said


CAUGHT = re.compile(r"shadow_rmap\w*: torture: (?:caught|reported) by (\w+) \((R\d+|-)\) after"
                    r" (\d+) ms, (\d+) operations, near misses (\d+)(?:: (.*))?")
KTAP_LINE = re.compile(r"shadow_rmap\w*: (KTAP version 1|1\.\.1|# .*|(?:not )?ok 1 .*)$")


class Console:
    """Reads the console of a guest. vm.watch() calls it with each line."""

    def __init__(self, target, what="", patient=False):
        self.grace = None if patient else GRACE[machine(target)]
        self.what, self.began = what, time.monotonic()
        self.shown = self.began
        self.begun = self.caught = self.splat = self.oracle_first = None
        self.ended = self.hangs = False
        self.refused = self.wrong = self.last = ""
        self.status, self.ktap = {}, []

    def __call__(self, line):
        """Returns how long the guest may still run, when that has changed."""
        news = line is not None and self.read(line)
        if self.what and time.monotonic() - self.shown >= 10:
            self.shown = time.monotonic()
            say(f"  {self.what}: {self.progress()}")
        return self.grace if news else None

    def read(self, line):
        """Returns whether the line decides the result."""
        own = re.search(r"torture: (state=.*|ended|hangs|refused: .*|wrong: .*)", line)
        if own and own[1].startswith("state"):
            self.status = dict(word.split("=", 1) for word in own[1].split() if "=" in word)
        elif own:
            self.ended |= own[1] == "ended"
            self.hangs |= own[1] == "hangs"
            self.wrong = own[1] if own[1].startswith("wrong") else self.wrong
            if own[1].startswith("refused"):
                self.refused = f"{own[1]}: {self.last}".removesuffix(": ")
            return True
        for prefix in splats.PREFIX.finditer(line):
            message = line[prefix.end():]
            seconds = float(re.search(r"\d+\.\d+", prefix[0])[0])
            if message.startswith("torture: begins"):
                self.begun = seconds
            if self.begun is None:
                continue
            if re.match(r"shadow_rmap\w*: torture: ", message):
                self.last = message.partition("torture: ")[2].strip()
            caught = CAUGHT.match(message)
            if caught and not self.caught:
                oracle, rule, ms, operations, near_misses, words = caught.groups()
                self.caught = {"oracle": oracle, "oracle_rule": None if rule == "-" else rule,
                               "words": words or "", "milliseconds": int(ms),
                               "operations": int(operations), "near_misses": int(near_misses)}
                self.oracle_first = not self.splat
                return True
            ktap = KTAP_LINE.match(message)
            if ktap:
                self.ktap.append(ktap[1])
        found = self.begun is not None and not self.splat and splats.find_splat(line)
        if found:
            name, words = found
            self.splat = {"name": name, "words": words,
                          "milliseconds": round((seconds - self.begun) * 1000)}
        return bool(found)

    def progress(self):
        if self.begun is None or self.ended:
            what = "searches for leaks" if self.ended else "boots"
            return f"{what}, {time.monotonic() - self.began:.0f} s"
        return (f"{int(self.status.get('elapsed_ms') or 0) // 1000} s, "
                f"{self.status.get('operations')} operations")


def outcome(console, results):
    """Returns (passed or None, what was said and counted). Without results the console has the same
    lines, or the last counts. A line that the module refused ends the run: each boot would."""
    if console.refused:
        raise Mistake(console.refused)
    passed, said = parse_results(results or "\n".join(console.ktap))
    counts = {name: said.get(name) or console.status.get(name, "") for name in (
        "milliseconds", "operations", "near_misses", "rounds", "reports", "violations")}
    run = {name: int(text) if text.isdigit() else None for name, text in counts.items()}
    return passed, run | {"operations": run["operations"] or 0, "diagnostics": said,
                          "near_misses": run["near_misses"] or 0}


def judge_bust(console, results, guest, admissible):
    """Returns the result of a deliberate bug. `guest` is the content of vm.json.

    The first report counts, of an oracle or of the kernel. It is a catch when the bug lists its
    oracle as `admissible`, otherwise a finding: a fault of the module or of the oracle.
    """
    passed, run = outcome(console, results)
    said, splat, caught = run["diagnostics"], console.splat, console.caught
    run |= {"caught": False, "finding": False, "how": "missed", "oracle": None, "oracle_rule": None,
            "words": said.get("error", "")}
    if console.begun is None or console.wrong:
        why = console.wrong or guest.get("text", "the guest did not get so far")
        return run | {"how": "not run", "words": why}
    if not caught and passed and said.get("caught") == "yes":
        caught = {key: said.get(key, "") for key in ("oracle", "oracle_rule", "words")}
        console.oracle_first = not splat
    if caught:
        run |= caught | {"how": "oracle"}
    if splat and not (caught and console.oracle_first):
        if run["oracle"] != kernel_oracle(splat):
            run |= {"oracle": kernel_oracle(splat), "oracle_rule": None}
        run |= {"how": f"kernel {'complained' if console.ended else 'died'}: {splat['name']}",
                "words": splat["words"], "milliseconds": splat["milliseconds"]}
    if run["oracle"]:
        good = run["oracle"] in admissible
        return run | {"caught": good, "finding": not good}
    # No report says that the bug was the cause: it may have been the machine.
    if console.hangs or not console.ended and guest.get("reason") == "time-limit":
        return run | {"how": "hang", "words": "the guest hangs without a report"}
    if not console.ended and passed is None:
        return run | {"how": "kernel died: silently", "words": guest.get("text", "")}
    return run


def judge_correct(console, results, guest, enough):
    """Returns the result of the correct rules: any report makes them unclean. The oracle is the one that
    reported."""
    passed, run = outcome(console, results)
    said, reasons = run["diagnostics"], []
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
        reasons.append("no lookup found anything")
    for key in ("deaf", "disabled"):
        if key in said:
            reasons.append(f"the kernel had reported before: oracle {said[key]} is disabled")
    heard = guest.get("splats", [])
    reasons += [f"{splat['name']}: {splat['line']}" for splat in heard]
    if console.splat and not heard:
        reasons.append(f"{console.splat['name']}: {console.splat['words']}")
    if guest.get("exit") == 4 and guest.get("reason") == "exit":
        reasons.append("the module cannot be unloaded")
    elif (guest.get("reason"), guest.get("exit")) != ("exit", 0) and not reasons:
        reasons.append(guest.get("text", "the guest left no status"))
    if not reasons and run["operations"] < enough:
        reasons.append(f"only {run['operations']:,} of {enough:,} operations in time")
    oracle = console.caught["oracle"] if console.caught else \
        kernel_oracle(console.splat) if console.splat else None
    return run | {"clean": not reasons, "reasons": reasons, "oracle": oracle}


class Lab:
    """Builds kernels and modules as they are needed, and runs one guest at a time."""

    def __init__(self, out, wanted):
        self.wanted, self.out = wanted, out
        self.kernels, self.modules = {}, {}
        self.boots = self.restarts = 0
        self.append = ""  # more kernel arguments
        self.seed = random.getrandbits(32) if wanted["SEED"] is None else wanted["SEED"]
        self.lock = None

    def claim(self):
        """Reserves `out`: two runs would write to the same folders."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.out / "lock", "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Mistake(f"{self.out} is in use by another run") from None

    def prepare(self, target):
        if target not in self.modules:
            self.modules[target] = modules(target, "torture")["shadow_rmap_torture"]
            self.kernels[target] = kernel_folder(target)

    def boot(self, target, name, arguments, limit, console, leaks=False):
        """Runs one guest; returns its folder, and the content of vm.json."""
        self.prepare(target)
        out = self.out / name
        out.mkdir(parents=True, exist_ok=True)
        for old in ("results.ktap", "control.txt", "vm.json"):
            (out / old).unlink(missing_ok=True)
        # The first oops ends the guest: nothing that a damaged kernel says afterwards counts.
        command = ["--target", target, "--kernel", str(self.kernels[target]), "--quiet",
                   "--module", str(self.modules[target]), "--out", str(out),
                   "--time-limit", str(limit), "--append", f"oops=panic {self.append}".strip(),
                   *(["--kmemleak"] if leaks else []),
                   "--", str(SCRIPTS / "guest/torture.sh"), *arguments]
        vm.run(vm.parse(command), console)
        guest = read_json(out / "vm.json")
        self.restarts += guest.get("restarts", 0)
        return out, guest

    def offered(self, target):
        out, guest = self.boot(target, "list", ["list"], ROOM[machine(target)],
                               Console(target, patient=True))
        text = read(out / "control.txt")
        if not text:
            raise Mistake(f"no torture/control: {guest.get('text', 'the guest said nothing')}")
        return parse_control(text)

    def words(self, change, load, **first):
        """Returns `key=value` words: `first`, then those that are passed on to the module."""
        asked = first | {name: self.wanted[name] for name in PASSED_ON} | {"LOAD": load}
        return " ".join(f"{change(name)}={value}" for name, value in asked.items()
                        if value is not None)

    def torture(self, kind, name, target, protocol, secs, operations, load, what):
        """Runs one torture in one boot; returns what there is to judge, and how it was run."""
        seed = derived(self.seed, self.boots)
        self.boots += 1
        self.prepare(target)
        console = Console(target, what, patient=kind == "correct")
        folder = f"{self.boots:03}-{name}-{protocol}-{target}"
        line = self.words(str.lower, load, bust=name, protocol=protocol, secs=secs, seed=seed,
                          ops=operations or None)
        begin = time.monotonic()
        out, guest = self.boot(target, folder, [kind, line, str(secs + HANGS)],
                               secs + HANGS + ROOM[machine(target)], console,
                               leaks=kind == "correct" and machine(target) != "um")
        return (console, read(out / "results.ktap"), guest), {
            "bust": name, "protocol": protocol, "vm": target, "seed": seed, "secs": secs,
            "load": load, "folder": folder, "seconds": round(time.monotonic() - begin),
            "restarts": guest.get("restarts", 0),
            "replay": "make torture " + self.words(
                str.upper, load, bust=name, protocol=protocol, vm=target,
                secs=None if operations else secs, seed=seed),
        }

    def bust(self, bust, protocol, target, secs, operations, place):
        """Runs a deliberate bug once."""
        words = " ".join(filter(None, [bust.name, bust.rule, protocol]))
        told, how = self.torture("bust", bust.name, target, protocol, secs, operations,
                                 self.wanted["LOAD"], f"{place} {words}")
        run = {"rule": bust.rule, "museum": bust.museum, "inspection": bust.inspection,
               "admissible": bust.oracles} | how | judge_bust(*told, bust.oracles)
        rule = f" ({run['oracle_rule']})" if run["oracle_rule"] else ""
        news = f"NOT CAUGHT ({run['how']}) {run['words']}".strip()
        if run["oracle"]:
            news = (f"by {run['oracle']}{rule} after {run['milliseconds']} ms, "
                    f"{run['operations']:,} operations")
            news += "" if run["how"] == "oracle" else f"; {run['how']}"
            news = (f"caught {news}" if run["caught"] else
                    f"FINDING, seen {news}, not by {' or '.join(bust.oracles)}: {run['words']}")
        say(f"{place} {words}: {news}, seed {run['seed']}")
        return run

    def correct(self, target, protocol, secs, operations, load, place):
        """Runs the correct rules once."""
        what = f"{place} correct rules, {protocol}, {target}{f', {load}' if load else ''}"
        told, how = self.torture("correct", "none", target, protocol, secs, operations, load, what)
        run = how | {"wanted": operations} | judge_correct(*told, operations)
        said = "clean" if run["clean"] else "NOT CLEAN: " + "; ".join(run["reasons"][:3])
        say(f"{what}: {said}, {run['operations']:,} operations in {run['seconds']} s, "
            f"seed {run['seed']}")
        return run
