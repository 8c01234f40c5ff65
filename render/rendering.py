"""Rendering of many models: parallel workers, one file a model, resumable.

Failures are recorded; models that have a file are not rendered again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from ..core.errors import InputError
from ..core.files import is_full
from ..core.outputs import Output, claim
from ..core.processes import count_cores
from ..core.progress import Progress, say
from ..core.scratch import sweep_scratch
from ..core.settings import config_hash
from ..core.untrusted import read_json, shown
from .cameras import load_view_file
from .config import Device, RenderConfig
from .render_file import is_render, read_config_hash
from .shapenet.listing import Model
from .status import FAILURES, SETTINGS, announce, check_places, forget_failures, read_failures
from .workers import Limits, Pool, check_blender

__all__ = ["FAILURES", "RenderSummary", "read_failures", "read_render_settings", "render_models"]

Reply = dict[str, Any]


@dataclass
class RenderSummary:
    """The outcome of a run: counts of models, and seconds by phase.

    Seconds are summed over the workers.

    `quarantined` are the failures of earlier runs whose models were not tried again.
    """

    rendered: int = 0
    present: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0


def render_models(
    models: Sequence[Model],
    renders: Path,
    config: RenderConfig,
    *,
    jobs: int | None = None,
    timeout: float = Limits.timeout,
    memory_gib: float = Limits.memory_gib,
    renew_after: int = Limits.renew_after,
    device: Device = Limits.device,
    redo: bool = False,
    retry_failed: bool = False,
    scheduler: str | None = None,
    messages: Sequence[str] = (),
    source: Path | None = None,
) -> RenderSummary:
    """Render models that have no file yet to `renders/<synset>/<model_id>.h5`.

    A model that fails, or on which Blender twice crashes or exceeds a limit, is recorded in
    `failures.jsonl` with the tail of Blender's log, and the run goes on. It is not tried again by
    later runs unless `retry_failed`. The content of the files does not depend on `jobs`, on
    `scheduler` or on resuming.

    Parameters
    ----------
    jobs : workers; the number of cores if None; ignored on a cluster
    timeout, memory_gib, renew_after, device : see `Limits`
    redo : replace files made with other settings instead of refusing
    retry_failed : try again what failed in earlier runs
    scheduler : address of a Dask scheduler (tcp://host:port) whose workers render; this machine
        if None
    messages : printed once the checks have passed, before rendering starts
    source : the folder or archive that holds the models

    Raises
    ------
    InputError : Blender does not load, `renders` cannot be written or was made with other settings,
        or a disk is full
    """
    config = load_view_file(config)
    if scheduler is None:
        check_blender()
    else:
        from .cluster import check_scheduler

        check_scheduler(scheduler)
    begin = time.monotonic()
    inputs = (
        [source] if source else sorted({Path(model.archive or model.folder) for model in models})
    )
    limits = Limits(timeout, memory_gib, renew_after, device)
    try:
        with claim(
            renders, "renders", inputs=inputs, shared=True, earlier=_is_earlier, known=is_render
        ) as output:
            sweep_scratch()
            identity = config_hash(config)
            check_places(renders, {model.synset for model in models})
            _check_settings(output, config, identity, redo=redo)
            for line in messages:
                say(line)
            remaining, summary = _what_is_left(models, output, identity, retry_failed=retry_failed)
            keys = [(model.synset, model.model_id) for model in models]
            with announce(output, keys, identity, config.views):
                if scheduler is None:
                    replies = _render_here(remaining, output, config, limits, jobs)
                else:
                    replies = _render_there(remaining, output, config, limits, scheduler)
                with closing(replies):
                    _follow(replies, len(remaining), output, config, summary)
    except OSError as error:
        if is_full(error):
            raise _disk_full(renders, f"the disk of {renders} is full") from None
        raise
    summary.wall = time.monotonic() - begin
    return summary


def _is_earlier(folder: Path) -> bool:
    """Recognise a folder of renders that version 0.1 wrote."""
    return read_render_settings(folder) is not None or any(
        map(is_render, folder.glob("[!.]*/[!.]*.h5"))
    )


def _what_is_left(
    models: Sequence[Model], output: Output, identity: str, *, retry_failed: bool
) -> tuple[list[Model], RenderSummary]:
    """Choose the models to render: those without a file that never failed."""
    renders = output.path
    missing = [model for model in models if not _is_current(output, model, identity)]
    for path in (_path(renders, model) for model in missing):
        if path.is_dir():
            raise InputError(
                f"{shown(path, 4096)} is a folder where a render belongs: move it away"
            )
    summary = RenderSummary(present=len(models) - len(missing))
    if retry_failed:
        forget_failures(output, [(model.synset, model.model_id) for model in missing])
    # Failures under other settings say nothing about these.
    failed = {
        (entry["synset"], entry["model_id"]): entry
        for entry in read_failures(renders)
        if entry.get("config_hash") == identity
    }
    remaining = [model for model in missing if (model.synset, model.model_id) not in failed]
    summary.quarantined = [
        failed[key] for model in missing if (key := (model.synset, model.model_id)) in failed
    ]
    if summary.present:
        say(f"{summary.present} models are rendered already")
    if summary.quarantined:
        say(
            f"{len(summary.quarantined)} models failed before and are left out: --retry-failed "
            "tries them again"
        )
    return remaining, summary


def _follow(
    replies: Iterator[tuple[Model, Reply]],
    total: int,
    output: Output,
    config: RenderConfig,
    summary: RenderSummary,
) -> None:
    """Count replies as they arrive, record failures, show progress."""
    renders = output.path
    with Progress(total, "models", parts=(config.views, "views")) as progress:
        for model, reply in replies:
            if reply["status"] == "done":
                summary.rendered += 1
                for phase, seconds in reply["seconds"].items():
                    summary.seconds[phase] = summary.seconds.get(phase, 0.0) + seconds
                progress.advance()
                continue
            # A full disk, or a Blender that does not start, would fail every model: the run ends.
            if reply["kind"] == "disk":
                raise _disk_full(renders, reply["reason"])
            if reply["kind"] == "start":
                raise InputError(
                    f"{reply['reason']}; nothing more can be rendered: repair that, and give the "
                    "command again"
                )
            names = {
                "synset": model.synset,
                "model_id": model.model_id,
                "config_hash": config_hash(config),
            }
            failure = names | reply
            summary.failures.append(failure)
            # Written at once, so that a run that is killed keeps it.
            with output.append(FAILURES) as file:
                file.write(json.dumps(failure) + "\n")
            say(f"{model.key} failed: {reply['reason']}")
            progress.advance(failed=1)


def _disk_full(renders: Path, reason: str) -> InputError:
    return InputError(
        f"{reason}: make room and give the same command again; what is in {renders} is whole"
    )


def _job(model: Model, output: Output, config: RenderConfig) -> dict[str, Any]:
    """Return the description of one model for a worker."""
    return model.job() | {
        "out": str(_path(output.path, model).absolute()),
        "output": output.as_json(),
        "config": dataclasses.asdict(config),
        "config_hash": config_hash(config),
    }


def _render_here(
    models: list[Model], output: Output, config: RenderConfig, limits: Limits, jobs: int | None
) -> Generator[tuple[Model, Reply], None, None]:
    """Render on this machine; yield models and replies as they end."""
    # No more workers than models, and all cores shared among them.
    jobs = max(1, min(jobs or count_cores(), len(models)))
    pool = Pool(config, max(1, count_cores() // jobs), limits)

    def render_one(model: Model) -> tuple[Model, Reply]:
        return model, pool.render(_job(model, output, config))

    try:
        # threads: each only waits for its Blender
        yield from Parallel(
            n_jobs=jobs, backend="threading", return_as="generator_unordered", pre_dispatch=jobs
        )(delayed(render_one)(model) for model in models)
    finally:
        pool.close()
        # remove files that a killed Blender left unfinished
        output.tidy()


def _render_there(
    models: list[Model], output: Output, config: RenderConfig, limits: Limits, scheduler: str
) -> Generator[tuple[Model, Reply], None, None]:
    """Render on a Dask cluster; yield models and replies as they end."""
    from .cluster import render_on_cluster

    jobs = [_job(model, output, config) for model in models]
    mark = (output.path / SETTINGS).absolute()
    for number, reply in render_on_cluster(scheduler, jobs, config, limits, mark, _present):
        yield models[number], reply


def read_render_settings(renders: Path) -> tuple[str, dict[str, Any]] | None:
    """Read the settings and hash of a folder's renders, or None."""
    try:
        settings = read_json(renders / SETTINGS)
    except (OSError, ValueError):
        return None
    match settings:
        case {"config_hash": str(identity), "config": dict(config)}:
            return identity, config
    return None


def _path(renders: Path, model: Model) -> Path:
    return renders / model.synset / f"{model.model_id}.h5"


def _check_settings(output: Output, config: RenderConfig, identity: str, *, redo: bool) -> None:
    """Refuse to mix renders of different settings in one folder."""
    renders = output.path
    before = read_render_settings(renders)
    if before is not None and before[0] != identity and not redo:
        changed = [
            name
            for name, value in dataclasses.asdict(config).items()
            if before[1].get(name) != _plain(value)
        ]
        name = min(changed, default="version")
        setting = _plain(getattr(config, name, identity))
        raise InputError(
            f"{renders} was rendered with {name} = {shown(before[1].get(name))}, not {setting}: "
            "give the same settings, choose another folder, or replace all with --redo"
        )
    if before is None and not redo:
        _check_one_file(renders, identity)
    # Of version 0.1, which kept no record
    if before is not None and output.earlier:
        output.adopt(SETTINGS)
        output.adopt(FAILURES, live=True)
    output.write_json(SETTINGS, {"config_hash": identity, "config": dataclasses.asdict(config)})


def _check_one_file(renders: Path, identity: str) -> None:
    """Check the settings of one file if the folder itself records none."""
    for path in renders.glob("*/[!.]*.h5"):
        with contextlib.suppress(OSError, KeyError):
            if read_config_hash(path) != identity:
                raise InputError(
                    f"{renders} has no readable {SETTINGS}, and {path.name} was rendered with "
                    "other settings than "
                    "these: give the same settings, choose another folder, or move away what is "
                    "there of it and "
                    "replace all with --redo"
                )
            return


def _plain(value: Any) -> Any:
    """Return a value as JSON brings it back."""
    return list(value) if isinstance(value, tuple) else value


def _is_current(output: Output, model: Model, identity: str) -> bool:
    """Check whether a model's file was made with these settings.

    One of ours that was made with others is removed.
    """
    path = _path(output.path, model)
    if _present(path, identity):
        return True
    name = f"{model.synset}/{model.model_id}.h5"
    if is_render(path) and output.owns(
        name
    ):  # to be replaced: until then it must not pass for done
        output.remove(name)
    return False


def _present(path: Path, identity: str) -> bool:
    """Check whether a render file exists, made with these settings."""
    try:
        return read_config_hash(path) == identity
    except (OSError, KeyError):  # absent, or damaged: rendered again
        return False
