"""One small world for all tests: procedural models, rendered by real Blender, packed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import pytest

from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.run import pack_renders
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.run import render_models
from shapenet3d_cma.render.samples.config import SamplesConfig
from shapenet3d_cma.render.samples.write import write_samples
from shapenet3d_cma.render.shapenet import find_models

# machines differ in speed: no time limit on a drawn example; the same draws each time, so that red stays red
hypothesis.settings.register_profile("laws", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("laws")

CATEGORIES = "chair,lamp,mug,car"
RENDER = RenderConfig(views=6, size=80, samples=4)
PACK = PackConfig(points=256, shard_rows=3)


@pytest.fixture(scope="session")
def shapenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of each of four categories."""
    out = tmp_path_factory.mktemp("world") / "shapenet"
    write_samples(out, SamplesConfig(per_category=2, categories=CATEGORIES))
    return out


@pytest.fixture(scope="session")
def renders(shapenet: Path) -> Path:
    """All of them rendered by two workers, all views in colour."""
    out = shapenet.parent / "renders"
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
            line, capture_output=True, text=True, check=False, env=os.environ | (env or {}), timeout=300
        )

    return run
