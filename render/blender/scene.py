"""One Blender scene, kept over all models of a worker: the object, its materials, light and camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import mathutils
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...camera import Camera
from ..config import Device, RenderConfig
from ..mtl import LOST_TEXTURE, Material
from ..repair import Surface
from ..views import find_window
from .device import choose_device

__all__ = ["FACE", "Scene", "to_linear"]

FACE = "face"
"""Name of the pass that tells which face a pixel shows, and of the mesh attribute that it is made from."""

# object frame to Blender's camera axes: x right, y up, looking along -z
_OPENCV_TO_BLENDER = np.diag([1.0, -1.0, -1.0, 1.0])
_SENSOR_WIDTH = 36.0  # any value serves: only its ratio to the focal length counts


def to_linear(colour: NDArray[np.float64] | tuple[float, ...]) -> NDArray[np.float64]:
    """Turn display values (sRGB) in [0, 1] into linear light."""
    value = np.asarray(colour, dtype=np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@dataclass
class Scene:
    """Blender's scene, set up once; `show` exchanges the object, `aim` moves the camera.

    Blender's world frame is the object frame: nothing is turned on the way in or out.
    """

    config: RenderConfig
    threads: int
    device: Device = "cpu"

    def __post_init__(self) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self.scene.collection.objects.link(self.camera)
        self.scene.camera = self.camera
        self.object: Any = None
        self.lamps: list[Any] = []
        self.seconds = 0.0  # spent in Blender's own rendering
        self._set_up_render()
        self._set_up_light()

    def _set_up_render(self) -> None:
        render, cycles = self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        render.use_persistent_data = True  # only the camera moves from view to view
        render.threads_mode, render.threads = "FIXED", self.threads
        render.film_transparent = True  # the background is put behind afterwards
        render.resolution_x, render.resolution_y = self.config.width, self.config.size
        render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
        render.image_settings.color_depth = "32"  # half floats would put points 0.001 off the surface
        render.image_settings.exr_codec = "NONE"
        self.renders_on = choose_device(self.scene, self.device)
        cycles.use_adaptive_sampling = False
        cycles.seed = 0
        cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
        cycles.max_bounces = 4
        cycles.use_light_tree = False  # made for scenes of many lights: with three suns it costs a sixth of the time
        cycles.transparent_max_bounces = 32
        cycles.caustics_reflective = cycles.caustics_refractive = False
        layer = self.scene.view_layers[0]
        layer.use_pass_z = True
        face = layer.aovs.add()
        face.name, face.type = FACE, "VALUE"
        layer.use_pass_normal, layer.use_pass_position = self.config.normals, self.config.positions
        layer.pass_alpha_threshold = 0.0  # any other value leaves semi-transparent parts out of depth, at random

    def _set_up_light(self) -> None:
        world = bpy.data.worlds.new("world")
        self.scene.world = world
        world.use_nodes = True
        nodes, links = world.node_tree.nodes, world.node_tree.links
        background = nodes["Background"]
        if self.config.light != "studio":
            folder = bpy.utils.system_resource("DATAFILES", path="studiolights/world")
            image = nodes.new("ShaderNodeTexEnvironment")
            image.image = bpy.data.images.load(str(Path(folder) / f"{self.config.light}.exr"))
            turn, direction = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeTexCoord")
            # panoramas have +Z up, the object frame +Y
            turn.inputs["Rotation"].default_value = (np.pi / 2, 0, np.radians(self.config.light_turn))
            links.new(direction.outputs["Generated"], turn.inputs["Vector"])
            links.new(turn.outputs["Vector"], image.inputs["Vector"])
            links.new(image.outputs["Color"], background.inputs["Color"])
            return
        world.cycles.sampling_method = "NONE"  # an even sky needs no importance map
        background.inputs["Color"].default_value = (1, 1, 1, 1)
        background.inputs["Strength"].default_value = 0.45
        # together about 0.9 on a surface that faces up: white is nearly white, and seen before a white background
        for name, towards, strength, angle in (
            ("key", (0.6, 1.0, -0.8), 1.3, 30),
            ("fill", (-0.9, 0.5, -0.3), 0.5, 60),
            ("rim", (0.2, 0.6, 1.0), 0.55, 60),
        ):
            light = bpy.data.lights.new(name, "SUN")
            light.energy, light.angle = strength, np.radians(angle)
            lamp = bpy.data.objects.new(name, light)
            lamp.rotation_mode = "QUATERNION"
            about_up = mathutils.Matrix.Rotation(np.radians(self.config.light_turn), 3, "Y")
            place = about_up @ mathutils.Vector(towards)
            lamp.rotation_quaternion = place.to_track_quat("Z", "Y")  # a sun shines along its -z
            self.scene.collection.objects.link(lamp)
            self.lamps.append(lamp)

    def switch_lamps(self, on: bool) -> None:
        """Switch the studio's lamps on or off; depth needs none, and each would be asked for its shadows."""
        for lamp in self.lamps:
            lamp.hide_render = not on

    def show(self, surface: Surface, materials: list[Material]) -> list[str]:
        """Put an object in place of the last one.

        Parameters
        ----------
        surface : object frame
        materials : by the indices that `surface.front` and `surface.back` hold

        Returns
        -------
        notes : textures that could not be read, one line each
        """
        self.clear()
        self.surface = surface
        mesh = bpy.data.meshes.new("model")
        _fill_mesh(mesh, surface, self.config.smooth_angle)
        turned = np.logical_or.reduceat((surface.front_uvs != surface.back_uvs).any(axis=1), surface.starts[:-1])
        sides = np.stack([surface.front, surface.back, turned], axis=1)
        pairs, slots = np.unique(sides, axis=0, return_inverse=True)
        notes: list[str] = []
        for front, back, differ in pairs.tolist():
            mesh.materials.append(_make_material(materials[front], materials[back], bool(differ), notes))
        mesh.polygons.foreach_set("material_index", slots.ravel().astype(np.int32))
        mesh.update()
        self.object = bpy.data.objects.new("model", mesh)
        self.scene.collection.objects.link(self.object)
        return list(dict.fromkeys(notes))

    def clear(self) -> None:
        """Remove the object with all that belongs to it, so that memory stays flat over any number of models."""
        if self.object is None:
            return
        mesh = self.object.data
        bpy.data.objects.remove(self.object)
        bpy.data.meshes.remove(mesh)
        self.object = None
        for material in list(bpy.data.materials):
            bpy.data.materials.remove(material)
        for image in list(bpy.data.images):
            if image.users == 0:
                bpy.data.images.remove(image)

    def aim(self, camera: Camera) -> tuple[slice, slice]:
        """Place Blender's camera; only the part of the image that the object may reach is rendered.

        Returns
        -------
        rows, columns : that part, pixels
        """
        focal, width = camera.intrinsics[0, 0], camera.width
        data = self.camera.data
        data.sensor_fit, data.sensor_width = "HORIZONTAL", _SENSOR_WIDTH
        data.lens = focal * _SENSOR_WIDTH / width
        low, high = self.surface.bounds
        distance = max(float(np.linalg.norm(camera.eye - (low + high) / 2)), 1e-6)
        data.clip_start, data.clip_end = 1e-3 * distance, 1e3 * distance
        self.camera.matrix_world = mathutils.Matrix((camera.obj_from_cam @ _OPENCV_TO_BLENDER).tolist())
        left, top, right, bottom = window = find_window(self.surface.vertices, camera)
        render = self.scene.render
        render.use_border = render.use_crop_to_border = window != (0, 0, camera.width, camera.height)
        # Blender truncates: a quarter of a pixel more keeps float32's rounding from taking one away
        render.border_min_x, render.border_max_x = ((edge + 0.25) / camera.width for edge in (left, right))
        render.border_min_y, render.border_max_y = (
            (camera.height - edge + 0.25) / camera.height for edge in (bottom, top)
        )
        return slice(top, bottom), slice(left, right)


