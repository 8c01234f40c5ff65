"""Blender workers that are killed, fill a disk, hang or swell: what is left is whole."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render import workers as supervise
from shapenet3d_cma.render.blender import worker as blender_worker
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import read_failures, render_models
from shapenet3d_cma.render.shapenet.listing import Model, find_models
from shapenet3d_cma.render.status import read_status
from shapenet3d_cma.tests.render.long_runs import CONFIG, WORDS, Run, blenders, rendered, start
from shapenet3d_cma.tests.same import assert_same_renders, leftovers
from shapenet3d_cma.tests.waiting import PATIENCE, ended, wait_for


def test_blender_dies_with_its_supervisor_in_the_middle_of_a_long_render(
    world: Path, tmp_path: Path
) -> None:
    process = start(
        "render",
        world,
        tmp_path,
        "--views",
        1,
        "--size",
        512,
        "--samples",
        65536,
        "--jobs",
        1,
        "--limit",
        1,
    )
    wait_for(lambda: blenders(psutil.Process(process.pid)))
    (worker,) = blenders(psutil.Process(process.pid))
    wait_for(lambda: worker.cpu_times().user > 3)  # it has loaded, and renders for minutes
    process.kill()
    process.communicate()
    wait_for(lambda: ended([worker]), 300)  # long before the render ends


def test_killed_blenders_change_no_result(world: Path, unbroken: Path, tmp_path: Path) -> None:
    """SIGKILL to a worker at drawn moments: each victim has a second try in a fresh process.

    Between two kills a model is rendered, as fast as the machine may be: else only Blenders that
    start would be hit.
    """
    draw, stop, kills, seen = random.Random(3), threading.Event(), [], 0

    def kill_now_and_then() -> None:
        nonlocal seen
        while len(kills) < 4 and not stop.wait(draw.uniform(0, 0.3)):
            there = len(rendered(tmp_path))
            for worker in blenders(psutil.Process())[: there > seen]:
                worker.kill()
                kills.append(worker.pid)
                seen = there

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        done = render_models(find_models(world), tmp_path, CONFIG, jobs=2)
    finally:
        stop.set()
        killer.join()
    assert kills
    if done.failures:  # killed twice in a row: recorded, and mended by --retry-failed
        assert {failure["kind"] for failure in done.failures} == {"crash"}
        done = render_models(find_models(world), tmp_path, CONFIG, jobs=2, retry_failed=True)
    assert done.failures == []
    assert read_failures(tmp_path) == []
    assert_same_renders(unbroken, tmp_path)


def test_a_full_disk_stops_the_run_in_one_line(
    world: Path, unbroken: Path, tmp_path: Path, cma3d: Run
) -> None:
    small = tmp_path / "small"
    with tiny_disk(small, "400k"):
        filler = small / "filler"
        filler.write_bytes(bytes(320 * 1024))
        out = small / "renders"
        done = cma3d("render", world, out, *WORDS, "--jobs", 2)
        assert done.returncode == 2, done.stderr
        assert "the disk of " in done.stderr.splitlines()[-1]
        assert "is full: make room and give the same command again" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert not leftovers(out)
        assert read_failures(out) == [], "a model is not to blame for the disk"
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert cma3d("render", world, out, *WORDS, "--jobs", 2).returncode == 0
        assert_same_renders(unbroken, out)


@contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if (
        mounted.returncode
    ):  # an ordinary user may not, nor may root in most containers: no fault of the program
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_large_file_on_a_full_disk_raises_an_oserror(tmp_path: Path) -> None:
    """HDF5, left to write by itself, ends the process."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from shapenet3d_cma.core.camera import Camera\n"
        "from shapenet3d_cma.render.render_file import write_render\n"
        "depth = np.random.default_rng(0).random((24, 224, 224), dtype=np.float32)\n"
        "cameras = [Camera(np.eye(3), np.eye(4), 224, 224)] * 24\n"
        "try: write_render(Path(sys.argv[1]), cameras, {'depth': depth}, {}, {})\n"
        "except OSError as error: print(error.errno)\n"
    )
    small = tmp_path / "small"
    with tiny_disk(small, "1m"):
        line = [sys.executable, "-c", code, str(small / "a.h5")]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "28\n", "")
        assert list(small.iterdir()) == []


