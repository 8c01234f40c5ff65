from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render.cameras import find_window, load_view_file, place_cameras
from shapenet3d_cma.render.config import RenderConfig

SETS = ("fibonacci", "ring", "hammersley", "random", "dodecahedron")


@st.composite
def configs(draw: st.DrawFn) -> RenderConfig:
    cameras = draw(st.sampled_from(SETS))
    low, high = sorted((draw(st.floats(-90, 90)), draw(st.floats(-90, 90))))
    return RenderConfig(
        cameras=cameras,
        views=20 if cameras == "dodecahedron" else draw(st.integers(1, 40)),
        size=64,
        aspect=draw(st.sampled_from([0.5, 1.0, 1.6])),
        fov=draw(st.floats(10, 120)),
        elevation=(low, high),
        turn=draw(st.booleans()),
        distance_jitter=draw(st.sampled_from([0.0, 0.5])),
        roll=draw(st.sampled_from([0.0, 180.0])),
    )


@given(st.integers(0, 10**6), configs())
def test_nothing_is_cropped_and_the_box_centre_is_the_image_centre(
    seed: int, config: RenderConfig
) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(30, 3)) * rng.random(3) + rng.normal(size=3)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    cameras = place_cameras(vertices, config, "a")
    assert len(cameras) == config.views
    for camera in cameras:
        uv, depth = camera.project(vertices)
        assert (camera.width, camera.height) == (round(64 * config.aspect), 64)
        assert (depth > 0).all()
        assert (uv >= 0).all()
        assert (uv <= [camera.width, 64]).all()
        assert np.allclose(camera.project(middle)[0], [camera.width / 2, 32])
        towards = camera.eye - middle
        angle = np.degrees(np.arcsin(np.clip(towards[1] / np.linalg.norm(towards), -1, 1)))
        if config.cameras != "dodecahedron":
            assert config.elevation[0] - 1e-4 <= angle <= config.elevation[1] + 1e-4


@settings(max_examples=20)
@given(
    st.sampled_from(SETS),
    st.lists(st.tuples(st.text(), st.integers(0, 2**31)), min_size=2, max_size=5, unique=True),
)
def test_seed_and_key_alone_decide_the_cameras(cameras: str, names: list[tuple[str, int]]) -> None:
    config = RenderConfig(cameras=cameras, views=20, roll=10, distance_jitter=0.1)
    vertices = np.random.default_rng(0).normal(size=(9, 3))

    def poses(key: str, seed: int) -> bytes:
        placed = place_cameras(vertices, dataclasses.replace(config, seed=seed), key)
        return np.stack([camera.cam_from_obj for camera in placed]).tobytes()

    assert poses(*names[0]) == poses(*names[0])
    # the stream is drawn from "seed key": 1 and "a" are another stream than 11 and "a"
    assert len({poses(*name) for name in names}) == len(names)


@given(st.sampled_from(["ring", "fibonacci"]), st.integers(1, 30), st.text(), st.text())
def test_without_a_turn_all_models_have_the_same_cameras(
    cameras: str, views: int, key: str, other: str
) -> None:
    config = RenderConfig(cameras=cameras, views=views, turn=False)
    one, two = (place_cameras(np.eye(3), config, name) for name in (key, other))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.cam_from_obj, b.cam_from_obj)


def test_a_dodecahedron_is_regular() -> None:
    config = RenderConfig(cameras="dodecahedron", views=20)
    vertices = np.vstack([np.eye(3), -np.eye(3)])
    eyes = np.array([camera.eye for camera in place_cameras(vertices, config, "a")])
    eyes /= np.linalg.norm(eyes, axis=1, keepdims=True)
    angles = np.sort(np.degrees(np.arccos(np.clip(eyes @ eyes.T, -1, 1))), axis=1)
    assert np.allclose(angles, angles[0], atol=1e-4)
    assert np.allclose(angles[0, 1:4], 41.8103, atol=1e-3)


@given(st.floats(0.1, 180), st.text(), st.integers(0, 10**6))
def test_roll_turns_the_image_and_nothing_else(roll: float, key: str, seed: int) -> None:
    vertices = np.random.default_rng(seed).normal(size=(9, 3))
    straight, rolled = (RenderConfig(views=3, roll=value) for value in (0, roll))
    for a, b in zip(
        place_cameras(vertices, straight, key), place_cameras(vertices, rolled, key), strict=True
    ):
        assert np.allclose(a.eye, b.eye)
        assert np.allclose(a.cam_from_obj[2], b.cam_from_obj[2])
        cosine = a.cam_from_obj[0, :3] @ b.cam_from_obj[0, :3]
        assert 0 < np.degrees(np.arccos(np.clip(cosine, -1, 1))) <= roll + 1e-4


def test_views_from_a_file(tmp_path: Path) -> None:
    pose = Camera.from_fov(40, 8, 8).look_at((0, 0, 5), (0, 0, 0)).cam_from_obj.tolist()
    path = tmp_path / "views.json"
    above = {"azimuth": 0, "elevation": 90, "distance": 2}
    path.write_text(json.dumps([{"azimuth": 90, "elevation": 0}, above, {"cam_from_obj": pose}]))
    config = load_view_file(RenderConfig(cameras=str(path), views=7))
    assert config.views == 3
    vertices = np.vstack([np.eye(3), -np.eye(3)])
    east, top, given_pose = place_cameras(vertices, config, "a")
    assert np.allclose(east.eye / np.linalg.norm(east.eye), [1, 0, 0])
    assert np.allclose(top.eye, [0, 2 * np.linalg.norm(east.eye), 0])
    assert np.array_equal(given_pose.cam_from_obj, pose)


