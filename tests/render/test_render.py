"""Laws of what comes out of real Blender."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import open3d as o3d
import pytest
import trimesh

from shapenet3d_cma.errors import InputError
from shapenet3d_cma.files import PARTIAL
from shapenet3d_cma.render import run as render_run
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.file import Render, find_renders, open_render
from shapenet3d_cma.render.run import read_failures, render_models
from shapenet3d_cma.render.samples.config import SamplesConfig
from shapenet3d_cma.render.samples.write import write_samples
from shapenet3d_cma.render.shapenet import Model, find_models
from shapenet3d_cma.render.supervise import Limits, Worker, WorkerError

SMALL = RenderConfig(views=3, size=48, samples=2, colour="best")


def ray_cast(render: Render, view: int, obj: Path) -> tuple[np.ndarray, o3d.t.geometry.RaycastingScene]:
    """Planar depth of the OBJ, as trimesh reads it, along the ray through each pixel's centre."""
    mesh = trimesh.load(obj, force="mesh", process=False, skip_materials=True)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.asarray(mesh.vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.asarray(mesh.faces, np.uint32)),
    )
    camera = render.camera(view)
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    far = camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye  # one unit of planar depth long
    rays = np.concatenate([np.broadcast_to(camera.eye, far.shape), far], axis=-1).astype(np.float32)
    return scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy(), scene


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


def test_depth_equals_a_ray_cast_of_the_source_mesh(shapenet: Path, renders: Path) -> None:
    pixels = mismatched = 0
    errors = []
    for path in find_renders(renders):
        with open_render(path) as render:
            obj = shapenet / render.synset / render.model_id / "models" / "model_normalized.obj"
            for view, depth in enumerate(render.depth):
                cast, _ = ray_cast(render, view, obj)
                hit, seen = np.isfinite(cast), depth > 0
                pixels += int(hit.sum())
                mismatched += int((hit != seen).sum())
                errors.append(np.abs(cast - depth)[hit & seen])
    error = np.concatenate(errors)
    assert pixels > 30_000
    assert mismatched <= pixels / 10_000
    assert np.median(error) <= 1e-6
    assert (error > 1e-4).mean() <= 1e-4  # where two surfaces lie closer together than float32 tells apart


def test_the_object_is_upright_and_in_frame(shapenet: Path, renders: Path) -> None:
    for path in find_renders(renders):
        with open_render(path) as render:
            for view, depth in enumerate(render.depth):
                edge = np.concatenate([depth[0], depth[-1], depth[:, 0], depth[:, -1]])
                assert not edge.any(), "cropped"
                camera = render.camera(view)
                low, high = camera.project([[0, 0, 0], [0, 0.1, 0]])[0]
                assert high[1] < low[1], "+Y must point up in the image"


def test_colour_stands_where_depth_stands_and_background_elsewhere(renders: Path) -> None:
    for path in find_renders(renders):
        with open_render(path) as render:
            assert render.shaded.all()
            for view, depth in enumerate(render.depth):
                painted = (render.rgb(view) < 250).any(axis=-1)
                solid = depth > 0
                inner = solid.copy()  # the colour's filter blurs the outline by a pixel
                for axis in (0, 1):
                    for step in (-1, 1):
                        inner &= np.roll(solid, step, axis)
                outer = ~solid
                for _ in range(2):
                    for axis in (0, 1):
                        for step in (-1, 1):
                            outer = outer & np.roll(outer, step, axis)
                assert not painted[outer].any()
                assert painted[inner].mean() > 0.6  # white things stay white


def test_one_worker_or_two_give_the_same_content(shapenet: Path, renders: Path, tmp_path: Path) -> None:
    with open_render(find_renders(renders)[0]) as first:
        config = RenderConfig(**first.json("config") | {"elevation": tuple(first.json("config")["elevation"])})
    models = find_models(shapenet)
    order = models[::-1]  # the order does not matter either
    assert render_models(order, tmp_path, config, jobs=1).rendered == len(models)
    for path in find_renders(renders):
        assert_same(path, tmp_path / path.relative_to(renders))


