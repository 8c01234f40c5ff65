"""Blender workers: processes that are started, watched, stopped and replaced.

Pools such as pebble's or joblib's run functions in forks of this program, stop by a time limit
alone, and keep no log of a process: a worker here is a program of its own, whose memory is watched
and whose output is reported when it crashes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from ..core.errors import InputError, needs
from ..core.progress import say
from ..core.scratch import SCRATCH, Scratch
from .config import Limits, RenderConfig

__all__ = ["Limits", "Pool", "Worker", "WorkerError", "check_blender"]

GIB = 2**30
START_LIMIT = 600.0  # seconds for Blender to load; some 2 s on a warm disk and a quiet machine
STARTS = 3  # tries to start Blender before the machine is to blame
TRIES = 2  # for one model: the second in a fresh process
FINAL = {"model", "start", "disk", "stopped"}  # kinds of failure that a second try does not change
KEEP = 0.75  # of the memory limit, that a worker may hold between models
LOOK = 0.1  # seconds between two looks at a worker's memory
LOG_TAIL = 40  # lines kept of a worker's log for the failure report
LOG_BYTES = 2**16  # of the log that are read for them
ONE_BLAS_THREAD = {
    "OPENBLAS_NUM_THREADS": "1"
}  # the others would spin beside Cycles': a fifth of the time


class WorkerError(Exception):
    """A worker did not reply; `kind` is the reason.

    "crash", "timeout", "memory", "start" or "stopped".
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def check_blender() -> None:
    """Check, in another process, that Blender and the file writer load here.

    Raises
    ------
    InputError : not this Python, a package or a system library missing; with the remedy
    """
    if sys.version_info[:2] != (3, 11):
        found = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise InputError(
            "rendering needs Python 3.11, the one Python that Blender's bpy 4.5 is built for; "
            f"this is {found}: "
            "make an environment with python3.11, or render on another machine"
        )
    for package in ("bpy", "isal"):
        probe = subprocess.run(
            [sys.executable, "-c", f"import {package}"], capture_output=True, text=True, check=False
        )
        if probe.returncode:
            lines = probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"]
            raise needs(package, "render", ImportError(lines[-1].partition(": ")[2] or lines[-1]))


@cache  # each answer once
def _tell_device(device: str) -> None:
    if device != "CPU":
        say(f"rendering on {device}")


class Worker:
    """A Blender process that renders one model at a time, within limits.

    What Blender prints goes to a file without a name, kept short by `tail`.

    Parameters
    ----------
    config : settings of all its renders
    threads : how many Cycles may use
    limits : of a model and of the process
    """

    def __init__(self, config: RenderConfig, threads: int, limits: Limits) -> None:
        self.config, self.threads, self.limits = config, threads, limits
        self._log = _nameless_file()
        self._process: subprocess.Popen[str] | None = None
        self._memory: psutil.Process | None = None
        self._scratch: Scratch | None = None
        self._replies: queue.Queue[str] = queue.Queue()
        # a process is started, or the worker closed, never both
        self._lock = threading.Lock()
        self._closed = False
        # models that the process has rendered
        self._models = 0

    def render(self, job: dict[str, Any]) -> dict[str, Any]:
        """Render one model; start or renew the process if necessary.

        Parameters
        ----------
        job : see `blender.worker.render_model`

        Returns
        -------
        reply : {"status": "done", "seconds": …} or {"status": "failed", "kind": …, "reason": …}

        Raises
        ------
        WorkerError : it died, took longer or more memory; it is stopped, and the next call starts
            another
        """
        if (
            self._process is None or self._process.poll() is not None
        ):  # no model is to blame for what died idle
            self.stop()
            self._start_patiently()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except (
            OSError,
            ValueError,
        ):  # it died since the last job; the reply's absence says so below
            pass
        reply = self._reply(self.limits.timeout)
        self._models += 1
        if (
            self._models >= self.limits.renew_after
            or self._resident() > KEEP * self.limits.memory_gib
        ):
            self.stop()
        return reply

    def _start_patiently(self) -> None:
        """Start Blender, with retries.

        Repeated failures are the machine's fault, not the model's.
        """
        for number in range(1, STARTS + 1):
            try:
                self._start()
                return
            except WorkerError as error:
                if error.kind == "stopped":
                    raise
                if number == STARTS:
                    last = (self.tail() or ["it printed nothing"])[-1]
                    raise WorkerError(
                        "start", f"Blender does not start: {error}; its last words: {last}"
                    ) from None

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise WorkerError("stopped", "the run was stopped")
            self._scratch = Scratch()
            own = {
                "threads": self.threads,
                "scratch": str(self._scratch.path),
                "parent": os.getpid(),
            }
            own["device"] = self.limits.device
            settings = dataclasses.asdict(self.config) | own
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "shapenet3d_cma.render.blender.worker",
                    json.dumps(settings),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                # Ctrl-C reaches the supervisor alone, which then stops its workers
                start_new_session=True,
                env=os.environ
                | ONE_BLAS_THREAD
                | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(self._scratch.path)},
            )
            self._models = 0
            # A new queue: what the last process still says must not pass for a reply.
            self._replies = queue.Queue()
            with contextlib.suppress(psutil.Error):
                self._memory = psutil.Process(self._process.pid)
        threading.Thread(
            target=self._listen, args=(self._process, self._replies), daemon=True
        ).start()
        _tell_device(self._reply(START_LIMIT)["device"])

    @staticmethod
    def _listen(process: subprocess.Popen[str], replies: queue.Queue[str]) -> None:
        """Pass replies on; an empty one says that the worker has ended."""
        assert process.stdout is not None
        # `stop` may close the stream
        with contextlib.suppress(OSError, ValueError):
            for line in process.stdout:
                replies.put(line)
        replies.put("")

    def _reply(self, timeout: float) -> dict[str, Any]:
        """Wait for a reply; watch the clock and the process's memory meanwhile."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                # Woken often enough to look at the memory, and never after the deadline.
                line = self._replies.get(timeout=max(0.0, min(LOOK, deadline - time.monotonic())))
                break
            except queue.Empty:
                if self._resident() > self.limits.memory_gib:
                    self.stop()
                    raise WorkerError(
                        "memory", f"it took more than {self.limits.memory_gib:g} GiB"
                    ) from None
                if time.monotonic() >= deadline:
                    self.stop()
                    raise WorkerError("timeout", f"it took longer than {timeout:g} s") from None
        # The end, or what a dying process could not finish
        if not line.endswith("\n"):
            code = self.stop()
            if self._closed:
                raise WorkerError("stopped", "the run was stopped")
            raise WorkerError(
                "crash",
                f"Blender ended with {f'signal {-code}' if code < 0 else f'exit status {code}'}",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _resident(self) -> float:
        """Return the process's resident memory, GiB.

        Blender reserves far more addresses than it uses.
        """
        try:
            return float(self._memory.memory_info().rss / GIB) if self._memory else 0.0
        except psutil.Error:
            return 0.0

    def tail(self) -> list[str]:
        """Return the last lines of the log and empty it.

        The output of one model is of no use to the next.
        """
        if self._log.closed:
            return []
        number = self._log.fileno()
        size = os.fstat(number).st_size
        text = os.pread(number, LOG_BYTES, max(0, size - LOG_BYTES)).decode(
            "utf-8", errors="replace"
        )
        os.ftruncate(number, 0)
        return text.splitlines()[-LOG_TAIL:]

    def kill(self) -> None:
        """End the process for good; who waits for its reply gets an error."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    def close(self) -> None:
        """End the process and let go of the log."""
        self.stop()
        self._log.close()

    def stop(self) -> int:
        """End the process; return its exit status.

        The next render starts another.
        """
        # Taken away first, so that a second call finds nothing to stop.
        process, self._process = self._process, None
        scratch, self._scratch = self._scratch, None
        if process is None:
            return 0
        if process.poll() is None:
            process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(
                    OSError, ValueError
                ):  # unsent bytes for a process that is gone
                    stream.close()
        if scratch is not None:
            scratch.remove()
        return code


