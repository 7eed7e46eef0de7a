# SPDX-License-Identifier: GPL-2.0
"""Tests how scripts/bench.py reads what the guest measured."""

import json
from xml.etree import ElementTree

import pytest

import bench

RECORDS = ({"kernel": "7.3.4"},
           {"operation": "lookup", "n": 1, "iterations": 10, "shadow": [200, 300], "host": [100, 200]},
           {"operation": "walk", "n": 100, "iterations": 1, "shadow": [90, 90], "host": [100, 100]},
           {"size": "anon_vma", "shadow": 96, "host": 88})


def read(tmp_path, records):
    path = tmp_path / "bench.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return bench.read(path)


def test_table_and_chart(tmp_path):
    result = read(tmp_path, RECORDS)
    lookup, walk = result["operations"]
    assert (lookup["op"], lookup["ratio"], lookup["shadow_ns"], lookup["host_ns"]) == (
        "lookup", 1.75, 25, 15)
    assert (walk["op"], walk["title"], walk["ratio"]) == ("walk-100", "walk of 100 VMAs", 0.9)
    assert result["sizes"][0]["ratio"] == round(96 / 88, 3)
    assert result["worst"] == {"op": "lookup", "ratio": 1.75} and result["rounds"] == 2
    assert len(list(bench.table(result))) == 5
    picture = ElementTree.fromstring(bench.svg(result))
    widths = [float(e.get("width")) for e in picture.iter() if e.tag.endswith("rect")][1:]
    assert len(widths) == 3 and widths[0] > widths[2] > widths[1]


def test_nothing_measured(tmp_path):
    with pytest.raises(ValueError, match="nothing was measured"):
        read(tmp_path, RECORDS[:1])
