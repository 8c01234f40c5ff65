"""Packing of renders: shards with rows in fixed order, then the manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from ..core.errors import InputError, needs
from ..core.files import sha256
from ..core.hdf5 import is_of_kind
from ..core.outputs import Output, cannot_write, claim, reading
from ..core.processes import results_in_order, workers
from ..core.progress import Progress, say
from ..core.schema import FORMAT, SCHEMA_VERSION, SHARD_FIELDS, file_stamp, open_checked
from ..core.untrusted import shown
from ..render.choice import Choice, choose_renders, lot
from ..render.render_file import SOURCE, find_renders, open_render
from ..render.rendering import read_failures, read_render_settings
from ..render.status import MOST_VIEWS
from .card.card import write_card
from .config import PackConfig
from .manifest import MANIFEST, SHARD_NAME, UNFINISHED, read_record
from .rows import Packed, PackSummary, RenderJob, digest, pack_model, plan_views
from .writer import ShardWriter, part_path

__all__ = ["PackSummary", "check_settings", "pack_renders"]


def pack_renders(
    renders: Path,
    shards: Path,
    config: PackConfig,
    choice: Choice | None = None,
    *,
    jobs: int | None = None,
    redo: bool = False,
) -> PackSummary:
    """Pack a folder of render files into `shards/shard-00000.h5` … and `shards/manifest.json`.

    Each shard is a function of the bytes of a fixed slice of the render files and of the settings,
    so the result does not depend on `jobs`, and a second call keeps the shards that a killed one
    finished. The manifest is written last: without it a folder is not yet a set of shards. Shards
    of an earlier call are replaced only when there are new rows.

    Parameters
    ----------
    choice : models to take; all if None
    jobs : processes; the number of cores if None
    redo : replace shards made with other settings instead of refusing

    Raises
    ------
    InputError : no renders, `shards` cannot be written or was made with other settings, a package
        is missing, or the renders give no row, or fewer rows than requested
    """
    _check_packages()
    choice = choice or Choice()
    paths = choose_renders(find_renders(renders), choice, config.seed)
    with (
        reading(renders),
        claim(shards, "shards", inputs=[renders], earlier=_is_earlier, known=_is_shard) as output,
    ):
        return _pack_all(renders, paths, output, config, choice, jobs=jobs, redo=redo)


def _pack_all(
    renders: Path,
    paths: Sequence[Path],
    output: Output,
    config: PackConfig,
    choice: Choice,
    *,
    jobs: int | None,
    redo: bool,
) -> PackSummary:
    shards = output.path
    render_hash, render_config = _render_settings(renders, paths)
    attributes = {
        "config": dataclasses.asdict(config),
        "render_config": render_config,
        "selection": choice.manifest_entry(),
        "split": choice.split or "all",
        "seed": int(render_config["seed"]),
        "source": SOURCE,
    }
    if not redo:
        check_settings(shards, attributes)
    for name in (MANIFEST, UNFINISHED) if output.earlier else ():
        output.adopt(name)
    # refuse to replace the user's own files before any shard is touched
    for name in (MANIFEST, UNFINISHED):
        output.check_free(name)
    # pack slice by slice; a slice is a shard
    packing = _Packing(output, config, render_hash, attributes)
    summary, entries = PackSummary(), list[dict[str, Any]]()
    with workers(jobs) as parallel:
        models = [RenderJob(path) for path in paths]
        # a draw fixes all views before the first shard is written
        if config.num_samples:
            models = _draw(renders, paths, packing, parallel, summary)
        with Progress(len(models), "models") as progress:
            for number, batch in enumerate(_slices(models, config, int(render_config["views"]))):
                packed, files = packing.pack(
                    shards / f"shard-{number:05}.h5", batch, parallel, progress
                )
                summary.add(packed)
                entries += map(_entry, files)
    # without a row no shard was written, so earlier shards are unchanged
    if not summary.rows:
        reason = next((entry["reason"] for entry in [*summary.failures, *summary.left_out]), "")
        raise InputError(f"{renders} gives no row at all; the first model: {reason}")
    # the manifest makes the shards a set; then the leftovers of earlier settings go
    _write_manifest(output, renders, entries, summary, attributes)
    for name in sorted(packing.present() - {entry["file"] for entry in entries}):
        if output.owns(name):
            output.remove(name)
    output.remove(UNFINISHED)
    write_card(output)
    return summary


def _is_earlier(folder: Path) -> bool:
    """Check whether version 0.1 wrote a folder of shards, finished or not."""
    return bool(read_record(folder)[0])


def _is_shard(path: Path) -> bool:
    """Recognise a shard of version 0.1 by its content and manifest."""
    return path.name in read_record(path.parent)[1] and is_of_kind(path, FORMAT, "shard")


def _slices(
    models: Sequence[RenderJob], config: PackConfig, views: int
) -> Iterable[Sequence[RenderJob]]:
    """Cut the models into the slices that shards are made of."""
    # a model gives one row, or one for each view; a slice has about `shard_rows` rows
    step = max(1, config.shard_rows // (1 if config.keep == "best" else views))
    return (models[begin : begin + step] for begin in range(0, len(models), step))


def _draw(
    renders: Path,
    paths: Sequence[Path],
    packing: _Packing,
    parallel: Parallel,
    summary: PackSummary,
) -> list[RenderJob]:
    """Draw models until exactly `num_samples` rows are found.

    The order of drawing is a function of the seed and of each model's name, so it does not change
    as models are added. Models that cannot be used are counted in `summary`.
    """
    config, drawn, missing = packing.config, list[RenderJob](), packing.config.num_samples
    order = sorted(
        paths, key=lambda path: lot(config.seed, "sample", f"{path.parent.name}/{path.stem}")
    )
    begin = 0
    with Progress(missing, "samples found") as progress:
        while missing and begin < len(order):
            batch = order[begin : begin + max(64, missing)]
            begin += len(batch)
            tasks = (delayed(plan_views)(path, config, packing.render_hash) for path in batch)
            with results_in_order(parallel, tasks) as results:
                choices = list(results)
            for path, (views, faults) in zip(batch, choices, strict=True):
                if not missing:
                    break
                summary.add(faults)
                if views:
                    drawn.append(RenderJob(path, views[:missing]))
                    missing -= len(drawn[-1].views or ())
                    progress.advance(len(drawn[-1].views or ()))
    if missing:
        raise InputError(
            f"{renders} gives {config.num_samples - missing} rows of {config.points} "
            f"points, {config.num_samples} were requested: lower --num-samples, or render more"
        )
    # rows are in the order of the paths, not of the draw
    return sorted(drawn, key=lambda model: model.path)


@dataclass(frozen=True)
class _Packing:
    """The packing of one call: the values that its shards share."""

    output: Output
    config: PackConfig
    render_hash: str
    attributes: dict[str, Any]

    def present(self) -> set[str]:
        """Return the names of the shards in the folder."""
        return {
            path.name
            for path in self.output.path.glob("shard-*.h5")
            if SHARD_NAME.fullmatch(path.name)
        }

    def pack(
        self, path: Path, models: Sequence[RenderJob], parallel: Parallel, progress: Progress
    ) -> tuple[PackSummary, list[Path]]:
        """Pack a slice of models into a shard, or keep an equal one."""
        files = _parts(path)
        # a shard of this name exists: keep it if the same renders and settings made it
        if files:
            with results_in_order(
                parallel, (delayed(digest)(model.path) for model in models)
            ) as results:
                digests = list(results)
            packed = _read_packed(files, self._plan(models, digests))
            if packed is not None:
                progress.advance(len(models))
                return packed, files if packed.rows else []
            # refuse to replace the user's own file now, not after the work
            self.output.check_free(path.name)
        tasks = (delayed(pack_model)(model, self.config, self.render_hash) for model in models)
        bounds: Any = {
            "max_rows": self.config.shard_rows,
            "max_bytes": self.config.shard_mib * 2**20,
        }
        with (
            results_in_order(parallel, tasks) as results,
            ShardWriter(path, dict(self.attributes), write=self._write, **bounds) as shard,
        ):
            packed = self._append_all(shard, models, results, progress)
        return packed, shard.files

    def _append_all(
        self,
        shard: ShardWriter,
        models: Sequence[RenderJob],
        results: Iterable[Packed],
        progress: Progress,
    ) -> PackSummary:
        """Append the rows of the models, in their order."""
        packed, digests = PackSummary(), []
        for result in results:
            shard.append(*result.rows)
            packed.add(result.summary)
            digests.append(result.digest)
            progress.advance()
        # the last file notes the checksums of the parts before it, and so vouches for them
        earlier = {file.name: sha256(file) for file in shard.files}
        shard.attributes |= {
            "packed": vars(packed),
            "plan": self._plan(models, digests),
            "earlier": earlier,
        }
        return packed

    def _plan(self, models: Sequence[RenderJob], digests: Sequence[str]) -> str:
        """Return the hash of everything that decides a shard's content."""
        names = [model.name for model in models]
        settings = [SCHEMA_VERSION, dataclasses.asdict(self.config), self.render_hash]
        return hashlib.sha256(json.dumps([*settings, names, list(digests)]).encode()).hexdigest()

    def _write(self, path: Path, content: memoryview) -> None:
        """Write a shard; right before it is named, mark the set unfinished."""
        self.output.write_bytes(path.name, content, before=lambda: self._break_up(path))

    def _break_up(self, path: Path) -> None:
        """Replace manifest.json by unfinished.json.

        Once one shard is rewritten, the set is incomplete.
        """
        names = sorted({*self.present(), path.name})
        record = {name: self.attributes[name] for name in ("config", "render_config", "selection")}
        self.output.write_json(UNFINISHED, record | {"shards": [{"file": name} for name in names]})
        self.output.remove(MANIFEST)


