# SPDX-License-Identifier: GPL-2.0
"""Reads the anon_vma chains of processes into a graph: the one of debugfs host/chains.json, see
Documentation/debugfs.rst. Objects are numbered as there. It is imported, not run."""

from drgn.helpers.linux.kthread import task_is_kthread
from drgn.helpers.linux.mm import for_each_vma
from drgn.helpers.linux.pid import find_task, for_each_task, for_each_task_in_group

from rmap import (anon_vma_root, for_each_anon_vma_chain, for_each_vma_of_anon_vma,
                  vma_start_anon_pgoff)
from target import Mistake


def mm_of(process):
    """Returns the address space of the first thread that has one, or nothing: the leader may have exited."""
    for thread in for_each_task_in_group(process, include_self=True):
        if thread.mm and not task_is_kthread(thread):
            return thread.mm.read_()
    return None


def processes(prog, pid=0):
    """Yields pid, name and address space of the process, or of all; a shared address space comes once."""
    if pid:
        task = find_task(prog, pid)
        if not task:
            raise Mistake(f"pid {pid}: no such process")
        if task_is_kthread(task):
            raise Mistake(f"pid {pid}: a kernel thread, which has no address space")
        mm = mm_of(task.group_leader)
        if not mm:
            raise Mistake(f"pid {pid}: the process has ended")
        yield pid, task.group_leader.comm.string_(), mm
        return
    seen = set()
    for task in for_each_task(prog):
        mm = mm_of(task) if task.pid == task.tgid else None
        if mm and mm.value_() not in seen:
            seen.add(mm.value_())
            yield task.pid.value_(), task.comm.string_(), mm


class Reader:
    """Numbers the objects, in the order in which they are met."""

    def __init__(self):
        self.vmas, self.anon_vmas = {}, {}

    def vma(self, vma):
        number = self.vmas[vma.value_()] = len(self.vmas) + 1
        chain = [self.anon_vma(link.anon_vma.read_()) for link in for_each_anon_vma_chain(vma)]
        return {"id": number, "start": vma.vm_start.value_(), "end": vma.vm_end.value_(),
                "pgoff": vma_start_anon_pgoff(vma), "anon_vma": self.number(vma.anon_vma),
                "chain": chain, "untracked": False}

    def anon_vma(self, anon_vma):
        return self.anon_vmas.setdefault(anon_vma.value_(), (len(self.anon_vmas) + 1, anon_vma))[0]

    def number(self, anon_vma, default=None):
        return self.anon_vmas.get(anon_vma.value_(), (default, None))[0]

    def facts(self, number, anon_vma):
        """Is called when all VMAs have their numbers. A VMA without one is foreign."""
        tree = [self.vmas.get(vma.value_()) for vma in for_each_vma_of_anon_vma(anon_vma)]
        known = [vma for vma in tree if vma]
        return {"id": number, "root": self.number(anon_vma_root(anon_vma), number),
                "parent": self.number(anon_vma.parent, number),
                "refcount": anon_vma.refcount.counter.value_(),
                "num_children": anon_vma.num_children.value_(),
                "num_active_vmas": anon_vma.num_active_vmas.value_(),
                "vmas": known, "foreign": len(tree) - len(known)}


def read_graph(prog, pid=0):
    """Returns the graph of one process, or of all. Only VMAs that have an anon_vma are in it."""
    reader = Reader()
    mms = [{"id": number, "pid": pid, "comm": comm.decode("utf-8", "replace"),
            "vmas": [reader.vma(vma) for vma in for_each_vma(mm) if vma.anon_vma]}
           for number, (pid, comm, mm) in enumerate(processes(prog, pid), 1)]
    nodes = [reader.facts(*entry) for entry in reader.anon_vmas.values()]
    return {"version": 1, "source": "host", "mms": mms, "anon_vmas": nodes, "pages": []}
