"""Two renders of a view from one scene: geometry without error, colour without aliasing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ...camera import Camera
from ..refine import refine_depth, seen_material, seen_normal, seen_position
from .materials import FACE, to_linear
from .scene import Scene

__all__ = ["render_colour", "render_geometry"]

_NOTHING = 1e10  # what Cycles writes as the depth of nothing
_FAR = 1e9


def render_geometry(scene: Scene, camera: Camera, scratch: Path) -> dict[str, NDArray[Any]]:
    """Render what can be measured at the pixel centres.

    Cycles takes such passes from the first sample alone, and the pixel filter decides where in the pixel that falls:
    a filter of width 0.01 puts it on the centre. Its float32 intersection still strays by up to 1e-4 on slivers, so
    Cycles only tells which face is seen, and the depth on that face is taken in float64: see `refine_depth`.

    Returns
    -------
    fields : depth (H, W) float32, planar z, object units, 0 = background; and as configured: normal (H, W, 3)
        float32, position (H, W, 3) float32, object frame, 0 = background; material (H, W) uint16, NO_MATERIAL =
        background
    """
    cycles, config = scene.scene.cycles, scene.config
    cycles.samples, cycles.filter_width, cycles.use_denoising = 1, 0.01, False
    cycles.use_adaptive_sampling = False
    scene.only_faces(True)
    further = [layer for wanted, layer in ((config.normals, "Normal"), (config.positions, "Position")) if wanted]
    channels = _render(scene, camera, scratch, "Depth", FACE, *further)
    depth = next(pixels for name, pixels in channels.items() if ".Depth." in name)
    hit = depth < _FAR
    number = next(pixels for name, pixels in channels.items() if f".{FACE}." in name)
    seen = np.where(hit, number, 0).astype(np.int64)
    depth, face = refine_depth(np.where(hit, depth, np.float32(0)), seen, scene.surface, camera)
    fields: dict[str, NDArray[Any]] = {"depth": depth}
    other = (face != seen) | (hit != (depth > 0))  # where Cycles saw another face
    for wanted, field, layer in ((config.normals, "normal", "Normal"), (config.positions, "position", "Position")):
        if wanted:
            axes = {name[-1]: pixels for name, pixels in channels.items() if f".{layer}." in name}
            fields[field] = np.where(hit[..., None], np.stack([axes[axis] for axis in "XYZ"], axis=-1), np.float32(0))
    if config.normals and other.any():
        fields["normal"][other] = seen_normal(depth, face, scene.surface, camera)[other]
    if config.positions and other.any():
        fields["position"][other] = seen_position(depth, camera)[other]
    if config.materials:
        fields["material"] = seen_material(depth, face, scene.surface, camera)
    return fields


def render_colour(scene: Scene, camera: Camera, scratch: Path) -> dict[str, NDArray[np.uint8]]:
    """Render the colour over the configured background.

    Light is put together linearly and shown by the sRGB curve alone (Blender's view transform `Standard`), so that
    an evenly lit texture keeps its colours.

    Returns
    -------
    fields : rgb (H, W, 3) uint8, sRGB; with a transparent background also alpha (H, W) uint8, and rgb is the colour
        of what covers the pixel alone
    """
    cycles, config = scene.scene.cycles, scene.config
    cycles.samples, cycles.filter_width, cycles.use_denoising = config.samples, 1.5, config.denoise
    cycles.use_adaptive_sampling = True
    scene.only_faces(False)
    combined = {name[-1]: pixels for name, pixels in _render(scene, camera, scratch, "Combined").items()}
    light = np.stack([combined[channel] for channel in "RGB"], axis=-1)  # (H, W, 3), multiplied by alpha
    alpha = np.clip(combined["A"], 0, 1)
    if config.background == "transparent":
        own = np.divide(light, alpha[..., None], out=np.zeros_like(light), where=alpha[..., None] > 0)
        return {"rgb": _display(own), "alpha": np.rint(alpha * 255).astype(np.uint8)}
    code = config.background
    behind = to_linear(tuple(int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)))
    return {"rgb": _display(light + (1 - alpha[..., None]) * behind)}


def _display(light: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn linear light into display values (sRGB), 8 bit."""
    light = np.clip(light, 0, 1)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(shown * 255).astype(np.uint8)


def _render(scene: Scene, camera: Camera, scratch: Path, *layers: str) -> dict[str, NDArray[np.float32]]:
    """Render a view; give the channels of some layers, (H, W) float32 each, by names such as `ViewLayer.Depth.Z`."""
    window = scene.aim(camera)
    path = scratch / "view.exr"
    scene.scene.render.filepath = str(path)
    begin = time.perf_counter()
    bpy.ops.render.render(write_still=True)
    scene.seconds += time.perf_counter() - begin
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {
            name: _whole(name, channel.pixels, window, camera)
            for name, channel in file.channels().items()
            if name.split(".")[-2] in layers
        }


def _whole(name: str, part: NDArray[np.float32], window: tuple[slice, slice], camera: Camera) -> NDArray[np.float32]:
    """Put the rendered part of a channel into an image (H, W) that is background elsewhere."""
    image = np.full((camera.height, camera.width), _NOTHING if ".Depth." in name else 0, dtype=np.float32)
    image[window] = part
    return image
