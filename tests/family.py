"""All processes that a command has brought forth, known by a mark in their environment, whoever their parent is now."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

MARK = "CMA3D_FAMILY"
CLI = (sys.executable, "-m", "shapenet3d_cma.cli")


class Family:
    """A command and all that descends from it.

    Parameters
    ----------
    words : of the command line
    more : environment, beside this process's own
    log : where its output goes; nowhere if None
    """

    def __init__(
        self, words: list[object], more: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self.mark = secrets.token_hex(8)
        environment = os.environ | dict(more or {}) | {MARK: self.mark}
        with (log or Path(os.devnull)).open("ab") as output:
            self.head = subprocess.Popen(
                list(map(str, words)), env=environment, stdout=output, stderr=output
            )

    def members(self) -> list[psutil.Process]:
        """Return all that live, the head among them."""
        return [
            process
            for process in psutil.process_iter()
            if _environment(process).get(MARK) == self.mark
        ]

    def below(self, *words: str) -> list[psutil.Process]:
        """Return those that live, but for the head; with words, those whose command line holds one of them."""
        found = [process for process in self.members() if process.pid != self.head.pid]
        return [
            process
            for process in found
            if not words or any(word in command_line(process) for word in words)
        ]

    def kill_head(self) -> None:
        self.head.kill()
        self.head.wait()

    def end(self) -> None:
        """Kill whoever is left."""
        for process in self.members():
            process.kill()
        self.head.wait()


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return a process's environment; of a zombie, which has none any more, nothing."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return ""


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; give the seconds that it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)
    return time.monotonic() - begin
