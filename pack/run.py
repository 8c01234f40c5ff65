"""Pack renders into shards: views chosen, clouds sampled, rows written in a fixed order, a manifest at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
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
from .manifest import MANIFEST, UNFINISHED, read_record
from .schema import FORMAT, SCHEMA_VERSION, SHARD_FIELDS, Row
from .writer import ShardWriter, cannot_write

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


def pack_renders(
    renders: Path, shards: Path, config: PackConfig, *, jobs: int | None = None, redo: bool = False
) -> PackSummary:
    """Pack a folder of render files into `shards/shard-00000.h5` … and `shards/manifest.json`.

    Each shard is a function of the bytes of a fixed slice of the render files and of the settings, so the result does
    not depend on `jobs`, and a second call keeps the shards that a killed one finished. The manifest is written last:
    without it a folder is not yet a set of shards. What stood before is touched only when rows come out.

    Parameters
    ----------
    jobs : processes; the number of cores where None
    redo : replace shards made with other settings instead of refusing

    Raises
    ------
    InputError : no renders, `shards` cannot be written or was made with other settings, a package is missing, or no
        row comes out
    """
    _check_packages()
    paths = find_renders(renders)
    render_hash, render_config = _render_settings(renders, paths)
    make_folder(shards)
    before, ours = read_record(shards)
    attributes = {
        "config": dataclasses.asdict(config),
        "render_config": render_config,
        "seed": int(render_config["seed"]),
        "source": SOURCE,
    }
    if before and not redo:
        _check_settings(shards, before, attributes)
    sweep(shards)
    packing = _Packing(shards, config, render_hash, attributes, ours, redo)
    step = max(1, config.shard_rows // (1 if config.keep == "best" else int(render_config["views"])))
    summary, entries = PackSummary(), list[dict[str, Any]]()
    with (
        Parallel(n_jobs=jobs or os.cpu_count(), return_as="generator") as parallel,
        Progress(len(paths), "models") as progress,
    ):
        for begin in range(0, len(paths), step):
            path = shards / f"shard-{begin // step:05}.h5"
            packed = packing.pack(path, paths[begin : begin + step], parallel, progress)
            summary.add(packed)
            if packed.rows:
                size = path.stat().st_size
                entries.append({"file": path.name, "rows": packed.rows, "bytes": size, "sha256": sha256(path)})
    if not summary.rows:
        reason = next((entry["reason"] for entry in [*summary.failures, *summary.left_out]), "")
        raise InputError(f"{renders} gives no row at all; of the first model: {reason}")
    _write_manifest(shards, renders, entries, summary, attributes)
    for name in [*(ours - {entry["file"] for entry in entries}), UNFINISHED]:
        (shards / name).unlink(missing_ok=True)
    return summary


@dataclass(frozen=True)
class _Packing:
    """What the shards of one call have in common; `ours` are the names of files that may be replaced."""

    shards: Path
    config: PackConfig
    render_hash: str
    attributes: dict[str, Any]
    ours: set[str]
    redo: bool

    def pack(self, path: Path, part: Sequence[Path], parallel: Parallel, progress: Progress) -> PackSummary:
        """Pack some models into a shard, or keep the one that stands where it is the same."""
        plan = self._plan(part, list(parallel(delayed(_digest)(source) for source in part)))
        packed = _read_packed(path, plan)
        if packed is not None:
            progress.advance(len(part))
            return packed
        if path.name not in self.ours and not self.redo and path.exists():
            raise InputError(
                f"{path} is there, but no manifest lists it: choose another folder, or replace it with --redo"
            )
        results = parallel(delayed(model_rows)(source, self.config, self.render_hash) for source in part)
        with ShardWriter(path, self.attributes | {"plan": plan}, partial(self._break_up, path.name)) as shard:
            return _append_all(shard, results, progress)

    def _plan(self, part: Sequence[Path], digests: Sequence[str]) -> str:
        """Give digits that stand for all that decides a shard's content."""
        names = [f"{path.parent.name}/{path.name}" for path in part]
        made_with = [SCHEMA_VERSION, dataclasses.asdict(self.config), self.render_hash]
        return hashlib.sha256(json.dumps([*made_with, names, list(digests)]).encode()).hexdigest()

    def _break_up(self, name: str) -> None:
        """Put the record of an unfinished packing in the manifest's place: with a new shard, the old are no set."""
        self.ours.add(name)
        record = {name: self.attributes[name] for name in ("config", "render_config")}
        _write_json(self.shards / UNFINISHED, record | {"shards": [{"file": name} for name in sorted(self.ours)]})
        (self.shards / MANIFEST).unlink(missing_ok=True)


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
            if names != {"synset": path.parent.name, "model_id": path.stem}:
                raise InputError(f"{path} holds the model {'/'.join(names.values())}: delete it and render again")
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
        _check_render_config(renders, settings[1])
        return settings
    for path in paths:
        try:
            with open_render(path) as first:
                identity, render_config = first.config_hash, dict(first.json("config"))
                _check_render_config(path, render_config)
                return identity, render_config
        except (InputError, ValueError, KeyError, TypeError) as error:
            say(f"{path} is passed over: {error}")
    raise InputError(f"{renders}: none of its {len(paths)} render files can be read; render again")


def _check_render_config(where: Path, render_config: dict[str, Any]) -> None:
    for name in ("seed", "views"):
        if not isinstance(render_config.get(name), int):
            raise InputError(
                f"{where}: the settings of its render have {name} = {render_config.get(name)!r}, which is no number: "
                "`cma3d render` with --redo writes them anew"
            )


def _check_settings(shards: Path, before: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Refuse to replace shards that were made with other settings."""
    asked = json.loads(json.dumps(attributes))  # as JSON brings it back
    for part, made in (("config", "packed"), ("render_config", "packed from renders")):
        for name in sorted({*before[part], *asked[part]}):
            was, now = before[part].get(name), asked[part].get(name)
            if was != now:
                raise InputError(
                    f"{shards} was {made} with {name} = {was}, not {now}: "
                    "give the same settings, choose another folder, or replace all with --redo"
                )


def _digest(path: Path) -> str:
    """Give digits that stand for a render file's content; none where it cannot be read: then packing says why."""
    try:
        return sha256(path)
    except InputError:
        return ""


def _read_packed(path: Path, plan: str) -> PackSummary | None:
    """Give the summary of a shard that stands, follows the plan and lacks nothing; None otherwise."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("plan") != plan:
                return None
            packed = json.loads(file.attrs["packed"])
    except (OSError, ValueError, KeyError):
        return None
    if packed["failures"]:  # what failed may be mended, even where the file is the same
        return None
    return PackSummary(Counter(packed["synsets"]), packed["left_out"], [], Counter(packed["repairs"]))


def _append_all(shard: ShardWriter, results: Any, progress: Progress) -> PackSummary:
    """Append models' rows as they come."""
    packed = PackSummary()
    for rows, summary in results:
        for row in rows:
            shard.append(row)
        packed.add(summary)
        progress.advance()
    shard.attributes["packed"] = vars(packed)
    return packed


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None


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
    _write_json(shards / MANIFEST, manifest)
