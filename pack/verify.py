"""Prove a folder of shards: every law of the conventions, on every row, with the worst figures."""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ..core.camera import CONVENTIONS, Camera
from ..core.errors import InputError, needs
from ..core.files import sha256
from ..core.processes import each, workers
from ..core.progress import track
from ..core.schema import Opened, Row, WrongFileError
from ..reconstruct.backproject import back_project
from ..reconstruct.sample import farthest_point_order, greedy_excess
from ..render.choice import drawn_split
from ..render.shapenet.listing import list_models
from ..render.shapenet.selection import Layout, Selection
from .manifest import MANIFEST
from .reader import Shards
from .surface import distance_to_mesh, source_mesh

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
    Law(
        "point",
        1e-9,
        "object units",
        "every point is its pixel's depth, back-projected and rounded to float32",
    ),
    Law("distinct pixels", 0, "points", "no pixel is stored twice in a row"),
    Law("num_points", 0, "points", "num_points counts the pixels with depth"),
    Law(
        "farthest point order",
        1e-6,
        "object units",
        "each point is the farthest from those before it",
    ),
    Law(
        "image",
        0,
        "images",
        "the image is not of one colour alone; unless the background is black or transparent",
    ),
    Law(
        "outline",
        0.01,
        "of the pixels",
        "away from the object's depth, the image shows nothing but its background",
    ),
    Law("view", 0, "views", "the view is one of those that were rendered"),
    Law("distinct rows", 0, "rows", "no other row is the same view of the same model"),
    Law("split", 0, "rows", "the row's model is drawn into the split that the manifest states"),
    Law("distinct models", 0, "models", "no model is in two of the sets (with several)"),
    Law(
        "attributes",
        0,
        "attributes",
        "every shard states this program's conventions and the manifest's settings",
    ),
    Law(
        "manifest",
        0,
        "statements",
        "the manifest states this program's conventions, and the shards' rows by synset",
    ),
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
    reason : why the worst figure could not be taken, or which row it is; empty where the figure
        says all
    broken : rows (or files) over the limit
    checked : rows (or files) that the law was applied to
    """

    law: Law
    worst: float = 0.0
    where: str = ""
    reason: str = ""
    broken: int = 0
    checked: int = 0

    def add(self, figure: float, where: str, reason: str = "") -> None:
        """Count one row's figure; NaN is as bad as can be."""
        figure = np.inf if np.isnan(figure) else figure
        self.checked += 1
        self.broken += figure > self.law.limit
        if not self.where or figure > self.worst:
            self.worst, self.where, self.reason = figure, where, reason

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        return {
            "law": self.law.name,
            "meaning": self.law.meaning,
            "worst": self.worst if np.isfinite(self.worst) else str(self.worst),
            "limit": self.law.limit,
            "unit": self.law.unit,
            "where": self.where,
            "reason": self.reason,
            "broken": self.broken,
            "checked": self.checked,
        }


def verify_shards(
    folders: Path | Sequence[Path],
    *,
    source: Path | None = None,
    layout: Layout = "auto",
    jobs: int | None = None,
) -> list[Verdict]:
    """Check every law on every row.

    Parameters
    ----------
    folders : shards; of several, such as the splits of a dataset, also that they have no model in
        common
    source : the ShapeNet that they were made from, to measure every point's distance to its mesh
    layout : how `source` is laid out
    jobs : processes; the number of cores where None

    Returns
    -------
    verdicts : one for each law that was applied, in the order of LAWS

    Raises
    ------
    InputError : a folder is no readable set of shards, `source` no ShapeNet, or a package is
        missing
    """
    sets = [
        Shards(folder, most_open=1)
        for folder in ([folders] if isinstance(folders, Path) else folders)
    ]
    for shards in sets:
        if not len(shards):
            raise InputError(f"{shards.folder} holds no row")
    _check_packages(source, layout)
    verdicts = {law.name: Verdict(law) for law in LAWS}
    remembered = [_Rows(shards, f"{shards.folder}/" if len(sets) > 1 else "") for shards in sets]
    with workers(jobs, batch_size=8) as parallel:
        for rows in remembered:
            _verify_set(rows, verdicts, parallel, source, layout)
    for one, two in itertools.combinations(remembered, 2):
        _compare_sets(one, two, verdicts["distinct models"])
    return [verdict for verdict in verdicts.values() if verdict.checked]


