from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.views import place_cameras


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(10, 120), st.tuples(st.floats(-90, 90), st.floats(-90, 90)))
def test_nothing_is_cropped_and_the_box_centre_is_the_image_centre(
    seed: int, views: int, fov: float, elevation: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(30, 3)) * rng.random(3) + rng.normal(size=3)
    config = RenderConfig(views=views, size=64, fov=fov, elevation=(min(elevation), max(elevation)))
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    cameras = place_cameras(vertices, config, "a")
    assert len(cameras) == views
    for camera in cameras:
        uv, depth = camera.project(vertices)
        assert (depth > 0).all()
        assert (uv >= 0).all()
        assert (uv <= 64).all()
        assert np.allclose(camera.project(middle)[0], [32, 32])
        towards = camera.eye - middle
        angle = np.degrees(np.arcsin(towards[1] / np.linalg.norm(towards)))
        assert min(elevation) - 1e-4 <= angle <= max(elevation) + 1e-4


def test_seed_and_model_decide_the_cameras() -> None:
    vertices = np.eye(3)
    poses = {
        (seed, key): place_cameras(vertices, RenderConfig(views=3, seed=seed), key)[0].cam_from_obj
        for seed in (0, 1)
        for key in ("a", "b")
    }
    again = place_cameras(vertices, RenderConfig(views=3), "a")[0].cam_from_obj
    assert np.array_equal(again, poses[0, "a"])
    assert len({pose.tobytes() for pose in poses.values()}) == 4


def test_the_views_are_spread_out() -> None:
    config = RenderConfig(views=24, elevation=(-90, 90))
    eyes = np.array([camera.eye for camera in place_cameras(np.vstack([np.eye(3), -np.eye(3)]), config, "a")])
    eyes /= np.linalg.norm(eyes, axis=1, keepdims=True)
    assert np.abs(eyes.mean(axis=0)).max() < 0.05
    closest = np.arccos(np.sort(eyes @ eyes.T - 2 * np.eye(24), axis=1)[:, -1].clip(-1, 1))
    assert np.degrees(closest.min()) > 25
