"""The one Blender scene of a worker: object, materials, light and camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import bpy
import mathutils
import numpy as np

from ...core.camera import Camera, Window
from ..config import Device, RenderConfig
from ..mesh.mtl import Material
from ..mesh.repair import Surface, row_keys
from .device import choose_device
from .light import set_up_light
from .materials import FACE, make_face_material, make_material

__all__ = ["Scene"]

# object frame to Blender's camera axes: x right, y up, looking along -z
_OPENCV_TO_BLENDER = np.diag([1.0, -1.0, -1.0, 1.0])
_SENSOR_WIDTH = 36.0  # any value serves: only its ratio to the focal length counts


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
        # seconds spent in Blender's own rendering
        self.seconds = 0.0
        self._set_up_render()
        set_up_light(self.scene, self.config)
        self._face_material = make_face_material()

    def _set_up_render(self) -> None:
        render, cycles = self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        # Only the camera moves from view to view
        render.use_persistent_data = True
        render.threads_mode, render.threads = "FIXED", self.threads
        # The background is put behind afterwards
        render.film_transparent = True
        render.resolution_x, render.resolution_y = self.config.width, self.config.size
        render.use_compositing = render.use_sequencer = False
        self.renders_on = choose_device(self.scene, self.device)
        # as little noise as blue noise, in a seventh less time
        cycles.sampling_pattern = "TABULATED_SOBOL"
        cycles.adaptive_threshold, cycles.adaptive_min_samples = (
            1e-4,
            4,
        )  # pixels that nothing covers are done early
        cycles.seed = 0
        cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
        cycles.max_bounces = 4
        cycles.transparent_max_bounces = 32
        cycles.caustics_reflective = cycles.caustics_refractive = False
        layer = self.scene.view_layers[0]
        layer.use_pass_z = True
        face = layer.aovs.add()
        face.name, face.type = FACE, "VALUE"
        layer.use_pass_normal, layer.use_pass_position = self.config.normals, self.config.positions

    def only_faces(self, only: bool) -> None:
        """Show either the index of each face, or the object's own materials.

        The first is opaque, so that depth is complete whatever is transparent, and no light is
        computed for it.
        """
        layer = self.scene.view_layers[0]
        layer.material_override = self._face_material if only else None
        layer.use_pass_combined = not only

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
        self.surface, self._middle = surface, surface.bounds.mean(axis=0).tolist()
        mesh = bpy.data.meshes.new("model")
        _fill_mesh(mesh, surface, self.config.smooth_angle)
        # (F,) whether the two sides of a face have different texture coordinates.
        turned = np.logical_or.reduceat(
            (surface.front_uvs != surface.back_uvs).ravel(), 2 * surface.starts[:-1]
        )
        sides = np.stack([surface.front, surface.back, turned], axis=1)
        # One Blender material for each different row of sides, (F, 3).
        _, first, slots = np.unique(row_keys(sides), return_index=True, return_inverse=True)
        notes: list[str] = []
        for front, back, differ in sides[first].tolist():
            mesh.materials.append(
                make_material(materials[front], materials[back], bool(differ), notes)
            )
        mesh.polygons.foreach_set("material_index", slots.ravel().astype(np.int32))
        mesh.update()
        self.object = bpy.data.objects.new("model", mesh)
        self.scene.collection.objects.link(self.object)
        return list(dict.fromkeys(notes))

    def clear(self) -> None:
        """Remove the object and all its data, so that memory stays constant."""
        if self.object is None:
            return
        mesh = self.object.data
        materials = list(mesh.materials)
        bpy.data.objects.remove(self.object)
        bpy.data.meshes.remove(mesh)
        self.object = None
        for material in materials:
            bpy.data.materials.remove(material)
        for image in list(bpy.data.images):
            if image.users == 0:
                bpy.data.images.remove(image)

    def aim(self, camera: Camera, window: Window) -> None:
        """Place Blender's camera, and have only a window of the image rendered."""
        focal, width, data = float(camera.intrinsics[0, 0]), camera.width, self.camera.data
        data.sensor_fit, data.sensor_width = "HORIZONTAL", _SENSOR_WIDTH
        data.lens = focal * _SENSOR_WIDTH / width
        distance = max(math.dist(camera.eye.tolist(), self._middle), 1e-6)
        # In proportion to the distance, so that tiny and huge models are not clipped.
        data.clip_start, data.clip_end = 1e-3 * distance, 1e3 * distance
        self.camera.matrix_world = mathutils.Matrix(
            (camera.obj_from_cam @ _OPENCV_TO_BLENDER).tolist()
        )
        left, top, right, bottom = window
        render = self.scene.render
        render.use_border = render.use_crop_to_border = window != (
            0,
            0,
            camera.width,
            camera.height,
        )
        # Blender truncates: a quarter of a pixel more keeps float32's rounding from taking one away
        render.border_min_x, render.border_max_x = (
            (edge + 0.25) / camera.width for edge in (left, right)
        )
        # Blender counts rows from below.
        render.border_min_y, render.border_max_y = (
            (camera.height - edge + 0.25) / camera.height for edge in (bottom, top)
        )


def _fill_mesh(mesh: Any, surface: Surface, smooth_angle: float) -> None:
    """Fill an empty Blender mesh; edges above an angle, degrees, stay sharp."""
    mesh.vertices.add(len(surface.vertices))
    mesh.vertices.foreach_set("co", surface.vertices.astype(np.float32).ravel())
    mesh.loops.add(len(surface.corners))
    mesh.loops.foreach_set("vertex_index", surface.corners.astype(np.int32))
    mesh.polygons.add(len(surface.front))
    mesh.polygons.foreach_set("loop_start", surface.starts[:-1].astype(np.int32))
    for name, uvs in (("front", surface.front_uvs), ("back", surface.back_uvs)):
        mesh.uv_layers.new(name=name, do_init=False).uv.foreach_set(
            "vector", uvs.astype(np.float32).ravel()
        )
    # Exact up to 2^24 faces
    face = np.arange(len(surface.front), dtype=np.float32)
    mesh.attributes.new(FACE, "FLOAT", "FACE").data.foreach_set("value", face)
    mesh.update(calc_edges=True)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(surface.front), dtype=bool))
    mesh.set_sharp_from_angle(angle=np.radians(smooth_angle))
