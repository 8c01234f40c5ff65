"""The sRGB curve of IEC 61966-2-1, both ways, in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["linear_from_srgb", "srgb_from_linear"]


def srgb_from_linear(light: NDArray[Any]) -> NDArray[Any]:
    """Return the display values (sRGB) of linear light; shape and dtype stay."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def linear_from_srgb(colour: ArrayLike) -> NDArray[np.float64]:
    """Return the linear light of display values (sRGB); the shape stays."""
    value = np.asarray(colour, dtype=np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
