#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the shim cannot take from the device, and a program that closes the shim's file.

It fails if the memory does not behave as anonymous memory is documented to.
"""

import mmap
import os

SIZE = 1 << 20
MAP_GROWSDOWN, MADV_WIPEONFORK = 0x100, 18


def anonymous(flags=0):
    return mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flags)


def main():
    # Becomes MADV_DONTNEED: the pages may be lost at once.
    area = anonymous()
    area[:5] = b"freed"
    area.madvise(mmap.MADV_FREE)
    assert area[:5] in (b"freed", bytes(5))

    # Is refused; the program has to do without.
    try:
        area.madvise(MADV_WIPEONFORK)
        raise AssertionError("MADV_WIPEONFORK succeeded")
    except OSError as error:
        print(f"MADV_WIPEONFORK: {error.strerror}")

    # Is anonymous memory.
    area = anonymous(MAP_GROWSDOWN)
    area[:5] = b"stack"

    # Closes all files, as a program that becomes a daemon does. The memory stays.
    kept = anonymous()
    kept[:4] = b"kept"
    os.closerange(3, 4096)
    more = anonymous()
    more[:4] = b"more"
    assert kept[:4] == b"kept" and more[:4] == b"more"
    print("kinds: ok")


if __name__ == "__main__":
    main()