def test_best_shades_the_view_with_the_most_points(shapenet: Path, renders: Path, tmp_path: Path) -> None:
    with open_render(find_renders(renders)[0]) as first:
        settings = first.json("config") | {"colour": "best"}
    config = RenderConfig(**settings | {"elevation": tuple(settings["elevation"])})
    model = find_models(shapenet)[0]
    render_models([model], tmp_path, config, jobs=1)
    with open_render(find_renders(tmp_path)[0]) as best, open_render(find_renders(renders)[0]) as every:
        most = int(np.count_nonzero(every.depth, axis=(1, 2)).argmax())
        assert np.flatnonzero(best.shaded).tolist() == [most]
        assert np.array_equal(best.depth, every.depth)
        assert np.array_equal(best.rgb(most), every.rgb(most))
        assert not best.rgb((most + 1) % len(every.depth)).any()


def test_a_stopped_run_goes_on_and_other_settings_are_refused(shapenet: Path, tmp_path: Path) -> None:
    models = find_models(shapenet, limit=1)
    assert render_models(models[:2], tmp_path, SMALL).rendered == 2
    before = {path: path.stat().st_mtime_ns for path in find_renders(tmp_path)}
    (tmp_path / models[0].synset / f"{PARTIAL}1-x.h5").write_bytes(b"half")
    done = render_models(models, tmp_path, SMALL)
    assert (done.present, done.rendered) == (2, len(models) - 2)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert not list(tmp_path.rglob(f"{PARTIAL}*"))
    with pytest.raises(InputError, match=r"rendered with size = 48, not 56.*--redo"):
        render_models(models, tmp_path, RenderConfig(views=3, size=56, samples=2, colour="best"))
    other = RenderConfig(views=2, size=48, samples=2, colour="best")
    assert render_models(models, tmp_path, other, redo=True).rendered == len(models)


