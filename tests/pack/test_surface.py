"""Distances to the source mesh: exact in float64, and never outside the given source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.surface import SourceMesh, distance_to_mesh, read_mesh, source_mesh


def test_points_off_the_surface_are_measured(shards: Path, shapenet: Path) -> None:
    row = Shards(shards)[0]
    mesh = read_mesh(shapenet / row["synset"] / row["model_id"] / "models" / "model_normalized.obj")
    assert distance_to_mesh(row["points"], mesh, row["cam_from_obj"]).max() <= 1e-5
    towards_camera = row["cam_from_obj"][2, :3] * -0.5
    away = (row["points"] + towards_camera).astype(np.float32)
    assert distance_to_mesh(away, mesh, row["cam_from_obj"]).min() > 1e-3


def mesh_of(path: Path, *triangles: object) -> SourceMesh:
    corners = np.array(triangles, dtype=float).reshape(-1, 3)
    faces = [f"f {first} {first + 1} {first + 2}" for first in range(1, len(corners), 3)]
    path.write_text("\n".join([*(f"v {x} {y} {z}" for x, y, z in corners), *faces]) + "\n")
    return read_mesh(path)


@pytest.mark.parametrize("silent", ["compute_closest_points", "cast_rays"])
def test_the_nearest_triangle_and_the_one_on_the_ray_both_count(
    tmp_path: Path, silent: str
) -> None:
    """Either finds the point's own triangle where the other names a wrong one."""
    near, far = [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, -9], [1, 0, -9], [0, 1, -9]]
    mesh = mesh_of(tmp_path / "a.obj", near, far)

    class Scene:
        """Open3D's, but that one of its answers is the far triangle."""

        INVALID_ID = mesh.scene.INVALID_ID

        def __getattr__(self, name: str) -> Any:
            answer = getattr(mesh.scene, name)
            if name != silent:
                return answer
            return lambda rays: {"primitive_ids": answer(rays)["primitive_ids"] * 0 + 1}

    points = np.array([[0.2, 0.3, 0]], dtype=np.float32)
    pose = Camera.from_fov(40, 8, 8).look_at(eye=(0.2, 0.3, 5), target=(0.2, 0.3, 0)).cam_from_obj
    wrong = SourceMesh(mesh.triangles, Scene())
    assert distance_to_mesh(points, wrong, pose).max() <= 1e-6


def test_no_name_leads_out_of_the_source(shapenet: Path) -> None:
    model = next(shapenet.glob("0*/*"))
    inside = f"{model.parent.name}/{model.name}"
    assert source_mesh(shapenet, model.parent.name, model.name).triangles.size
    for synset, name in (
        ("..", f"{shapenet.name}/{inside}"),
        (str(model.parent), model.name),
        ("x", f"../{inside}"),
    ):
        with pytest.raises(InputError, match="no model"):
            source_mesh(shapenet, synset, name)


COORDINATE = st.floats(-1, 1)
SHARE = st.floats(0.05, 1)


@settings(max_examples=30)
@given(
    hnp.arrays(np.float64, (3, 3), elements=COORDINATE),
    st.tuples(SHARE, SHARE, SHARE),
    st.floats(-0.2, 0.2),
)
def test_the_distance_of_a_point_over_a_triangle_is_its_height(
    tmp_path_factory: pytest.TempPathFactory,
    triangle: NDArray[np.float64],
    shares: tuple[float, float, float],
    height: float,
) -> None:
    normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    assume(np.linalg.norm(normal) > 0.05)
    normal /= np.linalg.norm(normal)
    mesh = mesh_of(tmp_path_factory.getbasetemp() / "triangle.obj", triangle)
    inside = np.average(triangle, axis=0, weights=shares)
    point = (inside + height * normal).astype(np.float32)[None]
    pose = Camera.from_fov(40, 8, 8).look_at(eye=(3, 4, 5), target=(0, 0, 0)).cam_from_obj
    expected = abs((point[0].astype(np.float64) - triangle[0]) @ normal)
    assert distance_to_mesh(point, mesh, pose)[0] == pytest.approx(expected, abs=1e-9)
