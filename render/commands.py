"""The verbs `render` and `status`, and the options that choose among models."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..core.outputs import refuse_overlap
from ..core.settings import FOLDER, JOBS, JSON, FiniteRange, WholeRange, options, read_settings
from ..core.streams import tell
from ..core.wording import count_text
from .choice import Choice
from .config import Limits, RenderConfig
from .shapenet.selection import Layout, Selection

if TYPE_CHECKING:
    from .rendering import RenderSummary

__all__ = [
    "LAYOUT",
    "choice_options",
    "render",
    "rendering_text",
    "run_options",
    "selection_options",
    "status",
]

LAYOUT = click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    default="auto",
    show_default=True,
    help="v2, v1 and zip are recognised; flat takes any folder of OBJ, GLB, GLTF, PLY, STL, OFF "
    "files.",
)
_SYNSET = click.option(
    "--synset",
    "synsets",
    multiple=True,
    help="Only this category, by offset or name; may be repeated.",
)
_IDS = click.option(
    "--ids",
    type=FOLDER,
    help="Only the models of this file: an id or synset/id a line, # comments.",
)
_SPLIT_CSV = click.option(
    "--split-csv",
    type=FOLDER,
    help="Only the models of ShapeNet's official split table, all.csv.",
)
_SELECTION = (
    LAYOUT,
    _SYNSET,
    _IDS,
    _SPLIT_CSV,
    click.option("--split", help="Only this part of the split table: train, val or test."),
    click.option(
        "--limit", type=WholeRange(1), help="Only the first so many models of each category."
    ),
    click.option(
        "--shard", metavar="I/N", help="Only the I-th of N shares, 0 <= I < N: for job arrays."
    ),
)
_RUN = (
    click.option("--retry-failed", is_flag=True, help="Try again what failed in earlier runs."),
    click.option(
        "--redo", is_flag=True, help="Replace renders that were made with other settings."
    ),
    click.option(
        "--scheduler", help="Render on the Dask cluster of this scheduler, tcp://host:port."
    ),
)
_CHOICE = (
    _SYNSET,
    _IDS,
    _SPLIT_CSV,
    click.option("--split", help="Only this part of the split: train, val or test."),
)
_SHARES: Any = (FiniteRange(0), FiniteRange(0), FiniteRange(0))
_DRAWN_SPLIT = click.option(
    "--split-shares",
    "shares",
    type=_SHARES,
    metavar="TRAIN VAL TEST",
    help="Draw the split, by model and from --seed, in these shares, such as 80 10 10.",
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select models of SHAPENET, passed on as one `Selection`."""

    @functools.wraps(command)
    def with_selection(**values: Any) -> Any:
        names = [field.name for field in dataclasses.fields(Selection)]
        selection = Selection(**{name: values.pop(name) for name in names})
        return command(selection=selection, **values)

    return _decorated(with_selection, _SELECTION)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of how models are rendered, passed on as `run`.

    `run` holds keyword arguments of `render_models`. None of them changes what the files hold.
    """

    @functools.wraps(command)
    def with_run(**values: Any) -> None:
        names = [field.name for field in dataclasses.fields(Limits)]
        limits = read_settings(Limits, None, {name: values.pop(name) for name in names})
        run = {name: values.pop(name) for name in ("retry_failed", "redo", "scheduler")}
        command(run=dataclasses.asdict(limits) | run, **values)

    return JOBS(options(Limits, config=False)(_decorated(with_run, _RUN)))


def choice_options(*, drawn: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options that choose among rendered models, passed on as one `Choice`.

    Parameters
    ----------
    drawn : whether a split may be drawn, which takes a seed
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_choice(**values: Any) -> None:
            names = [field.name for field in dataclasses.fields(Choice) if field.name in values]
            choice = Choice(**{name: values.pop(name) for name in names})
            command(choice=choice, **values)

        return _decorated(with_choice, (*_CHOICE, _DRAWN_SPLIT) if drawn else _CHOICE)

    return decorate


def _decorated(command: Callable[..., Any], decorators: Sequence[Any]) -> Callable[..., Any]:
    """Return a command with options, in the order of the help."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command()
@click.argument("shapenet", type=FOLDER)
@click.argument("renders", type=FOLDER)
@selection_options
@run_options
@options(RenderConfig)
def render(
    shapenet: Path,
    renders: Path,
    selection: Selection,
    jobs: int | None,
    run: dict[str, Any],
    config_file: Path | None,
    **values: Any,
) -> None:
    """Render the models of SHAPENET to RENDERS/<synset>/<model>.h5 with Blender's Cycles.

    SHAPENET is ShapeNetCore v2 or v1, a folder of its zips as they are handed out, or any folder of
    models. Models that have their file are not rendered again, so a stopped run is resumed by the
    same command. Models that fail are listed in RENDERS/failures.jsonl and left alone from then on,
    unless --retry-failed is given.

    \b
    Examples:
      cma3d render ShapeNetCore.v2 renders
      cma3d render ShapeNetCore.v2 renders --colour best      24 views measured, the best one shaded
      cma3d render ShapeNetCore.v2 try --synset chair --limit 5 --views 8 --light interior
      cma3d render ShapeNetCore.v2 renders --split-csv all.csv --split train
      cma3d render ShapeNetCore.v2 renders --shard $SLURM_ARRAY_TASK_ID/8    jobs 0 to 7 of an array
      cma3d render zips renders                               zips holds 02691156.zip, 02747177.zip
      cma3d render my-models renders --layout flat            OBJ, GLB, PLY, STL, OFF files
      cma3d render ShapeNetCore.v2 renders --retry-failed --timeout 3600 --memory-gib 24
      cma3d render ShapeNetCore.v2 renders --scheduler tcp://head:8786
    """
    from .rendering import render_models
    from .shapenet.listing import list_models

    config = read_settings(RenderConfig, config_file, values)
    listing = list_models(shapenet, selection)
    refuse_overlap(renders, [shapenet])
    done = render_models(
        listing.models,
        renders,
        config,
        jobs=jobs,
        messages=(listing.title, *listing.notes),
        source=shapenet,
        **run,
    )
    tell(rendering_text(done))
    if done.failures or done.quarantined:
        tell(
            f"the failures and their reasons are in {renders / 'failures.jsonl'}; "
            "--retry-failed tries again"
        )
        sys.exit(1)


def rendering_text(done: RenderSummary) -> str:
    """Return a line on what a run did."""
    rate = f", {done.rendered / done.wall * 3600:,.0f} an hour" if done.rendered else ""
    before = f", {len(done.quarantined)} failed before" if done.quarantined else ""
    failed = f"{len(done.failures)} failed{before}"
    rendered = f"{count_text(done.rendered, 'model')} rendered"
    return f"{rendered}, {done.present} there before, {failed}{rate}"


@click.command()
@click.argument("out", type=FOLDER)
@JSON
def status(out: Path, as_json: bool) -> None:
    """Report how far a render is: done, failed, left, rate, time left, reasons of failures.

    OUT is a folder of renders, or what `cma3d build` or `cma3d demo` makes. Nothing is changed; the
    run may be going on in another terminal, on another machine that shares the storage, or not at
    all.

    \b
    Examples:
      cma3d status renders
      watch cma3d status dataset
      cma3d status dataset --json
    """
    from .status import read_status, status_table

    progress = read_status(out)
    tell(json.dumps(progress, indent=1) if as_json else status_table(progress))
