"""Settings of a render: everything that decides what the files hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..core.settings import setting

__all__ = ["CAMERA_SETS", "Device", "Light", "Limits", "RenderConfig"]

CAMERA_SETS = ("fibonacci", "ring", "hammersley", "random", "dodecahedron", "file")
Device = Literal["auto", "cpu", "cuda", "optix", "hip", "metal", "oneapi"]
"""The device on which Cycles computes. Not a setting: depth is the same on all, colour differs by rounding."""
Light = Literal["studio", "city", "courtyard", "forest", "interior", "night", "sunrise", "sunset"]


@dataclass(frozen=True)
class RenderConfig:
    """The settings of a render. Two runs with equal settings write equal files."""

    # cameras
    cameras: str = setting(
        "fibonacci",
        "Camera set: fibonacci, ring, hammersley, random, dodecahedron, or a .json file.",
    )
    views: int = setting(24, "Views of each model.", low=1, high=65535)
    elevation: tuple[float, float] = setting(
        (-10.0, 60.0), "Lowest and highest elevation of the cameras, degrees."
    )
    turn: bool = setting(True, "Turn the set about the up axis, by an angle drawn for each model.")
    fov: float = setting(
        40.0, "Full angle of view over the image's shorter side, degrees.", low=1, high=170
    )
    margin: float = setting(
        1.05, "Free space around the bounding sphere; 1 touches the frame.", low=1, high=10
    )
    distance_jitter: float = setting(
        0.0, "Draw cameras farther away by up to this share of the distance.", low=0, high=10
    )
    roll: float = setting(
        0.0, "Draw rotations about the optical axis up to this, degrees.", low=0, high=180
    )
    seed: int = setting(0, "Seed of the random numbers of each model.", low=0, high=2**63 - 1)
    # images
    size: int = setting(224, "Height of the images, pixels.", low=8, high=8192)
    aspect: float = setting(1.0, "Width of the images over their height.", low=0.1, high=10)
    # colour
    colour: Literal["all", "best"] = setting(
        "all", "Views that get colour: all, or only the one with the most points."
    )
    samples: int = setting(32, "Light paths a pixel; more is less noise.", low=1, high=65536)
    denoise: bool = setting(
        False, "Denoise the colour, guided by albedo and normals; pays under a panorama."
    )
    light: Light = setting("studio", "Soft studio lights, or one of Blender's bundled panoramas.")
    light_turn: float = setting(0.0, "Turn the light about the up axis, degrees.")
    background: str = setting(
        "#ffffff", "Colour behind the object, #rrggbb; or transparent, which adds the field alpha."
    )
    # repairs
    weld: float = setting(
        1e-6,
        "Weld vertices within this share of the model's size; 0 leaves them apart.",
        low=0,
        high=1e-6,
    )
    merge_doubled: bool = setting(
        True, "Merge pairs of faces with opposite winding into one face with two sides."
    )
    drop_duplicates: bool = setting(True, "Drop further copies of a face.")
    drop_degenerate: bool = setting(True, "Drop faces without area.")
    smooth_angle: float = setting(
        30.0,
        "Shade smoothly over edges up to this angle, degrees; the file's own normals are not used.",
        low=0,
        high=180,
    )
    forgive_paths: bool = setting(
        True, "Find textures whose path has backslashes, another letter case or a wrong folder."
    )
    missing_texture: Literal["colour", "fail"] = setting(
        "colour", "A texture that is not there: show the material's colour, or let the model fail."
    )
    opaque_zero: bool = setting(
        True, "Take an opacity of 0 (d 0) for 1: exporters write it for surfaces that are there."
    )
    metal: bool = setting(
        False, "Show materials of illum 3 and above as metal; ShapeNet has no metals."
    )
    # further fields of the render files
    normals: bool = setting(False, "Add the field normal: shading normals, object frame.")
    positions: bool = setting(
        False, "Add the field position: the surface as Cycles places it, object frame."
    )
    materials: bool = setting(
        False, "Add the field material: index of the material that a pixel shows."
    )
    view_list: str = setting(
        "", "The views of a .json file, as JSON; set by reading it.", given=False
    )

    def __post_init__(self) -> None:
        low, high = self.elevation
        if not -90 <= low <= high <= 90:
            raise ValueError(
                f"elevation must be two rising angles between -90 and 90 degrees, got {low} {high}"
            )
        if self.background != "transparent" and not re.fullmatch(
            r"#[0-9a-fA-F]{6}", self.background
        ):
            raise ValueError(
                f"background must be a colour #rrggbb or transparent, got {self.background!r}"
            )
        if self.cameras not in CAMERA_SETS and not self.cameras.endswith(".json"):
            sets = ", ".join(CAMERA_SETS[:-1])
            raise ValueError(
                f"cameras must be one of {sets}, or a .json file of views, got {self.cameras!r}"
            )
        if self.cameras == "file" and not self.view_list:
            raise ValueError(
                "cameras = file is set by the program when it reads a view file: give the name of "
                "the file, which ends in .json"
            )
        if self.cameras == "dodecahedron" and self.views != 20:
            raise ValueError(f"a dodecahedron has 20 corners: views must be 20, got {self.views}")

    @property
    def width(self) -> int:
        """Width of the images, pixels."""
        return max(1, round(self.size * self.aspect))


@dataclass(frozen=True)
class Limits:
    """Limits of a model and of a worker: time, memory, device.

    They decide which models fail, not what the files hold.

    A worker is also restarted when it holds over three quarters of `memory_gib` after a model.
    """

    timeout: float = setting(600.0, "Seconds a model.", low=1, high=1e7)
    memory_gib: float = setting(
        8.0,
        "Memory of one Blender, GiB; a model that takes more is stopped.",
        low=0.5,
        high=1e6,
    )
    renew_after: int = setting(2000, "Models after which a Blender is started afresh.", low=1)
    device: Device = setting(
        "auto", "Where Cycles computes; if a GPU is not there, a line says so and the CPU is used."
    )
