"""One small world for all tests: procedural models, rendered by real Blender, packed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from shapenet3d_cma.cli import run_command
from shapenet3d_cma.core.settings import config_hash
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.render.cameras import place_cameras
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.mesh.obj import read_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.render_file import write_render
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples
from shapenet3d_cma.tests.pictures import screenshots
from shapenet3d_cma.tests.waiting import PATIENCE

# machines differ in speed: no time limit on a drawn example; the same draws each time, so that red
# stays red
hypothesis.settings.register_profile("laws", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("laws")

CATEGORIES = "chair,lamp,mug,car"
RENDER = RenderConfig(views=6, size=80, samples=4)
PACK = PackConfig(points=256, shard_rows=3)


@pytest.fixture(scope="module", autouse=True)
def no_idle_workers() -> Iterator[None]:
    """End joblib's workers after each file: an idle one that ends by itself may lock the next call."""
    yield
    from joblib.externals.loky import reusable_executor

    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True)


LONG = {
    *("test_soak.py", "test_demo.py", "test_no_other_writer.py", "test_nothing_is_lost.py"),
    *("test_two_at_once.py", "test_cluster.py", "test_resumed_runs.py", "test_resume.py"),
}
"""Files that take a minute or more."""


@pytest.fixture(scope="session")
def shapenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of each of four categories."""
    out = tmp_path_factory.mktemp("world") / "shapenet"
    write_samples(out, SamplesConfig(per_category=2, categories=CATEGORIES))
    return out


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# what cannot run without a package that an installation may lack; CI has all, so there nothing is
# passed over
NEEDS = {
    "render/test_rendering.py": "bpy",
    "render/blender/test_scene.py": "bpy",
    "render/test_workers.py": "bpy",
    "render/test_resumed_runs.py": "bpy",
    "render/test_status.py": "bpy",
    "render/test_cluster.py": "bpy",
    "model/": "torch",
}
collect_ignore = (
    [] if os.environ.get("CI") else [name for name, package in NEEDS.items() if not has(package)]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long single tests first; pass over tests that need a package that is not installed."""
    # with several processes a long file that begins last would keep one of them busy alone
    items.sort(key=lambda item: item.path.name not in LONG)
    for item in items:
        for mark in item.iter_markers("needs"):
            missing = [package for package in mark.args if not has(package)]
            if missing and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=f"{missing[0]} is not installed"))


def render_without_blender(shapenet: Path, out: Path) -> None:
    """Write render files with ray-cast depth and made-up colour, for installations without Blender."""
    import open3d as o3d

    for model in find_models(shapenet):
        mesh = repair(read_obj(model.obj))
        scene = o3d.t.geometry.RaycastingScene()
        triangles = mesh.corners.reshape(-1, 3).astype(np.uint32)
        vertices = mesh.vertices.astype(np.float32)
        scene.add_triangles(
            o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(triangles)
        )
        cameras, views, colour = place_cameras(mesh.vertices, RENDER, model.key), [], {}
        for view, camera in enumerate(cameras):
            v, u = np.mgrid[: camera.height, : camera.width] + 0.5
            way = camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye
            rays = np.concatenate([np.broadcast_to(camera.eye, way.shape), way], axis=-1).astype(
                np.float32
            )
            hits = scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy()
            views.append(np.where(np.isfinite(hits), hits, np.float32(0)))
            grey = (255 - 100 * (views[-1] > 0)).astype(np.uint8)
            colour[view] = {"rgb": np.stack([grey, grey // 2 + 100, grey], axis=-1)}
        attributes = {
            "synset": model.synset,
            "model_id": model.model_id,
            "config": dataclasses.asdict(RENDER),
        }
        attributes |= {
            "config_hash": config_hash(RENDER),
            "repairs": {},
            "notes": [],
            "materials": [],
        }
        path = out / model.synset / f"{model.model_id}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_render(path, cameras, {"depth": np.stack(views)}, colour, attributes)
    settings = {"config_hash": config_hash(RENDER), "config": dataclasses.asdict(RENDER)}
    (out / "render.json").write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def renders(shapenet: Path) -> Path:
    """All of them rendered by two workers, all views in colour."""
    out = shapenet.parent / "renders"
    if not has("bpy"):
        render_without_blender(shapenet, out)
        return out
    summary = render_models(find_models(shapenet), out, RENDER, jobs=2)
    assert (summary.rendered, summary.failures) == (8, [])
    return out


@pytest.fixture(scope="session")
def shards(renders: Path) -> Path:
    """Packed, three rows a shard."""
    out = renders.parent / "shards"
    assert pack_renders(renders, out, PACK, jobs=1).rows == 8
    return out


@pytest.fixture(scope="session")
def cma3d() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, as a user does."""

    def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        line: Sequence[str] = [sys.executable, "-m", "shapenet3d_cma.cli", *map(str, words)]
        return subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | (env or {}),
            timeout=PATIENCE,
        )

    return run


@pytest.fixture
def cma3d_inside(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in this process: for refusals, where loading torch would be nearly all of the time."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        line = ["cma3d", *map(str, words)]
        monkeypatch.setattr(sys, "argv", line)
        capfd.readouterr()
        return subprocess.CompletedProcess(line, run_command(), *capfd.readouterr())

    return run


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BEGUN] = time.time()


BEGUN = pytest.StashKey[float]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the pictures of the pages lie, if any were made."""
    folder = screenshots(config)
    if any(path.stat().st_mtime >= config.stash[BEGUN] for path in folder.glob("*.png")):
        terminalreporter.write_line(f"pictures of the pages, as the browser showed them: {folder}")
