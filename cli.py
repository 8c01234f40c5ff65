"""The command `cma3d`: each verb calls one function of one stage."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import click

from . import __version__
from .build import pack_names
from .core.errors import InputError
from .core.faults import answer
from .core.outputs import refuse_overlap
from .core.progress import say
from .core.settings import FiniteRange, GivenPath, WholeRange, assignments, options, read_settings
from .core.streams import keep_streams, lost_output, speak_utf8, tell
from .core.untrusted import shown
from .core.wording import one_line
from .model.config import PretrainConfig
from .model.tasks.config import FewShotConfig, FinetuneConfig, ProbeConfig, SegmentConfig, Task
from .pack.config import ExportFormat, PackConfig
from .reconstruct.config import CloudConfig
from .render.choice import Choice
from .render.config import Device, RenderConfig
from .render.shapenet.selection import Layout, Selection
from .samples.config import SamplesConfig

if TYPE_CHECKING:
    from .pack.packing import PackSummary
    from .render.rendering import RenderSummary

__all__ = ["cli", "main"]

FOLDER = GivenPath()
SHIPPED = {path.stem: path for path in (Path(__file__).parent / "model").glob("*.toml")}
RECIPES = {path.stem: path for path in (Path(__file__).parent / "model" / "tasks").glob("*.toml")}
SHARED_NAMES, OWN_NAMES = pack_names()
_AGAIN = 2.0  # seconds after which a stop that went unnoticed comes again
JOBS = click.option(
    "--jobs", type=WholeRange(1, 4096), help="Side by side; the number of cores where left out."
)
LAYOUT = click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    default="auto",
    show_default=True,
    help="v2, v1 and zip are told apart by themselves; flat takes any folder of OBJ, GLB, GLTF, PLY, STL, OFF files.",
)

SELECTION = (
    LAYOUT,
    click.option(
        "--synset",
        "synsets",
        multiple=True,
        help="Only this category, by offset or name; may be repeated.",
    ),
    click.option(
        "--ids",
        type=FOLDER,
        help="Only the models of this file: an id or synset/id a line, # comments.",
    ),
    click.option(
        "--split-csv",
        type=FOLDER,
        help="Only the models of ShapeNet's official split table, all.csv.",
    ),
    click.option("--split", help="Only this part of the split table: train, val or test."),
    click.option(
        "--limit", type=WholeRange(1), help="Only the first so many models of each category."
    ),
    click.option(
        "--shard", metavar="I/N", help="Only the I-th of N shares, 0 <= I < N: for job arrays."
    ),
)


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose among the models of SHAPENET; the command gets them as one `Selection`."""

    @functools.wraps(command)
    def with_selection(**given: Any) -> Any:
        chosen = {field.name: given.pop(field.name) for field in dataclasses.fields(Selection)}
        return command(selection=Selection(**chosen), **given)

    for option in reversed(SELECTION):
        with_selection = option(with_selection)
    return with_selection


def running(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how models are rendered, not what comes out; they arrive as the dictionary `run`."""
    given = (
        click.option(
            "--timeout",
            type=FiniteRange(1, 1e7),
            default=600.0,
            show_default=True,
            help="Seconds a model.",
        ),
        click.option(
            "--memory-gib",
            type=FiniteRange(0.5, 1e6),
            default=8.0,
            show_default=True,
            help="Memory of one Blender, GiB; a model that takes more is stopped.",
        ),
        click.option(
            "--renew-after",
            type=WholeRange(1),
            default=500,
            show_default=True,
            help="Models after which a Blender makes way for a fresh one.",
        ),
        click.option(
            "--device",
            type=click.Choice(get_args(Device)),
            default="auto",
            show_default=True,
            help="Where Cycles computes; a GPU that is not there is said, and the CPU takes its place.",
        ),
        click.option("--retry-failed", is_flag=True, help="Try again what failed in earlier runs."),
        click.option(
            "--redo", is_flag=True, help="Replace renders that were made with other settings."
        ),
        click.option(
            "--scheduler", help="Render on the Dask cluster of this scheduler, tcp://host:port."
        ),
    )
    names = ("timeout", "memory_gib", "renew_after", "device", "retry_failed", "redo", "scheduler")

    @functools.wraps(command)
    def with_run(**words: Any) -> None:
        run = {name: words.pop(name) for name in names}
        command(run=run, **words)

    for option in reversed(given):
        with_run = option(with_run)
    return JOBS(with_run)


def choosing(*, drawn: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options that choose among rendered models; they arrive as one `Choice`.

    `drawn` says whether a split may be drawn, which takes a seed.
    """
    given = [
        *SELECTION[1:4],
        click.option("--split", help="Only this part of the split: train, val or test."),
    ]
    if drawn:
        shares: Any = (FiniteRange(0), FiniteRange(0), FiniteRange(0))
        text = "Draw the split, by model and from --seed, in these shares, such as 80 10 10."
        given.append(
            click.option(
                "--split-shares", "shares", type=shares, metavar="TRAIN VAL TEST", help=text
            )
        )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_choice(**words: Any) -> None:
            choice = {
                field.name: words.pop(field.name)
                for field in dataclasses.fields(Choice)
                if field.name in words
            }
            command(choice=Choice(**choice), **words)

        for option in reversed(given):
            with_choice = option(with_choice)
        return with_choice

    return decorate


def row_range(text: str) -> tuple[int, int]:
    """Read rows A:B, the first and the one behind the last; either may be left out."""
    first, colon, end = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (first, end)):
        raise click.BadParameter(f"{text!r} is no range of rows such as 0:64.")
    return int(first or 0), int(end) if end else sys.maxsize