def _parts(path: Path) -> list[Path]:
    """Return the existing files of a shard."""
    files: list[Path] = []
    while (file := part_path(path, len(files))).exists():
        files.append(file)
    return files


def _read_packed(files: Sequence[Path], plan: str) -> PackSummary | None:
    """Return the summary of a finished shard of this plan, or None."""
    try:
        with open_checked(files[-1], SHARD_FIELDS, "shard") as shard:
            if shard.attribute("plan") != plan:
                return None
            packed, earlier = shard.json("packed"), shard.json("earlier")
    except InputError:
        return None
    match packed:
        # a shard with failures is packed again: the files may have been repaired
        case {
            "synsets": dict(synsets),
            "left_out": list(left_out),
            "failures": [],
            "repairs": dict(repairs),
        }:
            if earlier == {file.name: sha256(file) for file in files[:-1]} and _are_counts(
                synsets, repairs
            ):
                return PackSummary(Counter(synsets), left_out, [], Counter(repairs))
    return None


def _are_counts(*tables: dict[str, Any]) -> bool:
    return all(
        isinstance(count, int) and 0 <= count < 2**63
        for table in tables
        for count in table.values()
    )


def _entry(path: Path) -> dict[str, Any]:
    """Return the manifest's entry of a shard."""
    with open_checked(path, SHARD_FIELDS, "shard") as shard:
        rows = len(shard.rows["view"])
    return {"file": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _check_packages() -> None:
    try:
        import fpsample  # noqa: F401
    except ImportError as error:
        raise needs("fpsample", "reconstruct", error) from None


def _render_settings(renders: Path, paths: Sequence[Path]) -> tuple[str, dict[str, Any]]:
    """Return the hash and settings of the renders.

    The folder states them; else its first readable file does.
    """
    settings = read_render_settings(renders)
    if settings is not None:
        _check_render_config(renders, settings[1])
        return settings
    for path in paths:
        try:
            with open_render(path) as first:
                render_config = first.json("config")
                _check_render_config(path, render_config)
                return first.config_hash, render_config
        except InputError as error:
            say(f"{shown(path, 4096)} is skipped: {error}")
    raise InputError(f"{renders}: none of its {len(paths)} render files can be read; render again")


def _check_render_config(path: Path, render_config: Any) -> None:
    bounds = {"seed": (0, 2**63 - 1), "views": (1, MOST_VIEWS)}
    for name, (low, high) in bounds.items():
        value = render_config.get(name) if isinstance(render_config, dict) else None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(
                f"{path}: the settings of its render have {name} = {shown(repr(value))}, "
                f"which is not a number from {low} to {high}: `cma3d render --redo` writes them again"
            )


def check_settings(shards: Path, settings: dict[str, Any]) -> None:
    """Refuse to replace shards that were made with other settings.

    Parameters
    ----------
    settings : any of `config`, `render_config` and `selection`, as a manifest has them

    Raises
    ------
    InputError : `shards` was made with other settings
    """
    before, _ = read_record(shards)
    if not before:
        return
    defaults = {"config": dataclasses.asdict(PackConfig()), "selection": Choice().manifest_entry()}
    phrases = {"config": "packed", "render_config": "packed from renders", "selection": "packed"}
    settings = json.loads(json.dumps(settings))  # as JSON brings it back
    for table in [name for name in phrases if name in settings]:
        # a setting that an older record lacks had its default value
        was, now = defaults.get(table, {}) | before.get(table, {}), settings[table]
        for name in sorted({*was, *now}):
            if _essence(was.get(name)) != _essence(now.get(name)):
                raise InputError(
                    f"{shards} was {phrases[table]} with {name} = {_shown(was.get(name))}, "
                    f"not {_shown(now.get(name))}: "
                    "give the same settings, choose another folder, or replace all with --redo"
                )


def _essence(value: Any) -> Any:
    """Return the value by which a setting is compared; a file's sha256."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def _shown(value: Any) -> Any:
    return (
        f"{value['file']} ({value['sha256'][:8]})"
        if isinstance(value, dict) and "sha256" in value
        else value
    )


def _write_manifest(
    output: Output,
    renders: Path,
    entries: list[dict[str, Any]],
    summary: PackSummary,
    attributes: dict[str, Any],
) -> None:
    failed = [
        {name: entry.get(name) for name in ("synset", "model_id", "kind", "reason")}
        for entry in read_failures(renders)
    ]
    manifest = {
        **file_stamp("manifest"),
        "rows": summary.rows,
        "shards": entries,
        "synsets": dict(sorted(summary.synsets.items())),
        "left_out": summary.left_out,
        "failures": summary.failures,
        "render_failures": failed,
        "repairs": dict(sorted(summary.repairs.items())),
        "fields": {entry.name: entry.meaning for entry in SHARD_FIELDS},
        **attributes,
    }
    try:
        output.write_json(MANIFEST, manifest)
    except OSError as error:
        raise InputError(cannot_write(output.path / MANIFEST, error)) from None
