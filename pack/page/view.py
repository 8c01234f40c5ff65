"""A view of a model on a page: stored arrays and network layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.hdf5 import FAULTS, fault_text
from ...reconstruct.backproject import back_project
from ...render.choose import choose_views, count_points
from ...render.render_file import Render, open_render
from ..config import PackConfig
from ..reader import Shards

__all__ = ["AlignedMasks", "Reconstruction", "View", "render_views", "shard_views"]


@dataclass(frozen=True)
class AlignedMasks:
    """The masks of a row for each strategy, ratio and seed.

    True = masked.

    Attributes
    ----------
    strategies, ratios, seeds : what can be chosen; T, R and S of them
    preferred : the {strategy, ratio, collisions} to begin with, each among those
    grid : rows and columns of the image's cells
    patches : (G, K) uint16, the points of each patch
    points : (R, S, 2, G) bool, point patches, without and with the collision rule
    cells : (T, R, S, 2, C) bool, image cells
    """

    strategies: Sequence[str]
    ratios: Sequence[float]
    seeds: Sequence[int]
    preferred: dict[str, Any]
    grid: tuple[int, int]
    patches: NDArray[np.uint16]
    points: NDArray[np.bool_]
    cells: NDArray[np.bool_]


@dataclass(frozen=True)
class Reconstruction:
    """A trained network's reconstructions of a row's masked patches, for S seeds.

    Attributes
    ----------
    about : the run in a sentence
    seeds : S of them
    masked : (S, G) bool, point patches; cells : (S, C) bool, image cells
    patches : (S, G, K, 3) float32, object frame; zeros where a patch is visible
    chamfer : (S,) the loss of the masked patches
    """

    about: str
    seeds: Sequence[int]
    masked: NDArray[np.bool_]
    cells: NDArray[np.bool_]
    patches: NDArray[np.float32]
    chamfer: Sequence[float]


@dataclass(frozen=True)
class View:
    """One view of a model.

    Attributes
    ----------
    row : index in the shards; of renders, of the model's file
    stored : True if a shard stores the points and pixels; False if they are computed here from the
        depth of a render
    rgb : (H, W, 3) uint8; None if the view was not shaded
    depth, intrinsics, cam_from_obj, points, pixels : see `core/schema`
    num_points : points of the view before sampling
    normal : (H, W, 3) float32, object frame, as rendered; None if it was not rendered
    aligned, reconstruction : the layers of the network, or None
    missing : why there are no masks, in a sentence; else empty
    """

    row: int
    synset: str
    model_id: str
    view: int
    stored: bool
    rgb: NDArray[np.uint8] | None
    depth: NDArray[np.float32]
    intrinsics: NDArray[np.float64]
    cam_from_obj: NDArray[np.float64]
    points: NDArray[np.float32]
    pixels: NDArray[np.uint16]
    num_points: int
    normal: NDArray[np.float32] | None = None
    aligned: AlignedMasks | None = None
    reconstruction: Reconstruction | None = None
    missing: str = ""


def shard_views(shards: Shards, rows: Sequence[int]) -> list[View]:
    """Read rows of shards.

    Raises
    ------
    InputError : see `Shards.read`
    """
    views = []
    for index in rows:
        row = shards[index]
        texts = {name: str(row.pop(name)) for name in ("synset", "model_id")}
        counts = {name: int(row.pop(name)) for name in ("view", "num_points")}
        plain: dict[str, Any] = {**texts, **counts, **row}
        views.append(View(row=index, stored=True, **plain))
    return views


def render_views(
    path: Path, row: int, *, views: Sequence[int] | None = None, every: bool = False
) -> list[View]:
    """Read views of a render file, with points sampled as packing does.

    Without fpsample the views hold all points.

    Parameters
    ----------
    row : index of the file among all, or any number that identifies the model
    views : indices; if None the view with the most points, which packing keeps
    every : read all views

    Raises
    ------
    InputError : no readable render file, no such view, or a view that shows nothing
    """
    try:
        with open_render(path) as render:
            loaded = _read_views(render, row, views, every=every)
    except FAULTS as error:
        raise InputError(
            f"{path} is damaged: {fault_text(error)}; delete it and render again"
        ) from None
    if not loaded:
        raise InputError(f"{path}: no view shows any part of the model; check its source model")
    return loaded


def _read_views(
    render: Render, row: int, views: Sequence[int] | None, *, every: bool
) -> list[View]:
    """Read views one by one, since all depth may be large."""
    counts = count_points(render.view_depths())
    chosen = (
        range(len(counts)) if every else choose_views(counts, "best") if views is None else views
    )
    loaded = []
    for view in chosen:
        if not 0 <= view < len(counts):
            raise InputError(
                f"{render.path} has no view {view}: it has views 0 to {len(counts) - 1}"
            )
        depth = render.view_depth(view)
        try:
            camera = render.camera(view)
            cloud = back_project(depth, camera)
        except ValueError as error:
            raise InputError(
                f"{render.path}: view {view}: {error}; delete the file and render again"
            ) from None
        if not len(cloud):
            if every:  # a view from which nothing is seen has nothing to show
                continue
            raise InputError(
                f"{render.path}: view {view} shows no part of the model; choose another"
            )
        sample = cloud[_sample(cloud.points)]
        loaded.append(
            View(
                row=row,
                synset=render.synset,
                model_id=render.model_id,
                view=view,
                stored=False,
                rgb=render.rgb(view) if render.shaded[view] else None,
                depth=depth,
                intrinsics=camera.intrinsics,
                cam_from_obj=camera.cam_from_obj,
                points=sample.points,
                pixels=sample.pixels,
                num_points=int(counts[view]),
                normal=render.rows["normal"][view] if "normal" in render.rows else None,
            )
        )
    return loaded


def _sample(points: NDArray[np.float32]) -> NDArray[np.int64] | slice:
    """Choose the points of packing's default; all points without fpsample.

    Without fpsample they are in the order of their pixels.
    """
    try:
        from ...reconstruct.sample import farthest_point_order

        return farthest_point_order(points, min(PackConfig().points, len(points)))
    except ImportError:
        return slice(None)
