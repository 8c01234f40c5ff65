"""Charts as inline SVG, coloured by the page's style sheet.

SVG of matplotlib would fix colours and fonts in each element, so the style sheet could not change
them, and would make a chart many times larger.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import spread_indices

__all__ = ["bars", "histogram", "sphere"]

_WIDTH, _HEIGHT = 360, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 34


def bars(counts: Mapping[str, int], *, label: str) -> str:
    """Draw horizontal bars, the largest first.

    Parameters
    ----------
    counts : name -> number
    label : of the chart, for screen readers
    """
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = max((count for _, count in order), default=1) or 1
    rows = "".join(
        f"<li><span>{html.escape(name)}</span>"
        f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="bar" width="{100 * count / most:.2f}" height="8" rx="0.6"/></svg>'
        f"<b>{count:,}</b></li>"
        for name, count in order
    )
    return f'<ul class="bars" aria-label="{html.escape(label)}">{rows}</ul>'


def round_ticks(low: float, high: float, about: int = 5) -> NDArray[np.float64]:
    """Return round values that divide a range into about so many parts."""
    if not high > low:
        return np.array([low])
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power >= rough) * power
    return np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step


def histogram(series: Sequence[tuple[str, NDArray[Any]]], *, unit: str, label: str) -> str:
    """Draw the histogram of one or two series over the same axis.

    Parameters
    ----------
    series : (name, values) each; values that are not finite are left out
    unit : of the values, written below the axis
    """
    kept = [
        (name, np.asarray(values, dtype=np.float64)[np.isfinite(values)]) for name, values in series
    ]
    pooled = np.concatenate([values for _, values in kept])
    if not pooled.size:
        return '<p class="nothing">nothing to show</p>'
    low, high = float(pooled.min()), float(pooled.max())
    if high == low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    # bins: about twice the square root of the number of values, 8 to 40
    edges = np.linspace(low, high, min(40, max(8, round(math.sqrt(pooled.size)) * 2)) + 1)
    counts = [np.histogram(values, edges)[0] for _, values in kept]
    top = max(int(count.max()) for count in counts)
    wide, high_px = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    # edges in pixels of the picture: (bins + 1,)
    x = _LEFT + (edges - low) / (high - low) * wide
    parts = [
        _axes(low, high, top, unit, x_of=lambda value: _LEFT + (value - low) / (high - low) * wide)
    ]
    for number, count in enumerate(counts):
        for left, right, value in zip(x[:-1], x[1:], count, strict=True):
            if value:
                tall = max(value / top * high_px, 1)
                parts.append(
                    f'<rect class="series{number}" x="{left + 0.5:.1f}" '
                    f'y="{_TOP + high_px - tall:.1f}" width="{right - left - 1:.1f}" height="{tall:.1f}" rx="1"/>'
                )
    if len(kept) > 1:
        for number, (name, _) in enumerate(kept):
            at = _WIDTH - _RIGHT - 70 * (len(kept) - number)
            parts.append(
                f'<rect class="series{number}" x="{at}" y="{_TOP - 4}" '
                'width="9" height="9" rx="2"/>'
            )
            parts.append(f'<text x="{at + 14}" y="{_TOP + 4}">{html.escape(name)}</text>')
    return _svg(_WIDTH, _HEIGHT, label, "".join(parts))


def _axes(low: float, high: float, top: int, unit: str, *, x_of: Callable[[float], float]) -> str:
    """Draw ticks and grid of a histogram."""
    base, parts = _HEIGHT - _BOTTOM, []
    ticks = round_ticks(low, high)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 2
    for value in ticks:
        parts.append(
            f'<text class="middle" x="{x_of(value):.1f}" y="{base + 14}">{value:,.{digits}f}</text>'
        )
    for value in round_ticks(0, top, 3):
        if value == round(value):
            y = base - value / top * (base - _TOP)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{value:,.0f}</text>')
    parts.append(
        f'<text class="middle unit" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" '
        f'y="{_HEIGHT - 4}">{unit}</text>'
    )
    return "".join(parts)


def sphere(directions: NDArray[np.float64], *, label: str, most: int = 3000) -> str:
    """Draw directions on the sphere, in Hammer's equal-area projection.

    The object's front is in the middle.

    Parameters
    ----------
    directions : (N, 3), length 1, object frame; ShapeNet: +Y up, -Z front, so +X is to its right
    most : dots; of more directions, this many evenly spread ones are drawn
    """
    width, height = _WIDTH, 204
    scale, middle = 61.0, (width / 2, height / 2)

    def project(
        longitude: NDArray[np.float64], latitude: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        # Hammer's formulas, then pixels of the picture, y down: (..., 2)
        root = np.sqrt(1 + np.cos(latitude) * np.cos(longitude / 2))
        across = 2 * math.sqrt(2) * np.cos(latitude) * np.sin(longitude / 2) / root
        up = math.sqrt(2) * np.sin(latitude) / root
        return np.stack([middle[0] + across * scale, middle[1] - up * scale], axis=-1)

    def curve(
        longitude: NDArray[np.float64] | float, latitude: NDArray[np.float64] | float, name: str
    ) -> str:
        points = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in project(*np.broadcast_arrays(longitude, latitude))
        )
        return f'<polyline class="{name}" points="{points}"/>'

    # the grid: meridians, parallels and the rim
    sweep, turn = np.linspace(-np.pi / 2, np.pi / 2, 61), np.linspace(-np.pi, np.pi, 121)
    parts = [curve(math.radians(degrees), sweep, "grid") for degrees in range(-120, 180, 60)]
    parts += [curve(turn, math.radians(degrees), "grid") for degrees in (-60, -30, 0, 30, 60)]
    parts += [curve(side * math.pi, sweep, "rim") for side in (-1, 1)]
    kept = directions[np.isfinite(directions).all(axis=1)]
    chosen = kept[spread_indices(len(kept), most)]
    # longitude 0 is before the object's front (-Z) and grows to the viewer's right
    longitude = np.arctan2(-chosen[:, 0], -chosen[:, 2])
    # rounding may bring a length of 1 just above 1
    latitude = np.arcsin(np.clip(chosen[:, 1], -1, 1))
    radius = 3.2 if len(chosen) <= 300 else 1.8
    parts += [
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
        for x, y in project(longitude, latitude)
    ]
    names = [("front", 0.0, "middle"), ("right", -90.0, "middle"), ("left", 90.0, "middle")]
    for name, degrees, anchor in [*names, ("back", 178.0, "end"), ("back", -178.0, "start")]:
        x, y = project(np.array([np.radians(degrees)]), np.array([0.0]))[0]
        parts.append(f'<text class="{anchor} halo" x="{x:.1f}" y="{y + 4:.1f}">{name}</text>')
    parts.append(f'<text class="middle" x="{middle[0]}" y="{height - 4}">below</text>')
    parts.append(f'<text class="middle" x="{middle[0]}" y="12">above</text>')
    return _svg(width, height, label, "".join(parts))


def _svg(width: int, height: int, label: str, inside: str) -> str:
    opening = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">'
    return f"{opening}{inside}</svg>"
