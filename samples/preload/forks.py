#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Three generations of processes by multiprocessing, each of which changes what it inherited.

Prints the sums of the last generation; they are the same on every run.
"""

import multiprocessing

TABLE = [bytearray(8) for _ in range(30_000)]


def change(step):
    """Writes to every step-th element; in this process alone, as memory is private."""
    for index in range(0, len(TABLE), step):
        TABLE[index][0] += 1
    return sum(item[0] for item in TABLE)


def child(steps, queue):
    change(steps[0])
    grandchildren = [multiprocessing.Process(target=grandchild, args=(step, queue))
                     for step in steps]
    for process in grandchildren:
        process.start()
    for process in grandchildren:
        process.join()


def grandchild(step, queue):
    queue.put(change(step))


def main():
    queue = multiprocessing.SimpleQueue()
    change(1)
    with multiprocessing.Pool(3) as pool:
        sums = pool.map(change, [2, 3, 5])
    # A worker may have done several: each adds to what its process has.
    assert all(total > len(TABLE) for total in sums), sums
    children = [multiprocessing.Process(target=child, args=(steps, queue))
                for steps in ((2, 3), (5, 7))]
    for process in children:
        process.start()
    for process in children:
        process.join()
    print(sorted(queue.get() for _ in range(4)))


if __name__ == "__main__":
    main()
