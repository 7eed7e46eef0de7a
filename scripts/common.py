# SPDX-License-Identifier: GPL-2.0
"""What the Python scripts share: where things are, how files are read and written, how other
scripts and programs are run. It is imported, not run."""

import argparse
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
TOP = SCRIPTS.parent
OUT = TOP / "out"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadow-rmap"
# The kernels of scripts/kernel.sh. The first word of a name is the architecture.
TARGETS = ("um", "um-bench", "x86_64", "x86_64-kasan", "x86_64-kasan-recycle")
CORES = len(os.sched_getaffinity(0))


def machine(target):
    """Returns the architecture of a target: um or x86_64."""
    return target.partition("-")[0]


def say(text):
    print(text, flush=True)


class Mistake(Exception):
    """An error of the caller. Its text is one line."""


def read(path):
    """Returns the text of a file, or nothing when it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def read_json(path):
    try:
        return json.loads(read(path))
    except ValueError:
        return {}


def write_json(path, value):
    """Replaces a file as a whole: an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def script_lines(name, *args, **env):
    """Runs another script of this folder and returns the lines that it printed."""
    done = subprocess.run([SCRIPTS / name, *args], stdout=subprocess.PIPE, text=True, check=False,
                          stdin=subprocess.DEVNULL, env=os.environ | env)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise Mistake(f"scripts/{name} {shlex.join(args)} failed")
    return lines


def kernel_folder(target):
    return script_lines("kernel.sh", target)[-1]


def modules(target, *words):
    """Builds modules; returns their paths by name.  `words` are those of scripts/module.sh."""
    paths = [Path(line) for line in script_lines("module.sh", target, *words)
             if line.endswith(".ko")]
    return {path.stem: path for path in paths}


def pair(text):
    """Parses TARGET=PATH for argparse."""
    target, found, value = text.partition("=")
    if not found or target not in TARGETS:
        raise argparse.ArgumentTypeError(f"{text}: TARGET=PATH is expected")
    return target, Path(value).resolve()


def toolchain_env():
    """Returns the environment that scripts/setup.sh has chosen."""
    done = subprocess.run(["bash", "-c", '. "$0" && env -0', CACHE / "toolchain.env"],
                          stdout=subprocess.PIPE, check=True)
    return dict(e.split("=", 1) for e in done.stdout.decode().split("\0") if "=" in e)


def pytest_command():
    """Returns the command of pytest. Debian's package belongs to Debian's own python3."""
    for python in (sys.executable, "/usr/bin/python3"):
        if not subprocess.run([python, "-c", "import pytest"], check=False,
                              stderr=subprocess.DEVNULL).returncode:
            return [python, "-m", "pytest", "-p", "no:cacheprovider", SCRIPTS / "tests"]
    raise Mistake("pytest is not installed; run scripts/setup.sh")


def exit_on_sigterm():
    """Turns SIGTERM into SystemExit, which runs each `finally`: no guest stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def stop(process, gently=True):
    """Ends a command and what it started, by the process group that was made for it. Asked gently,
    the VM runner has ten seconds to end its guest."""
    for number in (signal.SIGTERM, signal.SIGKILL) if gently else (signal.SIGKILL,):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            pass
    process.wait()


class Progress:
    """Counts tests in the output of a program: how many there are, how many are done."""

    # The forms of KTAP, with or without the time that printk writes, and those of cargo and pytest.
    PLAN = re.compile(r"^(?:1\.\.(\d+)$|running (\d+) tests?$|collected (\d+) items?|\[\d+/(\d+)\])")
    DONE = re.compile(r"^(?:\[ *\d+\.\d+\]\S* )?\s*(?:not )?ok \d+ |^test .* \.\.\. \w"
                      r"|^\S+::.* (?:PASSED|FAILED|ERROR)\b|^\[\d+/\d+\] .*: \S")

    def __init__(self, what, total=0):
        self.what, self.expected, self.planned, self.done = what, total, 0, 0
        self.begin = time.monotonic()

    def read(self, line):
        plan = self.PLAN.match(line)
        if plan and plan[4]:
            self.planned = int(plan[4])
        elif plan:
            self.planned += int(next(filter(None, plan.groups()), 0))
        self.done += bool(self.DONE.match(line))

    def __str__(self):
        total = max(self.expected + self.planned, self.done)
        return f"{self.what}: {self.done} of {total} tests, {time.monotonic() - self.begin:.0f} s"


# The commands that run now, so that an interrupted script can end them.
RUNNING = set()


def stream(command, log, progress, show=None, cwd=TOP, env=None, limit=600, every=10):
    """Runs a command; its output goes to the file `log`.

    Prints the lines that `show` matches, and `progress` every few seconds. Returns (exit status,
    output); the status is 124 when the time limit was reached.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    lines, output = queue.Queue(), []
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, cwd=cwd,
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)

    def pump():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    begin = shown = time.monotonic()
    RUNNING.add(process)
    try:
        with open(log, "w", encoding="utf-8") as file:
            while True:
                now = time.monotonic()
                if now - begin > limit:
                    return 124, "".join(output)
                if now - shown >= every:
                    say(f"  {progress}")
                    shown = now
                try:
                    line = lines.get(timeout=min(1, max(0, shown + every - now)))
                except queue.Empty:
                    continue
                if line is None:
                    return process.wait(), "".join(output)
                output.append(line)
                file.write(line)
                file.flush()
                progress.read(line.rstrip("\n"))
                if show and show.search(line):
                    say(f"  {line.rstrip()}")
    finally:
        stop(process)
        RUNNING.discard(process)
