from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.core.camera import Camera

finite = st.floats(-3, 3, allow_nan=False)
vectors = st.tuples(finite, finite, finite)
sizes = st.integers(8, 1000)


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Draw a camera: any pose, principal point, skew and image size."""
    width, height = draw(sizes), draw(sizes)
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


@given(cameras(), st.data(), st.floats(0.01, 100))
def test_a_cropped_camera_has_the_same_rays(
    camera: Camera, data: st.DataObject, depth: float
) -> None:
    left = data.draw(st.integers(0, camera.width - 1))
    top = data.draw(st.integers(0, camera.height - 1))
    right = data.draw(st.integers(left + 1, camera.width))
    bottom = data.draw(st.integers(top + 1, camera.height))
    assert camera.ray_from_pixel.shape == (3, 3)  # computed before: the crop has its own
    part = camera.crop((left, top, right, bottom))
    assert (part.width, part.height) == (right - left, bottom - top)
    assert np.allclose(
        part.ray_from_pixel, part.cam_from_obj[:3, :3].T @ np.linalg.inv(part.intrinsics)
    )
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


@given(sizes, sizes, st.floats(5, 150), vectors, st.floats(0.1, 100))
def test_x_points_right_y_down_and_z_forward(
    width: int, height: int, fov: float, point: tuple[float, float, float], depth: float
) -> None:
    """A camera that was not placed looks along +z of the object frame."""
    camera = Camera.from_fov(fov, width, height)
    x, y, _ = point
    uv, z = camera.project([x, y, depth])
    assert np.isclose(z, depth)
    for offset, value in ((uv[0] - width / 2, x), (uv[1] - height / 2, y)):
        assert np.isclose(offset, camera.intrinsics[0, 0] * value / depth)


@given(sizes, sizes, st.floats(1, 179))
def test_the_field_of_view_spans_the_shorter_side(width: int, height: int, fov: float) -> None:
    camera = Camera.from_fov(fov, width, height)
    edge = np.tan(np.radians(fov / 2))
    uv, _ = camera.project([edge, edge, 1])
    assert np.allclose(uv - [width / 2, height / 2], min(width, height) / 2)


@settings(max_examples=20)
@given(cameras(), st.data())
def test_an_image_of_depth_becomes_the_points_of_its_pixels(
    camera: Camera, data: st.DataObject
) -> None:
    camera = camera.crop((0, 0, min(camera.width, 12), min(camera.height, 9)))
    values = st.just(0.0) | st.floats(0.01, 100)
    depth = data.draw(hnp.arrays(np.float64, (camera.height, camera.width), elements=values))
    points, pixels = camera.unproject_image(depth)
    uv, z = camera.project(points)
    assert len(pixels) == np.count_nonzero(depth)
    assert np.allclose(uv, pixels + 0.5, atol=1e-6)
    assert np.allclose(z, depth[pixels[:, 1], pixels[:, 0]])


def test_a_camera_is_immutable() -> None:
    source = np.eye(4)
    camera = Camera(np.eye(3), source, 8, 8)
    with pytest.raises(ValueError, match="read-only"):
        camera.cam_from_obj[0, 0] = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        camera.width = 9  # type: ignore[misc]
    source[0, 3] = 5  # the camera keeps a copy of its arguments
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
def test_invalid_matrices_are_refused(
    k: np.ndarray, pose: np.ndarray, size: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Camera(k, pose, size, 8)


@given(cameras(), st.integers(0, 3), st.integers(0, 3), st.floats(1e-6, 10))
def test_any_change_that_bends_a_pose_is_refused(
    camera: Camera, row: int, column: int, change: float
) -> None:
    """A rotation with one changed element is no rotation; a translation may be anything."""
    pose = camera.cam_from_obj.copy()
    pose[row, column] += change if pose[row, column] >= 0 else -change
    if row < 3 and column == 3:
        assert np.array_equal(dataclasses.replace(camera, cam_from_obj=pose).cam_from_obj, pose)
        return
    if abs(camera.cam_from_obj[row, column]) < 0.9 and row < 3 and change < 1e-3:
        return  # a small change of a small element hardly changes the length of its row
    with pytest.raises(ValueError, match="rotation" if row < 3 else "last row"):
        dataclasses.replace(camera, cam_from_obj=pose)


@given(st.floats(-500, 500).filter(lambda fov: not 0 < fov < 180), vectors)
def test_impossible_views_are_refused(fov: float, eye: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="field of view"):
        Camera.from_fov(fov, 8, 8)
    with pytest.raises(ValueError, match="coincide"):
        Camera.from_fov(40, 8, 8).look_at(eye, eye)


@given(cameras(), st.integers(-3, 9), st.integers(-3, 9))
def test_an_empty_window_is_refused(camera: Camera, left: int, top: int) -> None:
    for window in ((left, top, left, top + 2), (left, top, left + 2, top - 1)):
        with pytest.raises(ValueError, match="is empty"):
            camera.crop(window)
