# SPDX-License-Identifier: GPL-2.0
"""Opens a kernel with drgn: this machine's, a guest's of QEMU, or a core dump of one.

Where there is no vmlinux with debug information, types.o of types/ gives the types, and the kernel's
own kallsyms the addresses of variables. It is imported, not run.
"""

import mmap
import re
import struct
from pathlib import Path

import drgn
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms

# What drgn looks up by name: the processes, and the array of pages. That the function exists says to drgn
# that the array is one piece.
OBJECTS = {
    "init_pid_ns": "struct pid_namespace",
    "mem_section": "struct mem_section **",
    "vmemmap_populate": None,
}

# An ELF note: sizes of its name and its text, type, name; then the text, which begins with the release.
NOTE, NAME, BEGIN = struct.Struct("<III"), b"VMCOREINFO\0\0", b"OSRELEASE="


class Mistake(Exception):
    """An error of the caller. Its text is one line."""


def open_kernel(core=None, qmp=None, types=None):
    """Returns a program of drgn: that of the core dump, or of the guest with this socket of QEMU's
    monitor, or of this machine."""
    try:
        if core:
            prog = _open_core(core)
        elif qmp:
            prog = _open_guest(qmp)
        else:
            prog = drgn.Program()
            prog.set_kernel()
        if not prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
            raise Mistake(f"{core}: not the memory of a Linux kernel")
        if types:
            _use_types(prog, Path(types))
        else:
            prog.load_default_debug_info()
    except drgn.MissingDebugInfoError:
        raise Mistake("drgn finds no debug information of this kernel: give --types") from None
    except OSError as error:
        raise Mistake(f"{error.filename or core or qmp}: {error.strerror}") from None
    except (ValueError, LookupError, drgn.FaultError) as error:
        raise Mistake(f"{core or qmp or '/proc/kcore'}: {error}") from None
    return prog


def _open_core(core):
    """A dump of QEMU without its device vmcoreinfo has no such note of its own. It has that of the
    kernel, somewhere in the memory."""
    prog = drgn.Program()
    try:
        prog.set_core_dump(core)
        return prog
    except ValueError as error:
        if "vmcoreinfo" not in str(error):
            raise
    with open(core, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        at = memory.find(NAME + BEGIN)
        if at < NOTE.size:
            raise Mistake(f"{core}: the memory has no VMCOREINFO of a kernel")
        size = NOTE.unpack(memory[at - NOTE.size:at])[1]
        info = memory[at + len(NAME):at + len(NAME) + size]
    prog = drgn.Program(vmcoreinfo=info)
    prog.set_core_dump(core)
    return prog


def _open_guest(qmp):
    prog = drgn.Program(drgn.host_platform)
    prog.set_qemu_qmp(qmp)
    for at in prog.search_memory(NAME + BEGIN).set_address_range(physical=True):
        size = NOTE.unpack(prog.read(at - NOTE.size, NOTE.size, physical=True))[1]
        info = prog.read(at + len(NAME), size, physical=True)
        prog.set_linux_kernel_custom(info, is_live=True)
        return prog
    raise Mistake(f"{qmp}: the memory of this guest has no VMCOREINFO of a kernel")


def _use_types(prog, types):
    text = types.read_bytes()
    fits = re.search(rb"types_release=([^\0]+)\0", text)
    if not fits:
        raise Mistake(f"{types}: not an object file of tools/drgn/types")
    kernel = re.search(rb"OSRELEASE=(.+)", prog["VMCOREINFO"].string_())[1]
    if fits[1] != kernel:
        raise Mistake(f"{types} is for {fits[1].decode()}, the kernel is {kernel.decode()}")
    prog.extra_module(str(types), create=True).try_file(types, force=True)
    prog.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(prog), enable_index=0)
    prog.register_object_finder("kallsyms", _find_object, enable_index=-1)


def _find_object(prog, name, _flags, _filename):
    if name not in OBJECTS:
        return None
    kind = OBJECTS[name] or prog.function_type(prog.void_type(), ())
    return drgn.Object(prog, kind, address=prog.symbol(name).address)
