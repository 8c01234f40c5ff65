"""Two renders of a view from one scene: exact geometry, and antialiased colour."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.camera import Camera, Window
from ..cameras import find_window
from ..colour import linear_from_srgb, srgb_from_linear
from ..depth import NO_MATERIAL, refine_depth, seen_material, seen_normal, seen_position
from .materials import FACE
from .result import render_passes
from .scene import Scene

__all__ = ["render_colour", "render_geometry"]

_FAR = 1e9  # Cycles writes 1e10 as the depth of nothing


def render_geometry(scene: Scene, cameras: list[Camera]) -> dict[str, NDArray[Any]]:
    """Render what can be measured at the pixel centres.

    Cycles takes such passes from the first sample alone, and the pixel filter decides where in the
    pixel that falls: a filter of width 0.01 puts it on the centre. Its float32 intersection still
    strays by up to 1e-4 on slivers, so Cycles only tells which face is seen, and the depth on that
    face is taken in float64: see `refine_depth`.

    Parameters
    ----------
    cameras : V of them

    Returns
    -------
    fields : depth (V, H, W) float32, planar z, object units, 0 = background; and as configured:
        normal (V, H, W, 3) float32, position (V, H, W, 3) float32, object frame, 0 = background;
        material (V, H, W) uint16, NO_MATERIAL = background
    """
    cycles = scene.scene.cycles
    cycles.samples, cycles.filter_width, cycles.use_denoising = 1, 0.01, False
    cycles.use_adaptive_sampling = False
    scene.only_faces(True)
    # one kind of work after the other: between two renders the processor's caches are Blender's
    # each time
    windows = [find_window(scene.surface.vertices, camera) for camera in cameras]
    rendered = [
        _render(scene, camera, window) for camera, window in zip(cameras, windows, strict=True)
    ]
    # Each view's passes are let go when they are measured
    views = [
        _measure(scene, camera, window, rendered.pop(0))
        for camera, window in zip(cameras, windows, strict=True)
    ]
    return {name: np.stack([view[name] for view in views]) for name in views[0]}


def _measure(
    scene: Scene, camera: Camera, window: Window, passes: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """Return the fields of one view, (H, W, ...), from the rendered part of it."""
    # Nothing is seen outside
    config, part = scene.config, camera.crop(window)
    depth = passes["Depth"][..., 0]
    hit = depth < _FAR
    seen = np.where(hit, passes[FACE][..., 0], 0).astype(np.int64)
    depth, face = refine_depth(np.where(hit, depth, np.float32(0)), seen, scene.surface, part)
    fields: dict[str, NDArray[Any]] = {"depth": depth}
    # Where Cycles saw another face
    other = (face != seen) | (hit != (depth > 0))
    for enabled, field, layer in (
        (config.normals, "normal", "Normal"),
        (config.positions, "position", "Position"),
    ):
        if enabled:
            fields[field] = np.where(hit[..., None], passes[layer], np.float32(0))
    # Cycles' normal belongs to the face that Cycles saw, so the exact face's stands in.
    if config.normals and other.any():
        fields["normal"][other] = seen_normal(depth, face, scene.surface, part)[other]
    if config.positions and other.any():
        fields["position"][other] = seen_position(depth, part)[other]
    if config.materials:
        fields["material"] = seen_material(depth, face, scene.surface, part)
    return {
        name: _whole(values, window, camera, NO_MATERIAL if name == "material" else 0)
        for name, values in fields.items()
    }


def render_colour(scene: Scene, camera: Camera) -> dict[str, NDArray[np.uint8]]:
    """Render the colour over the configured background.

    Light is put together linearly and shown by the sRGB curve alone (Blender's view transform
    `Standard`), so that an evenly lit texture keeps its colours.

    Returns
    -------
    fields : rgb (H, W, 3) uint8, sRGB; with a transparent background also alpha (H, W) uint8, and
        rgb is the colour of what covers the pixel alone
    """
    cycles, config = scene.scene.cycles, scene.config
    cycles.samples, cycles.filter_width, cycles.use_denoising = config.samples, 1.5, config.denoise
    cycles.use_adaptive_sampling = True
    scene.only_faces(False)
    window = find_window(scene.surface.vertices, camera)
    passes = _render(scene, camera, window)
    light, alpha = (
        passes["Combined"][..., :3],
        np.clip(passes["Combined"][..., 3], 0, 1),
    )  # light times alpha
    if config.background == "transparent":
        own = np.divide(
            light, alpha[..., None], out=np.zeros_like(light), where=alpha[..., None] > 0
        )
        fields = {"rgb": _display(own), "alpha": np.rint(alpha * 255).astype(np.uint8)}
        return {name: _whole(values, window, camera, 0) for name, values in fields.items()}
    code = config.background
    plain = tuple(int(code[start : start + 2], 16) for start in (1, 3, 5))
    behind = linear_from_srgb(tuple(value / 255 for value in plain))
    return {"rgb": _whole(_display(light + (1 - alpha[..., None]) * behind), window, camera, plain)}


def _display(light: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn linear light into display values (sRGB), 8 bit."""
    return np.rint(srgb_from_linear(np.clip(light, 0, 1)) * 255).astype(np.uint8)


def _render(scene: Scene, camera: Camera, window: Window) -> dict[str, NDArray[np.float32]]:
    """Render a part of a view; return its passes, (h, w, channels) float32.

    The passes have Blender's names.
    """
    scene.aim(camera, window)
    begin = time.perf_counter()
    passes = render_passes()
    scene.seconds += time.perf_counter() - begin
    return passes


def _whole(
    part: NDArray[Any], window: Window, camera: Camera, outside: int | tuple[int, ...]
) -> NDArray[Any]:
    """Put a part of an image into the whole, (H, W, ...)."""
    image = np.full((camera.height, camera.width, *part.shape[2:]), outside, dtype=part.dtype)
    left, top, right, bottom = window
    image[top:bottom, left:right] = part
    return image
