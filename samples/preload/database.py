#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""An sqlite3 database in memory, of which a child has a snapshot.

This is what a server does that saves its data by fork().
"""

import os
import sqlite3

ROWS = 20_000


def total(database):
    return database.execute("SELECT sum(number) FROM rows").fetchone()[0]


def main():
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE rows (number INTEGER, text TEXT)")
    database.executemany("INSERT INTO rows VALUES (?, ?)",
                         ((n, f"row {n} " * 5) for n in range(ROWS)))
    database.execute("CREATE INDEX by_text ON rows (text)")
    before = total(database)
    changed, snapshot = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(changed[0], 1)
        os.write(snapshot[1], str(total(database)).encode())
        os._exit(0)
    database.execute("UPDATE rows SET number = number + 1, text = text || '!' WHERE number % 3 = 0")
    database.execute("DELETE FROM rows WHERE number % 7 = 0")
    os.write(changed[1], b"x")
    seen = int(os.read(snapshot[0], 100))
    os.waitpid(child, 0)
    after = total(database)
    print(f"before {before}, snapshot {seen}, after {after}")
    assert before == seen != after


if __name__ == "__main__":
    main()
