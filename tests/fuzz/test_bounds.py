"""The bounds themselves strike: a harness that cannot fail proves nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.tests.fuzz.bounds import bounded


def test_a_hang_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="still at work"),
        bounded("self", inside=tmp_path, seconds=0.2),
    ):
        time.sleep(5)


def test_memory_without_bound_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), bounded("self", inside=tmp_path, mib=64):
        bytearray(512 * 2**20)


def test_an_unexpected_exception_is_reported(tmp_path: Path) -> None:
    with pytest.raises(KeyError), bounded("self", inside=tmp_path):
        raise KeyError("x")


def test_a_file_outside_is_reported(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "inside").mkdir()
    with (
        pytest.raises(AssertionError, match="outside"),
        bounded("self", inside=tmp_path / "inside"),
    ):
        (tmp_path / "secret").read_text()


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    with bounded("self", inside=tmp_path):
        raise InputError("it is empty: give another file")


def test_a_message_of_several_lines_is_reported(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not one line"), bounded("self", inside=tmp_path):
        raise InputError("a\nb")
