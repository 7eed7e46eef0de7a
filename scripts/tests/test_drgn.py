# SPDX-License-Identifier: GPL-2.0
"""Tests the comparison of tools/drgn: what the guest's test of the helpers relies on."""

import copy
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from common import TOP

COMPARE = TOP / "tools/drgn/compare.py"
sys.path.insert(0, str(COMPARE.parent))
from compare import differences  # noqa: E402 pylint: disable=wrong-import-position


def node(number, root, parent, vmas, **others):
    return {"id": number, "root": root, "parent": parent, "refcount": 1, "num_children": 1,
            "num_active_vmas": 1, "vmas": vmas} | others


def vma(number, start, chain):
    return {"id": number, "start": start, "end": start + 4096, "pgoff": start >> 12,
            "anon_vma": chain[0], "chain": chain, "untracked": False}


# A parent, a child, a grandchild.
GRAPH = {"version": 1, "source": "host", "mms": [
    {"id": 1, "pid": 7, "comm": "main", "vmas": [vma(1, 0x1000, [1])]},
    {"id": 2, "pid": 8, "comm": "child", "vmas": [vma(2, 0x1000, [2, 1])]},
    {"id": 3, "pid": 9, "comm": "grand", "vmas": [vma(3, 0x1000, [3, 1, 2])]}],
    "anon_vmas": [node(1, 1, 1, [1, 2, 3]), node(2, 1, 1, [2, 3]), node(3, 1, 2, [3])], "pages": []}


def changed(change):
    graph = copy.deepcopy(GRAPH)
    change(graph)
    return graph


def renumber(graph):
    """Gives each object another number, and lists them in another order."""
    for mm in graph["mms"]:
        for area in mm["vmas"]:
            area["id"] += 40
            area["anon_vma"] = 9 - area["anon_vma"]
            area["chain"] = [9 - number for number in area["chain"]]
    for one in graph["anon_vmas"]:
        one.update({key: 9 - one[key] for key in ("id", "root", "parent")},
                   vmas=[number + 40 for number in one["vmas"]])
    graph["anon_vmas"].reverse()
    graph["mms"].reverse()


def test_numbers_and_order_of_objects_do_not_matter():
    assert not [*differences(GRAPH, GRAPH)]
    assert not [*differences(GRAPH, changed(renumber))]


def grand(graph):
    return graph["mms"][2]["vmas"][0]


CHANGES = {
    "a link is missing": (lambda graph: grand(graph)["chain"].pop(), "pid 9 0x1000: chain: "),
    "the links are in another order": (lambda graph: grand(graph)["chain"].reverse(),
                                       "pid 9 0x1000: chain: "),
    "another anon_vma": (lambda graph: grand(graph).update(anon_vma=2), "pid 9 0x1000: anon_vma: "),
    "no anon_vma": (lambda graph: grand(graph).update(anon_vma=None), "pid 9 0x1000: anon_vma: "),
    "another end": (lambda graph: grand(graph).update(end=0x3000), "pid 9 0x1000: end: 8192, 12288"),
    "another offset": (lambda graph: grand(graph).update(pgoff=9), "pid 9 0x1000: pgoff: 1, 9"),
    "another name": (lambda graph: graph["mms"][0].update(comm="x"), "pid 7: name: main, x"),
    "a process is missing": (lambda graph: graph["mms"].pop(), "pid 9: only in the first"),
    "a VMA is missing": (lambda graph: graph["mms"][2]["vmas"].clear(), "pid 9 0x1000: only in the first"),
    "an anon_vma is missing": (lambda graph: graph["anon_vmas"].pop(),
                               "anon_vma 1 of pid 9 0x1000: only in the first"),
    "a tree entry is missing": (lambda graph: graph["anon_vmas"][0]["vmas"].pop(),
                                "anon_vma 1 of pid 7 0x1000: tree: "),
    "the tree is in another order": (lambda graph: graph["anon_vmas"][1]["vmas"].reverse(),
                                     "anon_vma 1 of pid 8 0x1000: tree: "),
    **{key: (lambda graph, key=key: graph["anon_vmas"][2].update({key: 1 if key == "parent" else 3}),
             f"anon_vma 1 of pid 9 0x1000: {key}: ")
       for key in ("root", "parent", "refcount", "num_children", "num_active_vmas")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_a_difference(name):
    change, words = CHANGES[name]
    found = [*differences(GRAPH, changed(change))]
    assert [line for line in found if line.startswith(words)], found


@pytest.mark.parametrize("text, code, words", (
    (json.dumps(GRAPH), 0, "compare: mms=3 anon_vmas=3 differences=0\n"),
    (json.dumps(changed(lambda graph: grand(graph).update(end=0))), 1,
     "pid 9 0x1000: end: 8192, 0\ncompare: mms=3 anon_vmas=3 differences=1\n"),
    ("{", 2, "error: "), ('{"mms": 1}', 2, "error: "), (None, 2, "error: ")))
def test_exit_status_of_the_comparison(tmp_path, text, code, words):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(json.dumps(GRAPH))
    if text is not None:
        other.write_text(text)
    done = subprocess.run([sys.executable, COMPARE, one, other], text=True, check=False,
                          capture_output=True)
    assert done.returncode == code
    assert (done.stdout + done.stderr).startswith(words)


@pytest.mark.parametrize("end, code", ((0x2000, 0), (0, 1)))
def test_reader_that_closes_early_changes_no_result(tmp_path, end, code):
    (tmp_path / "one").write_text(json.dumps(GRAPH))
    (tmp_path / "other").write_text(json.dumps(changed(lambda graph: grand(graph).update(end=end))))
    command = [sys.executable, COMPARE, tmp_path / "one", tmp_path / "other"]
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        done = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, check=False)
        reader.stdin = None
    assert (done.returncode, done.stderr) == (code, b"")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: OSError: ") and len(done.stderr.splitlines()) == 1


@pytest.fixture(name="chains")
def fixture_chains(monkeypatch):
    """tools/drgn/chains.py without drgn."""
    fault = type("FaultError", (Exception,), {})
    target = SimpleNamespace(Mistake=type("Mistake", (Exception,), {}), drgn=SimpleNamespace(FaultError=fault))
    for name, module in {"graph": SimpleNamespace(), "target": target,
                         "folios": SimpleNamespace(check_folios=None)}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "chains", raising=False)
    import chains  # pylint: disable=import-outside-toplevel,import-error
    yield chains
    del sys.modules["chains"]


@pytest.mark.parametrize("kind", ("Mistake", "FaultError", AttributeError, LookupError, OSError))
def test_error_has_not_the_status_of_a_difference(chains, monkeypatch, capsys, kind):
    known = {"Mistake": chains.target.Mistake, "FaultError": chains.target.drgn.FaultError}

    def open_kernel(*_):
        raise known.get(kind, kind)("no such member")
    monkeypatch.setattr(chains.target, "open_kernel", open_kernel, raising=False)
    assert chains.main(["--folios"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.endswith("no such member\n")


def test_missing_drgn_is_an_error():
    done = subprocess.run([sys.executable, "-S", COMPARE.parent / "chains.py"], text=True,
                          check=False, capture_output=True)
    assert done.returncode == 2
    assert "scripts/drgn.sh installs drgn" in done.stderr
