"""A small world, rendered without disturbance: what disturbed runs are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples
from shapenet3d_cma.tests.render.long_runs import CONFIG


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write eight small models."""
    out = tmp_path_factory.mktemp("running") / "shapenet"
    write_samples(out, SamplesConfig(per_category=2, categories="mug,lamp,chair,bed"))
    return out


@pytest.fixture(scope="session")
def unbroken(world: Path) -> Path:
    """Render all of them without any disturbance."""
    out = world.parent / "unbroken"
    assert render_models(find_models(world), out, CONFIG, jobs=2).rendered == 8
    return out
