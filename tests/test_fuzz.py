"""`make fuzz` finds what it is there to find: a crash, a hang, a process that dies."""

from __future__ import annotations

from pathlib import Path

from shapenet3d_cma.tools.fuzz import fuzz

HOSTILE = """
import ctypes, tempfile, time
from pathlib import Path
import pytest
from hypothesis import given, strategies
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.tests.fuzz.bounds import bounded, fuzz

@fuzz
@given(strategies.binary(max_size=20))
def test_reader(content):
    with tempfile.TemporaryDirectory() as folder, bounded("reader", content, inside=Path(folder), seconds=1):
        if content[:1] > b"\\x7f":  # of no matter for the length, so that each run comes to the least one
            raise InputError("it begins oddly: give another")
        if len(content) > 9:
            raise KeyError("a fault of the program")

def test_slow(tmp_path):
    with bounded("slow", b"slow", inside=tmp_path, seconds=0.2):
        time.sleep(5)

def test_deadly(tmp_path):
    with bounded("deadly", b"deadly", inside=tmp_path):
        ctypes.string_at(0)
"""


def test_a_broken_bound_is_counted_and_kept(tmp_path: Path) -> None:
    (tmp_path / "test_hostile.py").write_text(HOSTILE)
    (tmp_path / "scratch").mkdir()
    found = tmp_path / "found"
    tally = fuzz([tmp_path / "test_hostile.py"], 600, found, tmp_path / "scratch", jobs=2, rounds=1)
    told = {
        (one["topic"], one["kind"]): (name, one["words"]) for name, one in tally.breaches.items()
    }
    assert set(told) == {("reader", "crashes"), ("slow", "hangs"), ("deadly", "crashes")}
    assert len((found / told["reader", "crashes"][0]).read_bytes()) == 10, (
        "the least case that shows it"
    )
    assert (found / told["slow", "hangs"][0]).read_bytes() == b"slow"
    assert (found / told["deadly", "crashes"][0]).read_bytes() == b"deadly"
    assert "SIGSEGV" in told["deadly", "crashes"][1]
    assert tally.topics["reader"]["refused"] > 0
    assert tally.peak["reader"] > 10
    assert tally.failed
    lines = tally.table().splitlines()
    assert lines[0].split() == [
        "topic",
        "cases",
        "refused",
        "accepted",
        "crashes",
        "hangs",
        "peak",
        "MiB",
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["deadly", "reader", "slow"]


def test_sound_readers_give_no_findings(tmp_path: Path) -> None:
    (tmp_path / "test_hostile.py").write_text(HOSTILE.partition("        if len(content) > 9")[0])
    (tmp_path / "scratch").mkdir()
    tally = fuzz(
        [tmp_path / "test_hostile.py"],
        600,
        tmp_path / "found",
        tmp_path / "scratch",
        jobs=2,
        rounds=1,
    )
    assert not tally.breaches
    assert not tally.failed
    assert not (tmp_path / "found").exists()
    assert tally.topics["reader"]["cases"] > 100