def test_a_full_disk_and_other_errors_are_told_apart(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    assert "is full" in blender_worker._full_disk(full, tmp_path)
    in_words = RuntimeError(
        "Can't decrement id ref count (file write failed: errno = 28, error message = '…')"
    )
    assert "is full" in blender_worker._full_disk(in_words, tmp_path)
    assert blender_worker._full_disk(OSError(13, "Permission denied"), tmp_path) == ""


def test_a_model_over_its_time_limit_is_quarantined(world: Path, tmp_path: Path) -> None:
    models = find_models(world)[:3]
    huge = RenderConfig(views=1, size=512, samples=65536, colour="best")
    begin = time.monotonic()
    done = render_models(models[:1], tmp_path / "slow", huge, jobs=1, timeout=1)
    assert time.monotonic() - begin < PATIENCE, "it would render for hours"
    (failure,) = done.failures
    assert (failure["kind"], failure["reason"], failure["tries"]) == (
        "timeout",
        "it took longer than 1 s",
        2,
    )
    assert failure["log"], "the tail of the log tells what it was at"
    status = read_status(tmp_path / "slow")
    assert (status["planned"], status["done"], status["failed"], status["left"]) == (1, 0, 1, 0)
    assert status["failures"]["timeout"][0]["reason"] == "it took longer than 1 s"
    assert render_models(models[:1], tmp_path / "slow", huge, jobs=1).quarantined == done.failures


def test_a_model_over_its_memory_limit_is_quarantined_and_the_rest_is_rendered(
    world: Path, unbroken: Path, tmp_path: Path
) -> None:
    glutton = Model("03001627", "glutton", tmp_path / "shapenet" / "03001627" / "glutton")
    write_large_model(glutton.obj, 400)
    models = [*find_models(world)[:2], glutton, *find_models(world)[2:4]]
    done = render_models(
        models, tmp_path / "renders", CONFIG, jobs=2, memory_gib=0.45, timeout=PATIENCE
    )
    (failure,) = done.failures
    assert (failure["model_id"], failure["kind"]) == ("glutton", "memory")
    assert failure["reason"] == "it took more than 0.45 GiB"
    assert done.rendered == 4
    assert_same_renders(unbroken, tmp_path / "renders", some=True)
    later = render_models(
        models, tmp_path / "renders", CONFIG, jobs=1, retry_failed=True, timeout=PATIENCE
    )
    assert (later.rendered, later.present, later.failures) == (1, 4, [])


def write_large_model(obj: Path, side: int) -> None:
    """Write a wavy sheet of 2 side^2 triangles."""
    obj.parent.mkdir(parents=True)
    step = range(side + 1)
    lines = [f"v {x / side} {((x * 7 + z * 3) % 11) / 200} {z / side}" for x in step for z in step]
    for x in range(side):
        for z in range(side):
            a = x * (side + 1) + z + 1
            lines += [f"f {a} {a + 1} {a + side + 1}", f"f {a + 1} {a + side + 2} {a + side + 1}"]
    obj.write_text("\n".join(lines) + "\n")


def test_renewed_workers_write_the_same_content(
    world: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []
    start_one = supervise.Worker._start
    monkeypatch.setattr(
        supervise.Worker, "_start", lambda self: (starts.append(1), start_one(self))[1]
    )
    assert (
        render_models(find_models(world)[:4], tmp_path, CONFIG, jobs=1, renew_after=2).rendered == 4
    )
    assert len(starts) == 2
    assert_same_renders(unbroken, tmp_path, some=True)


def test_a_blender_that_does_not_start_stops_the_run_and_blames_no_model(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "START_LIMIT", 0.01)
    with pytest.raises(
        InputError, match=r"Blender does not start: it took longer than 0\.01 s.*nothing more"
    ):
        render_models(find_models(world)[:1], tmp_path, CONFIG, jobs=1)
    assert read_failures(tmp_path) == []
