"""Pack renders into shards: views chosen, clouds sampled, rows written in a fixed order, a manifest at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from joblib import Parallel, delayed

from .. import __version__
from ..camera import CONVENTIONS
from ..errors import InputError, needs
from ..files import make_folder, sha256, sweep, write_text
from ..progress import Progress, say
from ..reconstruct.backproject import back_project
from ..reconstruct.choose import choose_views, count_points
from ..reconstruct.sample import farthest_point_order
from ..render.file import SOURCE, find_renders, open_render
from ..render.run import read_failures, read_render_settings
from .config import PackConfig
from .manifest import MANIFEST
from .schema import FORMAT, SCHEMA_VERSION, SHARD_FIELDS, Row
from .writer import ShardWriter

__all__ = ["PackSummary", "model_rows", "pack_renders"]


@dataclass
class PackSummary:
    """What went into shards, and what did not. Of one shard, or of all of them.

    Attributes
    ----------
    synsets : rows by synset
    left_out : views with less points than a row holds: {synset, model_id, view, reason}
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

    def add(self, other: PackSummary) -> None:
        """Add another summary's counts and lists."""
        self.synsets.update(other.synsets)
        self.left_out += other.left_out
        self.failures += other.failures
        self.repairs.update(other.repairs)


def pack_renders(renders: Path, shards: Path, config: PackConfig, *, jobs: int | None = None) -> PackSummary:
    """Pack a folder of render files into `shards/shard-00000.h5` … and `shards/manifest.json`.

    Each shard is a function of a fixed slice of the models and the settings, so the result does not depend on `jobs`
    and a second call keeps the shards that a killed one finished. The manifest is written last: without it a folder
    is not yet a set of shards.

    Parameters
    ----------
    jobs : processes; the number of cores where None

    Raises
    ------
    InputError : no renders, `shards` cannot be written, a package is missing, or no row comes out
    """
    _check_packages()
    paths = find_renders(renders)
    make_folder(shards)
    sweep(shards)
    render_hash, render_config = _render_settings(renders, paths)
    attributes = {
        "config": dataclasses.asdict(config),
        "render_config": render_config,
        "seed": int(render_config["seed"]),
        "source": SOURCE,
    }
    step = max(1, config.shard_rows // (1 if config.keep == "best" else int(render_config["views"])))
    slices = [paths[begin : begin + step] for begin in range(0, len(paths), step)]
    summary, entries = PackSummary(), []
    (shards / MANIFEST).unlink(missing_ok=True)
    with (
        Parallel(n_jobs=jobs or os.cpu_count(), return_as="generator") as parallel,
        Progress(len(paths), "models") as progress,
    ):
        for number, part in enumerate(slices):
            path = shards / f"shard-{number:05}.h5"
            plan = _plan(part, renders, config, render_hash)
            packed = _read_packed(path, plan)
            if packed is None:
                results = parallel(delayed(model_rows)(source, config, render_hash) for source in part)
                packed = _write_shard(path, results, attributes | {"plan": plan}, progress)
            else:
                progress.advance(len(part))
            summary.add(packed)
            if packed.rows:
                size = path.stat().st_size
                entries.append({"file": path.name, "rows": packed.rows, "bytes": size, "sha256": sha256(path)})
    if not summary.rows:
        reason = next((entry["reason"] for entry in [*summary.failures, *summary.left_out]), "")
        raise InputError(f"{renders} gives no row at all; of the first model: {reason}")
    for stale in set(shards.glob("shard-*.h5")) - {shards / str(entry["file"]) for entry in entries}:
        stale.unlink()
    _write_manifest(shards, renders, entries, summary, attributes)
    return summary


def model_rows(path: Path, config: PackConfig, render_hash: str) -> tuple[list[Row], PackSummary]:
    """Make the rows of one render file.

    Returns
    -------
    rows : one for each kept view, in the order of the views
    summary : of this model
    """
    summary = PackSummary()
    try:
        with open_render(path) as render:
            if render.config_hash != render_hash:
                raise InputError(f"{path} was rendered with other settings than the rest: render it again")
            rows = []
            depth, shaded = render.depth, render.shaded
            num_points = count_points(depth)
            names = {"synset": render.synset, "model_id": render.model_id}
            for view in choose_views(num_points, config.keep):
                if not shaded[view]:
                    raise InputError(f"{path}: view {view} has no colour: render with --colour all")
                if num_points[view] < config.points:
                    reason = f"view {view} has {num_points[view]} points, a row holds {config.points}"
                    summary.left_out.append(names | {"view": view, "reason": reason})
                    continue
                camera = render.camera(view)
                cloud = back_project(depth[view], camera)
                sample = cloud[farthest_point_order(cloud.points, config.points)]
                rows.append(
                    {
                        "rgb": render.rgb(view),
                        "depth": depth[view],
                        "intrinsics": camera.intrinsics,
                        "cam_from_obj": camera.cam_from_obj,
                        "points": sample.points,
                        "pixels": sample.pixels,
                        "num_points": np.uint32(len(cloud)),
                        **names,
                        "view": np.uint16(view),
                    }
                )
            summary.synsets[render.synset] += len(rows)
            summary.repairs.update(list(render.json("repairs")))
    except (InputError, ValueError, OSError, KeyError) as error:
        return [], PackSummary(failures=[{"file": f"{path.parent.name}/{path.name}", "reason": str(error)}])
    return rows, summary


def _check_packages() -> None:
    try:
        import fpsample  # noqa: F401
    except ImportError as error:
        raise needs("fpsample", "reconstruct", error) from None


def _render_settings(renders: Path, paths: Sequence[Path]) -> tuple[str, dict[str, Any]]:
    """Give the hash and the settings that a folder says it was rendered with, or else its first readable file."""
    settings = read_render_settings(renders)
    if settings is not None:
        return settings
    for path in paths:
        try:
            with open_render(path) as first:
                return first.config_hash, first.json("config")
        except InputError as error:
            say(str(error))
    raise InputError(f"{renders}: none of its {len(paths)} render files can be read; render again")


def _plan(part: Sequence[Path], renders: Path, config: PackConfig, render_hash: str) -> str:
    """Give digits that stand for all that decides a shard's content."""
    names = [str(path.relative_to(renders)) for path in part]
    text = json.dumps([SCHEMA_VERSION, names, dataclasses.asdict(config), render_hash])
    return hashlib.sha256(text.encode()).hexdigest()


def _read_packed(path: Path, plan: str) -> PackSummary | None:
    """Give the summary of a shard that stands and follows the plan; None otherwise."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("plan") != plan:
                return None
            packed = json.loads(file.attrs["packed"])
    except (OSError, ValueError, KeyError):
        return None
    return PackSummary(Counter(packed["synsets"]), packed["left_out"], packed["failures"], Counter(packed["repairs"]))


def _write_shard(path: Path, results: Any, attributes: dict[str, Any], progress: Progress) -> PackSummary:
    """Write models' rows as they come; a slice without any row leaves no file."""
    packed = PackSummary()
    with ShardWriter(path, attributes) as shard:
        for rows, summary in results:
            for row in rows:
                shard.append(row)
            packed.add(summary)
            progress.advance()
        shard.attributes["packed"] = vars(packed)
    if not packed.rows:
        path.unlink()
    return packed


def _write_manifest(
    shards: Path, renders: Path, entries: list[dict[str, Any]], summary: PackSummary, attributes: dict[str, Any]
) -> None:
    failed = [
        {name: entry.get(name) for name in ("synset", "model_id", "kind", "reason")} for entry in read_failures(renders)
    ]
    manifest = {
        "format": FORMAT,
        "kind": "manifest",
        "schema_version": SCHEMA_VERSION,
        "generator": f"shapenet3d-cma {__version__}",
        "rows": summary.rows,
        "shards": entries,
        "split": "all",
        "synsets": dict(sorted(summary.synsets.items())),
        "left_out": summary.left_out,
        "failures": summary.failures,
        "render_failures": failed,
        "repairs": dict(sorted(summary.repairs.items())),
        "conventions": CONVENTIONS,
        "fields": {entry.name: entry.meaning for entry in SHARD_FIELDS},
        **attributes,
    }
    write_text(shards / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
