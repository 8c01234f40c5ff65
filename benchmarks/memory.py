"""Memory over long runs: the supervisor's for 52,000 models, a worker's over hundreds of renders.

    python benchmarks/memory.py [MODELS] [RENDERS]

The supervisor is measured with workers that answer at once and render nothing; the worker with real
Blender and small pictures of procedural models, without renewal.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from shapenet3d_cma.render import rendering as run
from shapenet3d_cma.render import workers as supervise
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import _job, render_models
from shapenet3d_cma.render.shapenet.listing import Model, find_models
from shapenet3d_cma.render.workers import Limits, Worker
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

MIB = 2**20


class Echo(Worker):
    """A worker that says "done" to everything, and to one in a hundred that it failed, with a long log."""

    def render(self, job: dict[str, Any]) -> dict[str, Any]:
        if int(job["model_id"]) % 100:
            return {
                "status": "done",
                "seconds": {"load": 0.1, "geometry": 0.2, "colour": 0.3, "write": 0.1},
            }
        os.write(self._log.fileno(), b"a line of Blender's log\n" * 160)
        return {"status": "failed", "kind": "model", "reason": "its OBJ is empty"}


def supervisor(models: int) -> None:
    names = [
        Model(f"{number % 55:08}", f"{number:032}", Path(f"/data/{number:032}"))
        for number in range(models)
    ]
    process, peak, stop = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.1):
            peak = max(peak, process.memory_info().rss)

    threading.Thread(target=watch, daemon=True).start()
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(supervise, "Worker", Echo),
        mock.patch.object(run, "check_blender"),
    ):
        done = render_models(names, Path(folder), RenderConfig(), jobs=2)
    stop.set()
    took = time.monotonic() - begin
    print(
        f"supervisor: {peak / MIB:.0f} MiB at most over {models} models ({len(done.failures)} "
        "failed), "
        f"{took / models * 1e3:.2f} ms of its own a model",
        flush=True,
    )


def worker(renders: int) -> None:
    config = RenderConfig(views=4, size=40, samples=2, colour="best")
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder) / "shapenet", SamplesConfig(per_category=2))
        models = find_models(Path(folder) / "shapenet")
        one, marks = Worker(config, 1, Limits(renew_after=10**9)), {}
        for number in range(renders):
            job = _job(models[number % len(models)], Path(folder), config)
            Path(job["out"]).parent.mkdir(exist_ok=True)
            assert one.render(job)["status"] == "done"
            one.tail()
            if (number + 1) % max(1, renders // 6) == 0:
                marks[number + 1] = f"{one._resident() * 1024:.0f}"
        one.close()
    print(
        "worker: MiB after n renders: "
        + ", ".join(f"{number}: {size}" for number, size in marks.items()),
        flush=True,
    )


if __name__ == "__main__":
    supervisor(int(sys.argv[1]) if len(sys.argv) > 1 else 52_000)
    worker(int(sys.argv[2]) if len(sys.argv) > 2 else 360)