class _UnexpectedEndError(Exception):
    """Stands in for an EOFError, which click would take for a user who has gone."""


class _Commands(click.Group):
    """The commands, of which an EOFError is a fault like any other."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was given."""
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
    """Regenerate ShapeNet3D-CMA from ShapeNet V2, check it, look at it, and pretrain CrossAlignNet on it.

    \b
    cma3d demo OUT                       all of it, small, on procedural models
    cma3d doctor SHAPENET                what is wrong with the models, before days are spent
    cma3d render SHAPENET RENDERS        CAD models to RGB-D views (resumes by itself)
    cma3d pack RENDERS SHARDS            views to HDF5 shards of point clouds that know their pixels
    cma3d build SHAPENET OUT             both in one go, the fast way
    cma3d reconstruct RENDERS OUT        full clouds as PLY or NPZ, with colours and pixels
    cma3d status OUT                     how far a render is, from another terminal
    cma3d verify SHARDS --source SHAPENET
    cma3d inspect SHARDS --row 0 --open  every pixel and its point, in a page
    cma3d report SHARDS                  one page on the whole dataset
    cma3d export SHARDS OUT --format F   in the formats of others: bop, nerf, ply, png
    cma3d pretrain SHARDS RUN
    cma3d finetune, fewshot, segment, probe, evaluate, ablate
                                         the paper's evaluation of what was pretrained

    Exit status: 0 done; 1 finished, with failures that are listed; 2 wrong use or bad input;
    70 a fault of the program, whose report the last line names; 130 stopped, as by Ctrl-C.
    """


@cli.command()
@click.argument("out", type=FOLDER)
@options(SamplesConfig)
@click.option(
    "--task",
    type=click.Choice(["modelnet40", "fewshot", "scanobjectnn", "shapenetpart"]),
    help="A benchmark instead.",
)
@click.option(
    "--layout", help="Of the benchmark, as `cma3d doctor --task` names it.  [default: its first]"
)
@click.option(
    "--train", type=WholeRange(1), default=24, show_default=True, help="With --task: of each class."
)
@click.option(
    "--test", type=WholeRange(1), default=20, show_default=True, help="With --task: of each class."
)
@click.option(
    "--val", type=WholeRange(1), default=4, show_default=True, help="With --task: of each class."
)
def samples(
    out: Path,
    config_file: Path | None,
    task: str | None,
    layout: str | None,
    train: int,
    test: int,
    val: int,
    **given: Any,
) -> None:
    """Write a small procedural ShapeNet to OUT, in the native V2 layout; with --task a small benchmark, in its own.

    \b
    Examples:
      cma3d samples shapenet-small
      cma3d samples shapenet-broken --per-category 1 --pathologies
      cma3d samples small --task modelnet40                          pickled clouds, as Point-BERT
      hands them out cma3d samples small --task modelnet40 --layout modelnet40-off  or
      modelnet40-text, -h5
      cma3d samples small --task fewshot                             the forty folds, pickled
      cma3d samples small --task shapenetpart
    """
    from .samples.shapenet_folder import write_samples

    if task is not None:
        from .samples.miniatures import write_miniature

        wrong = [name for name, value in given.items() if value is not None and name != "seed"]
        if wrong or config_file is not None:
            raise InputError(
                f"--{(wrong or ['config'])[0].replace('_', '-')} is for the procedural ShapeNet, not for --task"
            )
        written = write_miniature(
            out, task, layout=layout, train=train, test=test, val=val, seed=given["seed"] or 0
        )
        tell(f"{written['layout']} in {written['folder']}")
        return
    made = write_samples(out, read_settings(SamplesConfig, config_file, given))
    models, categories = sum(made["models"].values()), len(made["models"])
    tell(f"{_count(models, 'model')} of {_count(categories, 'category')} in {out}")


