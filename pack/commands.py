"""The verbs `pack`, `verify` and `export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..core.errors import InputError
from ..core.settings import FOLDER, JOBS, JSON, options, read_settings
from ..core.streams import end_with_failures, failure_text, tell
from ..core.wording import count_text
from ..reconstruct.commands import left_out_text
from ..render.choice import Choice
from ..render.commands import LAYOUT, choice_options
from ..render.shapenet.selection import Layout
from .config import ExportFormat, PackConfig

if TYPE_CHECKING:
    from .packing import PackSummary

__all__ = ["export", "pack", "packing_text", "verify"]


@click.command()
@click.argument("renders", type=FOLDER)
@click.argument("shards", type=FOLDER)
@choice_options(drawn=True)
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
    **values: Any,
) -> None:
    """Turn RENDERS into SHARDS: depth to points that know their pixels.

    The points are in farthest point order.

    Finished shards are kept while their render files are the same, byte for byte. So the same
    command resumes a stopped run, and after a change of some renders it packs only their shards
    again.

    \b
    Examples:
      cma3d pack renders shards                    one row a model: the view with the most points
      cma3d pack renders shards --keep all --points 1024
      cma3d pack renders shards/train --split-csv all.csv --split train     ShapeNet's own split
      cma3d pack renders shards/val --split-shares 80 10 10 --split val     one drawn by model
      cma3d pack renders shards --num-samples 41928                  as many as in the paper
    """
    from .packing import pack_renders

    config = read_settings(PackConfig, config_file, values)
    packed = pack_renders(renders, shards, config, choice, jobs=jobs, redo=redo)
    tell(packing_text(packed, shards))
    if packed.failures:
        sys.exit(1)


def packing_text(packed: PackSummary, shards: Path) -> str:
    """Format the counts of rows, of views left out, and the failures."""
    lines = [
        f"{count_text(packed.rows, 'row')} of "
        f"{count_text(len(packed.synsets), 'category')} in {shards}"
    ]
    if packed.left_out:
        lines.append(left_out_text(packed.left_out))
    return "\n".join(lines + [failure_text(failure) for failure in packed.failures])


@click.command()
@click.argument("shards", type=FOLDER, nargs=-1, required=True)
@click.option(
    "--source",
    type=FOLDER,
    help="The ShapeNet that was rendered: measure every point's distance to it.",
)
@LAYOUT
@JSON
@JOBS
def verify(
    shards: tuple[Path, ...], source: Path | None, layout: Layout, as_json: bool, jobs: int | None
) -> None:
    """Check every law of the conventions on every row of SHARDS.

    The exit status is 1 if a law is broken. With several folders, such as the splits of a dataset,
    it also checks that no model is in two of them.

    \b
    Examples:
      cma3d verify shards
      cma3d verify shards --source ShapeNetCore.v2 --json
      cma3d verify shards --source my-models --layout flat
      cma3d verify shards/train shards/val shards/test
    """
    from .verify import verdict_table, verify_shards

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


@click.command()
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
    "--redo", is_flag=True, help="Replace an export of other settings or of other shards."
)
def export(
    shards: Path, out: Path, name: ExportFormat, full: bool, jobs: int | None, redo: bool
) -> None:
    """Write SHARDS in other formats, one folder per model.

    OUT/README.txt explains the files.

    \b
    bop   scene_camera.json, scene_gt.json, 16-bit depth, masks: for pose estimation
    nerf  transforms.json, PNG, masks, depth, points: for nerfstudio, instant-ngp, splatting
    ply   points with colour and pixel: for Open3D, MeshLab, CloudCompare
    png   image, 16-bit depth, mask, and cameras.json: for everything else

    Models that are complete are not written again, so the same command resumes a stopped run.

    \b
    Examples:
      cma3d export shards bop --format bop
      cma3d export shards clouds --format ply --full
    """
    from .export.shard_export import export_shards

    if full and name != "ply":
        raise InputError(
            f"--full is for --format ply, not for {name}, which holds the depth of all pixels anyway"
        )
    done = export_shards(shards, out, name, full=full, jobs=jobs, redo=redo)
    before = f", {done.present} models were complete before" if done.present else ""
    tell(f"{done.rows} views of {done.models} models{before}: {out}")
    end_with_failures(done.failures)
