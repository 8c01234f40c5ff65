"""The inspection page: one HTML file with its code and arrays."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from ...core.outputs import stamp_text
from ...core.schema import GENERATOR
from ...core.wording import visible
from ...render.shapenet.synsets import V2_NAMES
from .bundle import bundle
from .coded import code
from .view import AlignedMasks, Reconstruction, View

__all__ = ["PAGE", "page_html", "policy", "style", "web_file"]

PAGE = "page"
"""Kind of the file, see `core/outputs`."""


@cache
def web_file(name: str) -> str:
    """Read a file of the folder `web`."""
    return (Path(__file__).parent / "web" / name).read_text(encoding="utf-8")


def style(*names: str) -> str:
    """Join style sheets."""
    return "\n".join(web_file(name) for name in names)


def policy(script: str) -> str:
    """Return a Content-Security-Policy that allows this script and no fetches."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; "
        "style-src 'unsafe-inline'; img-src data:"
    )


def page_html(
    views: Sequence[View],
    *,
    start: int = 0,
    total: int,
    unit: str = "row",
    source: str,
    missing: Mapping[str, str] | None = None,
    neighbours: tuple[str | None, str | None] = (None, None),
    home: str | None = None,
) -> str:
    """Return the HTML of an inspection page.

    Parameters
    ----------
    views : what can be seen on it, at least one; those of one model are shown together
    start : index of the view that is shown first
    total : number of all rows (or models); `unit` names them
    source : name of the folder or file that the views were read from
    missing : layer ("patches", "mask", "network") -> why no view has it
    neighbours : pages before the first and after the last view, relative to this one
    home : report that links to this page
    """
    first = views[start]
    aligned = next((view.aligned for view in views if view.aligned), None)
    script = bundle("main.js", web_file)
    payload = {
        "start": start,
        "total": total,
        "unit": unit,
        "missing": dict(missing or {}),
        "previous": neighbours[0],
        "next": neighbours[1],
        "run": any(view.reconstruction is not None for view in views),
        "viridis": code(_viridis()),
        "frames": [_coded(view) for view in views],
    }
    strategies = aligned.strategies if aligned else ()
    text = {
        "title": f"{_name(first.synset)} {first.model_id} · {unit} {first.row}",
        "name": _name(first.synset),
        "model": f"{first.synset}/{first.model_id}",
        "source": source,
        "generator": GENERATOR,
        "stamp": stamp_text(PAGE),
        "stored": "stored" if first.stored else "sampled",
        "patches": str(len(aligned.patches)) if aligned else "",
        "patch_points": str(aligned.patches.shape[1]) if aligned else "",
    }
    markup = {
        "policy": policy(script),
        "style": style("base.css", "page.css"),
        "script": script,
        # a name that holds "</script>" cannot end the script early
        "payload": json.dumps(payload, allow_nan=False).replace("<", "\\u003c"),
        "home": f'<a href="{html.escape(home)}">report</a>' if home else "",
        "strategies": "".join(
            f'<label><input type="radio" name="strategy" value="{index}">'
            f"<span>{html.escape(name)}</span></label>"
            for index, name in enumerate(strategies)
        ),
    }
    escaped = {name: html.escape(visible(value)) for name, value in text.items()}
    return Template(web_file("page.html")).substitute(escaped | markup)


def _name(synset: str) -> str:
    return V2_NAMES.get(synset, synset)


def _viridis() -> NDArray[np.uint8]:
    """Return matplotlib's perceptual colour map: (256, 3) uint8."""
    return np.round(mpl.colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def _coded(view: View) -> dict[str, Any]:
    """Code a view for `web/frame.js`."""
    frame: dict[str, Any] = {
        "row": view.row,
        "synset": view.synset,
        "model_id": view.model_id,
        "name": _name(view.synset),
        "view": view.view,
        "stored": view.stored,
        "num_points": view.num_points,
        "missing": view.missing,
        "depth": code(view.depth, steps=True),
        "intrinsics": code(view.intrinsics),
        "cam_from_obj": code(view.cam_from_obj),
        "points": code(view.points),
        "pixels": code(view.pixels),
    }
    if view.rgb is not None:
        frame["rgb"] = code(view.rgb)
    if view.normal is not None:
        # one byte a component, (H, W, 3): -1 to 1 becomes 1 to 255
        frame["normal"] = code(np.round(np.clip(view.normal, -1, 1) * 127 + 128).astype(np.uint8))
    if view.aligned is not None:
        frame |= _coded_masks(view.aligned)
    if view.reconstruction is not None:
        frame["network"] = _coded_reconstruction(view.reconstruction)
    return frame


def _coded_masks(aligned: AlignedMasks) -> dict[str, Any]:
    return {
        "grid": list(aligned.grid),
        "patches": code(aligned.patches),
        "masks": {
            "strategies": list(aligned.strategies),
            "ratios": list(aligned.ratios),
            "seeds": list(aligned.seeds),
            "preferred": aligned.preferred,
            "points": code(aligned.points),
            "cells": code(aligned.cells),
        },
    }


def _coded_reconstruction(reconstruction: Reconstruction) -> dict[str, Any]:
    return {
        "about": reconstruction.about,
        "seeds": list(reconstruction.seeds),
        "masked": code(reconstruction.masked),
        "cells": code(reconstruction.cells),
        "patches": code(reconstruction.patches),
        "chamfer": [float(value) for value in reconstruction.chamfer],
    }
