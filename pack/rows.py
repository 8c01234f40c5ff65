"""The rows of one model: its chosen views, with sampled points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.files import sha256
from ..core.hdf5 import FAULTS, fault_text
from ..core.schema import Row
from ..reconstruct.backproject import back_project
from ..reconstruct.resume import Summary
from ..reconstruct.sample import farthest_point_order
from ..render.choose import choose_views, count_points
from ..render.render_file import Render, open_render
from .config import PackConfig
from .writer import EncodedRow, encode_row

__all__ = ["PackSummary", "Packed", "RenderJob", "digest", "model_rows", "pack_model", "plan_views"]


@dataclass
class PackSummary(Summary):
    """Counts of one shard or all: rows, left-out views, failures, repairs.

    Attributes
    ----------
    synsets : rows by synset
    left_out : views with fewer points than a row holds: {synset, model_id, view, reason}
    failures : render files that could not be used: {file, reason}
    repairs : models by the name of a repair
    """

    synsets: Counter[str] = field(default_factory=Counter)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    repairs: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.synsets.values())


@dataclass(frozen=True)
class RenderJob:
    """A render file and the views to pack.

    If views is None, the settings choose them.
    """

    path: Path
    views: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """`synset/model.h5`, and the views if they were drawn."""
        name = f"{self.path.parent.name}/{self.path.name}"
        return name if self.views is None else f"{name} {' '.join(map(str, self.views))}"


@dataclass(frozen=True)
class Packed:
    """The encoded rows of a model, and the hash of its render file."""

    digest: str
    rows: list[EncodedRow]
    summary: PackSummary


def pack_model(job: RenderJob, config: PackConfig, render_hash: str) -> Packed:
    """Make and encode the rows of a model; see `model_rows`."""
    content_hash = digest(job.path)  # reads the whole file, which the system then caches
    rows, summary = model_rows(job.path, config, render_hash, job.views)
    return Packed(content_hash, [encode_row(row) for row in rows], summary)


def digest(path: Path) -> str:
    """Return the sha256 of a render file, or "" for an unreadable one.

    The packing of an unreadable file fails later, with the reason.
    """
    try:
        return sha256(path)
    except InputError:
        return ""


def model_rows(
    path: Path, config: PackConfig, render_hash: str, views: Sequence[int] | None = None
) -> tuple[list[Row], PackSummary]:
    """Make the rows of one render file.

    A view with fewer points than a row holds is left out: no point is stored twice to fill a row.

    Parameters
    ----------
    render_hash : of the settings that it must have been rendered with
    views : to make rows of; those that `config.keep` chooses if None

    Returns
    -------
    rows : one for each kept view, in the order of the views
    summary : of this model
    """
    try:
        with open_render(path) as render:
            kept, summary = _choose(render, path, config, render_hash)
            rows = [_row(render, view, config) for view in kept if views is None or view in views]
            summary.synsets[render.synset] += len(rows)
            summary.repairs.update(_repairs(render))
            if views is not None:  # already counted when the views were drawn
                summary.left_out = []
    except (InputError, *FAULTS) as error:
        return [], _failed(path, error)
    return rows, summary


def plan_views(
    path: Path, config: PackConfig, render_hash: str
) -> tuple[tuple[int, ...], PackSummary]:
    """Choose the views of a render file that would become rows."""
    try:
        with open_render(path) as render:
            kept, summary = _choose(render, path, config, render_hash)
            return tuple(kept), summary
    except (InputError, *FAULTS) as error:
        return (), _failed(path, error)


def _failed(path: Path, error: Exception) -> PackSummary:
    return PackSummary(
        failures=[{"file": f"{path.parent.name}/{path.name}", "reason": fault_text(error)}]
    )


def _repairs(render: Render) -> list[str]:
    """Name the repairs of a model."""
    names = render.json("repairs")
    if not isinstance(names, dict | list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{render.path} does not list its repairs: delete it and render again")
    return list(names)


def _choose(
    render: Render, path: Path, config: PackConfig, render_hash: str
) -> tuple[list[int], PackSummary]:
    """Check a render file; choose its views and list those left out."""
    if render.config_hash != render_hash:
        raise InputError(f"{path} was rendered with other settings than the rest: render it again")
    names = {"synset": render.synset, "model_id": render.model_id}
    # a file that was moved would make rows under a wrong name
    if names != {"synset": path.parent.name, "model_id": path.stem}:
        raise InputError(
            f"{path} holds the model {'/'.join(names.values())}: delete it and render again"
        )
    shaded, summary, kept = render.shaded, PackSummary(), []
    # (V,) int64; one depth is in memory at a time
    num_points = count_points(render.view_depths())
    for view in choose_views(num_points, config.keep):
        if not shaded[view]:
            raise InputError(f"{path}: view {view} has no colour: render with --colour all")
        if num_points[view] < config.points:
            reason = f"view {view} has {num_points[view]} points, a row holds {config.points}"
            summary.left_out.append(names | {"view": view, "reason": reason})
            continue
        kept.append(view)
    return kept, summary


def _row(render: Render, view: int, config: PackConfig) -> Row:
    # the full cloud of the view, (M, 3), then its farthest point sample, (P, 3)
    camera, depth = render.camera(view), render.view_depth(view)
    cloud = back_project(depth, camera)
    sample = cloud[farthest_point_order(cloud.points, config.points)]
    return {
        "rgb": render.rgb(view),
        "depth": depth,
        "intrinsics": camera.intrinsics,
        "cam_from_obj": camera.cam_from_obj,
        "points": sample.points,
        "pixels": sample.pixels,
        "num_points": np.asarray(len(cloud), dtype=np.uint32),
        "synset": np.asarray(render.synset, dtype=object),
        "model_id": np.asarray(render.model_id, dtype=object),
        "view": np.asarray(view, dtype=np.uint16),
    }
