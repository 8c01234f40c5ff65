"""The result of Cycles, read from memory.

A file for each image would cost ten times as long as a view without light.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from cycles import CyclesRender
from numpy.typing import NDArray

__all__ = ["render_passes"]

_last: dict[str, NDArray[np.float32]] = {}


def render_passes() -> dict[str, NDArray[np.float32]]:
    """Render the scene as it is set up.

    Returns
    -------
    passes : name -> (h, w, channels) float32, linear, the part of the image that the scene's border
        leaves; row 0 on top. Of the scene's only view layer.

    Raises
    ------
    RuntimeError : Blender rendered nothing
    """
    _last.clear()
    bpy.ops.render.render()
    if not _last:
        raise RuntimeError("Blender rendered nothing; its log may say why")
    return dict(_last)


def _render(engine: Any, depsgraph: Any) -> None:
    """Render as Cycles does and keep the result.

    Blender shows its arrays only to the render engine.
    """
    _cycles_render(engine, depsgraph)
    result = engine.get_result()
    passes, width, height = result.layers[0].passes, result.resolution_x, result.resolution_y
    # One flat buffer for all passes: channels * width * height numbers of each.
    pixels = np.empty(sum(layer.channels for layer in passes) * width * height, dtype=np.float32)
    # All of them, one after the other
    passes.foreach_get("rect", pixels)
    for layer in passes:
        size = layer.channels * width * height
        # Blender's first row is the lowest
        _last[layer.name], pixels = (
            pixels[:size].reshape(height, width, layer.channels)[::-1],
            pixels[size:],
        )


# Blender looks the method up by its name at each render, and refuses one with another number of
# arguments
_cycles_render, CyclesRender.render = CyclesRender.render, _render