@cli.command()
@click.argument("shapenet", type=FOLDER)
@selection
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--task", type=click.Choice(get_args(Task)), help="Look for a benchmark's data instead."
)
@JOBS
def doctor(
    shapenet: Path, selection: Selection, as_json: bool, task: Task | None, jobs: int | None
) -> None:
    """Look over the models of SHAPENET before rendering: counts, missing files, faults. Reads text and headers only.

    Exit status 1 where some models cannot be rendered; they are listed. `cma3d render` mends or
    records the rest. With --task, SHAPENET is the folder of a benchmark: which layout, whether it
    is whole, and what to get if not.

    \b
    Examples:
      cma3d doctor ShapeNetCore.v2
      cma3d doctor ShapeNetCore.v2 --synset car --json > cars.json
      cma3d doctor my-models --layout flat
      cma3d doctor data/ModelNet --task modelnet40
    """
    if task is not None:
        from .model.tasks.benchmarks.check import diagnose_task
        from .model.tasks.benchmarks.check import diagnosis_text as task_text

        found = diagnose_task(shapenet, task)
        tell(json.dumps(found.as_json(), indent=1) if as_json else task_text(found))
        sys.exit(1 if found.faults else 0)
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
@click.argument("renders", type=FOLDER)
@selection
@running
@options(RenderConfig)
def render(
    shapenet: Path,
    renders: Path,
    selection: Selection,
    jobs: int | None,
    run: dict[str, Any],
    config_file: Path | None,
    **given: Any,
) -> None:
    """Render the models of SHAPENET to RENDERS/<synset>/<model>.h5 with Blender's Cycles.

    SHAPENET is ShapeNetCore v2 or v1, a folder of its zips as they are handed out, or any folder of
    models. Models that have their file are not rendered again, so a stopped run is resumed by the
    same command. Models that fail are listed in RENDERS/failures.jsonl and left alone from then on,
    unless --retry-failed is given.

    \b
    Examples:
      cma3d render ShapeNetCore.v2 renders
      cma3d render ShapeNetCore.v2 renders --colour best          24 views measured, the best one
      shaded cma3d render ShapeNetCore.v2 try --synset chair --limit 5 --views 8 --light interior
      cma3d render ShapeNetCore.v2 renders --split-csv all.csv --split train
      cma3d render ShapeNetCore.v2 renders --shard $SLURM_ARRAY_TASK_ID/8     jobs 0 to 7 of an
      array
      cma3d render zips renders                                   zips holds 02691156.zip,
      02747177.zip, …
      cma3d render my-models renders --layout flat                OBJ, GLB, PLY, STL, OFF files
      cma3d render ShapeNetCore.v2 renders --retry-failed --timeout 3600 --memory-gib 24
      cma3d render ShapeNetCore.v2 renders --scheduler tcp://head:8786
    """
    from .render.rendering import render_models
    from .render.shapenet.listing import list_models

    config = read_settings(RenderConfig, config_file, given)
    listing = list_models(shapenet, selection)
    refuse_overlap(renders, [shapenet])
    said = (listing.title, *listing.notes)
    done = render_models(
        listing.models, renders, config, jobs=jobs, said=said, source=shapenet, **run
    )
    tell(_rendered(done))
    if done.failures or done.quarantined:
        tell(
            f"the failures and their reasons are in {renders / 'failures.jsonl'}; --retry-failed tries again"
        )
        sys.exit(1)


def _rendered(done: RenderSummary) -> str:
    """Say in a line what a run did."""
    rate = f", {done.rendered / done.wall * 3600:,.0f} an hour" if done.rendered else ""
    before = f", {len(done.quarantined)} failed before" if done.quarantined else ""
    failed = f"{len(done.failures)} failed{before}"
    return f"{_count(done.rendered, 'model')} rendered, {done.present} there before, {failed}{rate}"


@cli.command()
@click.argument("shapenet", type=FOLDER)
@click.argument("out", type=FOLDER)
@selection
@running
@options(RenderConfig, defaults={"colour": "best"})
@options(PackConfig, prefix="pack_", leave_out=tuple(sorted(OWN_NAMES)), config=False)
@options(PackConfig, leave_out=tuple(sorted(SHARED_NAMES)), config=False)
def build(
    shapenet: Path,
    out: Path,
    selection: Selection,
    jobs: int | None,
    run: dict[str, Any],
    config_file: Path | None,
    **given: Any,
) -> None:
    """Render and pack in one go, the fast way: OUT/renders and OUT/shards.

    Of each model all views are measured, and the one that is packed is shaded; with --keep all, all
    are. A stopped build is resumed by the same command. A --config file has two tables, [render]
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

    render_config, pack_config = read_build_settings(config_file, given)
    listing = list_models(shapenet, selection)
    refuse_overlap(out, [shapenet])
    said = (listing.title, *listing.notes)
    choice = Choice(split_csv=selection.split_csv, split=selection.split)
    rendered, packed = build_dataset(
        listing.models,
        out,
        render_config,
        pack_config,
        choice,
        jobs=jobs,
        said=said,
        source=shapenet,
        **run,
    )
    tell(_rendered(rendered))
    tell(_packed(packed, out / "shards"))
    if rendered.failures or rendered.quarantined or packed.failures:
        tell(
            f"failures and their reasons: {out / 'renders' / 'failures.jsonl'}, {out / 'shards' / 'manifest.json'}"
        )
        sys.exit(1)


@cli.command()
@click.argument("out", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(out: Path, as_json: bool) -> None:
    """Tell how far a render is: done, failed, left, rate, time left, and the reasons of failures.

    OUT is a folder of renders, or what `cma3d build` or `cma3d demo` makes. Nothing is changed; the
    run may be going on in another terminal, on another machine that shares the storage, or not at
    all.

    \b
    Examples:
      cma3d status renders
      watch cma3d status dataset
      cma3d status dataset --json
    """
    from .render.status import read_status, status_table

    found = read_status(out)
    tell(json.dumps(found, indent=1) if as_json else status_table(found))


@cli.command()
@click.argument("renders", type=FOLDER)
@click.argument("shards", type=FOLDER)
@choosing(drawn=True)
@JOBS
@click.option("--redo", is_flag=True, help="Replace shards that were made with other settings.")
@options(PackConfig)
def pack(
    renders: Path,
    shards: Path,
    choice: Choice,
    jobs: int | None,
    redo: bool,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Turn RENDERS into SHARDS: depth to points that know their pixels, in farthest point order.

    Shards that stand are kept where their render files are the same, byte for byte, so a stopped
    run is resumed by the same command, and after some renders changed it packs only their shards
    anew.

    \b
    Examples:
      cma3d pack renders shards                    one row a model: the view with the most points
      cma3d pack renders shards --keep all --points 1024
      cma3d pack renders shards/train --split-csv all.csv --split train        ShapeNet's official
      split
      cma3d pack renders shards/val --split-shares 80 10 10 --split val --seed 7     one that is
      drawn, by model
      cma3d pack renders shards --num-samples 41928 --seed 0                   as many as in the
      paper
    """
    from .pack.packing import pack_renders

    config = read_settings(PackConfig, config_file, given)
    packed = pack_renders(renders, shards, config, choice, jobs=jobs, redo=redo)
    tell(_packed(packed, shards))
    if packed.failures:
        sys.exit(1)