def _verify_set(
    rows: _Rows,
    verdicts: Mapping[str, Verdict],
    parallel: Parallel,
    source: Path | None,
    layout: Layout,
) -> None:
    """Check the laws that a set of shards can be held to by itself."""
    shards, call = (
        rows.shards,
        secrets.token_hex(4),
    )  # another call may find other files under the same names
    tasks = (delayed(_check_file)(shards.folder, call, index) for index in range(len(shards.files)))
    with each(parallel, tasks) as files:
        for index, (other, same) in enumerate(track(files, len(shards.files), "shards")):
            name = f"{rows.prefix}{shards.files[index].name}"
            if other is not None:
                reason = f"other than expected: {', '.join(other)}" if other else ""
                verdicts["attributes"].add(len(other), name, reason)
            verdicts["sha256"].add(0.0 if same else 1.0, name)
    tasks = (
        delayed(_check)(shards.folder, call, row, source, layout) for row in range(len(shards))
    )
    with each(parallel, tasks) as results:
        for row, found in enumerate(track(results, len(shards), "rows")):
            for law, figure in found.figures.items():
                verdicts[law].add(figure, f"{rows.prefix}{found.where}", found.reasons.get(law, ""))
            if found.key is not None:
                rows.note(row, found.key)
    rows.find_twins(verdicts["distinct rows"])
    wrong = _misstated(rows)
    verdicts["manifest"].add(
        len(wrong), f"{rows.prefix}{MANIFEST}", f"not as the shards: {', '.join(wrong)}"
    )


def _misstated(rows: _Rows) -> list[str]:
    """Name what a manifest states other than it is; rows that cannot be read are another law's."""
    manifest, total = rows.shards.manifest, len(rows.shards)
    expected: dict[str, Any] = {"conventions": CONVENTIONS, "rows": total}
    if rows.known.all():
        expected["synsets"] = dict(rows.synsets)
    return [name for name, value in expected.items() if manifest.get(name) != value]


def _compare_sets(one: _Rows, two: _Rows, verdict: Verdict) -> None:
    """Find models that both sets hold."""
    models = [np.unique(rows.models[rows.known], return_index=True) for rows in (one, two)]
    shared, first, second = np.intersect1d(
        models[0][0], models[1][0], assume_unique=True, return_indices=True
    )
    verdict.checked += len(models[0][0]) + len(models[1][0])
    for left, right in zip(models[0][1][first], models[1][1][second], strict=True):
        here, there = (
            one.name(np.flatnonzero(one.known)[left]),
            two.name(np.flatnonzero(two.known)[right]),
        )
        verdict.add(1.0, there, f"the model of {here}")
        verdict.checked -= 1
    if not len(shared) and not verdict.where:
        verdict.where = str(two.shards.folder)


