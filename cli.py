"""The command `cma3d`: its verbs, those of several stages, and `main`.

Each stage brings its verbs in its own `commands.py`. Importing this module loads none of the large
libraries; a verb imports its stage when it runs.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, get_args

import click

from . import __version__
from .build import pack_names
from .core.errors import InputError
from .core.faults import answer
from .core.interrupt import catch_stops, exit_stopped, stop_is_pending
from .core.outputs import refuse_overlap
from .core.progress import say
from .core.settings import FOLDER, JOBS, JSON, given_options, options
from .core.streams import keep_streams, lost_output, speak_utf8, tell
from .core.wording import one_line
from .model.commands import export_encoder, inspect, model_info, pretrain, report
from .model.tasks.commands import ablate, evaluate, fewshot, finetune, probe, segment
from .model.tasks.config import Task
from .pack.commands import export, pack, packing_text, verify
from .pack.config import PackConfig
from .reconstruct.commands import reconstruct
from .render.choice import Choice
from .render.commands import render, rendering_text, run_options, selection_options, status
from .render.config import RenderConfig
from .render.shapenet.selection import Selection
from .samples.commands import samples

__all__ = ["cli", "main", "run_command"]

_SHARED_NAMES, _OWN_NAMES = pack_names()


class _UnexpectedEndError(Exception):
    """Replaces an EOFError, which click would take for a user's Ctrl-D."""


