"""Read a model of a format that trimesh reads, as doctor, worker and `verify --source` do."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import trimesh

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet.doctor import examine
from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.fuzz.models import check_words

__all__ = ["exported", "read_scene"]


def exported(kind: str) -> bytes:
    """Export a box in a format; what trimesh imports late it has imported then."""
    data = trimesh.creation.box().export(file_type=kind)
    data = data.encode() if isinstance(data, str) else data
    trimesh.load(io.BytesIO(data), file_type=kind)
    return bytes(data)


def read_scene(folder: Path, kind: str, data: bytes) -> None:
    """Read bytes within bounds; what the doctor calls fatal the worker fails at."""
    (folder / f"a.{kind}").write_bytes(data)
    with bounded(kind, data, inside=folder, mib=512):
        fatal = examine(Model("00000000", "a", folder, f"a.{kind}"), folder).fatal
        try:
            mesh, _, notes = read_model(folder, f"a.{kind}", folder)
            surface = repair(mesh)
        except ModelError as error:
            check_words(error)
            raise
        assert not fatal
        assert np.isfinite(surface.vertices).all()
        assert all(note.isprintable() for note in notes)
