"""Whatever an OBJ holds, doctor and render read it alike: within time and memory, to the same end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet.doctor import examine
from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import check_words, text

KEYWORDS = [
    "v",
    "v",
    "v",
    "f",
    "f",
    "vt",
    "vn",
    "usemtl",
    "mtllib",
    "l",
    "p",
    "o",
    "g",
    "s",
    "#",
    " v",
    "\tf",
    "",
]
SOUND = b"mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 1\nvt 0 0\nf 1/1 2/1 3/1\nf 2 3 4\nf 1 2 4 3\n"


def read_alike(folder: Path, data: bytes) -> None:
    """Read an OBJ as the doctor does, and as the worker does: fatal for the one is failed for the other."""
    (folder / "a.obj").write_bytes(data)
    model = Model("00000000", "a", folder, "a.obj")
    fatal = examine(model, folder).fatal
    try:
        mesh, _, _ = read_model(folder, "a.obj", folder)
        surface = repair(mesh)
        failed = not len(surface.front)
        assert np.isfinite(surface.vertices).all()
    except ModelError as error:
        failed = True
        check_words(error)
    assert fatal == failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("obj")


@fuzz
@given(data=text(KEYWORDS, SOUND))
def test_an_obj(folder: Path, data: bytes) -> None:
    with bounded("obj", data, inside=folder, mib=256):
        read_alike(folder, data)


@pytest.mark.parametrize("path", corpus("obj"), ids=lambda path: path.name)
def test_past_failures(folder: Path, path: Path) -> None:
    data = path.read_bytes()
    with bounded("obj", data, inside=folder):
        read_alike(folder, data)
