"""The command `cma3d`: each verb calls one function of one stage."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from . import __version__
from .config import options, read_settings
from .errors import InputError
from .model.config import PretrainConfig
from .pack.config import PackConfig
from .progress import say
from .render.config import RenderConfig
from .render.samples.config import SamplesConfig

__all__ = ["cli", "main"]

FOLDER = click.Path(path_type=Path)
SHIPPED = {path.stem: path for path in (Path(__file__).parent / "model").glob("*.toml")}
_AGAIN = 2.0  # seconds after which a stop that went unnoticed comes again
JOBS = click.option("--jobs", type=click.IntRange(1), help="Side by side; the number of cores where left out.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cma3d")
def cli() -> None:
    """Regenerate ShapeNet3D-CMA from ShapeNet V2, check it, look at it, and pretrain CrossAlignNet on it.

    \b
    cma3d demo OUT                       all of it, small, on procedural models
    cma3d render SHAPENET RENDERS        CAD models to RGB-D views (resumes by itself)
    cma3d pack RENDERS SHARDS            views to HDF5 shards of point clouds that know their pixels
    cma3d verify SHARDS --source SHAPENET
    cma3d inspect SHARDS --row 0 -o row.png
    cma3d pretrain SHARDS RUN

    Exit status: 0 done; 1 finished, with failures that are listed; 2 wrong use or bad input.
    """


@cli.command()
@click.argument("out", type=FOLDER)
@options(SamplesConfig)
def samples(out: Path, config_file: Path | None, **given: Any) -> None:
    """Write a small procedural ShapeNet to OUT, in the native V2 layout.

    \b
    Examples:
      cma3d samples shapenet-small
      cma3d samples shapenet-broken --per-category 1 --pathologies
    """
    from .render.samples.write import write_samples

    made = write_samples(out, read_settings(SamplesConfig, config_file, given))
    click.echo(f"{sum(made['models'].values())} models of {len(made['models'])} categories in {out}")


@cli.command()
@click.argument("shapenet", type=FOLDER)
@click.argument("renders", type=FOLDER)
@click.option("--synset", "synsets", multiple=True, help="Only this category, by offset or name; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many models of each category.")
@JOBS
@click.option("--timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds for one model.")
@click.option("--redo", is_flag=True, help="Replace renders that were made with other settings.")
@options(RenderConfig, leave_out=("view_list",))
def render(
    shapenet: Path,
    renders: Path,
    synsets: tuple[str, ...],
    limit: int | None,
    jobs: int | None,
    timeout: float,
    redo: bool,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Render the models of SHAPENET to RENDERS/<synset>/<model>.h5 with Blender's Cycles.

    Models that have their file are not rendered again, so a stopped run is resumed by the same command. Models that
    fail are listed in RENDERS/failures.jsonl.

    \b
    Examples:
      cma3d render ShapeNetCore.v2 renders
      cma3d render ShapeNetCore.v2 renders --colour best          24 views measured, the best one shaded
      cma3d render ShapeNetCore.v2 try --synset chair --limit 5 --views 8 --light interior
    """
    from .render.run import render_models
    from .render.shapenet import find_models

    config = read_settings(RenderConfig, config_file, given)
    models = find_models(shapenet, synsets=synsets, limit=limit)
    done = render_models(models, renders, config, jobs=jobs, timeout=timeout, redo=redo)
    rate = f", {done.rendered / done.wall * 3600:,.0f} an hour" if done.rendered else ""
    click.echo(f"{done.rendered} models rendered, {done.present} there before, {len(done.failures)} failed{rate}")
    if done.failures:
        click.echo(f"the failures and their reasons are in {renders / 'failures.jsonl'}")
        sys.exit(1)


@cli.command()
@click.argument("renders", type=FOLDER)
@click.argument("shards", type=FOLDER)
@JOBS
@click.option("--redo", is_flag=True, help="Replace shards that were made with other settings.")
@options(PackConfig)
def pack(renders: Path, shards: Path, jobs: int | None, redo: bool, config_file: Path | None, **given: Any) -> None:
    """Turn RENDERS into SHARDS: depth to points that know their pixels, in farthest point order.

    Shards that stand are kept where their render files are the same, byte for byte, so a stopped run is resumed by
    the same command, and after some renders changed it packs only their shards anew.

    \b
    Examples:
      cma3d pack renders shards                    one row a model: the view with the most points
      cma3d pack renders shards --keep all --points 1024
    """
    from .pack.run import pack_renders

    packed = pack_renders(renders, shards, read_settings(PackConfig, config_file, given), jobs=jobs, redo=redo)
    click.echo(f"{packed.rows} rows of {len(packed.synsets)} categories in {shards}")
    if packed.left_out:
        click.echo(f"{len(packed.left_out)} views left out, the first because {packed.left_out[0]['reason']}")
    for failure in packed.failures:
        click.echo(f"{failure['file']} failed: {failure['reason']}")
    if packed.failures:
        sys.exit(1)


