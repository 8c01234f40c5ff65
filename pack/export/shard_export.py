"""`cma3d export`: shards in other formats, one folder per model, whole or absent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from joblib import delayed

from ...core.errors import InputError
from ...core.outputs import Output, cannot_write, claim, reading
from ...core.processes import results_in_order, workers
from ...core.progress import Progress
from ...core.schema import FORMAT
from ...core.untrusted import read_json
from ...reconstruct.resume import Summary, begin, record, remove_others
from ..config import ExportFormat
from ..reader import Shards
from . import formats

__all__ = ["EXPORT", "ExportSummary", "export_shards"]

EXPORT = "export.json"
"""The record of an export: the shards it was made from and the summary of the last run."""

_WRITERS: dict[str, Callable[..., None]] = {
    "bop": formats.write_bop_scene,
    "nerf": formats.write_nerf_model,
    "ply": formats.write_ply_model,
    "png": formats.write_png_model,
}
_README = {name: _WRITERS[name].__doc__ or "" for name in get_args(ExportFormat)}


@dataclass(frozen=True)
class _Model:
    """A model of the shards: its number, counted from 0, and its rows."""

    number: int
    synset: str
    model_id: str
    rows: list[int]

    @property
    def key(self) -> str:
        """The model's name in lists and paths: synset/model_id."""
        return f"{self.synset}/{self.model_id}"


@dataclass
class ExportSummary(Summary):
    """The counts of a run: models, rows, models present before, failures."""

    models: int = 0
    rows: int = 0
    present: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)


def export_shards(
    folder: Path,
    out: Path,
    format: ExportFormat,  # noqa: A002
    *,
    full: bool = False,
    jobs: int | None = None,
    redo: bool = False,
) -> ExportSummary:
    """Export shards to one folder per model; see `formats` for their files.

    A model goes to `out/<synset>/<model_id>/`, or for BOP to `out/train/<scene>/`.

    The folder of a model is whole or absent, so a second call makes what is missing.

    Parameters
    ----------
    full : PLY of all points of each view, from its depth, in place of the row's sample
    jobs : processes; the number of cores if None
    redo : replace what was exported in another format or from other shards instead of refusing

    Raises
    ------
    InputError : no shards, or `out` cannot be written or holds something else
    """
    with reading(folder), claim(out, "export", inputs=[folder]) as output:
        try:
            return _export_all(folder, output, format, full=full, jobs=jobs, redo=redo)
        except OSError as error:
            raise InputError(cannot_write(out, error)) from None


def _export_all(
    folder: Path,
    output: Output,
    format: ExportFormat,  # noqa: A002
    *,
    full: bool,
    jobs: int | None,
    redo: bool,
) -> ExportSummary:
    shards = Shards(folder, most_open=1)
    models = _models(shards)
    if not models:
        raise InputError(f"{folder} is empty: pack again")
    # the entries hold the shards' checksums, so they stand for the content
    listed = json.dumps(shards.manifest["shards"], sort_keys=True).encode()
    settings = {"format": format, "full": full, "shards": hashlib.sha256(listed).hexdigest()[:16]}
    identity = begin(output, EXPORT, settings, redo=redo)
    output.write_text("README.txt", _about(format, shards))
    if format == "bop":
        numbered = [(model.number, model.synset, model.model_id) for model in models]
        for name, content in formats.bop_set(shards, numbered).items():
            output.write_text(name, content)
    # models whose folders are missing, or were made from other shards
    missing = [
        model for model in models if not output.is_made(_folder_name(settings, model), identity)
    ]
    summary = ExportSummary(present=len(models) - len(missing))
    tasks = (delayed(_export)(folder, output, settings, model, identity) for model in missing)
    with (
        results_in_order(workers(jobs), tasks) as results,
        Progress(len(missing), "models") as progress,
    ):
        for done in results:
            if isinstance(done, InputError):
                raise done
            summary.add(done)
            progress.advance(failed=len(done.failures))
    remove_others(output, identity)
    # a call that changed nothing writes nothing, so that it succeeds on a full disk
    if summary.models or summary.failures or not _is_finished(output):
        record(output, EXPORT, settings, dataclasses.asdict(summary))
    return summary


def _is_finished(output: Output) -> bool:
    """Check whether the last run came to its end without a failure."""
    try:
        return bool(read_json(output.path / EXPORT)["last_run"]["failures"] == [])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _models(shards: Shards) -> list[_Model]:
    """Gather the rows of each model, in the order of the shards."""
    rows: dict[tuple[str, str], list[int]] = {}
    for first in range(0, len(shards), 1024):
        some = range(first, min(first + 1024, len(shards)))
        names = shards.read(some, ["synset", "model_id"])
        for row, synset, model_id in zip(some, names["synset"], names["model_id"], strict=True):
            _check_name(shards, row, synset, model_id)
            rows.setdefault((synset, model_id), []).append(row)
    return [_Model(number, *key, found) for number, (key, found) in enumerate(rows.items())]


def _check_name(shards: Shards, row: int, *names: str) -> None:
    """Refuse names that would lead out of the output folder."""
    for name in names:
        if name in ("", ".", "..") or Path(name).name != name:
            raise InputError(
                f"{shards.folder}: row {row} has the name {name!r}, which is no name of a folder"
            )


def _folder_name(settings: dict[str, Any], model: _Model) -> str:
    return f"train/{model.number:06}" if settings["format"] == "bop" else model.key


# once in each process; other content is another key, so it is opened anew
@lru_cache(maxsize=1)
def _opened(folder: Path, content: str) -> Shards:
    return Shards(folder, most_open=1)


def _export(
    folder: Path, output: Output, settings: dict[str, Any], model: _Model, identity: str
) -> ExportSummary | InputError:
    """Export one model."""
    name = _folder_name(settings, model)
    try:
        shards = _opened(folder, settings["shards"])
        rows = [shards[row] for row in model.rows]
        try:
            with output.write_folder(name, identity) as partial:
                _WRITERS[settings["format"]](
                    partial, rows, number=model.number, full=settings["full"]
                )
        except OSError as error:
            return InputError(cannot_write(output.path / name, error))
    except (InputError, ValueError) as error:
        return ExportSummary(failures=[{"file": model.key, "reason": str(error)}])
    return ExportSummary(models=1, rows=len(rows))


def _about(format: ExportFormat, shards: Shards) -> str:  # noqa: A002
    """Explain an export to whoever finds it."""
    lines = [
        line.removeprefix("    ")
        for line in _README[format].partition("Parameters")[0].rstrip().splitlines()
    ]
    text = "\n".join(lines).removeprefix("Write ")
    text = text[:1].upper() + text[1:]
    return (
        f"{len(shards)} views, exported by cma3d export --format {format} from {FORMAT} shards.\n\n{text}\n\n"
        f"Source of the data: {shards.manifest.get('source', 'not stated')}\n"
    )