def _count(number: int, noun: str) -> str:
    """Say how many: 1 row, 2 rows, 2 categories."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def _left_out(views: Sequence[Mapping[str, str]]) -> str:
    first = f"because {views[0]['reason']}"
    return (
        f"1 view left out, {first}"
        if len(views) == 1
        else f"{len(views)} views left out, the first {first}"
    )


def _packed(packed: PackSummary, shards: Path) -> str:
    """Say in lines what was packed."""
    lines = [
        f"{_count(packed.rows, 'row')} of {_count(len(packed.synsets), 'category')} in {shards}"
    ]
    if packed.left_out:
        lines.append(_left_out(packed.left_out))
    return "\n".join(lines + [_failed(failure) for failure in packed.failures])


def _failed(failure: Mapping[str, Any]) -> str:
    return shown(f"{failure['file']} failed: {failure['reason']}", 4000)


@cli.command()
@click.argument("renders", type=FOLDER)
@click.argument("out", type=FOLDER)
@choosing(drawn=False)
@JOBS
@click.option("--redo", is_flag=True, help="Replace clouds that were made with other settings.")
@options(CloudConfig)
def reconstruct(
    renders: Path,
    out: Path,
    choice: Choice,
    jobs: int | None,
    redo: bool,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Turn RENDERS into full point clouds, OUT/<synset>/<model>/view-00.ply, every point with its colour and pixel.

    Models whose clouds are there are not made again, so a stopped run is resumed by the same
    command.

    \b
    Examples:
      cma3d reconstruct renders clouds                            the view with the most points
      cma3d reconstruct renders clouds --keep all --format npz
      cma3d reconstruct renders clouds --normals --voxel 0.005 --outliers 2
    """
    from .reconstruct.clouds import reconstruct_renders

    done = reconstruct_renders(
        renders, out, read_settings(CloudConfig, config_file, given), choice, jobs=jobs, redo=redo
    )
    before = f", {done.present} models there before" if done.present else ""
    tell(f"{done.clouds} clouds of {done.models} models, {done.points:,} points{before}: {out}")
    if done.uncoloured:
        tell(
            f"{done.uncoloured} clouds have no colour: their views were not shaded (cma3d render --colour all)"
        )
    if done.left_out:
        tell(_left_out(done.left_out))
    _fail(done.failures)


@cli.command()
@click.argument("shards", type=FOLDER, nargs=-1, required=True)
@click.option(
    "--source",
    type=FOLDER,
    help="The ShapeNet that was rendered: measure every point's distance to it.",
)
@LAYOUT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@JOBS
def verify(
    shards: tuple[Path, ...], source: Path | None, layout: Layout, as_json: bool, jobs: int | None
) -> None:
    """Check every law of the conventions on every row of SHARDS; exit status 1 where one is broken.

    Of several folders, such as the splits of a dataset, it also checks that they have no model in
    common.

    \b
    Examples:
      cma3d verify shards
      cma3d verify shards --source ShapeNetCore.v2 --json
      cma3d verify shards --source my-models --layout flat
      cma3d verify shards/train shards/val shards/test
    """
    from .pack.verify import verdict_table, verify_shards

    verdicts = verify_shards(shards, source=source, layout=layout, jobs=jobs)
    broken = [verdict for verdict in verdicts if verdict.broken]
    if as_json:
        tell(
            json.dumps(
                {"holds": not broken, "laws": [verdict.as_json() for verdict in verdicts]}, indent=1
            )
        )
    else:
        tell(verdict_table(verdicts))
    if broken:
        sys.exit(1)