@cli.command()
@click.argument("shards", type=FOLDER)
@click.option("--source", type=FOLDER, help="The ShapeNet that was rendered: measure every point's distance to it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@JOBS
def verify(shards: Path, source: Path | None, as_json: bool, jobs: int | None) -> None:
    """Check every law of the conventions on every row of SHARDS; exit status 1 where one is broken.

    \b
    Examples:
      cma3d verify shards
      cma3d verify shards --source ShapeNetCore.v2 --json
    """
    from .pack.verify import verdict_table, verify_shards

    verdicts = verify_shards(shards, source=source, jobs=jobs)
    broken = [verdict for verdict in verdicts if verdict.broken]
    if as_json:
        click.echo(json.dumps({"holds": not broken, "laws": [verdict.as_json() for verdict in verdicts]}, indent=1))
    else:
        click.echo(verdict_table(verdicts))
    if broken:
        sys.exit(1)


@cli.command()
@click.argument("shards", type=FOLDER)
@click.option("--row", type=click.IntRange(0), help="Index of the row.")
@click.option("--model", help="Id of the model (or synset/id), in place of --row.")
@click.option("-o", "--out", type=FOLDER, default=Path("row.png"), show_default=True, help="The picture to write.")
def inspect(shards: Path, row: int | None, model: str | None, out: Path) -> None:
    """Draw one row of SHARDS: image, depth, points from two sides, and their reprojection.

    \b
    Examples:
      cma3d inspect shards --row 0 -o row.png
      cma3d inspect shards --model 1006be65e7bc937e9141f9b58470d646 -o chair.png
    """
    from .pack.sheet import draw_sheet

    if (row is None) == (model is None):
        raise InputError("give either --row I or --model ID")
    click.echo(draw_sheet(shards, out, row=row, model=model))


@cli.command()
@click.argument("shards", type=FOLDER)
@click.argument("run", type=FOLDER)
@options(PretrainConfig)
def pretrain(shards: Path, run: Path, config_file: Path | None, **given: Any) -> None:
    """Pretrain CrossAlignNet on SHARDS; log, pictures and checkpoints go to RUN.

    The same command resumes a run that was stopped. --config takes a file, or the name of a shipped one: paper, small.

    \b
    Examples:
      cma3d pretrain shards run                          the paper's recipe
      cma3d pretrain shards run --config small           a network that learns on two CPU cores
    """
    from .model.pretrain import pretrain as train

    if config_file is not None and str(config_file) in SHIPPED:
        config_file = SHIPPED[str(config_file)]
    done = train(shards, run, read_settings(PretrainConfig, config_file, given), report=say)
    click.echo(f"loss {done['first_loss']:.4f} at first, {done['last_loss']:.4f} at last; the run is in {run}")


@cli.command()
@click.argument("out", type=FOLDER)
@JOBS
def demo(out: Path, jobs: int | None) -> None:
    """Do everything once, small, on procedural models: samples, renders, shards, proof, picture, pretraining.

    \b
    Example:
      cma3d demo demo
    """
    from .demo import run_demo

    click.echo(run_demo(out, jobs=jobs))


def main() -> None:
    """Run the command line: whatever the user can mend is one line on standard error and exit status 2."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(name, _stop)
    sys.unraisablehook = _unraisable
    try:
        cli.main(standalone_mode=False)
        if _stopped():
            raise KeyboardInterrupt
    except (InputError, click.ClickException) as error:
        if _stopped():  # to some libraries a stop is a failed import
            _say_stopped()
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        click.echo(f"cma3d: {' '.join(message.split())}{hint}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _say_stopped()


def _say_stopped() -> NoReturn:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(name, signal.SIG_IGN)
    click.echo("cma3d: stopped; what was finished is kept, the same command goes on from there", err=True)
    atexit._run_exitfuncs()  # ends workers
    sys.stdout.flush()
    os._exit(130)  # what C++ libraries, stopped half-way in their import, do at an exit may change the status


def _stop(*_: object) -> None:
    """End on Ctrl-C, and on SIGTERM, which batch systems send.

    Libraries swallow the exception: in callbacks, and in imports that take any error for a missing package. So the
    signal comes again until `main` has seen it, as if the user pressed again; while it is on its way, it waits.
    """
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Let a stop that fell into a callback, which cannot raise, come again at once; show the rest as Python does."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    else:
        sys.__unraisablehook__(unraisable)


def _stopped() -> bool:
    """Tell whether a stop is under way: its alarm is set."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


if __name__ == "__main__":
    main()
