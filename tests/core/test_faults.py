"""Whatever is raised, wherever: one line, an exit status that says which kind, and a report where it is our fault."""

from __future__ import annotations

import errno
import operator
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed

from shapenet3d_cma import __version__
from shapenet3d_cma.cli import cli
from shapenet3d_cma.core.errors import InputError, ModelError
from shapenet3d_cma.tests.test_commands import Answer, answer

__all__ = ["answer"]  # a fixture


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even words")


class Odd(BaseException):
    pass


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def recurse() -> None:
    recurse()


def fail_in_a_worker() -> None:
    Parallel(n_jobs=2)(delayed(operator.getitem)({}, name) for name in ("zebra", "zebra"))


OURS = [
    KeyError("x\n\x1b[31m\udcff"),
    ValueError("y" * 10_000),
    TypeError(),
    AssertionError("z"),
    ZeroDivisionError(),
    RuntimeError("w"),
    NotImplementedError(),
    StopIteration(),
    EOFError("e"),
    GeneratorExit(),
    ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ModelError("that got away"),
    OSError("Unable to synchronously open file"),  # as h5py says it
    MuteError(),
    Odd("o"),
]


@pytest.fixture
def told(
    answer: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Run a command that does what it is given."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    acts: list[Callable[[], Any]] = []

    @cli.command("act")
    def _() -> None:
        acts[-1]()

    def run(act: Callable[[], Any]) -> tuple[int, str]:
        acts.append(act)
        status, out, err = answer("act")
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert err.removesuffix("\n").isprintable()
        assert len(err) < 2000
        return status, err

    yield run
    del cli.commands["act"]


def report_of(err: str) -> str:
    found = re.search(r"report it with (\S+)", err)
    assert found is not None, err
    assert Path(found[1]).is_absolute()
    assert Path(found[1]).stat().st_mode & 0o077 == 0, "it may name what is private"
    return Path(found[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_fault_of_the_program_is_reported(
    told: Callable[..., tuple[int, str]], error: BaseException
) -> None:
    status, err = told(fail(error))
    assert status == 70
    assert err.startswith("cma3d: this is a fault of the program: report it with ")
    report = report_of(err)
    for words in (
        __version__,
        sys.version.split()[0],
        "cma3d act",
        "Traceback (most recent call last)",
        "in act",
    ):
        assert words in report


def test_a_fault_in_a_worker_is_reported_from_where_it_was(
    told: Callable[..., tuple[int, str]],
) -> None:
    status, err = told(fail_in_a_worker)
    assert status == 70
    report = report_of(err)
    assert "zebra" in report
    assert "process_executor" in report, "the worker's own traceback"


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (fail(MemoryError()), "memory ran out: give fewer --jobs"),
        (lambda: np.empty(2**55), "memory ran out: give fewer --jobs"),
        (
            fail(
                RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
            ),
            "memory ran out",
        ),
        (
            fail(OSError(errno.ENOSPC, "No space left on device", "a\x1b/b")),
            r"a\x1b/b: the disk, or your share",
        ),
        (
            fail(OSError("Can't write (errno = 28, error message = 'No space left on device')")),
            "disk, or your share",
        ),
        (
            fail(OSError(errno.EDQUOT, "Disk quota exceeded")),
            "the disk, or your share of it, is full: make room",
        ),
        (
            fail(PermissionError(errno.EACCES, "Permission denied", "/secret")),
            "/secret: Permission denied: check",
        ),
        (
            fail(OSError(errno.EIO, "Input/output error", "/disk")),
            "/disk: Input/output error: the disk, or the way",
        ),
        (
            fail(OSError(errno.EROFS, "Read-only file system", b"/cd")),
            "/cd: Read-only file system: choose a place",
        ),
        (
            fail(OSError(errno.EMFILE, "Too many open files")),
            "Too many open files: raise the limit (`ulimit -n`)",
        ),
        (
            fail(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9000)),
            "File name too long: give shorter names",
        ),
        (
            fail(IsADirectoryError(errno.EISDIR, "Is a directory", "d")),
            "d: Is a directory: check it",
        ),
        (recurse, "nested too deeply to be read"),
        (fail(InputError("a\nb\x1b[31m: mend it")), r"a b\x1b[31m: mend it"),
    ],
)
def test_errors_that_the_user_can_correct_have_a_remedy(
    told: Callable[..., tuple[int, str]], act: Callable[[], Any], says: str
) -> None:
    status, err = told(act)
    assert status == 2
    assert says in err


def test_a_report_that_cannot_be_written_follows_the_line(
    told: Callable[..., tuple[int, str]],
    answer: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told(fail(InputError("to make the command")))
    cli.command("act")(fail(KeyError("zebra")))
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing")
    status, _, err = answer("act")
    assert status == 70
    assert err.startswith(
        "cma3d: this is a fault of the program: report it with what follows (KeyError: 'zebra')\n"
    )
    assert "Traceback" in err


def test_a_reader_that_closes_its_pipe_is_no_fault(
    answer: Callable[..., Answer], told: Callable[..., tuple[int, str]]
) -> None:
    told(fail(InputError("to make the command")))
    cli.command("act")(fail(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert answer("act")[2] == ""


@pytest.mark.parametrize("status", [0, 1, 3])
def test_a_commands_own_status_is_kept(
    answer: Callable[..., Answer], told: Callable[..., tuple[int, str]], status: int
) -> None:
    told(fail(InputError("to make the command")))
    cli.command("act")(fail(SystemExit(status)))
    assert answer("act") == (status, "", "")
