"""Runs of many models: resumed, crashed, killed; the content of the files stays the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render import rendering as render_run
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import find_renders, open_render
from shapenet3d_cma.render.rendering import read_failures, render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.render.workers import Limits, Worker, WorkerError
from shapenet3d_cma.tests.same import leftovers
from shapenet3d_cma.tests.waiting import PATIENCE, wait_for

SMALL = RenderConfig(views=3, size=48, samples=2, colour="best")


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file}, dict(file.attrs)


def assert_same(one: Path, two: Path) -> None:
    arrays, attributes = contents(one)
    others, other_attributes = contents(two)
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        assert np.array_equal(array, others[name]), name
    assert attributes == other_attributes


def test_one_worker_or_two_give_the_same_content(
    shapenet: Path, renders: Path, tmp_path: Path
) -> None:
    with open_render(find_renders(renders)[0]) as first:
        config = RenderConfig(
            **first.json("config") | {"elevation": tuple(first.json("config")["elevation"])}
        )
    models = find_models(shapenet)
    order = models[::-1]  # the order does not matter either
    assert render_models(order, tmp_path, config, jobs=1).rendered == len(models)
    for path in find_renders(renders):
        assert_same(path, tmp_path / path.relative_to(renders))


def test_best_shades_the_view_with_the_most_points(
    shapenet: Path, renders: Path, tmp_path: Path
) -> None:
    with open_render(find_renders(renders)[0]) as first:
        settings = first.json("config") | {"colour": "best"}
    config = RenderConfig(**settings | {"elevation": tuple(settings["elevation"])})
    model = find_models(shapenet)[0]
    render_models([model], tmp_path, config, jobs=1)
    with (
        open_render(find_renders(tmp_path)[0]) as best,
        open_render(find_renders(renders)[0]) as every,
    ):
        most = int(np.count_nonzero(every.depth, axis=(1, 2)).argmax())
        assert np.flatnonzero(best.shaded).tolist() == [most]
        assert np.array_equal(best.depth, every.depth)
        assert np.array_equal(best.rgb(most), every.rgb(most))
        assert not best.rgb((most + 1) % len(every.depth)).any()


def test_a_stopped_run_is_resumed_and_other_settings_are_refused(
    shapenet: Path, tmp_path: Path
) -> None:
    models = find_models(shapenet, limit=1)
    assert render_models(models[:2], tmp_path, SMALL, jobs=1).rendered == 2
    before = {path: path.stat().st_mtime_ns for path in find_renders(tmp_path)}
    done = render_models(models, tmp_path, SMALL, jobs=1)
    assert (done.present, done.rendered) == (2, len(models) - 2)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert not leftovers(tmp_path)
    with pytest.raises(InputError, match=r"rendered with size = 48, not 56.*--redo"):
        render_models(models, tmp_path, RenderConfig(views=3, size=56, samples=2, colour="best"))
    (tmp_path / "render.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable render\.json.*--redo"):
        render_models(models, tmp_path, RenderConfig(views=3, size=56, samples=2, colour="best"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = RenderConfig(views=2, size=48, samples=2, colour="best")
    with pytest.raises(
        InputError, match=r"render\.json is there, changed since cma3d wrote it: move it away"
    ):
        render_models(models, tmp_path, other, redo=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (tmp_path / "render.json").unlink()
    assert render_models(models, tmp_path, other, redo=True, jobs=1).rendered == len(models)


def test_a_damaged_file_is_rendered_again(shapenet: Path, tmp_path: Path) -> None:
    models = find_models(shapenet, limit=1)[:1]
    render_models(models, tmp_path, SMALL)
    (path,) = find_renders(tmp_path)
    whole = contents(path)[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert render_models(models, tmp_path, SMALL).rendered == 1
    assert np.array_equal(contents(path)[0]["depth"], whole["depth"])


@pytest.mark.parametrize("kills", [1, 2])
def test_a_crash_of_blender_costs_at_most_one_model(
    shapenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """SIGKILL to the worker in the middle of a model: one is mended by a second try, two are recorded."""
    models = find_models(shapenet, limit=1)
    victim = models[1]
    ask, left = Worker.render, [None] * kills

    def kill_at_victim(self: Worker, job: dict[str, object]) -> dict[str, object]:
        if job["model_id"] == victim.model_id and left:
            left.pop()
            self.stop()
            self._start()
            assert self._process is not None
            os.kill(self._process.pid, signal.SIGSTOP)  # so that it is not done before it is killed
            threading.Timer(0.02, os.kill, (self._process.pid, signal.SIGKILL)).start()
        return ask(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "render", kill_at_victim)
        done = render_models(models, tmp_path, SMALL, jobs=2)
    if kills == 1:
        assert (done.rendered, done.failures) == (len(models), [])
        return
    (failure,) = done.failures
    assert (failure["model_id"], failure["kind"], failure["tries"]) == (victim.model_id, "crash", 2)
    assert "signal 9" in failure["reason"]
    assert done.rendered == len(models) - 1
    later = render_models(models, tmp_path, SMALL)
    assert (later.rendered, [entry["model_id"] for entry in later.quarantined]) == (
        0,
        [victim.model_id],
    )
    assert render_models(models, tmp_path, SMALL, retry_failed=True).rendered == 1
    assert read_failures(tmp_path) == []


def test_a_model_over_its_time_limit_is_stopped(shapenet: Path, tmp_path: Path) -> None:
    worker = Worker(SMALL, 1, Limits(timeout=0.001))
    model = find_models(shapenet)[0]
    job = {"folder": str(model.folder), "synset": model.synset, "model_id": model.model_id}
    job |= {"out": str(tmp_path / "out.h5"), "config": {}, "config_hash": ""}
    with pytest.raises(WorkerError, match=r"longer than 0\.001 s") as caught:
        worker.render(job)
    assert caught.value.kind == "timeout"
    worker.limits = Limits(timeout=PATIENCE)
    assert worker.render(job)["status"] == "done"  # the next call has a new Blender
    worker.close()


def test_nothing_is_left_in_the_folder_for_temporary_files(
    shapenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blender, too, keeps a folder there, which it cannot remove when it is ended."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert render_models(find_models(shapenet)[:1], tmp_path / "out", SMALL).rendered == 1
    assert not list(temporary.iterdir())


def test_a_killed_run_leaves_no_blender_and_no_half_files(shapenet: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "shapenet3d_cma.cli",
        "render",
        str(shapenet),
        str(tmp_path),
        "--size",
        "400",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: children(process.pid))
    workers = children(process.pid)
    time.sleep(1)
    process.kill()
    process.wait()
    wait_for(lambda: not any(alive(worker) for worker in workers))
    for path in tmp_path.glob("*/[!.]*.h5"):
        contents(path)


def children(pid: int) -> list[int]:
    """Return the worker processes of a run: its children, of all its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            if b"blender.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_without_blender_the_remedy_is_named(
    shapenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        message = "Traceback …\nImportError: libXi.so.6: cannot open shared object file: No such file or directory\n"
        return subprocess.CompletedProcess([], 1, "", message)

    monkeypatch.setattr(render_run.check_blender.__globals__["subprocess"], "run", fails)
    with pytest.raises(InputError, match=r"libXi\.so\.6 is missing or broken.*make libraries"):
        render_models(find_models(shapenet), tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
