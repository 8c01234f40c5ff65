from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.reconstruct.normals import depth_normals

CAMERA = Camera.from_fov(40, 48, 32).look_at(eye=(1, 1.2, 2), target=(0.1, 0, 0))


def rays(camera: Camera) -> NDArray[np.float64]:
    """Return the vectors from the eye to the pixel centres at depth 1, (H, W, 3)."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    return camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye


def angles(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return angles between unit vectors, degrees, exact for small ones."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(one - two, axis=-1) / 2, 0, 1)))


def plane_depth(normal: NDArray[np.float64], camera: Camera) -> NDArray[np.float32]:
    """Return the depth of a plane through the origin.

    It is 0 where a ray meets the plane behind the camera, at a grazing angle or far away.
    """
    facing = rays(camera) @ normal
    with np.errstate(divide="ignore"):
        depth = -(camera.eye @ normal) / facing
    return np.where((depth > 0) & (depth < 20) & (np.abs(facing) > 0.05), depth, 0).astype(
        np.float32
    )


directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda way: np.linalg.norm(way) > 0.1)


@given(directions)
def test_each_pixel_of_a_plane_has_its_normal(way: tuple[float, float, float]) -> None:
    normal = np.array(way) / np.linalg.norm(way)
    depth = plane_depth(normal, CAMERA)
    found = depth_normals(depth, CAMERA)
    towards = -np.sign(rays(CAMERA) @ normal)[..., None] * normal
    known = (found != 0).any(axis=-1)
    assert not found[depth == 0].any()
    assert (
        known.sum() >= (depth > 0).sum() - 4
    )  # a corner pixel may stand alone in its row or column
    if known.any():
        assert angles(found, towards)[known].max() < 0.05
        assert np.abs(np.linalg.norm(found, axis=-1)[known] - 1).max() < 1e-6


@settings(max_examples=12)
@given(st.floats(0.3, 1.2), st.floats(0.5, 1.5))
def test_steps_and_edges_are_not_mixed_in(turn: float, height: float) -> None:
    """A cube before a far wall: each pixel has one of four normals, also beside edges."""
    eye = (2.2 * np.sin(turn), height, 2.2 * np.cos(turn))
    camera = Camera.from_fov(40, 96, 96).look_at(eye, target=(0, 0, 0))
    way = rays(camera)
    with np.errstate(divide="ignore"):
        near, far = np.sort(np.stack([(-0.4 - camera.eye) / way, (0.4 - camera.eye) / way]), axis=0)
    hit = near.max(axis=-1) < far.min(axis=-1)
    axis = near.argmax(axis=-1)
    wall = -(camera.eye @ camera.cam_from_obj[2, :3] - 3) / (way @ camera.cam_from_obj[2, :3])
    depth = np.where(hit, near.max(axis=-1), wall).astype(np.float32)
    faces = np.eye(3)[axis] * np.sign(camera.eye)
    true = np.where(hit[..., None], faces, -camera.cam_from_obj[2, :3])
    wrong = angles(depth_normals(depth, camera), true) > 1
    assert wrong.sum() <= 40  # in the tips of faces, where no three pixels in a row lie on one


@settings(max_examples=8)
@given(st.floats(0.3, 0.7), st.floats(0, 6), st.floats(-1, 1))
def test_a_sphere_is_round(radius: float, turn: float, height: float) -> None:
    eye = 2.5 * np.array([np.sin(turn), height, np.cos(turn)])
    camera = Camera.from_fov(40, 112, 112).look_at(eye, target=(0, 0, 0))
    way = rays(camera)
    a, b = (way**2).sum(axis=-1), way @ camera.eye
    root = b**2 - a * (camera.eye @ camera.eye - radius**2)
    depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)
    true = (camera.eye + way * depth[..., None]) / radius
    off = angles(depth_normals(depth, camera), true)
    # near the outline the surface turns away within a pixel
    facing = -(true * way).sum(axis=-1) / np.linalg.norm(way, axis=-1)
    assert off[(depth > 0) & (facing > 0.5)].max() < 2
    assert np.median(off[depth > 0]) < 0.5


@given(st.integers(0, 31), st.integers(0, 43), st.integers(1, 4), st.floats(0.5, 4), st.booleans())
def test_a_pixel_without_a_neighbour_in_its_row_or_column_has_no_normal(
    row: int, column: int, length: int, value: float, upright: bool
) -> None:
    """A single pixel, or a line of them."""
    depth = np.zeros((32, 48), dtype=np.float32)
    if upright:
        depth[row : row + length, column] = value
    else:
        depth[row, column : column + length] = value
    assert not depth_normals(depth, CAMERA).any()