def test_a_damaged_file_is_rendered_again(shapenet: Path, tmp_path: Path) -> None:
    models = find_models(shapenet, limit=1)[:1]
    render_models(models, tmp_path, SMALL)
    (path,) = find_renders(tmp_path)
    whole = contents(path)[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert render_models(models, tmp_path, SMALL).rendered == 1
    assert np.array_equal(contents(path)[0]["depth"], whole["depth"])


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("broken") / "shapenet"
    write_samples(out, SamplesConfig(per_category=1, categories="mug", pathologies=True))
    return out


def test_each_pathology_comes_out_as_announced(broken: Path, tmp_path: Path) -> None:
    announced = json.loads((broken / "pathologies.json").read_text(encoding="utf-8"))
    done = render_models(find_models(broken), tmp_path, RenderConfig(views=3, size=64, samples=2))
    failed = {(failure["synset"], failure["model_id"]) for failure in done.failures}
    assert failed == {(entry["synset"], entry["model_id"]) for entry in announced if entry["outcome"] == "failed"}
    assert {(entry["synset"], entry["model_id"]) for entry in read_failures(tmp_path)} == failed
    for entry in announced:
        if entry["outcome"] == "failed":
            continue
        with open_render(tmp_path / entry["synset"] / f"{entry['model_id']}.h5") as render:
            assert render.model_id == entry["model_id"]
            assert render.depth.any(axis=(1, 2)).sum() >= 2
            for view in range(3):
                red, green, blue = np.moveaxis(render.rgb(view).astype(int), -1, 0)
                assert not ((red > 200) & (blue > 200) & (green < 80)).any(), "purple: a texture was not found"
            properties = entry.get("properties", {})
            if properties.get("pairs"):
                assert render.json("repairs")["opposite pairs merged"] > 0
            if properties.get("texture_shown") is False:
                assert render.json("notes")


def test_both_sides_show_their_own_material(broken: Path, tmp_path: Path) -> None:
    """Doubled faces must not speckle: the picture equals that of the same mesh with its fronts alone."""
    source = broken / "03001627" / "pathology-doubled-faces"
    single = tmp_path / "shapenet" / "03001627" / "pathology-doubled-faces"
    shutil.copytree(source, single)
    obj = single / "models" / "model_normalized.obj"
    lines, seen, keep = obj.read_text().splitlines(), set(), []
    vertices = [line for line in lines if line.startswith("v ")]
    for line in lines:
        if line.startswith("f "):
            key = frozenset(vertices[int(word.split("/")[0]) - 1] for word in line.split()[1:])
            if key in seen:
                continue
            seen.add(key)
        keep.append(line)
    obj.write_text("\n".join(keep) + "\n")
    config = RenderConfig(views=4, size=64, samples=2, elevation=(10, 60))
    for root, name in ((broken, "double"), (tmp_path / "shapenet", "single")):
        model = Model("03001627", "pathology-doubled-faces", root / "03001627" / "pathology-doubled-faces")
        render_models([model], tmp_path / name, config, jobs=1)
    doubles, singles = (contents(find_renders(tmp_path / name)[0])[0] for name in ("double", "single"))
    assert np.array_equal(doubles["depth"], singles["depth"])
    difference = np.abs(doubles["rgb"].astype(int) - singles["rgb"].astype(int)).max(axis=-1)
    assert (difference[doubles["depth"] > 0] > 60).mean() < 0.02


@pytest.mark.parametrize("kills", [1, 2])
def test_a_crash_of_blender_costs_at_most_one_model(
    shapenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """SIGKILL to the worker in the middle of a model: one is mended by a second try, two are recorded."""
    models = find_models(shapenet)
    victim = models[1]
    ask, left = Worker.render, [None] * kills

    def kill_at_victim(self: Worker, job: dict[str, object]) -> dict[str, object]:
        if job["model_id"] == victim.model_id and left:
            left.pop()
            self.stop()
            self._start()
            assert self._process is not None
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
    assert (later.rendered, [entry["model_id"] for entry in later.quarantined]) == (0, [victim.model_id])
    assert render_models(models, tmp_path, SMALL, retry_failed=True).rendered == 1
    assert read_failures(tmp_path) == []


def test_a_model_that_takes_for_ever_is_stopped(shapenet: Path, tmp_path: Path) -> None:
    worker = Worker(SMALL, 1, Limits(timeout=0.001))
    model = find_models(shapenet)[0]
    job = {"folder": str(model.folder), "synset": model.synset, "model_id": model.model_id}
    job |= {"out": str(tmp_path / "out.h5"), "config": {}, "config_hash": ""}
    with pytest.raises(WorkerError, match=r"longer than 0\.001 s") as caught:
        worker.render(job)
    assert caught.value.kind == "timeout"
    worker.limits = Limits(timeout=120)
    assert worker.render(job)["status"] == "done"  # the next call has a new Blender
    worker.close()


def test_a_killed_run_leaves_no_blender_and_no_half_files(shapenet: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shapenet3d_cma.cli", "render", str(shapenet), str(tmp_path), "--size", "400"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not children(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    assert workers
    time.sleep(1)
    process.kill()
    process.wait()
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)
    for path in tmp_path.glob("*/[!.]*.h5"):
        contents(path)


def children(pid: int) -> list[int]:
    """Give the worker processes of a run: its children, of all its threads."""
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


def test_without_blender_the_remedy_is_named(shapenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        message = "Traceback …\nImportError: libXi.so.6: cannot open shared object file: No such file or directory\n"
        return subprocess.CompletedProcess([], 1, "", message)

    monkeypatch.setattr(render_run.check_blender.__globals__["subprocess"], "run", fails)
    with pytest.raises(InputError, match=r"libXi\.so\.6 is missing.*make libraries"):
        render_models(find_models(shapenet), tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
