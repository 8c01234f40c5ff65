"""Two renders of a view from one scene: geometry without error, colour without aliasing."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ...camera import Camera
from ..refine import refine_depth
from .scene import FACE, Scene, to_linear

__all__ = ["render_colour", "render_depth"]

_FAR = 1e9  # Cycles writes 1e10 where nothing is hit


def render_depth(scene: Scene, camera: Camera, scratch: Path) -> NDArray[np.float32]:
    """Render the depth at the pixel centres.

    Cycles takes depth from the first sample alone, and the pixel filter decides where in the pixel that falls: a
    filter of width 0.01 puts it on the centre. Its float32 intersection still strays by up to 1e-4 on slivers, so
    Cycles only tells which face is seen, and the depth on that face is taken in float64: see `refine_depth`.

    Returns
    -------
    depth : (H, W) float32, planar z, object units, 0 = background
    """
    cycles = scene.scene.cycles
    cycles.samples, cycles.filter_width, cycles.use_denoising = 1, 0.01, False
    channels = _render(scene, camera, scratch)
    depth = next(pixels for name, pixels in channels.items() if ".Depth." in name)
    face = next(pixels for name, pixels in channels.items() if f".{FACE}." in name)
    hit = depth < _FAR
    depth = np.where(hit, depth, np.float32(0))
    return refine_depth(depth, np.where(hit, face, 0).astype(np.int64), scene.surface, camera)


def render_colour(scene: Scene, camera: Camera, scratch: Path) -> NDArray[np.uint8]:
    """Render the colour over the configured background.

    Light is put together linearly and shown by the sRGB curve alone (Blender's view transform `Standard`), so that
    an evenly lit texture keeps its colours.

    Returns
    -------
    rgb : (H, W, 3) uint8, sRGB
    """
    cycles = scene.scene.cycles
    cycles.samples, cycles.filter_width, cycles.use_denoising = scene.config.samples, 1.5, scene.config.denoise
    channels = _render(scene, camera, scratch)
    combined = {name[-1]: pixels for name, pixels in channels.items() if ".Combined." in name}
    rgb = np.stack([combined[channel] for channel in "RGB"], axis=-1)  # (H, W, 3), multiplied by alpha
    code = scene.config.background
    behind = to_linear(tuple(int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)))
    light = np.clip(rgb + (1 - combined["A"][..., None]) * behind, 0, 1)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(shown * 255).astype(np.uint8)


def _render(scene: Scene, camera: Camera, scratch: Path) -> dict[str, NDArray[np.float32]]:
    """Render a view; give its channels, (H, W) float32 each, by names such as `ViewLayer.Depth.Z`."""
    scene.aim(camera)
    path = scratch / "view.exr"
    scene.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels for name, channel in file.channels().items()}
