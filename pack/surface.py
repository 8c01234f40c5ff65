"""Distances from stored points to the CAD model of their render.

The mesh is read by trimesh, not by the reader used for rendering, so that a fault of that reader
shows. The project's own reader is used only if trimesh fails, as on a face index out of range.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError, ModelError
from ..core.scratch import Scratch
from ..render.mesh.bounds import in_reach, mesh_path, read_mesh_bytes
from ..render.mesh.load import load_geometries
from ..render.mesh.obj import Mesh, check_obj, parse_obj
from ..render.shapenet.listing import fetch, source_model
from ..render.shapenet.selection import Layout

__all__ = ["SourceMesh", "distance_to_mesh", "read_mesh", "source_mesh"]

# factor on triangles seen from a point: trimesh's tolerances are absolute and would take small
# triangles for slivers
_SCALE = 1e3
# share of a ray's length, before and behind its point, within which its triangles count
_RAY_REACH = 1e-3


@dataclass(frozen=True)
class SourceMesh:
    """A source model: triangles (T, 3, 3) float64, object frame; Open3D's scene."""

    triangles: NDArray[np.float64]
    scene: Any


@lru_cache(maxsize=1)  # rows of one model are neighbours
def source_mesh(source: Path, synset: str, model_id: str, layout: Layout = "auto") -> SourceMesh:
    """Read the mesh of a model from a ShapeNet folder or zip.

    Raises
    ------
    InputError : the model does not exist, or its mesh cannot be read or holds no triangle
    """
    model = source_model(source, synset, model_id, layout)
    with Scratch() as scratch:
        try:
            folder, _ = fetch(model, scratch.path)
            if model.file.lower().endswith(".obj"):
                return read_mesh(mesh_path(folder, model.file))
            parts = load_geometries(folder, model.file)
        except ModelError as error:
            raise InputError(f"{model.key} of {source}: {error}") from None
    triangles = [
        np.asarray(part.vertices, dtype=np.float64)[np.asarray(part.faces)] for part in parts
    ]
    return _scene(np.concatenate([*triangles, np.zeros((0, 3, 3))]), model.key)


def read_mesh(path: Path) -> SourceMesh:
    """Read the triangles of an OBJ whose vertices are finite.

    Raises
    ------
    InputError : it cannot be read, or holds no triangle
    """
    import trimesh

    try:
        data = read_mesh_bytes(path)
        check_obj(data)
    except ModelError as error:
        raise InputError(f"{path}: {error}; check the file") from None
    try:
        mesh = trimesh.load(
            io.BytesIO(data), file_type="obj", force="mesh", process=False, skip_materials=True
        )
        triangles = np.asarray(mesh.vertices, dtype=np.float64)[np.asarray(mesh.faces)]
    except Exception:  # trimesh raises whatever its parsers meet
        triangles = _fan(parse_obj(data))
    return _scene(triangles, str(path))


def _scene(triangles: NDArray[np.float64], name: str) -> SourceMesh:
    import open3d as o3d

    triangles = triangles[in_reach(triangles.reshape(-1, 9))].reshape(-1, 3, 3)
    if not len(triangles):
        raise InputError(f"{name} holds no triangle")
    scene = o3d.t.geometry.RaycastingScene()
    corners = np.arange(3 * len(triangles), dtype=np.uint32).reshape(-1, 3)
    vertices = triangles.reshape(-1, 3).astype(np.float32)
    scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(corners))
    return SourceMesh(triangles, scene)


def _fan(mesh: Mesh) -> NDArray[np.float64]:
    """Split faces into triangles from their first corners: (T, 3, 3) float64.

    Faces that the project's own reader refuses are left out.
    """
    # for each triangle the first corner of its face, and its number within the face: (T,) each
    first = np.repeat(mesh.starts[:-1], np.maximum(mesh.sizes - 2, 0))
    step = np.arange(len(first)) - np.repeat(
        np.cumsum(mesh.sizes - 2) - (mesh.sizes - 2), mesh.sizes - 2
    )
    return mesh.vertices[
        mesh.corners[np.stack([first, first + step + 1, first + step + 2], axis=1)]
    ]


def distance_to_mesh(
    points: NDArray[np.float32], mesh: SourceMesh, cam_from_obj: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Measure the distance of points to the source mesh.

    Open3D works in float32 and is off by up to 2e-5 beside slivers. So it only names triangles, the
    nearest one and those that the point's own camera ray meets close by, and the distance to them
    is taken in float64. Each is an upper bound of the true distance; the smallest counts.

    Parameters
    ----------
    points : (M, 3) float32, object frame
    cam_from_obj : (4, 4) float64, the pose of the camera that saw them

    Returns
    -------
    distance : (M,) float64, object units
    """
    import open3d as o3d
    from trimesh.triangles import closest_point

    # candidate pairs of point and triangle: the nearest triangle of each point (P,) ...
    exact = points.astype(np.float64)
    all_points = np.arange(len(points))
    nearest = mesh.scene.compute_closest_points(o3d.core.Tensor.from_numpy(points))[
        "primitive_ids"
    ].numpy()
    # ... and the triangles that the ray from the camera's eye meets near the point
    eye = -cam_from_obj[:3, :3].T @ cam_from_obj[:3, 3]
    rays = np.concatenate([np.broadcast_to(eye, exact.shape), exact - eye], axis=1).astype(
        np.float32
    )
    met = mesh.scene.list_intersections(o3d.core.Tensor.from_numpy(rays))
    near = np.abs(met["t_hit"].numpy() - 1) < _RAY_REACH  # the ray is at its point at t = 1
    # float64 distance of each pair; the smallest of each point counts
    distance = np.full(len(points), np.inf)
    for point, triangle in (
        (all_points, nearest),
        (met["ray_ids"].numpy()[near], met["primitive_ids"].numpy()[near]),
    ):
        # (N, 3, 3) triangles with the point as origin, enlarged; then (N,) distances
        corners = (mesh.triangles[triangle] - exact[point][:, None]) * _SCALE
        gaps = np.linalg.norm(closest_point(corners, np.zeros((len(corners), 3))), axis=1) / _SCALE
        np.minimum.at(distance, point, gaps)
    return distance
