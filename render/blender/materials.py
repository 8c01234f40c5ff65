"""Blender's materials, made from the MTL of each side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ...core.untrusted import shown
from ..colour import linear_from_srgb
from ..mesh.images import examine_picture
from ..mesh.mtl import LOST_TEXTURE, Material

__all__ = ["FACE", "make_face_material", "make_material"]

FACE = "face"
"""Name of the pass with the face of each pixel, and of the mesh attribute behind it."""


_BLANK = "blank"
COAT = 0.1  # share of the light that the strongest highlight mirrors
# weaker highlights, a hundredth of the light, are not seen and would cost a sixth of the time
FAINT = 0.1


def make_face_material() -> Any:
    """Make the material that shows only the index of the face.

    It is opaque and needs no light.
    """
    material = bpy.data.materials.new(FACE)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output, shader = (
        tree.nodes.new("ShaderNodeOutputMaterial"),
        tree.nodes.new("ShaderNodeEmission"),
    )
    material.cycles.emission_sampling = "NONE"
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    face, out = tree.nodes.new("ShaderNodeAttribute"), tree.nodes.new("ShaderNodeOutputAOV")
    face.attribute_name = out.aov_name = FACE
    tree.links.new(face.outputs["Fac"], out.inputs["Value"])
    return material


def make_material(front: Material, back: Material, own_uvs: bool, notes: list[str]) -> Any:
    """Make a Blender material with one description in front, another behind.

    Parameters
    ----------
    own_uvs : whether the two sides have other texture coordinates
    notes : takes a line for each texture that cannot be read
    """
    material = (
        bpy.data.materials.get(_BLANK) or _make_blank()
    ).copy()  # a copy is eight times as fast as a new one
    tree = material.node_tree
    (output,) = tree.nodes
    shader = _side(tree, front, "front", notes)
    if back != front or (own_uvs and front.texture is not None):
        geometry = tree.nodes.new("ShaderNodeNewGeometry")
        shader = _mix(
            tree, geometry.outputs["Backfacing"], shader, _side(tree, back, "back", notes)
        )
    tree.links.new(shader, output.inputs["Surface"])
    return material


def _make_blank() -> Any:
    material = bpy.data.materials.new(_BLANK)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    material.node_tree.nodes.new("ShaderNodeOutputMaterial")
    return material


def _side(tree: Any, side: Material, uv: str, notes: list[str]) -> Any:
    """Add the nodes of one side; return the output of its shader.

    The model is that of MTL: a matt colour and some highlight.
    """
    colour = (*linear_from_srgb(side.colour), 1)
    texture = _texture(tree, side.texture, uv, "sRGB", notes)
    body = tree.nodes.new("ShaderNodeBsdfAnisotropic" if side.metal else "ShaderNodeBsdfDiffuse")
    body.inputs["Color"].default_value = colour
    if texture is not None:
        tree.links.new(texture.outputs["Color"], body.inputs["Color"])
    shader = body.outputs[0]
    if side.metal:
        _polish(body, side.gloss)
    elif side.highlight >= FAINT:
        coat = tree.nodes.new("ShaderNodeBsdfAnisotropic")
        _polish(coat, side.gloss)
        shader = _mix(tree, COAT * side.highlight, shader, coat.outputs[0])
    opacity: Any = side.alpha
    mask = (
        texture if side.mask == side.texture else _texture(tree, side.mask, uv, "Non-Color", notes)
    )
    if side.mask is not None and mask is not None:
        share = tree.nodes.new("ShaderNodeMath")
        share.operation, share.inputs[1].default_value = "MULTIPLY", side.alpha
        tree.links.new(
            mask.outputs["Alpha" if examine_picture(side.mask).has_alpha else "Color"],
            share.inputs[0],
        )
        opacity = share.outputs[0]
    if opacity == 1.0:
        return shader
    return _mix(tree, opacity, tree.nodes.new("ShaderNodeBsdfTransparent").outputs[0], shader)


def _polish(reflection: Any, gloss: float) -> None:
    reflection.distribution = "GGX"
    reflection.inputs["Roughness"].default_value = 0.7 - 0.4 * gloss


def _mix(tree: Any, share: Any, one: Any, other: Any) -> Any:
    """Mix two shaders; return the output of the mixture.

    `share`, of the other shader, is a number or a socket.
    """
    mix = tree.nodes.new("ShaderNodeMixShader")
    if isinstance(share, float):
        mix.inputs[0].default_value = share
    else:
        tree.links.new(share, mix.inputs[0])
    tree.links.new(one, mix.inputs[1])
    tree.links.new(other, mix.inputs[2])
    return mix.outputs[0]


def _texture(tree: Any, path: Path | None, uv: str, space: str, notes: list[str]) -> Any:
    """Add an image node with a UV map; None if Blender cannot read the image."""
    if path is None:
        return None
    try:
        image = bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError:
        image = None
    # An unreadable image would render purple
    if image is None or not image.size[0]:
        notes.append(f"{LOST_TEXTURE} {shown(path.name)!r} cannot be read")
        return None
    image.colorspace_settings.name = space
    node, coordinates = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeUVMap")
    node.image, coordinates.uv_map = image, uv
    tree.links.new(coordinates.outputs["UV"], node.inputs["Vector"])
    return node
