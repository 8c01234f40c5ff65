"""Prove a folder of shards: every law of the conventions, on every row, with the worst figures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, needs
from ..files import sha256
from ..progress import track
from ..reconstruct.backproject import back_project
from ..reconstruct.sample import farthest_point_order, greedy_excess
from ..render.select import Layout, Selection
from ..render.shapenet import list_models
from .reader import Shards
from .schema import Row
from .source import distance_to_mesh, source_mesh

__all__ = ["LAWS", "Law", "Verdict", "check_row", "verdict_table", "verify_shards"]


@dataclass(frozen=True)
class Law:
    """A figure that every row must keep at or below a limit."""

    name: str
    limit: float
    unit: str
    meaning: str


LAWS = (
    Law("readable", 0, "errors", "the row's arrays can be read"),
    Law("finite", 0, "values", "depth, points and camera are finite, depth is not negative"),
    Law("camera", 0, "errors", "K is a calibration matrix, R a rotation with determinant +1"),
    Law("pixel", 0, "pixels", "every point projects into the very pixel stored with it"),
    Law("pixel centre", 1e-3, "pixels", "and to the middle of that pixel"),
    Law("point", 1e-9, "object units", "every point is its pixel's depth, back-projected and rounded to float32"),
    Law("distinct pixels", 0, "points", "no pixel is stored twice in a row"),
    Law("num_points", 0, "points", "num_points counts the pixels with depth"),
    Law("farthest point order", 1e-6, "object units", "each point is the farthest from those before it"),
    Law("surface", 1e-5, "object units", "every point lies on the source mesh (with --source)"),
    Law("sha256", 0, "files", "every shard has the bytes that the manifest vouches for"),
)


@dataclass
class Verdict:
    """The outcome of one law over all rows.

    Attributes
    ----------
    worst : the largest figure met; inf where it could not be taken
    where : the row of the worst figure, as `shard row synset/model view`
    broken : rows (or files) over the limit
    checked : rows (or files) that the law was applied to
    """

    law: Law
    worst: float = 0.0
    where: str = ""
    broken: int = 0
    checked: int = 0

    def add(self, figure: float, where: str) -> None:
        """Count one row's figure; NaN is as bad as can be."""
        figure = np.inf if np.isnan(figure) else figure
        self.checked += 1
        self.broken += figure > self.law.limit
        if not self.where or figure > self.worst:
            self.worst, self.where = figure, where

    def as_json(self) -> dict[str, Any]:
        """Give what `--json` prints of it."""
        return {
            "law": self.law.name,
            "meaning": self.law.meaning,
            "worst": self.worst if np.isfinite(self.worst) else str(self.worst),
            "limit": self.law.limit,
            "unit": self.law.unit,
            "where": self.where,
            "broken": self.broken,
            "checked": self.checked,
        }


def verify_shards(
    folder: Path, *, source: Path | None = None, layout: Layout = "auto", jobs: int | None = None
) -> list[Verdict]:
    """Check every law on every row.

    Parameters
    ----------
    folder : shards
    source : the ShapeNet that they were made from, to measure every point's distance to its mesh
    layout : how `source` is laid out
    jobs : processes; the number of cores where None

    Returns
    -------
    verdicts : one for each law that was applied, in the order of LAWS

    Raises
    ------
    InputError : `folder` is no readable set of shards, `source` no folder, or a package is missing
    """
    shards = Shards(folder)
    if not len(shards):
        raise InputError(f"{folder} holds no row")
    _check_packages(source, layout)
    verdicts = {law.name: Verdict(law) for law in LAWS}
    for entry in shards.manifest["shards"]:
        same = sha256(folder / entry["file"]) == entry["sha256"]
        verdicts["sha256"].add(0.0 if same else 1.0, entry["file"])
    rows = range(len(shards))
    results = Parallel(n_jobs=jobs or os.cpu_count(), return_as="generator", batch_size=8)(
        delayed(_check)(shards, row, source, layout) for row in rows
    )
    for where, figures in track(results, len(rows), "rows"):
        for name, figure in figures.items():
            verdicts[name].add(figure, where)
    return [verdict for verdict in verdicts.values() if verdict.checked]


