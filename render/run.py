"""Render many models: workers side by side, one file a model, failures recorded, resumed by what is there."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from ..config import config_hash
from ..errors import InputError
from ..files import make_folder, sweep, write_text
from ..progress import say, track
from .config import RenderConfig
from .shapenet import Model
from .supervise import Worker, WorkerError, check_blender
from .views import load_view_file

__all__ = ["FAILURES", "RenderSummary", "read_failures", "read_render_settings", "render_models"]

SETTINGS = "render.json"
FAILURES = "failures.jsonl"


@dataclass
class RenderSummary:
    """What a run did: models rendered now, there before, and failed; seconds by phase summed over workers."""

    rendered: int = 0
    present: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0


def render_models(
    models: Sequence[Model],
    renders: Path,
    config: RenderConfig,
    *,
    jobs: int | None = None,
    timeout: float = 600.0,
    redo: bool = False,
    announce: Sequence[str] = (),
) -> RenderSummary:
    """Render models that have no file yet to `renders/<synset>/<model_id>.h5`.

    A model that fails, or whose Blender crashes or hangs, is recorded in `failures.jsonl` with the tail of Blender's
    log, and the run goes on. The content of the files does not depend on `jobs` or on resuming.

    Parameters
    ----------
    jobs : workers; the number of cores where None
    timeout : seconds for one model
    redo : replace files made with other settings instead of refusing
    announce : lines to say before work begins, once nothing speaks against it

    Raises
    ------
    InputError : Blender does not load, `renders` cannot be written or was made with other settings
    """
    config = load_view_file(config)
    check_blender()
    begin = time.monotonic()
    make_folder(renders)
    sweep(renders)
    identity = config_hash(config)
    _check_settings(renders, config, identity, redo=redo)
    for line in announce:
        say(line)
    wanted = [model for model in models if not _present(renders, model, identity)]
    summary = RenderSummary(present=len(models) - len(wanted))
    _forget_failures(renders, wanted)
    if summary.present:
        say(f"{summary.present} models are rendered already")
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(wanted)))
    for model, reply in track(_replies(wanted, renders, config, jobs, timeout), len(wanted), "models"):
        if reply["status"] == "done":
            summary.rendered += 1
            for phase, seconds in reply["seconds"].items():
                summary.seconds[phase] = summary.seconds.get(phase, 0.0) + seconds
            continue
        failure = {"synset": model.synset, "model_id": model.model_id} | reply
        summary.failures.append(failure)
        with (renders / FAILURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(failure) + "\n")
        say(f"{model.key} failed: {reply['reason']}")
    summary.wall = time.monotonic() - begin
    return summary


def _replies(
    models: list[Model], renders: Path, config: RenderConfig, jobs: int, timeout: float
) -> Iterator[tuple[Model, dict[str, Any]]]:
    """Hand models to idle workers; give each with its reply, in the order in which they end."""
    logs = make_folder(renders / ".logs")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [Worker(config, threads, logs / f"worker-{os.getpid()}-{number}.log") for number in range(jobs)]
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)
    shared = {"config": dataclasses.asdict(config), "config_hash": config_hash(config)}

    def render_one(model: Model) -> tuple[Model, dict[str, Any]]:
        worker = idle.get()
        try:
            out = _path(renders, model)
            out.parent.mkdir(exist_ok=True)
            reply = worker.render(model.job() | {"out": str(out)} | shared, timeout)
            tail = worker.tail()
        except WorkerError as error:
            reply, tail = {"status": "failed", "kind": error.kind, "reason": str(error)}, worker.tail()
        finally:
            idle.put(worker)
        return model, reply if reply["status"] == "done" else reply | {"log": tail}

    try:
        # threads: each only waits for its Blender
        yield from Parallel(n_jobs=jobs, backend="threading", return_as="generator_unordered", pre_dispatch=jobs)(
            delayed(render_one)(model) for model in models
        )
    finally:
        for worker in workers:
            worker.stop()
            worker.log.unlink(missing_ok=True)


def read_render_settings(renders: Path) -> tuple[str, dict[str, Any]] | None:
    """Read what a folder's renders are made with: the settings' hash and the settings; None where nothing says it."""
    try:
        settings = json.loads((renders / SETTINGS).read_text(encoding="utf-8"))
        return str(settings["config_hash"]), dict(settings["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_failures(renders: Path) -> list[dict[str, Any]]:
    """Read `failures.jsonl`; a line cut short by a kill is left out."""
    path = renders / FAILURES
    failures = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            failures.append(json.loads(line))
        except ValueError:
            continue
    return failures


def _path(renders: Path, model: Model) -> Path:
    return renders / model.synset / f"{model.model_id}.h5"


def _check_settings(renders: Path, config: RenderConfig, identity: str, *, redo: bool) -> None:
    """Refuse to mix renders of different settings in one folder."""
    before = read_render_settings(renders)
    if before is not None and before[0] != identity and not redo:
        changed = [name for name, value in dataclasses.asdict(config).items() if before[1].get(name) != _plain(value)]
        name = min(changed, default="version")
        asked = _plain(getattr(config, name, identity))
        raise InputError(
            f"{renders} was rendered with {name} = {before[1].get(name)}, not {asked}: "
            "give the same settings, choose another folder, or replace all with --redo"
        )
    settings = {"config_hash": identity, "config": dataclasses.asdict(config)}
    write_text(renders / SETTINGS, json.dumps(settings, indent=2) + "\n")


def _plain(value: Any) -> Any:
    """Give a value as JSON brings it back."""
    return list(value) if isinstance(value, tuple) else value


def _present(renders: Path, model: Model, identity: str) -> bool:
    """Tell whether a model's file stands, made with these settings."""
    import h5py

    try:
        with h5py.File(_path(renders, model), "r") as file:
            return bool(file.attrs.get("config_hash") == identity)
    except OSError:  # absent, or damaged: rendered again
        return False


def _forget_failures(renders: Path, models: list[Model]) -> None:
    """Drop the failures of models that are tried again."""
    again = {(model.synset, model.model_id) for model in models}
    kept = [entry for entry in read_failures(renders) if (entry.get("synset"), entry.get("model_id")) not in again]
    if (renders / FAILURES).is_file():
        write_text(renders / FAILURES, "".join(json.dumps(entry) + "\n" for entry in kept))