@cli.command()
@click.argument("shards", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--format",
    "name",
    type=click.Choice(get_args(ExportFormat)),
    required=True,
    help="What to write.",
)
@click.option(
    "--full", is_flag=True, help="PLY of all points of each view, in place of the row's sample."
)
@JOBS
@click.option(
    "--redo", is_flag=True, help="Replace what was exported otherwise, or from other shards."
)
def export(
    shards: Path, out: Path, name: ExportFormat, full: bool, jobs: int | None, redo: bool
) -> None:
    """Write SHARDS in the formats of others, a folder a model; OUT/README.txt tells what is what.

    \b
    bop   scene_camera.json, scene_gt.json, 16-bit depth, masks: for pose estimation
    nerf  transforms.json, PNG, masks, depth, points: for nerfstudio, instant-ngp, splatting
    ply   points with colour and pixel: for Open3D, MeshLab, CloudCompare
    png   image, 16-bit depth, mask, and cameras.json: for everything else

    Models that are there are not written again, so a stopped run is resumed by the same command.

    \b
    Examples:
      cma3d export shards bop --format bop
      cma3d export shards clouds --format ply --full
    """
    from .pack.export.shard_export import export_shards

    if full and name != "ply":
        raise InputError(
            f"--full is for --format ply, not for {name}, which has the depth of all pixels anyway"
        )
    done = export_shards(shards, out, name, full=full, jobs=jobs, redo=redo)
    before = f", {done.present} models there before" if done.present else ""
    tell(f"{done.rows} views of {done.models} models{before}: {out}")
    _fail(done.failures)


@cli.command()
@click.argument("data", type=FOLDER)
@click.option("--row", type=WholeRange(0), help="Index of the row; of renders, of the model.")
@click.option(
    "--rows", type=row_range, metavar="A:B", help="The rows from A to B - 1, in place of --row."
)
@click.option("--model", help="Id of the model (or synset/id), in place of --row.")
@click.option("--view", type=WholeRange(0), help="A view of the model, in place of the row's.")
@click.option(
    "--views",
    type=click.Choice(["one", "all"]),
    default="one",
    show_default=True,
    help="all: every view of the model.",
)
@click.option(
    "--run", type=FOLDER, help="A run of `cma3d pretrain`: show what its network reconstructs."
)
@click.option(
    "-o", "--out", type=FOLDER, help="A page, a .png, or a folder of pages.  [default: page.html]"
)
@click.option("--sheet", type=FOLDER, help="Draw a contact sheet to this PNG.")
@click.option(
    "--show",
    type=click.Choice(["rgb", "depth", "points"]),
    multiple=True,
    help="What --sheet shows of each row; may be repeated.  [default: rgb]",
)
@click.option("--open", "opens", is_flag=True, help="Open what was written in the browser.")
def inspect(
    data: Path,
    row: int | None,
    rows: tuple[int, int] | None,
    model: str | None,
    view: int | None,
    views: str,
    run: Path | None,
    out: Path | None,
    sheet: Path | None,
    show: tuple[str, ...],
    opens: bool,
) -> None:
    """Look at rows of DATA, shards or renders: a page in which every pixel finds its point, and every point its pixel.

    It is one HTML file that needs no network: open it from the disk, copy it from a server, mail
    it. It shows the stored arrays, says how many points re-project to their pixel, and draws image,
    depth, normals, patches and the masks of training. A single row comes with the rows beside it.

    \b
    Examples:
      cma3d inspect shards --row 0 --open
      cma3d inspect shards --model 1006be65e7bc937e9141f9b58470d646 -o chair.html
      cma3d inspect renders --row 0 --views all          every view of a model, with all cameras
      cma3d inspect shards --row 0 --run run             what a trained network reconstructs
      cma3d inspect shards --rows 0:500 -o pages         a folder of linked pages
      cma3d inspect shards --row 0 -o row.png            one row as a picture
      cma3d inspect shards --rows 0:64 --sheet sheet.png --show rgb --show depth --show points
    """
    from .model.monitor.annotate import NetworkAnnotator
    from .pack.page.inspect import Asked, draw_contact_sheet, inspect_data, open_in_browser

    if sheet is not None:
        if any(value is not None for value in (row, model, view, run, out)) or views != "one":
            raise InputError(
                "--sheet draws many rows: of the others, give it only --rows A:B and --show"
            )
        written = draw_contact_sheet(data, sheet, rows=rows, shows=show or ("rgb",))
    else:
        if show:
            raise InputError("--show chooses what --sheet draws: give it with --sheet PNG")
        asked = Asked(row=row, rows=rows, model=model, view=view, every=views == "all", run=run)
        written = inspect_data(data, out or Path("page.html"), asked, NetworkAnnotator)
    tell(written)
    if opens and not open_in_browser(written):
        say("no browser was found here: copy the file to a machine that has one")


@cli.command()
@click.argument("shards", type=FOLDER)
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option(
    "--most", type=WholeRange(0), default=64, show_default=True, help="Thumbnails, and pages."
)
@click.option("--open", "opens", is_flag=True, help="Open the report in the browser.")
def report(shards: Path, out: Path, most: int, opens: bool) -> None:
    """Write one page on the dataset SHARDS: counts, points, depth, view directions, failures, repairs, thumbnails.

    Each thumbnail opens its inspection page, as `cma3d inspect` makes it; these lie in a folder
    beside the report.

    \b
    Examples:
      cma3d report shards --open
      cma3d report shards -o report.html --most 200
    """
    from .model.monitor.annotate import NetworkAnnotator
    from .pack.page.inspect import open_in_browser, report_dataset

    written = report_dataset(shards, out, NetworkAnnotator(), most=most)
    tell(written)
    if opens and not open_in_browser(written):
        say("no browser was found here: copy the report and its folder to a machine that has one")