def verdict_table(verdicts: list[Verdict]) -> str:
    """Lay verdicts out as text: law, worst figure, limit, and where a law is broken."""
    lines = [f"{'law':<22}{'worst':>10} {'limit':>8}  unit"]
    for verdict in verdicts:
        law = verdict.law
        lines.append(f"{law.name:<22}{verdict.worst:>10.2g} {law.limit:>8.2g}  {law.unit}")
    for verdict in verdicts:
        if verdict.broken:
            lines.append(f"BROKEN {verdict.law.name}: {verdict.broken} of {verdict.checked}, worst in {verdict.where}")
    rows = max(verdict.checked for verdict in verdicts)
    broken = sum(1 for verdict in verdicts if verdict.broken)
    lines.append(f"{rows} rows: " + (f"{broken} laws are broken" if broken else "every law holds"))
    return "\n".join(lines)


def check_row(row: Row) -> dict[str, float]:
    """Measure the laws that a row can be held to by itself.

    Returns
    -------
    figures : by law; a law that cannot be measured because another is broken is left out
    """
    depth, points, pixels = row["depth"], row["points"], row["pixels"]
    numbers = (depth, points, row["intrinsics"], row["cam_from_obj"])
    figures = {"finite": float(sum((~np.isfinite(array)).sum() for array in numbers) + (depth < 0).sum())}
    height, width = depth.shape
    try:
        camera = Camera(row["intrinsics"], row["cam_from_obj"], width, height)
    except ValueError:
        return figures | {"camera": 1.0}
    figures["camera"] = 0.0
    if figures["finite"]:
        return figures
    uv, in_front = camera.project(points)
    off = np.abs(np.floor(uv) - pixels).max()
    figures["pixel"] = float(off) if (in_front > 0).all() else np.inf
    figures["pixel centre"] = float(np.abs(uv - (pixels + 0.5)).max()) if (in_front > 0).all() else np.inf
    figures["distinct pixels"] = float(len(pixels) - len(np.unique(pixels, axis=0)))
    figures["num_points"] = float(abs(int(row["num_points"]) - np.count_nonzero(depth)))
    column, line = pixels[:, 0].astype(int), pixels[:, 1].astype(int)
    if (column >= width).any() or (line >= height).any() or not depth[line, column].all():
        return figures | {"point": np.inf}
    derived = camera.unproject(pixels + 0.5, depth[line, column])
    rounding = np.spacing(np.abs(points)) / 2  # what float32 cannot hold
    figures["point"] = float(np.maximum(np.abs(derived - points) - rounding, 0).max())
    figures["farthest point order"] = _order_excess(row, camera)
    return figures


def _order_excess(row: Row, camera: Camera) -> float:
    """Measure how far the points are from farthest point order; the slow reference speaks only where in doubt."""
    cloud = back_project(row["depth"], camera)
    count = len(row["points"])
    if count > len(cloud):
        return np.inf
    again = cloud[farthest_point_order(cloud.points, count)]
    if np.array_equal(again.pixels, row["pixels"]):
        return 0.0
    return greedy_excess(cloud.points, row["points"])


def _check(shards: Shards, index: int, source: Path | None, layout: Layout) -> tuple[str, dict[str, float]]:
    """Give a row's name and its figures."""
    file = int(np.searchsorted(shards.starts, index, side="right") - 1)
    where = f"{shards.files[file].name} row {index - shards.starts[file]}"
    try:
        row = shards[index]
    except InputError:
        return where, {"readable": 1.0}
    where += f" {row['synset']}/{row['model_id']} view {row['view']}"
    figures = {"readable": 0.0} | check_row(row)
    if source is not None:
        figures["surface"] = _distance(row, source, layout) if np.isfinite(row["points"]).all() else np.inf
    return where, figures


def _distance(row: Row, source: Path, layout: Layout) -> float:
    """Give the largest distance of a row's points to the source mesh; inf where there is no such mesh."""
    try:
        mesh = source_mesh(source, str(row["synset"]), str(row["model_id"]), layout)
    except InputError:
        return np.inf
    distances: NDArray[np.float64] = distance_to_mesh(row["points"], mesh, row["cam_from_obj"])
    return float(distances.max())


def _check_packages(source: Path | None, layout: Layout) -> None:
    for package in ("fpsample", *(("open3d", "trimesh") if source else ())):
        try:
            __import__(package)
        except ImportError as error:
            raise needs(package, "reconstruct", error) from None
    if source is not None and not source.exists():
        raise InputError(f"{source} does not exist: --source is the ShapeNet folder that was rendered")
    if source is not None:
        list_models(source, Selection(layout=layout))  # refuses what is no ShapeNet, before rows are read
