from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.camera import Camera

finite = st.floats(-3, 3, allow_nan=False)
vectors = st.tuples(finite, finite, finite)


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Any camera of the field: any place, any direction, off-centre principal point, skew, oblong images."""
    width, height = draw(st.integers(8, 1000)), draw(st.integers(8, 1000))
    camera = Camera.from_fov(draw(st.floats(5, 150)), width, height)
    eye, target = np.array(draw(vectors)), np.array(draw(vectors))
    if np.linalg.norm(target - eye) < 1e-3:
        target = eye + np.array([0, 0, 1])
    camera = camera.look_at(
        eye, target, up=draw(st.sampled_from([(0, 1, 0), (1, 0, 0), (1, 2, 3)]))
    )
    change = np.zeros((3, 3))
    change[0, 1:] = draw(st.floats(-5, 5)), draw(st.floats(-50, 50))
    change[1, 2] = draw(st.floats(-50, 50))
    return dataclasses.replace(camera, intrinsics=camera.intrinsics + change)


@given(cameras(), st.floats(-500, 1500), st.floats(-500, 1500), st.floats(0.01, 100))
def test_project_undoes_unproject(camera: Camera, u: float, v: float, depth: float) -> None:
    uv, z = camera.project(camera.unproject([u, v], depth))
    assert np.allclose(uv, [u, v], atol=1e-6)
    assert np.isclose(z, depth, rtol=1e-9)


@given(cameras(), vectors)
def test_unproject_undoes_project(camera: Camera, point: tuple[float, float, float]) -> None:
    uv, depth = camera.project(point)
    if abs(depth) > 1e-3:
        assert np.allclose(camera.unproject(uv, depth), point, atol=1e-8)


@given(cameras(), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 100))
def test_a_part_of_the_image_has_the_same_rays(
    camera: Camera, x: float, y: float, depth: float
) -> None:
    left, top = int(x * (camera.width - 1)), int(y * (camera.height - 1))
    part = camera.crop((left, top, camera.width, camera.height))
    assert (part.width, part.height) == (camera.width - left, camera.height - top)
    assert np.allclose(
        part.unproject([1.5, 2.5], depth), camera.unproject([left + 1.5, top + 2.5], depth)
    )
    ray = camera.ray_from_pixel @ [left + 1.5, top + 2.5, 1]
    assert np.allclose(camera.eye + depth * ray, camera.unproject([left + 1.5, top + 2.5], depth))


@given(cameras())
def test_projection_is_equation_1(camera: Camera) -> None:
    """s [u, v, 1]^T = K [R | t] [x, y, z, 1]^T, written out."""
    point = camera.unproject([3.25, 7.5], 2.0)
    s_uv = camera.intrinsics @ camera.cam_from_obj[:3] @ [*point, 1]
    assert np.allclose(s_uv, [3.25 * 2, 7.5 * 2, 2])


@given(cameras())
def test_poses_are_inverse_and_proper(camera: Camera) -> None:
    assert np.allclose(camera.cam_from_obj @ camera.obj_from_cam, np.eye(4), atol=1e-12)
    assert np.isclose(np.linalg.det(camera.cam_from_obj[:3, :3]), 1)
    assert np.allclose(camera.cam_from_obj @ [*camera.eye, 1], [0, 0, 0, 1], atol=1e-12)


@given(vectors, vectors, st.floats(5, 150))
def test_look_at_puts_the_target_in_the_middle_and_up_upwards(
    eye: object, target: object, fov: float
) -> None:
    eye, target = np.array(eye), np.array(target)
    if np.linalg.norm(target - eye) < 1e-3:
        return
    camera = Camera.from_fov(fov, 224, 160).look_at(eye, target)
    uv, depth = camera.project(target)
    assert np.allclose(uv, [112, 80], atol=1e-6)
    assert np.isclose(depth, np.linalg.norm(target - eye))
    assert np.allclose(camera.eye, eye, atol=1e-9)
    if np.linalg.norm(np.cross(target - eye, [0, 1, 0])) > 1e-2:
        above, _ = camera.project(target + np.array([0, 1e-3, 0]))
        assert above[1] < uv[1]  # v counts downwards


def test_the_axes_are_opencvs() -> None:
    camera = Camera.from_fov(90, 100, 100)
    uv, depth = camera.project([[0.5, 0, 1], [0, 0.5, 1], [0, 0, 2]])
    assert np.allclose(uv, [[75, 50], [50, 75], [50, 50]])
    assert depth.tolist() == [1, 1, 2]


@pytest.mark.parametrize(("width", "height"), [(100, 50), (50, 100)])
def test_the_field_of_view_spans_the_shorter_side(width: int, height: int) -> None:
    camera = Camera.from_fov(60, width, height)
    edge = np.tan(np.radians(30))
    uv, _ = camera.project([edge, edge, 1])
    assert np.isclose(min(uv[0] - width / 2, uv[1] - height / 2), 25)


def test_it_cannot_be_changed() -> None:
    source = np.eye(4)
    camera = Camera(np.eye(3), source, 8, 8)
    with pytest.raises(ValueError, match="read-only"):
        camera.cam_from_obj[0, 0] = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        camera.width = 9  # type: ignore[misc]
    source[0, 3] = 5  # what it was made from is not part of it
    assert camera.cam_from_obj[0, 3] == 0


MIRROR = np.diag([-1.0, 1, 1, 1])
STRETCH = np.diag([1.001, 1, 1, 1])


@pytest.mark.parametrize(
    ("k", "pose", "size", "says"),
    [
        (np.eye(2), np.eye(4), 8, r"intrinsics must be a finite \(3, 3\)"),
        (np.eye(3), np.eye(4) * np.nan, 8, "cam_from_obj must be a finite"),
        (np.diag([1.0, -1, 1]), np.eye(4), 8, "positive focal"),
        (np.eye(3), MIRROR, 8, "rotation"),
        (np.eye(3), STRETCH, 8, "rotation"),
        (np.eye(3), np.eye(4) * 2, 8, "last row"),
        (np.eye(3), np.eye(4), 0, "size"),
    ],
)
def test_it_refuses_what_is_no_camera(
    k: np.ndarray, pose: np.ndarray, size: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Camera(k, pose, size, 8)


def test_it_refuses_an_impossible_view() -> None:
    with pytest.raises(ValueError, match="field of view"):
        Camera.from_fov(180, 8, 8)
    with pytest.raises(ValueError, match="coincide"):
        Camera.from_fov(40, 8, 8).look_at((1, 2, 3), (1, 2, 3))