def _fill_mesh(mesh: Any, surface: Surface, smooth_angle: float) -> None:
    """Fill an empty Blender mesh; shading is smooth but for edges of more than an angle, degrees."""
    mesh.vertices.add(len(surface.vertices))
    mesh.vertices.foreach_set("co", surface.vertices.astype(np.float32).ravel())
    mesh.loops.add(len(surface.corners))
    mesh.loops.foreach_set("vertex_index", surface.corners.astype(np.int32))
    mesh.polygons.add(len(surface.front))
    mesh.polygons.foreach_set("loop_start", surface.starts[:-1].astype(np.int32))
    for name, uvs in (("front", surface.front_uvs), ("back", surface.back_uvs)):
        mesh.uv_layers.new(name=name, do_init=False).uv.foreach_set("vector", uvs.astype(np.float32).ravel())
    face = np.arange(len(surface.front), dtype=np.float32)  # exact up to 2^24 faces
    mesh.attributes.new(FACE, "FLOAT", "FACE").data.foreach_set("value", face)
    mesh.update(calc_edges=True)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(surface.front), dtype=bool))
    mesh.set_sharp_from_angle(angle=np.radians(smooth_angle))


def _make_material(front: Material, back: Material, own_uvs: bool, notes: list[str]) -> Any:
    """Make a Blender material that shows one description on the front of a face and another on its back.

    Parameters
    ----------
    own_uvs : whether the two sides have other texture coordinates
    """
    material = bpy.data.materials.new("material")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    shader = _side(tree, front, "front", notes)
    if back != front or (own_uvs and front.texture is not None):
        mix, geometry = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeNewGeometry")
        tree.links.new(geometry.outputs["Backfacing"], mix.inputs[0])
        tree.links.new(shader, mix.inputs[1])
        tree.links.new(_side(tree, back, "back", notes), mix.inputs[2])
        shader = mix.outputs[0]
    tree.links.new(shader, output.inputs["Surface"])
    face, out = tree.nodes.new("ShaderNodeAttribute"), tree.nodes.new("ShaderNodeOutputAOV")
    face.attribute_name = out.aov_name = FACE
    tree.links.new(face.outputs["Fac"], out.inputs["Value"])
    return material