class _Commands(click.Group):
    """The group of commands, in which an EOFError is a fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command of the command line."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise _UnexpectedEndError(*error.args) from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="cma3d")
def cli() -> None:
    """Regenerate ShapeNet3D-CMA from ShapeNet V2 and train CrossAlignNet on it.

    \b
    cma3d demo OUT                       every step, small, on procedural models
    cma3d doctor SHAPENET                faults of the models, before days of rendering
    cma3d render SHAPENET RENDERS        CAD models to RGB-D views (resumes by itself)
    cma3d pack RENDERS SHARDS            views to HDF5 shards of point clouds that know their pixels
    cma3d build SHAPENET OUT             render and pack in one run
    cma3d reconstruct RENDERS OUT        full clouds as PLY or NPZ, with colours and pixels
    cma3d status OUT                     progress of a render, from another terminal
    cma3d verify SHARDS --source SHAPENET
    cma3d inspect SHARDS --row 0 --open  every pixel and its point, in a page
    cma3d report SHARDS                  one page on the whole dataset
    cma3d export SHARDS OUT --format F   other formats: bop, nerf, ply, png
    cma3d pretrain SHARDS RUN
    cma3d finetune, fewshot, segment, probe, evaluate, ablate
                                         the paper's evaluation of a pretrained encoder

    Exit status: 0 done; 1 finished, with a list of failures; 2 wrong use or bad input; 70 a fault
    of the program, whose report is named in the last line; 130 stopped, as by Ctrl-C.
    """


@cli.command()
@click.argument("shapenet", type=FOLDER)
@selection_options
@JSON
@click.option(
    "--task", type=click.Choice(get_args(Task)), help="Check the data of this benchmark instead."
)
@JOBS
def doctor(
    shapenet: Path, selection: Selection, as_json: bool, task: Task | None, jobs: int | None
) -> None:
    """Check the models of SHAPENET before rendering: counts, missing files, faults.

    Only text and headers are read. Models that cannot be rendered are listed; then the exit status
    is 1. `cma3d render` repairs or records the other faults. With --task, SHAPENET is the folder of
    a benchmark: its layout, whether it is complete, and what is missing.

    \b
    Examples:
      cma3d doctor ShapeNetCore.v2
      cma3d doctor ShapeNetCore.v2 --synset car --json > cars.json
      cma3d doctor my-models --layout flat
      cma3d doctor data/ModelNet --task modelnet40
    """
    if task is not None:
        names = given_options({"jobs", *(field.name for field in dataclasses.fields(Selection))})
        if names:
            raise InputError(f"{names[0]} is for the models of a ShapeNet, not for --task")
        from .model.tasks.benchmarks.check import diagnose_task
        from .model.tasks.benchmarks.check import diagnosis_text as task_text

        report = diagnose_task(shapenet, task)
        tell(json.dumps(report.as_json(), indent=1) if as_json else task_text(report))
        sys.exit(1 if report.faults else 0)
    from .render.shapenet.doctor import diagnose, diagnosis_text
    from .render.shapenet.listing import list_models

    listing = list_models(shapenet, selection)
    for line in (listing.title, *listing.notes):
        say(line)
    diagnosis = diagnose(listing, jobs=jobs)
    tell(json.dumps(diagnosis.as_json(), indent=1) if as_json else diagnosis_text(diagnosis))
    if diagnosis.fatal:
        sys.exit(1)


@cli.command()
@click.argument("shapenet", type=FOLDER)
@click.argument("out", type=FOLDER)
@selection_options
@run_options
@options(RenderConfig, defaults={"colour": "best"})
@options(PackConfig, prefix="pack_", leave_out=tuple(sorted(_OWN_NAMES)), config=False)
@options(PackConfig, leave_out=tuple(sorted(_SHARED_NAMES)), config=False)
def build(
    shapenet: Path,
    out: Path,
    selection: Selection,
    jobs: int | None,
    run: dict[str, Any],
    config_file: Path | None,
    **values: Any,
) -> None:
    """Render and pack in one run: OUT/renders and OUT/shards.

    All views of a model get depth, and only the view that is packed gets colour; with --keep all,
    all views do. The same command resumes a stopped build. A --config file has two tables, [render]
    and [pack].

    \b
    Examples:
      cma3d build ShapeNetCore.v2 dataset
      cma3d build ShapeNetCore.v2 dataset --synset chair --limit 100 --points 1024
      cma3d build ShapeNetCore.v2 train --split-csv all.csv --split train --num-samples 41928
      cma3d status dataset                                        from another terminal
    """
    from .build import build_dataset, read_build_settings
    from .render.shapenet.listing import list_models

    render_config, pack_config = read_build_settings(config_file, values)
    listing = list_models(shapenet, selection)
    refuse_overlap(out, [shapenet])
    choice = Choice(split_csv=selection.split_csv, split=selection.split)
    rendered, packed = build_dataset(
        listing.models,
        out,
        render_config,
        pack_config,
        choice,
        jobs=jobs,
        messages=(listing.title, *listing.notes),
        source=shapenet,
        **run,
    )
    tell(rendering_text(rendered))
    tell(packing_text(packed, out / "shards"))
    if rendered.failures or rendered.quarantined or packed.failures:
        tell(
            f"failures and their reasons: {out / 'renders' / 'failures.jsonl'}, "
            f"{out / 'shards' / 'manifest.json'}"
        )
        sys.exit(1)


@cli.command()
@click.argument("out", type=FOLDER)
@JOBS
def demo(out: Path, jobs: int | None) -> None:
    """Run every step once, small: samples, renders, shards, checks, pictures, pretraining.

    The models are procedural: no ShapeNet is needed.

    \b
    Example:
      cma3d demo demo
    """
    from .demo import run_demo

    summary, failed = run_demo(out, jobs=jobs)
    tell(summary)
    if failed:
        sys.exit(1)


for _verb in (
    samples,
    *(render, status, reconstruct, pack, verify, export),
    *(inspect, report, pretrain, model_info, export_encoder),
    *(finetune, fewshot, segment, probe, evaluate, ablate),
):
    cli.add_command(_verb)


def main() -> None:
    """Run the command line; report errors as line and exit status."""
    speak_utf8()
    keep_streams()
    catch_stops()
    status = run_command()
    if lost := lost_output():
        say(
            f"cma3d: standard output cannot be written ({lost}): the results are kept, but their "
            "summary is lost; give the command again with another place for its output"
        )
        status = status or 2
    sys.exit(status)


def run_command() -> int:
    """Run the command in `sys.argv` and return its exit status."""
    try:
        cli.main(standalone_mode=False)
        if stop_is_pending():
            raise KeyboardInterrupt
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (InputError, click.ClickException) as error:
        if stop_is_pending():  # some libraries report a stop as a failed import
            exit_stopped()
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        say(f"cma3d: {one_line(message)}{hint}")
        return 2
    except (click.Abort, KeyboardInterrupt):
        exit_stopped()
    except BaseException as error:
        if stop_is_pending():
            exit_stopped()
        line, status = answer(error)
        say(f"cma3d: {line}")
        return status


if __name__ == "__main__":
    main()
