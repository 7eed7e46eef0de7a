# SPDX-License-Identifier: GPL-2.0
"""Recognizes reports of the kernel on a console or in dmesg. scripts/vm.py uses it."""

import re

# What printk puts before a message: a level where /dev/kmsg is read raw, the time, and with
# CONFIG_PRINTK_CALLER the printing task. Only the text after it is searched, so a user program
# cannot cause a false alarm. The prefix may stand anywhere in the line, because a program may have
# left its line unfinished.
PREFIX = re.compile(r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")

# Name, pattern of the begin of the message, sample. The first match names the splat, so the special
# patterns stand before the general ones.
SPLATS = (
    ("KASAN", r"(BUG: )?KASAN: ", "BUG: KASAN: slab-use-after-free in walk+0x1c/0x90"),
    ("KASAN", r"(BUG: )?KASAN: ", "KASAN: null-ptr-deref in range [0x08-0x0f]"),
    ("UBSAN", r"UBSAN: ", "UBSAN: array-index-out-of-bounds in mm/rmap.c:1:2"),
    ("lockdep: circular", r"(WARNING: |INFO: )?possible circular locking",
     "WARNING: possible circular locking dependency detected"),
    ("lockdep: recursive", r"(WARNING: |INFO: )?possible recursive locking",
     "WARNING: possible recursive locking detected"),
    ("lockdep: irq inversion", r"(WARNING: |INFO: )?possible irq lock inversion",
     "WARNING: possible irq lock inversion dependency detected"),
    ("lockdep: irq order", r"WARNING: .*safe -> .*unsafe lock order",
     "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected"),
    ("lockdep: state", r"(WARNING: |INFO: )?inconsistent lock state",
     "WARNING: inconsistent lock state"),
    ("lockdep: RCU", r"(WARNING: |INFO: )?suspicious RCU usage",
     "WARNING: suspicious RCU usage"),
    ("lockdep: unlock", r"(WARNING: )?bad unlock balance", "WARNING: bad unlock balance detected!"),
    ("lockdep: freed", r"(WARNING: )?held lock freed", "WARNING: held lock freed!"),
    ("lockdep: wait context", r"(\[ )?BUG: Invalid wait context", "[ BUG: Invalid wait context ]"),
    ("lockdep: itself", r"DEBUG_LOCKS_WARN_ON", "DEBUG_LOCKS_WARN_ON(lock->magic != lock)"),
    ("lockdep: key", r"INFO: trying to register non-static key",
     "INFO: trying to register non-static key."),
    ("lockdep", r"INFO: possible ", "INFO: possible reason: unannotated irqs-off."),
    ("sleeping while atomic", r"(BUG: )?sleeping function called from invalid context",
     "BUG: sleeping function called from invalid context at kernel/locking/rwsem.c:1"),
    ("RCU stall", r"(rcu: )?INFO: rcu\w* (self-)?detected",
     "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("RCU stall", r"(rcu: )?INFO: rcu\w* (self-)?detected",
     "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {"),
    ("hung task", r"INFO: task .* blocked",
     "INFO: task rmapctl:91 blocked for more than 60 seconds."),
    ("lockup", r"(watchdog: |NMI watchdog: )?(BUG: soft lockup|Watchdog detected hard LOCKUP)",
     "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [torture:77]"),
    ("memory leak", r"(kmemleak: )?unreferenced object",
     "kmemleak: unreferenced object 0xffff888001234567 (size 88):"),
    ("refcount", r"refcount_t: ", "refcount_t: underflow; use-after-free."),
    ("list corruption", r"list_(add|del) corruption", "list_add corruption. next->prev should be"),
    ("list corruption", r"list_(add|del) corruption",
     "list_del corruption, ffff->next is LIST_POISON1"),
    ("object debugging", r"ODEBUG: ", "ODEBUG: free active (active state 0) object type: rcu_head"),
    ("Rust panic", r"(rust_kernel: )?panicked at", "rust_kernel: panicked at rust/rmap/walk.rs:1:2:"),
    ("BUG", r"[kK]ernel BUG at", "kernel BUG at mm/rmap.c:123!"),
    ("slab: objects remain", r"(BUG .*|.*: )?(Objects remaining|Slab cache still has objects)",
     "BUG shadow_rmap_anon_vma (Tainted: G): Objects remaining on __kmem_cache_shutdown()"),
    ("slab: objects remain", r"(BUG .*|.*: )?(Objects remaining|Slab cache still has objects)",
     "kmem_cache_destroy shadow_rmap_anon_vma: Slab cache still has objects when called from f+0x1"),
    ("slab", r"(slab error|BUG \S+ \()", "slab error in cache_free_debugcheck(): cache `x': overwritten"),
    ("slab", r"(slab error|BUG \S+ \()", "BUG shadow_rmap_anon_vma (Tainted: G): Poison overwritten"),
    ("general protection", r"(Oops: )?general protection",
     "Oops: general protection fault, probably for non-canonical address 0x6b6b: 0000 [#1]"),
    ("Oops", r"Oops", "Oops: 0002 [#1] SMP"),
    ("panic", r"Kernel panic", "Kernel panic - not syncing: Segfault with no mm"),
    ("BUG", r"BUG: ", "BUG: unable to handle page fault for address: 0000000000001000"),
    ("WARNING", r"WARNING: ", "WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 f+0x1/0x2"),
)
SPLATS_COMPILED = [(name, re.compile(pattern)) for name, pattern, _ in SPLATS]


def find_splat(line):
    """Returns (name, message) when a line of console or dmesg reports a problem."""
    for prefix in PREFIX.finditer(line):
        message = line[prefix.end():]
        for name, pattern in SPLATS_COMPILED:
            if pattern.match(message):
                return name, message.strip()
    return None


# Reports of the boot itself: first line, a line soon after it, and why the module is not the cause.
KNOWN = (
    (re.compile("suspicious RCU usage"), re.compile("Callback enqueued on offline CPU"),
     "UML frees a thread argument on a CPU that is not yet online; kmemleak then uses call_rcu()"),
)
KNOWN_WITHIN = 5


class Splats:
    """Collects reports. Console and dmesg show the same ones; each is kept once."""

    def __init__(self, expect=()):
        self.expect = expect
        self.bad, self.expected = [], []
        self.held = None

    def feed(self, line):
        """Returns the message of a report that is neither expected nor allowed.

        A report that may be KNOWN is held back until the next lines have decided.
        """
        if self.held:
            found, second, left = self.held
            if second.search(line):
                self.held = None
                return None
            self.held = (found, second, left - 1) if left > 1 else None
            if not self.held:
                return self.keep(found)
        found = find_splat(line)
        if not found:
            return None
        for first, second, _ in KNOWN:
            if first.search(found[1]):
                self.held = (found, second, KNOWN_WITHIN)
                return None
        return self.keep(found)

    def finish(self):
        """Ends the input: a report that was held back counts."""
        held, self.held = self.held, None
        return self.keep(held[0]) if held else None

    def keep(self, found):
        entry = {"name": found[0], "line": found[1]}
        wanted = any(r.search(found[1]) for r in self.expect)
        known = self.expected if wanted else self.bad
        if entry in known:
            return None
        known.append(entry)
        return None if wanted else found[1]

    def missing(self):
        """Returns the expected reports that did not come."""
        return [r.pattern for r in self.expect
                if not any(r.search(s["line"]) for s in self.expected)]