class _Rows:
    """What is remembered of the rows of a set: 16 bytes each, since there may be millions.

    Parameters
    ----------
    prefix : put before the names of files

    Attributes
    ----------
    known : (N,) bool, whether the row could be read
    keys, models : (N,) uint64, stand for the row's view of its model, and for its model
    synsets : rows by synset
    """

    def __init__(self, shards: Shards, prefix: str = "") -> None:
        self.shards, self.prefix = shards, prefix
        self.known = np.zeros(len(shards), dtype=bool)
        self.keys, self.models = (np.zeros(len(shards), dtype=np.uint64) for _ in range(2))
        self.synsets: Counter[str] = Counter()

    def note(self, row: int, key: tuple[str, str, int]) -> None:
        """Remember a row by synset, model and view."""
        self.known[row] = True
        self.synsets[key[0]] += 1
        self.models[row], self.keys[row] = _digits(key[:2]), _digits(key)

    def name(self, row: int) -> str:
        """Name a row that can be read: `shard row synset/model view`."""
        fields = self.shards.read([row], ["synset", "model_id", "view"])
        key = (str(fields["synset"][0]), str(fields["model_id"][0]), int(fields["view"][0]))
        return f"{self.prefix}{_place(self.shards, row)} {_spelt(key)}"

    def find_twins(self, verdict: Verdict) -> None:
        """Count the rows that are the same view of the same model as one before them."""
        rows = np.flatnonzero(self.known)
        _, first, which = np.unique(self.keys[rows], return_index=True, return_inverse=True)
        twins = np.flatnonzero(first[which] != np.arange(len(rows)))
        if len(rows):
            verdict.add(0.0, self.name(int(rows[0])))
            verdict.checked += len(rows) - len(twins) - 1
        for twin in twins:
            earlier = self.name(int(rows[first[which[twin]]]))
            verdict.add(1.0, self.name(int(rows[twin])), f"the same as {earlier}")


def _digits(key: tuple[str | int, ...]) -> np.uint64:
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def _place(shards: Shards, row: int) -> str:
    file = int(np.searchsorted(shards.starts, row, side="right") - 1)
    return f"{shards.files[file].name} row {row - shards.starts[file]}"


def _spelt(key: tuple[str, str, int]) -> str:
    return f"{key[0]}/{key[1]} view {key[2]}"


def verdict_table(verdicts: list[Verdict]) -> str:
    """Lay verdicts out as text: law, worst figure, limit, and where a law is broken."""
    lines = [f"{'law':<22}{'worst':>10} {'limit':>8}  unit"]
    for verdict in verdicts:
        law = verdict.law
        lines.append(f"{law.name:<22}{verdict.worst:>10.2g} {law.limit:>8.2g}  {law.unit}")
    for verdict in verdicts:
        if verdict.broken:
            why = f": {verdict.reason}" if verdict.reason else ""
            lines.append(
                f"BROKEN {verdict.law.name}: {verdict.broken} of {verdict.checked}, worst in {verdict.where}{why}"
            )
    rows = max(
        verdict.checked for verdict in verdicts if verdict.law.unit != "models"
    )  # those are met in pairs
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
    figures = {
        "finite": float(sum((~np.isfinite(array)).sum() for array in numbers) + (depth < 0).sum())
    }
    height, width = depth.shape
    figures["image"] = float((row["rgb"] == row["rgb"][0, 0]).all() and depth.any())
    figures["outline"] = _stray(row["rgb"], depth)
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
    figures["pixel centre"] = (
        float(np.abs(uv - (pixels + 0.5)).max()) if (in_front > 0).all() else np.inf
    )
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


