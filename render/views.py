"""Where the cameras stand."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from .config import RenderConfig

__all__ = ["place_cameras"]

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def place_cameras(vertices: NDArray[np.float64], config: RenderConfig, key: str) -> list[Camera]:
    """Place cameras around an object: a Fibonacci lattice over a band of elevations, turned at random per model.

    Each camera looks at the middle of the bounding box from the distance at which the sphere around it fits the
    frame, so nothing is cropped and the whole object counts alike in every view.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame, at least one
    config : views, size, fov, elevation, margin and seed are used
    key : names the model; the same key and seed give the same cameras

    Returns
    -------
    cameras : `config.views` of them
    """
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max()) or 1e-3  # a single point still needs a distance
    distance = config.margin * radius / math.sin(math.radians(config.fov) / 2)
    camera = Camera.from_fov(config.fov, config.size, config.size)
    directions = _directions(config.views, config.elevation, turn=_fraction(config.seed, key))
    return [camera.look_at(middle + distance * direction, middle) for direction in directions]


def _directions(count: int, elevation: tuple[float, float], *, turn: float) -> NDArray[np.float64]:
    """Spread `count` unit vectors evenly by area over a band of elevations; +Y is up. (count, 3) float64."""
    low, high = np.sin(np.radians(elevation))
    step = np.arange(count)
    height = low + (high - low) * (step + 0.5) / count
    azimuth = GOLDEN_ANGLE * step + 2 * math.pi * turn
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.sin(azimuth), height, across * np.cos(azimuth)], axis=1)


def _fraction(seed: int, key: str) -> float:
    """Give a number in [0, 1) that only seed and key decide, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:6], "big") / 2**48
