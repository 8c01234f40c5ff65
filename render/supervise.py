"""Workers from outside: start Blender in a process of its own, talk to it, notice when it dies or hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ..errors import InputError, needs
from .config import RenderConfig

__all__ = ["Worker", "WorkerError", "check_blender"]

START_LIMIT = 120.0  # seconds for Blender to load; some 2 s on a warm disk
LOG_TAIL = 40  # lines kept of a worker's log for the failure report


class WorkerError(Exception):
    """A worker died or took too long; `kind` is "crash" or "timeout"."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def check_blender() -> None:
    """Check, in a process of its own, that Blender and the EXR reader load here.

    Raises
    ------
    InputError : not this Python, a package or a system library missing; with the remedy
    """
    if sys.version_info[:2] != (3, 11):
        found = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise InputError(
            f"rendering needs Python 3.11, the one Python that Blender's bpy 4.5 is built for; this is {found}: "
            "make an environment with python3.11, or render on another machine"
        )
    for package in ("bpy", "OpenEXR"):
        probe = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, text=True, check=False)
        if probe.returncode:
            lines = probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"]
            raise needs(package, "render", ImportError(lines[-1].partition(": ")[2] or lines[-1]))


class Worker:
    """A Blender process that renders one model at a time. Its log goes to a file, kept short by its tail.

    Parameters
    ----------
    config : settings of all its renders
    threads : how many Cycles may use
    log : file for what Blender prints
    """

    def __init__(self, config: RenderConfig, threads: int, log: Path) -> None:
        self.config, self.threads, self.log = config, threads, log
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str] = queue.Queue()

    def render(self, job: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Have one model rendered; the worker is started where it does not run.

        Parameters
        ----------
        job : see `blender.worker.render_model`
        timeout : seconds

        Returns
        -------
        reply : {"status": "done", "seconds": …} or {"status": "failed", "kind": …, "reason": …}

        Raises
        ------
        WorkerError : it died or took longer; it is stopped, and the next call starts another
        """
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except OSError:  # it died since the last job; the reply's absence says so below
            pass
        return self._reply(timeout)

    def _start(self) -> None:
        settings = dataclasses.asdict(self.config) | {"threads": self.threads}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "shapenet3d_cma.render.blender.worker", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops its workers
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self._replies = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._replies), daemon=True).start()
        self._reply(START_LIMIT)

    @staticmethod
    def _listen(process: subprocess.Popen[str], replies: queue.Queue[str]) -> None:
        """Pass replies on; an empty one says that the worker has ended."""
        assert process.stdout is not None
        for line in process.stdout:
            replies.put(line)
        replies.put("")

    def _reply(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=timeout)
        except queue.Empty:
            self.stop()
            raise WorkerError("timeout", f"it took longer than {timeout:g} s") from None
        if not line:
            code = self.stop()
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            raise WorkerError("crash", f"Blender ended with {how}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def tail(self) -> list[str]:
        """Give the last lines of the log, and empty it: what one model printed is of no use to the next."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
            os.truncate(self.log, 0)
        except OSError:
            return []
        return lines

    def stop(self) -> int:
        """End the process, whatever it does; give its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent bytes for a process that is gone
                    stream.close()
        return code
