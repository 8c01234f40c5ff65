"""Two procedural models of each category, and one of each fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples
from shapenet3d_cma.tests.samples.plain_obj import (
    COUNT,
    OBJ,
    Read,
    read_obj,
)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples") / "shapenet"
    write_samples(out, SamplesConfig(COUNT, seed=0, pathologies=True))
    return out


@pytest.fixture(scope="session")
def regular(samples: Path) -> dict[Path, Read]:
    models = [
        path for path in sorted(samples.glob("*/*")) if re.fullmatch("[0-9a-f]{32}", path.name)
    ]
    return {path: read_obj(path / OBJ) for path in models}