def _fail(failures: list[dict[str, Any]]) -> None:
    """List failures, if there are any, and end with the status that says so."""
    for failure in failures:
        tell(_failed(failure))
    if failures:
        sys.exit(1)


def network_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add the settings of the network and its training; the command gets them as one `PretrainConfig`."""
    assign = click.option(
        "--set",
        "assigned",
        metavar="NAME=VALUE",
        multiple=True,
        help="Any setting by its name; may be repeated.",
    )

    @functools.wraps(command)
    def with_config(config_file: Path | None, assigned: tuple[str, ...], **given: Any) -> None:
        names = {field.name for field in dataclasses.fields(PretrainConfig)}
        settings = assignments(assigned) | {
            name: given[name] for name in names & set(given) if given[name] is not None
        }
        if config_file is not None and str(config_file) in SHIPPED:
            config_file = SHIPPED[str(config_file)]
        config = read_settings(PretrainConfig, config_file, settings)
        command(
            config=config, **{name: value for name, value in given.items() if name not in names}
        )

    return assign(options(PretrainConfig)(with_config))


@cli.command()
@click.argument("shards", type=FOLDER)
@click.argument("run", type=FOLDER)
@network_settings
def pretrain(shards: Path, run: Path, config: PretrainConfig) -> None:
    """Pretrain CrossAlignNet on SHARDS; log, pictures and checkpoints go to RUN.

    The same command resumes a run that was stopped. --config takes a file, or the name of a shipped
    one: paper, small, point-mae (reconstruction without the image), contrast (alignment alone).
    RUN/run.html shows how it goes.

    \b
    Examples:
      cma3d pretrain shards run                          the paper's recipe
      cma3d pretrain shards run --config small           a network that learns on two CPU cores
      cma3d pretrain shards run --set mask_ratio=0.8 --set epochs=100
      cma3d pretrain shards run --config point-mae       Point-MAE's task, to compare with
      cma3d pretrain shards run --init pretrain.pth      start from Point-MAE's published weights
      torchrun --nproc-per-node 8 -m shapenet3d_cma.cli pretrain shards run --batch-size 1024
    """
    from .model.train.pretraining import pretrain as train

    done = train(shards, run, config, report=say)
    if done["rank"] == 0:
        tell(
            f"loss {done['first_loss']:.4f} at first, {done['last_loss']:.4f} at last; the run is in {run}"
        )


@cli.command("model-info")
@network_settings
@click.option(
    "--classes", type=WholeRange(1), default=40, show_default=True, help="Of the classifier."
)
@click.option(
    "--shard-size",
    type=WholeRange(1),
    default=224,
    help="Side of the shards' images.",
    show_default=True,
)
@click.option(
    "--rows", type=WholeRange(1), default=41_928, help="Rows of the shards.", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def model_info(
    config: PretrainConfig, classes: int, shard_size: int, rows: int, as_json: bool
) -> None:
    """Tell the size of the network: parameters and operations of each part, memory, operations of a whole run.

    Nothing is computed and no shards are needed. The settings are those of `cma3d pretrain`.

    \b
    Examples:
      cma3d model-info                                   the paper's network
      cma3d model-info --config small --shard-size 128
      cma3d model-info --batch-size 512 --precision bfloat16 --json
    """
    from .model.info import info_table, model_info

    info = model_info(config, classes=classes, shard_size=shard_size, rows=rows)
    tell(json.dumps(info.as_json(), indent=1) if as_json else info_table(info))


@cli.command("export-encoder")
@click.argument("source", type=FOLDER)
@click.argument("out", type=FOLDER)
def export_encoder(source: Path, out: Path) -> None:
    """Write the point encoder of SOURCE as safetensors, which hold no code, to OUT.

    SOURCE is a finished run, or a checkpoint of Point-MAE, pretrained or fine-tuned, whose
    parameters are renamed.

    \b
    Examples:
      cma3d export-encoder run encoder.safetensors
      cma3d export-encoder pretrain.pth point-mae.safetensors      Point-MAE's published weights
    """
    from .model.train.pretraining import export_encoder as export

    tell(export(source, out))


def tasks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every downstream task has: where the encoder comes from, and how many processes read."""
    command = JOBS(command)
    command = click.option(
        "--scratch", is_flag=True, help="Start at random; with --init in the same sizes."
    )(command)
    text = "A `cma3d pretrain` run, its encoder.safetensors, or Point-MAE's pretrain.pth."
    return click.option("--init", type=FOLDER, help=text)(command)


