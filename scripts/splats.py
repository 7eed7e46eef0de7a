# SPDX-License-Identifier: GPL-2.0
"""Recognizes reports of the kernel on a console or in dmesg. scripts/vm.py uses it."""

import re

# What printk puts before a message: a level where /dev/kmsg is read raw, the time, and with
# CONFIG_PRINTK_CALLER the printing task. Only the text after it is searched, so a user program
# cannot cause a false alarm. The prefix may stand anywhere in the line, because a program may have
# left its line unfinished.
PREFIX = re.compile(r"\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")

# Name, pattern of the begin of the message, samples. The first match names the splat, so the
# special patterns stand before the general ones.
SPLATS = (
    ("KASAN", r"(BUG: )?KASAN: ", "BUG: KASAN: slab-use-after-free in walk+0x1c/0x90",
     "KASAN: null-ptr-deref in range [0x08-0x0f]"),
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
     "rcu: INFO: rcu_preempt self-detected stall on CPU",
     "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {"),
    ("hung task", r"INFO: task .* blocked",
     "INFO: task rmapctl:91 blocked for more than 60 seconds."),
    ("lockup", r"(watchdog: |NMI watchdog: )?(BUG: soft lockup|Watchdog detected hard LOCKUP)",
     "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [torture:77]"),
    ("memory leak", r"(kmemleak: )?unreferenced object",
     "kmemleak: unreferenced object 0xffff888001234567 (size 88):"),
    ("refcount", r"refcount_t: ", "refcount_t: underflow; use-after-free."),
    ("list corruption", r"list_(add|del) corruption", "list_add corruption. next->prev should be",
     "list_del corruption, ffff->next is LIST_POISON1"),
    ("object debugging", r"ODEBUG: ", "ODEBUG: free active (active state 0) object type: rcu_head"),
    ("Rust panic", r"(rust_kernel: )?panicked at", "rust_kernel: panicked at rust/rmap/walk.rs:1:2:"),
    ("BUG", r"[kK]ernel BUG at", "kernel BUG at mm/rmap.c:123!"),
    ("slab: objects remain", r"(BUG .*|.*: )?(Objects remaining|Slab cache still has objects)",
     "BUG shadow_rmap_anon_vma (Tainted: G): Objects remaining on __kmem_cache_shutdown()",
     "kmem_cache_destroy shadow_rmap_anon_vma: Slab cache still has objects when called from f+0x1"),
    ("slab", r"(slab error|BUG \S+ \()", "slab error in cache_free_debugcheck(): cache `x': overwritten",
     "BUG shadow_rmap_anon_vma (Tainted: G): Poison overwritten"),
    ("general protection", r"(Oops: )?general protection",
     "Oops: general protection fault, probably for non-canonical address 0x6b6b: 0000 [#1]"),
    ("Oops", r"Oops", "Oops: 0002 [#1] SMP"),
    ("panic", r"Kernel panic", "Kernel panic - not syncing: Segfault with no mm"),
    ("BUG", r"BUG: ", "BUG: unable to handle page fault for address: 0000000000001000"),
    ("WARNING", r"WARNING: ", "WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 f+0x1/0x2"),
)
SPLATS_COMPILED = [(name, re.compile(pattern)) for name, pattern, *_ in SPLATS]


def find_splat(line):
    """Returns (name, message) when a line of console or dmesg reports a problem."""
    for prefix in PREFIX.finditer(line):
        message = line[prefix.end():]
        for name, pattern in SPLATS_COMPILED:
            if pattern.match(message):
                return name, message.strip()
    return None


class Splats:
    """Collects reports. Console and dmesg show the same ones; each is kept once."""

    def __init__(self):
        self.bad = []

    def feed(self, line):
        """Returns the message of a report that has not been seen before."""
        found = find_splat(line)
        entry = found and {"name": found[0], "line": found[1]}
        if not entry or entry in self.bad:
            return None
        self.bad.append(entry)
        return entry["line"]
