"""One writer, or several that share a folder, and its readers."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN, claim, reading
from shapenet3d_cma.tests.core.outputs.claiming import write
from shapenet3d_cma.tests.layouts import snapshot

HOLD = """
import sys, time
from pathlib import Path
from shapenet3d_cma.core.outputs import claim, reading
how, path = sys.argv[1:]
block = reading(Path(path)) if how == "reading" else claim(Path(path), "kind", shared=how == "shared")
with block:
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a folder in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, how, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        ("exclusive", "exclusive", False),
        ("exclusive", "shared", False),
        ("exclusive", "reading", False),
        ("shared", "exclusive", False),
        ("shared", "shared", True),
        ("shared", "reading", False),
        ("reading", "exclusive", False),
        ("reading", "shared", False),
        ("reading", "reading", True),
    ],
)
def test_two_processes_share_a_folder_or_one_is_refused(
    tmp_path: Path, first: str, second: str, goes: bool
) -> None:
    out = tmp_path / "out"
    write(out, a_txt="a")
    block = reading(out) if second == "reading" else claim(out, "kind", shared=second == "shared")
    with held(out, first) as process:
        if goes:
            with block:
                pass
        else:
            with (
                pytest.raises(
                    InputError, match=r"is being (written|read) by another .*: wait"
                ) as caught,
                block,
            ):
                pass
            assert first == "exclusive" or "(" not in str(caught.value)
            assert first != "exclusive" or f"({process.pid} on " in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        write(out, a_txt="b")  # a killed process holds nothing
    assert (out / "a.txt").read_text() == "b"


def test_an_input_without_a_record_needs_no_lock(tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    for path in (tmp_path, tmp_path / "absent"):
        with reading(path):
            assert snapshot(tmp_path) == before


def test_a_folder_that_its_holder_removed_is_made_anew(tmp_path: Path) -> None:
    """The lock that the second waits for is removed with the folder, as the first wrote nothing."""
    out = tmp_path / "out"
    with claim(out, "kind"):
        context = multiprocessing.get_context("spawn")
        second = context.Process(target=write, args=(out,), kwargs={"a_txt": "a"})
        second.start()
        time.sleep(0.5)
    second.join(60)
    assert (
        second.exitcode == 0 or not out.exists()
    )  # it came while the folder was held, or afterwards
    write(out, a_txt="b")
    assert (out / "a.txt").read_text() == "b"


def test_two_that_begin_to_read_and_to_write_do_not_both_give_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a_txt="a")
    lock = os.open(out / HIDDEN / "readers", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)
    context = multiprocessing.get_context("fork")
    letting_go = context.Process(
        target=time.sleep, args=(1.2,)
    )  # has the lock, too: a reader that is about to refuse
    letting_go.start()
    os.close(lock)
    write(out, a_txt="b")
    letting_go.join()
    assert (out / "a.txt").read_text() == "b"
