# SPDX-License-Identifier: GPL-2.0
"""What the Python scripts share: where things are, how files are read and written, how other
scripts and programs are run. It is imported, not run."""

import argparse
import contextlib
import fcntl
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
TOP = SCRIPTS.parent
OUT = TOP / "out"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadow-rmap"
# Where cargo compiles: scripts/lab.sh says why.
CARGO_FOLDER = CACHE / "cargo" / TOP.relative_to("/")
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


@contextlib.contextmanager
def locked(folder):
    """Waits for another run that makes the same."""
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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


def modules(target, *words, **env):
    """Builds modules; returns their paths by name.  `words` and `env` are those of
    scripts/module.sh."""
    paths = [Path(line) for line in script_lines("module.sh", target, *words, **env)
             if line.endswith(".ko")]
    return {path.stem: path for path in paths}


def toolchain_env():
    """Returns the environment that scripts/setup.sh has chosen."""
    done = subprocess.run(["bash", "-c", '. "$0" && env -0', CACHE / "toolchain.env"],
                          stdout=subprocess.PIPE, check=True)
    return dict(e.split("=", 1) for e in done.stdout.decode().split("\0") if "=" in e)


def exit_on_sigterm():
    """Turns SIGTERM into SystemExit, which runs each `finally`: no guest stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def command_line(text, **options):
    """Returns a parser of arguments; --help shows the text as it is."""
    return argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def program(name, main):
    """Runs `main` as the whole program: a mistake of the caller is one line, and exit status 2. That
    is also the status of an error of any other kind: 1 is a result. No command that it has started
    runs on."""
    exit_on_sigterm()
    try:
        sys.exit(main())
    except Mistake as mistake:
        print(f"{name}: {mistake}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:  # pylint: disable=broad-except
        traceback.print_exc()
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        stop_all()


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


# The commands that run now, in any thread.
RUNNING = set()


def stop_all():
    """Ends the commands that run now."""
    for process in list(RUNNING):
        stop(process)


def finish(command, limit=600, **options):
    """Runs a command to its end; returns (exit status, output, errors). The status is 124 when the
    time limit was reached."""
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, errors="replace",
                               start_new_session=True, **{"stderr": subprocess.PIPE} | options)
    RUNNING.add(process)
    try:
        output, errors = process.communicate(timeout=limit)
        return process.returncode, output, errors
    except subprocess.TimeoutExpired as late:
        # What was read until then is bytes.
        return 124, *((part or b"").decode(errors="replace") for part in (late.stdout, late.stderr))
    finally:
        stop(process)
        RUNNING.discard(process)


def attached(command):
    """Runs a command that prints for itself; returns its exit status. When this program ends, the command is
    asked to end: killed, the VM runner would leave its guest behind."""
    process = subprocess.Popen([str(word) for word in command], start_new_session=True)
    RUNNING.add(process)
    try:
        return process.wait()
    finally:
        stop(process)
        RUNNING.discard(process)


def follow(process, log, echo=False):
    """Yields each line that a program prints, and None when a second has passed without output. All
    of it goes to the file `log`, and with `echo` to the terminal."""
    rest, output = "", process.stdout.fileno()
    while True:
        if not select.select([output], [], [], 1)[0]:
            yield None
            continue
        data = os.read(output, 1 << 16)
        if not data:
            break
        # A serial line adds carriage returns.
        text = data.decode("utf-8", "replace").replace("\r", "")
        for file in (log, sys.stdout) if echo else (log,):
            file.write(text)
            file.flush()
        *lines, rest = (rest + text).split("\n")
        yield from lines
    if rest:
        yield rest


def stream(command, log, what, show=None, cwd=TOP, env=None, limit=600, every=10):
    """Runs a command; its output goes to the file `log`.

    Prints the lines that `show` matches, and every few seconds the time and the last line. Returns
    (exit status, output); the status is 124 when the time limit was reached.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, cwd=cwd,
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    RUNNING.add(process)
    begin, shown, count, last = time.monotonic(), 0, 0, ""
    try:
        with open(log, "w", encoding="utf-8") as file:
            for line in follow(process, file):
                seconds = time.monotonic() - begin
                if seconds > limit:
                    return 124, read(log)
                if line is not None:
                    count, last = count + 1, line.strip() or last
                    if show and show.search(line):
                        say(f"  {line.rstrip()}")
                if seconds - shown >= every:
                    shown = seconds
                    say(f"  {what}: {seconds:.0f} s, {count} lines: {last[:70]}")
        return process.wait(), read(log)
    finally:
        stop(process)
        RUNNING.discard(process)