def _side(tree: Any, side: Material, uv: str, notes: list[str]) -> Any:
    """Add the nodes of one side; give the socket that holds its shader."""
    shader = tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.inputs["Base Color"].default_value = (*to_linear(side.colour), 1)
    shader.inputs["Roughness"].default_value = 0.7 - 0.4 * side.gloss
    shader.inputs["Specular IOR Level"].default_value = 0.3
    shader.inputs["Metallic"].default_value = float(side.metal)
    shader.inputs["Alpha"].default_value = side.alpha
    texture = _texture(tree, side.texture, uv, "sRGB", notes)
    if texture is not None:
        tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    mask = texture if side.mask == side.texture else _texture(tree, side.mask, uv, "Non-Color", notes)
    if side.mask is not None and mask is not None:
        share = tree.nodes.new("ShaderNodeMath")
        share.operation, share.inputs[1].default_value = "MULTIPLY", side.alpha
        tree.links.new(mask.outputs["Alpha" if _has_alpha(side.mask) else "Color"], share.inputs[0])
        tree.links.new(share.outputs[0], shader.inputs["Alpha"])
    return shader.outputs[0]


def _has_alpha(path: Path) -> bool:
    """Tell whether an image has an alpha channel; Blender itself gives one to every image."""
    try:
        with Image.open(path) as image:
            return image.has_transparency_data
    except (OSError, ValueError):
        return False


def _texture(tree: Any, path: Path | None, uv: str, space: str, notes: list[str]) -> Any:
    """Add an image node fed by a UV map; None where there is no image or Blender cannot read it."""
    if path is None:
        return None
    try:
        image = bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError:
        image = None
    if image is None or not image.size[0]:  # an unreadable image would render purple
        notes.append(f"{LOST_TEXTURE} {path.name!r} cannot be read")
        return None
    image.colorspace_settings.name = space
    node, coordinates = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeUVMap")
    node.image, coordinates.uv_map = image, uv
    tree.links.new(coordinates.outputs["UV"], node.inputs["Vector"])
    return node
