from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.reconstruct.normals import depth_normals

CAMERA = Camera.from_fov(40, 48, 32).look_at(eye=(1, 1.2, 2), target=(0.1, 0, 0))


def rays(camera: Camera) -> NDArray[np.float64]:
    """(H, W, 3) the way from the eye to each pixel's centre at depth 1."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    return camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye


def angles(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    """Angles between unit vectors, degrees, exact for small ones."""
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(one - two, axis=-1) / 2, 0, 1)))


def plane_depth(normal: NDArray[np.float64], camera: Camera) -> NDArray[np.float32]:
    """Depth of the plane through the origin; 0 where a ray meets it behind the camera, too flatly, or far away."""
    facing = rays(camera) @ normal
    with np.errstate(divide="ignore"):
        depth = -(camera.eye @ normal) / facing
    return np.where((depth > 0) & (depth < 20) & (np.abs(facing) > 0.05), depth, 0).astype(
        np.float32
    )


directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda way: np.linalg.norm(way) > 0.1)


@given(directions)
def test_the_normal_of_a_plane_is_found_everywhere(way: tuple[float, float, float]) -> None:
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


def test_steps_and_edges_are_not_mixed_in() -> None:
    """A cube before a far wall: every pixel shows one of four normals, also right beside edges and the outline."""
    camera = Camera.from_fov(40, 96, 96).look_at(eye=(1, 1.2, 2), target=(0, 0, 0))
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
    assert wrong.sum() <= 20  # in the tips of faces, where no three pixels in a row lie on one


def test_a_sphere_is_round() -> None:
    camera = Camera.from_fov(40, 224, 224).look_at(eye=(1, 1.2, 2), target=(0, 0, 0))
    way, radius = rays(camera), 0.5
    a, b = (way**2).sum(axis=-1), way @ camera.eye
    root = b**2 - a * (camera.eye @ camera.eye - radius**2)
    depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)
    points = camera.eye + way * depth[..., None]
    off = angles(depth_normals(depth, camera), points / radius)[depth > 0]
    assert np.median(off) < 0.05
    assert np.quantile(off, 0.99) < 3  # at the outline, where the surface turns away within a pixel


def test_a_pixel_that_stands_alone_has_no_normal() -> None:
    depth = np.zeros((32, 48), dtype=np.float32)
    depth[5, 7], depth[20, 10:14] = 1, 2
    assert not depth_normals(depth, CAMERA).any()
