"""Waiting for what other processes do: as long as it takes on a loaded machine, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PATIENCE = 3600.0
"""Seconds after which what has not come hangs. Under `nice -n 19` beside busy cores, a process has
one seventieth of a core: what takes 10 s on a quiet machine takes 700 s there."""


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds; fail where it does not within `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)


def count_lines(path: Path) -> int:
    """Count the lines that a file holds, none where it is not there."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def ended(processes: Iterable[psutil.Process]) -> bool:
    """Check whether all of some processes are gone; one that nobody has reaped yet is."""
    return not any(_lives(process) for process in processes)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
