"""The light: a soft studio, or one of Blender's panoramas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..config import RenderConfig

__all__ = ["set_up_light"]

_KEY = (0.6, 1.0, -0.8)  # where the studio is brightest: above the object's front right
_EVEN, _MORE = (
    0.42,
    1.12,
)  # light from everywhere, and more of it from there: white that faces it shows 0.95
_SHARPER = 2  # times that the falloff is squared


def set_up_light(scene: Any, config: RenderConfig) -> None:
    """Light a scene as configured; the object frame has +Y up.

    Parameters
    ----------
    scene : Blender's scene, without a world
    config : light and light_turn are used
    """
    world = bpy.data.worlds.new("world")
    scene.world = world
    world.use_nodes = True
    if config.light == "studio":
        _studio(world, np.radians(config.light_turn))
    else:
        _panorama(world, config.light, np.radians(config.light_turn))


def _studio(world: Any, turn: float) -> None:
    """Surround the object by a sky that is brighter on one side.

    The radiance from direction w is L(w) = even + more ((1 + k.w) / 2)^4.

    So smooth a light needs no lamps, hence no shadow rays: rays that leave the object find it by
    themselves, with as little noise as lamps have at twice the time (`benchmarks/noise.py`).
    Arithmetic is cheaper than an image.
    """
    world.cycles.sampling_method = "NONE"
    nodes, links = world.node_tree.nodes, world.node_tree.links
    x, y, z = np.array(_KEY) / np.linalg.norm(_KEY)
    cosine, sine = np.cos(turn), np.sin(turn)
    direction, facing = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeVectorMath")
    facing.operation = "DOT_PRODUCT"
    # Half of k, so that adding 0.5 gives (1 + k.w) / 2.
    facing.inputs[1].default_value = np.array((cosine * x + sine * z, y, cosine * z - sine * x)) / 2
    links.new(direction.outputs["Generated"], facing.inputs[0])
    share = _calculate(world, "ADD", facing.outputs["Value"], 0.5)
    for _ in range(_SHARPER):
        share = _calculate(world, "MULTIPLY", share, share)
    strength = _calculate(world, "MULTIPLY_ADD", share, _MORE, _EVEN)
    nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
    links.new(strength, nodes["Background"].inputs["Strength"])


def _calculate(world: Any, operation: str, *operands: Any) -> Any:
    """Add a node that calculates with sockets and numbers; return its output."""
    node = world.node_tree.nodes.new("ShaderNodeMath")
    node.operation = operation
    for socket, operand in zip(node.inputs, operands, strict=False):
        if isinstance(operand, float):
            socket.default_value = operand
        else:
            world.node_tree.links.new(operand, socket)
    return node.outputs[0]


def _panorama(world: Any, name: str, turn: float) -> None:
    nodes, links = world.node_tree.nodes, world.node_tree.links
    folder = bpy.utils.system_resource("DATAFILES", path="studiolights/world")
    image = nodes.new("ShaderNodeTexEnvironment")
    image.image = bpy.data.images.load(str(Path(folder) / f"{name}.exr"))
    mapping, direction = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeTexCoord")
    # Panoramas have +Z up
    mapping.inputs["Rotation"].default_value = (np.pi / 2, 0, turn)
    links.new(direction.outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], image.inputs["Vector"])
    links.new(image.outputs["Color"], nodes["Background"].inputs["Color"])