ANGLES = st.floats(-36000, 36000)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"azimuth": ANGLES, "elevation": ANGLES},
            optional={"distance": st.floats(0.01, 1000), "roll": ANGLES},
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_views_of_a_file_stand_at_their_angles_and_distances(
    tmp_path_factory: pytest.TempPathFactory, views: list[dict[str, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "views.json"
    path.write_text(json.dumps(views))
    config = load_view_file(RenderConfig(cameras=str(path), margin=1.0, fov=60))
    vertices = np.vstack([np.eye(3), -np.eye(3)])  # a sphere of radius sqrt(3) holds the box
    cameras = place_cameras(vertices, config, "a")
    assert len(cameras) == config.views == len(views)
    for view, camera in zip(views, cameras, strict=True):
        azimuth, elevation = np.radians(view["azimuth"]), np.radians(view["elevation"])
        # around the up axis, from +Z towards +X; at 60 degrees the distance is twice the radius
        direction = [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), 0]
        direction[2] = np.cos(azimuth) * np.cos(elevation)
        upside = np.cos(elevation) < 0  # beyond a pole: the height alone decides
        distance = np.linalg.norm(camera.eye)
        assert np.isclose(distance, 2 * view.get("distance", 1))
        assert np.isclose(camera.eye[1] / distance, direction[1], atol=1e-9)
        if not upside:
            assert np.allclose(camera.eye / distance, direction, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "cannot be read as JSON"),
        ("{}", "JSON list of views"),
        ("[]", "JSON list of views"),
        ('[{"azimuth": 3}]', "view 0 .*elevation"),
        ('[{"azimuth": 3, "elevation": 1, "zoom": 2}]', "view 0 .*zoom"),
        ('[{"cam_from_obj": [[1, 0], [0, 1]]}]', "view 0 .*finite"),
        ("[7]", "view 0"),
    ],
)
def test_bad_view_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "views.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_view_file(RenderConfig(cameras=str(path)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cameras": "spiral"}, "cameras must be one of fibonacci, ring"),
        ({"cameras": "dodecahedron"}, "views must be 20, got 24"),
        ({"background": "#12345"}, "#rrggbb or transparent"),
        ({"elevation": (3.0, 2.0)}, "rising angles"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RenderConfig(**settings)


@given(st.integers(0, 10**6), st.floats(1, 5), st.floats(5, 150), st.sampled_from([0.0, 0.5]))
def test_the_distance_is_the_margin_times_the_fitting_one(
    seed: int, margin: float, fov: float, jitter: float
) -> None:
    vertices = np.random.default_rng(seed).normal(size=(9, 3))
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = np.linalg.norm(vertices - middle, axis=1).max()
    fit = margin * radius / np.sin(np.radians(fov / 2))
    config = RenderConfig(views=3, margin=margin, fov=fov, distance_jitter=jitter)
    for camera in place_cameras(vertices, config, "a"):
        distance = np.linalg.norm(camera.eye - middle)
        assert fit * (1 - 1e-9) <= distance <= fit * (1 + jitter + 1e-9)


def test_the_views_are_spread_out() -> None:
    config = RenderConfig(views=24, elevation=(-90, 90))
    eyes = np.array(
        [camera.eye for camera in place_cameras(np.vstack([np.eye(3), -np.eye(3)]), config, "a")]
    )
    eyes /= np.linalg.norm(eyes, axis=1, keepdims=True)
    assert np.abs(eyes.mean(axis=0)).max() < 0.05
    closest = np.arccos(np.sort(eyes @ eyes.T - 2 * np.eye(24), axis=1)[:, -1].clip(-1, 1))
    assert np.degrees(closest.min()) > 25


@given(st.integers(0, 10**6), st.floats(0.05, 4))
def test_the_visible_part_of_an_object_lies_in_its_window(seed: int, distance: float) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-1, 1, size=(9, 3)) * rng.random(3)
    eye = rng.normal(size=3)
    camera = Camera.from_fov(50, 90, 60).look_at(
        distance * eye / np.linalg.norm(eye), rng.uniform(-1, 1, 3)
    )
    left, top, right, bottom = find_window(vertices, camera)
    assert 0 <= left < right <= 90
    assert 0 <= top < bottom <= 60
    weights = rng.dirichlet(np.full(9, 0.2), size=500)  # points of the hull, many near its edges
    uv, depth = camera.project(weights @ vertices)
    shown = (depth > 0) & (uv >= 0).all(axis=1) & (uv < [90, 60]).all(axis=1)
    assert (np.floor(uv[shown]) >= [left, top]).all()
    assert (np.floor(uv[shown]) < [right, bottom]).all()


def test_a_window_is_small_with_room_for_the_pixel_filter() -> None:
    camera = Camera.from_fov(90, 100, 100).look_at(
        [0, 0, 2], [0, 0, 0]
    )  # 25 pixels a unit at the origin
    assert find_window(np.array([[-0.99, -0.49, 0], [0.99, 0.49, 0]]), camera) == (23, 35, 77, 65)
    assert find_window(np.array([[0, 0, 0], [0, 0, 3.0]]), camera) == (
        0,
        0,
        100,
        100,
    )  # one is behind it
    assert find_window(np.array([[9, 9, 0.0]]), camera) == (0, 0, 100, 100)  # beside the image
