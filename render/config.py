"""Settings of a render: everything that decides what the files hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..config import setting

__all__ = ["Light", "RenderConfig"]

Light = Literal["studio", "city", "courtyard", "forest", "interior", "night", "sunrise", "sunset"]


@dataclass(frozen=True)
class RenderConfig:
    """What a render is made with. Two runs with equal settings give equal files."""

    views: int = setting(24, "Views of each model.", low=1, high=65535)
    size: int = setting(224, "Width and height of the images, pixels.", low=8, high=8192)
    fov: float = setting(40.0, "Full angle of view, degrees.", low=1, high=170)
    elevation: tuple[float, float] = setting((-10.0, 60.0), "Lowest and highest elevation of the cameras, degrees.")
    margin: float = setting(1.05, "Free space around the bounding sphere; 1 touches the frame.", low=1, high=10)
    colour: Literal["all", "best"] = setting("all", "Views that get colour: all, or only the one with the most points.")
    samples: int = setting(32, "Light paths a pixel; more is less noise.", low=1, high=65536)
    denoise: bool = setting(False, "Denoise the colour (about 0.7 s more a view).")
    light: Light = setting("studio", "Soft studio lights, or one of Blender's bundled panoramas.")
    background: str = setting("#ffffff", "Colour behind the object, #rrggbb.")
    seed: int = setting(0, "Seed of the camera positions.", low=0)

    def __post_init__(self) -> None:
        low, high = self.elevation
        if not -90 <= low <= high <= 90:
            raise ValueError(f"elevation must be two rising angles between -90 and 90 degrees, got {low} {high}")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.background):
            raise ValueError(f"background must be a colour #rrggbb, got {self.background!r}")