def _stray(rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> float:
    """Return the share of pixels that are of other colour than the background, more than two pixels from any depth.

    Two pixels are what the pixel filter reaches. A wire much thinner than a pixel may slip between
    depth's rays, so the law allows some.
    """
    reach = 2
    near = np.pad(depth != 0, reach)
    for axis in (0, 1):
        near = np.lib.stride_tricks.sliding_window_view(near, 2 * reach + 1, axis=axis).any(axis=-1)
    away = rgb[~near].astype(np.int16)
    if not len(away):
        return 0.0
    return float((np.abs(away - np.median(away, axis=0)).max(axis=1) > 1).sum() / depth.size)


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


@dataclass(frozen=True)
class _Found:
    """What was found of a row: its name, figures and reasons by law, and its key, None where it cannot be read."""

    where: str
    figures: dict[str, float]
    reasons: dict[str, str] = field(default_factory=dict)
    key: tuple[str, str, int] | None = None


def _check_file(folder: Path, call: str, index: int) -> tuple[list[str] | None, bool]:
    """Look at a whole file: attributes that are not as expected, and whether its bytes are those vouched for.

    Of a file that cannot be opened the attributes are None; it is left to `readable` and `sha256`.

    Raises
    ------
    InputError : a file of another format, kind or version, of which no law can speak
    """
    shards = _opened(folder, call)
    same = sha256(shards.files[index]) == shards.manifest["shards"][index]["sha256"]
    names = ["conventions", "config", "render_config", "seed"]
    names += [
        name for name in ("selection", "split", "source") if name in shards.manifest
    ]  # older sets lack some
    try:
        with shards.check(index) as opened:
            stated = {name: _plain(opened, name) for name in names}
    except WrongFileError:
        raise
    except InputError:
        return None, same
    expected = {name: shards.manifest.get(name, "missing") for name in stated} | {
        "conventions": CONVENTIONS
    }
    return [name for name, value in expected.items() if stated[name] != value], same


def _plain(opened: Opened, name: str) -> Any:
    """Read an attribute's value: a number, JSON, or else a text; None where it cannot be read."""
    try:
        stored = opened.attribute(name)
        return (
            stored
            if name in ("split", "source") or not isinstance(stored, str)
            else opened.json(name)
        )
    except InputError:
        return None


@lru_cache(maxsize=1)
def _opened(folder: Path, call: str) -> Shards:
    """Open shards once in a process and a call: another call may find other files under the same names."""
    return Shards(folder, most_open=1)


def _check(folder: Path, call: str, index: int, source: Path | None, layout: Layout) -> _Found:
    """Measure the laws of a row."""
    shards = _opened(folder, call)
    where = _place(shards, index)
    try:
        row = shards[index]
    except InputError as error:
        return _Found(where, {"readable": 1.0}, {"readable": str(error)})
    key = (str(row["synset"]), str(row["model_id"]), int(row["view"]))
    where += f" {_spelt(key)}"
    figures = {"readable": 0.0} | check_row(row)
    split = _stated_split(shards.manifest)
    if split is not None:
        figures["split"] = float(drawn_split("/".join(key[:2]), *split[1:]) != split[0])
    render = shards.manifest.get("render_config")
    render = render if isinstance(render, dict) else {}
    views = render.get("views")  # where it is missing or strange, the law of attributes speaks
    figures["view"] = float(max(0, key[2] + 1 - views)) if isinstance(views, int) else np.inf
    if render.get("background") in ("transparent", "#000000"):  # all that a black object shows
        del figures["image"]
    reasons: dict[str, str] = {}
    if source is not None:
        figures["surface"], reasons["surface"] = _distance(row, source, layout)
    return _Found(where, figures, reasons, key)


def _stated_split(
    manifest: Mapping[str, Any],
) -> tuple[str, tuple[float, float, float], int] | None:
    """Return the split, shares and seed that a manifest says its models were drawn with; None where it says none."""
    try:
        train, val, test = map(float, manifest["selection"]["split_shares"])
        return (
            str(manifest["selection"]["split"]),
            (train, val, test),
            int(manifest["config"]["seed"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _distance(row: Row, source: Path, layout: Layout) -> tuple[float, str]:
    """Return largest distance of a row's points to the source mesh; where it cannot be taken, inf and the reason."""
    if not np.isfinite(row["points"]).all():
        return np.inf, "points that are not finite"
    try:
        mesh = source_mesh(source, str(row["synset"]), str(row["model_id"]), layout)
    except (InputError, OSError) as error:
        return np.inf, str(error)
    distances: NDArray[np.float64] = distance_to_mesh(row["points"], mesh, row["cam_from_obj"])
    return float(distances.max()), ""


def _check_packages(source: Path | None, layout: Layout) -> None:
    if source is not None:
        try:
            list_models(source, Selection(layout=layout))
        except InputError as error:
            raise InputError(f"--source is the ShapeNet that was rendered, but {error}") from None
    for package in ("fpsample", *(("open3d", "trimesh") if source else ())):
        try:
            __import__(package)
        except (
            ImportError,
            OSError,
        ) as error:  # OSError: a library that the package loads by itself
            raise needs(package, "reconstruct", error) from None