def _nameless_file() -> BinaryIO:
    """Create an appendable file that vanishes with the processes that hold it."""
    number, name = tempfile.mkstemp(prefix=SCRATCH)
    os.close(number)
    file = Path(name).open("ab+")  # noqa: SIM115
    Path(name).unlink()
    return file


class Pool:
    """The Blender workers of one process; each starts when first needed.

    Any thread may ask for a render.

    Blender's processes die with the thread that started them (Linux tells them so), hence with
    their supervisor, whatever kills it.
    """

    def __init__(self, config: RenderConfig, threads: int, limits: Limits) -> None:
        self.config, self.threads, self.limits = config, threads, limits
        self._all: list[Worker] = []
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._closed = False

    def render(self, job: dict[str, Any]) -> dict[str, Any]:
        """Render one model; retry in a fresh process if Blender itself gave up.

        Returns
        -------
        reply : as from `Worker.render`; a failure has "tries" and "log", the tail of what Blender
            printed
        """
        worker = self._take()
        if worker is None:
            return {"status": "failed", "kind": "stopped", "reason": "the run was stopped"}
        try:
            reply, tries = self._attempt(worker, job), 1
            while reply["status"] != "done" and reply["kind"] not in FINAL and tries < TRIES:
                worker.stop()
                reply, tries = self._attempt(worker, job), tries + 1
            tail = worker.tail()
            return reply if reply["status"] == "done" else reply | {"tries": tries, "log": tail}
        finally:
            with self._lock:
                self._idle.append(worker)

    @staticmethod
    def _attempt(worker: Worker, job: dict[str, Any]) -> dict[str, Any]:
        try:
            return worker.render(job)
        except WorkerError as error:
            return {"status": "failed", "kind": error.kind, "reason": str(error)}

    def _take(self) -> Worker | None:
        with self._lock:
            if self._closed:
                return None
            if self._idle:
                return self._idle.pop()
            worker = Worker(self.config, self.threads, self.limits)
            self._all.append(worker)
            return worker

    @property
    def busy(self) -> bool:
        """Whether a model is being rendered."""
        with self._lock:
            return len(self._idle) < len(self._all)

    def close(self) -> None:
        """End all workers now; renders under way give the failure "stopped"."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        # Killed before any is waited for, so that all end at the same time.
        for worker in workers:
            worker.kill()
        deadline = time.monotonic() + 5
        while (
            self.busy and time.monotonic() < deadline
        ):  # whoever waits for a reply reaps the process
            time.sleep(0.01)
        for worker in workers:
            worker.close()
