"""Placement of the cameras around an object."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera, Window
from ..core.errors import InputError
from ..core.files import random_stream
from ..core.untrusted import parse_json, read_plain_text
from ..core.wording import shorten
from .config import RenderConfig

__all__ = ["DIRECTIONS", "find_window", "load_view_file", "place_cameras"]

BLUR = 2  # pixels around the object that stay in its window; the widest pixel filter reaches 0.75
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
MOST_BYTES = 64 << 20  # of a view file
MOST_VIEWS = 65535
RANGES = {
    "azimuth": (-36000, 36000),
    "elevation": (-36000, 36000),
    "roll": (-36000, 36000),
    "distance": (0.01, 1000),
}
"""Ranges of the numbers of a view: degrees, and a factor on the fitted distance."""
FARTHEST = 1e9  # object units of a pose; beyond, no float32 of a point tells two pixels apart
FloatArray = NDArray[np.float64]


def place_cameras(vertices: FloatArray, config: RenderConfig, key: str) -> list[Camera]:
    """Place a set of cameras around an object.

    Each looks at the middle of the bounding box, from the distance at which the sphere around the
    object fits the frame with the configured margin (or from farther, by the jitter): nothing is
    cropped.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame, at least one
    config : cameras, views, size, aspect, fov, elevation, turn, margin, distance_jitter, roll and
        seed are used
    key : names the model; the same key and seed give the same cameras

    Returns
    -------
    cameras : `config.views` of them
    """
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = (
        float(np.linalg.norm(vertices - middle, axis=1).max()) or 1e-3
    )  # a single point still needs a distance
    # The sphere around the object fits the frame, with a margin.
    fit = config.margin * radius / math.sin(math.radians(config.fov) / 2)
    camera = Camera.from_fov(config.fov, config.width, config.size)
    # Cameras depend on these two alone
    rng = random_stream(f"{config.seed} {key}")
    turn = (
        2 * math.pi * rng.random()
    )  # drawn in any case, so that what follows does not depend on the setting
    if config.cameras == "file":
        views = _from_file(config)
    else:
        directions = DIRECTIONS[config.cameras](config, rng)
        views = [
            _View(direction) for direction in _about_up(directions, turn if config.turn else 0.0)
        ]
    cameras = []
    for view in views:
        if view.pose is not None:
            cameras.append(dataclasses.replace(camera, cam_from_obj=view.pose))
            continue
        # Both numbers are drawn for each view, also where the setting is 0.
        distance = fit * view.distance * (1 + config.distance_jitter * rng.random())
        roll = view.roll + config.roll * rng.uniform(-1, 1)
        cameras.append(_rolled(camera.look_at(middle + distance * view.direction, middle), roll))
    return cameras


def find_window(vertices: FloatArray, camera: Camera) -> Window:
    """Find the part of the image that holds all of the object.

    Outside nothing of the object is seen, and the pixel filter blurs nothing of it there.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame

    Returns
    -------
    window : the whole image where a vertex lies behind the camera, or the object beside the image
    """
    image_window = (0, 0, camera.width, camera.height)
    projection = (
        camera.intrinsics @ camera.cam_from_obj[:3]
    )  # as Camera.project, with vertices in columns: faster
    # Homogeneous pixels of all vertices, (3, V).
    image = projection[:, :3] @ vertices.T + projection[:, 3:]
    if not (image[2] > 0).all():
        return image_window
    # (2, V) pixels of the vertices, then the box around them.
    pixels = image[:2] / image[2]
    left, top = (max(math.floor(least) - BLUR, 0) for least in pixels.min(axis=1))
    right, bottom = (
        min(math.ceil(most) + BLUR, size)
        for most, size in zip(pixels.max(axis=1), image_window[2:], strict=True)
    )
    return (left, top, right, bottom) if left < right and top < bottom else image_window


# --- directions from the object to its cameras: unit vectors (views, 3), +Y up


def _on_band(height: FloatArray, azimuth: FloatArray) -> FloatArray:
    """Return unit vectors, (views, 3), at sines of elevation and at azimuths.

    The azimuth is in radians, from +Z towards +X.
    """
    across = np.sqrt(np.maximum(0, 1 - height**2))
    return np.stack([across * np.sin(azimuth), height, across * np.cos(azimuth)], axis=1)


def _band(config: RenderConfig, fraction: FloatArray) -> FloatArray:
    """Map [0, 1) to sines of elevation; equal steps cover equal areas."""
    low, high = np.sin(np.radians(config.elevation))
    return low + (high - low) * fraction


def _ring(config: RenderConfig, _: np.random.Generator) -> FloatArray:
    """Return directions in equal steps around the object, at one elevation.

    The elevation is the middle of the configured range.
    """
    height = np.full(config.views, math.sin(math.radians(sum(config.elevation) / 2)))
    return _on_band(height, 2 * math.pi * np.arange(config.views) / config.views)


def _fibonacci(config: RenderConfig, _: np.random.Generator) -> FloatArray:
    """Follow the golden spiral: even by area for any number of views."""
    step = np.arange(config.views)
    # Half a step from both ends: no camera stands on the edge of the band.
    return _on_band(_band(config, (step + 0.5) / config.views), GOLDEN_ANGLE * step)


def _hammersley(config: RenderConfig, rng: np.random.Generator) -> FloatArray:
    """Return the Hammersley set: low discrepancy, shifted at random per model."""
    step = np.arange(config.views)
    # Van der Corput's sequence: the 32 bits of each number, read backward.
    inverse = np.array([int(f"{index:032b}"[::-1], 2) / 2**32 for index in step])
    return _on_band(_band(config, (step / config.views + rng.random()) % 1), 2 * math.pi * inverse)


def _random(config: RenderConfig, rng: np.random.Generator) -> FloatArray:
    """Draw independent directions, even by area."""
    fraction, azimuth = rng.random((2, config.views))
    return _on_band(_band(config, fraction), 2 * math.pi * azimuth)


def _dodecahedron(_: RenderConfig, __: np.random.Generator) -> FloatArray:
    """Return the 20 corners of a regular dodecahedron; elevations follow from it."""
    golden = (1 + math.sqrt(5)) / 2
    # Eight corners of a cube, and twelve of three golden rectangles.
    signs = [(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    corners = [(a, b, c) for a, b in signs for c in (-1.0, 1.0)]
    corners += [corner for a, b in signs for corner in _cyclic(0, a / golden, b * golden)]
    return np.array(corners) / math.sqrt(3)


def _cyclic(x: float, y: float, z: float) -> list[tuple[float, float, float]]:
    return [(x, y, z), (z, x, y), (y, z, x)]


DIRECTIONS = {
    "fibonacci": _fibonacci,
    "ring": _ring,
    "hammersley": _hammersley,
    "random": _random,
    "dodecahedron": _dodecahedron,
}
"""Camera sets by name: (config, generator) -> (views, 3) float64 unit vectors from the object."""


def _about_up(directions: FloatArray, angle: float) -> FloatArray:
    """Turn directions about +Y."""
    cosine, sine = math.cos(angle), math.sin(angle)
    # Directions are rows, so the rotation stands on the right, transposed.
    return directions @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def _rolled(camera: Camera, degrees: float) -> Camera:
    """Turn a camera about its optical axis, degrees.

    The content of the image turns the other way.
    """
    if not degrees:
        return camera
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, sine, 0, 0], [-sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return dataclasses.replace(camera, cam_from_obj=turn @ camera.cam_from_obj)


# --- views from a file


@dataclasses.dataclass(frozen=True)
class _View:
    """One view: a direction, a factor on the fitted distance, a roll; or a pose."""

    direction: FloatArray
    distance: float = 1.0
    roll: float = 0.0
    pose: FloatArray | None = None


def load_view_file(config: RenderConfig) -> RenderConfig:
    """Replace a view file's name in the settings by its content.

    So the settings of a render state its views, also after the file has changed.

    The file is a JSON list, one entry a view: `{"azimuth": 30, "elevation": 20}` in degrees
    (azimuth from +Z towards +X), with `"distance"` (a factor on the fitted distance) and `"roll"`
    (degrees) as options; or `{"cam_from_obj": [[…], …]}`, 4x4.

    Raises
    ------
    InputError : the file cannot be read, or an entry is none of these
    """
    if not config.cameras.endswith(".json"):
        return config
    path = Path(config.cameras)
    text = read_plain_text(path, MOST_BYTES, "give a JSON file of views")
    try:
        entries = parse_json(text, most_depth=4, most_bytes=MOST_BYTES)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_VIEWS:
        raise InputError(
            f"{path} must hold a JSON list of views, 1 to {MOST_VIEWS:,} of them, for example "
            "[{'azimuth': 30, 'elevation': 20}]"
        )
    for number, entry in enumerate(entries):
        try:
            _check_view(entry)
        except ValueError as error:
            raise InputError(
                f"{path}: view {number} is {shorten(json.dumps(entry))}: {error}"
            ) from None
    return dataclasses.replace(
        config, cameras="file", views=len(entries), view_list=json.dumps(entries)
    )


def _check_view(entry: Any) -> None:
    """Check an entry of a view file.

    Raises
    ------
    ValueError : what is wrong with it
    """
    if not isinstance(entry, Mapping):
        raise ValueError("expected an object with azimuth and elevation, or with cam_from_obj")
    has_pose = "cam_from_obj" in entry
    unknown = sorted(set(entry) - ({"cam_from_obj"} if has_pose else set(RANGES)))
    if unknown:
        raise ValueError(f"unknown entry {shorten(unknown[0])}")
    if has_pose:
        _check_pose(entry["cam_from_obj"])
        return
    missing = [name for name in ("azimuth", "elevation") if name not in entry]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    for name, value in entry.items():
        low, high = RANGES[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}")


def _check_pose(rows: Any) -> None:
    """Check a 4x4 pose of JSON: finite, rotation, in reach."""
    if (
        not isinstance(rows, list)
        or not all(isinstance(row, list) for row in rows)
        or [*map(len, rows)] != [4] * 4
    ):
        raise ValueError("cam_from_obj must be 4 lists of 4 finite numbers")
    numbers = [number for row in rows for number in row]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise ValueError("cam_from_obj must be 4 lists of 4 finite numbers")
    if not all(abs(number) <= FARTHEST for number in numbers):
        raise ValueError(
            f"the numbers of cam_from_obj must be finite, and none beyond {FARTHEST:g}"
        )
    Camera(np.eye(3), np.array(rows, dtype=np.float64), 1, 1)


def _from_file(config: RenderConfig) -> list[_View]:
    return [_view(entry) for entry in json.loads(config.view_list)]


def _view(entry: dict[str, Any]) -> _View:
    if "cam_from_obj" in entry:
        return _View(np.zeros(3), pose=np.array(entry["cam_from_obj"], dtype=np.float64))
    elevation, azimuth = (math.radians(float(entry[name])) for name in ("elevation", "azimuth"))
    direction = _on_band(np.array([math.sin(elevation)]), np.array([azimuth]))[0]
    return _View(direction, float(entry.get("distance", 1)), float(entry.get("roll", 0)))
