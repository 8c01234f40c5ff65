"""No worker outlives the command that started it, be that killed by SIGKILL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from joblib import delayed

from shapenet3d_cma.benchmarks._made import repeat_renders
from shapenet3d_cma.core.processes import workers
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples
from shapenet3d_cma.tests.conftest import RENDER
from shapenet3d_cma.tests.family import CLI, Family, wait_until

LOKY = "popen_loky_posix"


@pytest.fixture(scope="module")
def many_renders(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's renders, over and over under new names: enough that a command is at work for a while."""
    return repeat_renders(renders, tmp_path_factory.mktemp("many") / "renders", 240)


@pytest.fixture(scope="module")
def many_shards(many_renders: Path) -> Path:
    out = many_renders.parent / "shards"
    pack_renders(many_renders, out, PackConfig(points=64, shard_rows=64), jobs=2)
    return out


@pytest.fixture(scope="module")
def many_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "shapenet"
    write_samples(out, SamplesConfig(per_category=70, categories="mug,lamp"))
    return out


@pytest.fixture
def command(
    many_renders: Path, many_shards: Path, many_models: Path, tmp_path: Path
) -> Callable[[str], list[object]]:
    lines: dict[str, list[object]] = {
        "pack": ["pack", many_renders, tmp_path / "out", "--points", 1024],
        "verify": ["verify", many_shards],
        "export": ["export", many_shards, tmp_path / "out", "--format", "png"],
        "reconstruct": ["reconstruct", many_renders, tmp_path / "out", "--keep", "all"],
        "doctor": ["doctor", many_models],
    }
    return lambda name: [*CLI, *lines[name], "--jobs", 2]


@pytest.mark.parametrize("name", ["pack", "verify", "export", "reconstruct", "doctor"])
def test_no_worker_outlives_its_command(command: Callable[[str], list[object]], name: str) -> None:
    family = Family(command(name))
    try:
        wait_until(
            lambda: len(family.below(LOKY)) >= 2 or family.head.poll() is not None, 60, "workers"
        )
        assert family.head.poll() is None, "it ended too soon to be killed"
        family.kill_head()
        wait_until(lambda: not family.members(), 60, f"workers of {name} that end")
    finally:
        family.end()


@pytest.mark.needs("bpy")
def test_no_worker_outlives_a_build(shapenet: Path, many_renders: Path, tmp_path: Path) -> None:
    shutil.copytree(many_renders, tmp_path / "out" / "renders")
    words = [
        "--views",
        RENDER.views,
        "--size",
        RENDER.size,
        "--samples",
        RENDER.samples,
        "--colour",
        "all",
    ]
    family = Family(
        [*CLI, "build", shapenet, tmp_path / "out", *words, "--points", 1024, "--jobs", 2]
    )
    try:
        blender = "render.blender.worker"
        wait_until(lambda: family.below(blender) or family.head.poll() is not None, 60, "Blender")
        wait_until(
            lambda: len(family.below(LOKY)) >= 2 or family.head.poll() is not None,
            120,
            "workers that pack",
        )
        assert family.head.poll() is None, "it ended too soon to be killed"
        family.kill_head()
        wait_until(lambda: not family.members(), 60, "workers that end")
    finally:
        family.end()


LATE = """
import os, sys
from shapenet3d_cma.core.processes import end_with_parent
end_with_parent(int(sys.argv[1]), by_kernel=sys.argv[2] == "kernel")
print("still here")
"""


@pytest.mark.parametrize("how", ["kernel", "thread"])
def test_a_process_whose_parent_ended_before_the_check_ends_too(how: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    line = [sys.executable, "-c", LATE, str(ended.pid), how]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")


def _who(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_workers_outlive_the_thread_that_started_them() -> None:
    """They are shared within a process; Linux's own means would end them with that thread."""
    seen: set[int] = set()
    thread = threading.Thread(
        target=lambda: seen.update(workers(2)(delayed(_who)(i) for i in range(12)))
    )
    thread.start()
    thread.join(60)
    assert seen
    assert os.getpid() not in seen
    time.sleep(1)
    assert all(psutil.Process(number).status() != psutil.STATUS_ZOMBIE for number in seen)


def test_one_job_needs_no_other_process() -> None:
    assert set(workers(1)(delayed(_who)(i) for i in range(2))) == {os.getpid()}


def test_a_killed_worker_of_doctor_is_reported_in_one_line(
    many_models: Path, tmp_path: Path
) -> None:
    family = Family([*CLI, "doctor", many_models, "--jobs", 2], log=tmp_path / "output")
    try:
        wait_until(lambda: family.below(LOKY) or family.head.poll() is not None, 60, "a worker")
        for worker in family.below(LOKY):
            worker.kill()
        assert family.head.wait(60) == 2
        said = (tmp_path / "output").read_text()
        assert "Traceback" not in said
        assert said.splitlines()[-1].startswith("cma3d: a worker process died: killed"), said
    finally:
        family.end()