def recipe(config_file: Path | None, name: str) -> Path:
    """Return the file of settings: one by name, the user's own, or the task's shipped one."""
    return RECIPES.get(str(config_file), config_file) if config_file is not None else RECIPES[name]


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("--task", type=click.Choice(get_args(Task)[:4]), required=True, help="The benchmark.")
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="At or above the benchmark's folder; its layout is found.",
)
@click.option(
    "--seeds",
    type=WholeRange(1),
    default=3,
    show_default=True,
    help="Runs, over which means are taken.",
)
@tasks
@options(FinetuneConfig)
def finetune(
    run: Path,
    task: Task,
    data: Path,
    seeds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Fine-tune a classifier on ModelNet40 or ScanObjectNN (tables 1 and 2); runs and tables go to RUN.

    The table tells three accuracies: of the final epoch, of the best epoch on the test set (as the
    paper does, which chooses on what it reports), and of the epoch that a held-out tenth of the
    training set chooses; each of one pass and of ten votes. The same command goes on where it was
    stopped. Without --config each task has its own recipe, Point-MAE's; --config takes a file in
    its place, or a shipped one: modelnet40, scanobjectnn, small.

    \b
    Examples:
      cma3d finetune ft --task modelnet40 --data data/ModelNet --init run
      cma3d finetune ft0 --task modelnet40 --data data/ModelNet --init run --scratch
      cma3d finetune pb --task scanobjectnn-pb --data data/ScanObjectNN --init pretrain.pth
      --held-out 0 cma3d finetune try --task modelnet40 --data small --init run --config small
      --seeds 1
    """
    from .model.tasks.finetune import finetune as train

    config = read_settings(FinetuneConfig, recipe(config_file, task.partition("-")[0]), given)
    done = train(
        run, task, data, config, init=init, scratch=scratch, seeds=seeds, jobs=jobs, report=say
    )
    tell(done["table"])


@cli.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Pickled folds, or ModelNet40, of which folds are drawn.",
)
@click.option(
    "--way",
    type=WholeRange(2),
    multiple=True,
    help="Classes of a fold; may be given twice.  [default: 5, 10]",
)
@click.option(
    "--shot", type=WholeRange(1), multiple=True, help="Shapes of a class.  [default: 10, 20]"
)
@click.option(
    "--folds", type=WholeRange(1, 10), default=10, show_default=True, help="Folds of each setting."
)
@tasks
@options(FewShotConfig)
def fewshot(
    run: Path,
    data: Path,
    way: tuple[int, ...],
    shot: tuple[int, ...],
    folds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Fine-tune on few shapes of few classes, ten folds each (table 3); runs and tables go to RUN.

    Folds are read from {way}way_{shot}shot/{fold}.pkl where there are such, without running what a
    pickle may hold; else drawn from ModelNet40 by way, shot and fold alone, and their indices
    written to folds.json.

    \b
    Examples:
      cma3d fewshot fs --data data/ModelNetFewshot --init run           all four settings, 40 folds
      cma3d fewshot fs --data data/ModelNet --init run --way 5 --shot 10
      cma3d fewshot try --data small --init run --config small --folds 2
    """
    from .model.tasks.fewshot import fewshot as train

    config = read_settings(FewShotConfig, recipe(config_file, "fewshot"), given)
    settings = [(w, s) for w in way or (5, 10) for s in shot or (10, 20)]
    done = train(
        run,
        data,
        config,
        init=init,
        scratch=scratch,
        settings=settings,
        folds=folds,
        jobs=jobs,
        report=say,
    )
    tell(done["table"])


@cli.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="At or above ShapeNetPart's folder; its layout is found.",
)
@click.option(
    "--seeds",
    type=WholeRange(1),
    default=1,
    show_default=True,
    help="Runs, over which means are taken.",
)
@tasks
@options(SegmentConfig, leave_out=("held_out",))
def segment(
    run: Path,
    data: Path,
    seeds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Segment the parts of ShapeNetPart (table 4); runs, tables, page.html and coloured PLY files go to RUN.

    \b
    Examples:
      cma3d segment seg --data data/shapenetcore_partanno_segmentation_benchmark_v0_normal --init
      run cma3d segment seg --data data/hdf5_data --init pretrain.pth --train-on trainval cma3d
      segment try --data small --init run --config small-parts
    """
    from .model.tasks.segment import segment as train

    config = read_settings(SegmentConfig, recipe(config_file, "shapenetpart"), given)
    done = train(run, data, config, init=init, scratch=scratch, seeds=seeds, jobs=jobs, report=say)
    tell(f"{done['table']}\n\nlook at {run / 'page.html'}")


@cli.command()
@click.option("--data", type=FOLDER, help="At or above ModelNet40's folder.")
@click.option("--shards", type=FOLDER, help="Shards instead: their synsets are the classes.")
@click.option("-o", "--out", type=FOLDER, help="JSON file of the result.")
@tasks
@options(ProbeConfig)
def probe(
    data: Path | None,
    shards: Path | None,
    out: Path | None,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Train a linear SVM on frozen features: what the encoder knows before any fine-tuning.

    \b
    Examples:
      cma3d probe --data data/ModelNet --init run
      cma3d probe --shards shards --init run
      cma3d probe --shards shards --init run --scratch          random features of the same size
    """
    from .model.tasks.probe import probe as test

    if (data is None) == (shards is None):
        raise InputError("give either --data MODELNET40 or --shards SHARDS")
    config = read_settings(ProbeConfig, config_file, given)
    where = data or shards
    assert where is not None
    done = test(
        where,
        config,
        shards=shards is not None,
        init=init,
        scratch=scratch,
        out=out,
        jobs=jobs,
        report=say,
    )
    tell(
        f"{100 * done['accuracy']:.1f} % of {done['test']:,} shapes right, {done['classes']} classes "
        f"(always the most frequent: {100 * done['chance']:.1f} %); C = {done['c']:g}"
    )


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder for tables and picture.")
@click.option("--data", type=FOLDER, help="The benchmark; where the run found it, if left out.")
@click.option(
    "--which",
    default="final",
    show_default=True,
    help="Weights: final, best_on_test or chosen_on_held_out.",
)
@click.option(
    "--votes",
    type=WholeRange(0),
    default=0,
    show_default=True,
    help="Draws to average; 0: one pass.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--threads", type=WholeRange(0), default=0, help="CPU threads that compute; 0: torch's choice."
)
def evaluate(
    run: Path, out: Path, data: Path | None, which: str, votes: int, device: str, threads: int
) -> None:
    """Classify the test shapes with the weights of RUN, a folder of `cma3d finetune`: logits and confusion matrix.

    \b
    Examples:
      cma3d evaluate ft -o look
      cma3d evaluate ft/seed-2 -o look --which chosen_on_held_out --votes 10
    """
    from .model.tasks.evaluate import evaluate as test

    done = test(
        run,
        out,
        data=data,
        which=which,
        votes=votes,
        device=device,
        cpu_threads=threads,
        report=say,
    )
    tell(f"{done['text']}\nlook at {done['picture']}")


@cli.command()
@click.argument("shards", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--table",
    type=click.Choice(["6", "7", "8"]),
    required=True,
    help="Mask ratio, strategy, or tasks.",
)
@click.option(
    "--task", type=click.Choice(get_args(Task)[:4]), default="scanobjectnn-pb", show_default=True
)
@click.option("--data", type=FOLDER, required=True, help="At or above the benchmark's folder.")
@click.option(
    "--pretrain-config", type=FOLDER, help="Settings of all pretrainings: a file, or paper, small."
)
@click.option(
    "--seeds", type=WholeRange(1), default=1, show_default=True, help="Fine-tunings of each row."
)
@JOBS
@options(FinetuneConfig)
def ablate(
    shards: Path,
    out: Path,
    table: str,
    task: Task,
    data: Path,
    pretrain_config: Path | None,
    seeds: int,
    jobs: int | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """Pretrain on SHARDS and fine-tune, once for each row of table 6, 7 or 8; rows and tables go to OUT.

    Options and --config are those of the fine-tuning. A row that is done is kept, one that was
    stopped goes on.

    \b
    Examples:
      cma3d ablate shards t6 --table 6 --data data/ScanObjectNN
      cma3d ablate shards try --table 7 --task modelnet40 --data small --pretrain-config small
      --config small
    """
    from .model.tasks.ablate import ablate as run

    chosen = None if pretrain_config is None else SHIPPED.get(str(pretrain_config), pretrain_config)
    pretraining = read_settings(PretrainConfig, chosen)
    config = read_settings(FinetuneConfig, recipe(config_file, task.partition("-")[0]), given)
    done = run(
        shards, out, int(table), task, data, pretraining, config, seeds=seeds, jobs=jobs, report=say
    )
    tell(done["text"])


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

    summary, failed = run_demo(out, jobs=jobs)
    tell(summary)
    if failed:
        sys.exit(1)


def main() -> None:
    """Run the command line: whatever goes wrong is one line on standard error, and says so in the exit status."""
    speak_utf8()
    keep_streams()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(name, _stop)
    sys.unraisablehook = _unraisable
    status = _run()
    if lost := lost_output():
        say(
            f"cma3d: standard output cannot be written ({lost}): what was done is kept, what was to be said here is "
            "lost; give the command again with another place for its output"
        )
        status = status or 2
    sys.exit(status)


def _run() -> int:
    """Run the command; return its exit status."""
    try:
        cli.main(standalone_mode=False)
        if _stopped():
            raise KeyboardInterrupt
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (InputError, click.ClickException) as error:
        if _stopped():  # to some libraries a stop is a failed import
            _say_stopped()
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        say(f"cma3d: {one_line(message)}{hint}")
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say_stopped()
    except BaseException as error:
        if _stopped():
            _say_stopped()
        line, status = answer(error)
        say(f"cma3d: {line}")
        return status


def _say_stopped() -> NoReturn:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(name, signal.SIG_IGN)
    say("cma3d: stopped; what was finished is kept, the same command goes on from there")
    atexit._run_exitfuncs()  # ends workers
    sys.stdout.flush()
    os._exit(
        130
    )  # what C++ libraries, stopped half-way in their import, do at an exit may change the status


def _stop(*_: object) -> None:
    """End on Ctrl-C, and on SIGTERM, which batch systems send.

    Libraries swallow the exception: in callbacks, and in imports that take any error for a missing
    package. So the signal comes again until `main` has seen it, as if the user pressed again; while
    it is on its way, it waits.
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
    """Check whether a stop is under way: its alarm is set."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


if __name__ == "__main__":
    main()
