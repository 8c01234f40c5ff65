from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.camera import Camera
from shapenet3d_cma.render.obj import Mesh
from shapenet3d_cma.render.refine import refine_depth
from shapenet3d_cma.render.repair import repair

VIEW = Camera.from_fov(50, 16, 16).look_at((0, 0, 2), (0, 0, 0))


def plane(tilt: float, corners: int) -> Mesh:
    """One large polygon through the origin, tilted about x."""
    outline = {3: [(-9, -9), (9, -9), (0, 9)], 4: [(9, -9), (0, 9), (-9, -9), (0, -3)]}[corners]
    vertices = np.array([(x, y * np.cos(tilt), y * np.sin(tilt)) for x, y in outline])
    return Mesh(
        vertices, np.arange(corners), np.zeros((corners, 2)), np.array([0, corners]), np.zeros(1, dtype=int), ("a",)
    )


def true_depth(tilt: float) -> np.ndarray:
    """Depth of the plane y sin(tilt) = z cos(tilt), solved by hand for each pixel's ray."""
    v, u = np.mgrid[:16, :16] + 0.5
    direction = VIEW.unproject(np.stack([u, v], axis=-1), np.ones((16, 16))) - VIEW.eye
    normal = np.array([0, -np.sin(tilt), np.cos(tilt)])
    return (normal @ -VIEW.eye) / (direction @ normal)


@given(st.floats(-1, 1), st.integers(0, 1000))
def test_a_strayed_depth_is_put_right(tilt: float, seed: int) -> None:
    exact = true_depth(tilt)
    strayed = (exact + np.random.default_rng(seed).normal(scale=1e-3, size=exact.shape)).astype(np.float32)
    strayed[0, :3] = 0
    refined = refine_depth(strayed, np.zeros((16, 16), dtype=np.int64), repair(plane(tilt, 3)), VIEW)
    middle = np.s_[4:12, 4:12]  # inside the triangle for every tilt
    assert np.array_equal(refined[middle], exact[middle].astype(np.float32))
    assert not refined[0, :3].any()
    assert refined.dtype == np.float32


def test_a_ray_beside_its_triangle_keeps_the_given_depth() -> None:
    surface = repair(plane(0.0, 3))
    small = Camera.from_fov(170, 16, 16).look_at((0, 0, 2), (0, 0, 0))
    given_depth = np.full((16, 16), 2.5, np.float32)
    refined = refine_depth(given_depth, np.zeros((16, 16), dtype=np.int64), surface, small)
    assert refined[8, 8] == 2.0  # on the triangle
    assert refined[0, 0] == 2.5  # far beside it


def test_a_ray_that_just_misses_an_edge_takes_the_edge() -> None:
    """The plane is all but parallel to the rays: beside its edge it would be met far off."""
    eye_level = Camera.from_fov(50, 16, 16).look_at((0, 0, 2), (0, 0, 0))
    u, v, below = 8, 8, 1e-5
    way = eye_level.unproject([u + 0.5, v + 0.5], 1.0) - eye_level.eye
    edge = eye_level.eye + 2 * way + [0, -below, 0]  # the triangle's top edge passes just under the ray, at depth 2
    corners = edge + np.array([[-3, 0, 0], [3, 0, 0], [0, -0.02, 3]])
    surface = repair(Mesh(corners, np.arange(3), np.zeros((3, 2)), np.array([0, 3]), np.zeros(1, dtype=int), ("a",)))
    strayed = np.zeros((16, 16), np.float32)
    strayed[v, u] = 2.0003
    refined = refine_depth(strayed, np.zeros((16, 16), dtype=np.int64), surface, eye_level)
    assert abs(refined[v, u] - 2) < 1e-5


def test_polygons_keep_the_given_depth() -> None:
    given_depth = np.full((16, 16), 2.5, np.float32)
    surface = repair(plane(0.0, 4))
    assert np.diff(surface.starts).tolist() == [4]
    refined = refine_depth(given_depth, np.zeros((16, 16), dtype=np.int64), surface, VIEW)
    assert (refined == 2.5).all()
