"""The verb `reconstruct`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..core.settings import FOLDER, JOBS, options, read_settings
from ..core.streams import end_with_failures, tell
from ..render.choice import Choice
from ..render.commands import choice_options
from .config import CloudConfig

__all__ = ["left_out_text", "reconstruct"]


@click.command()
@click.argument("renders", type=FOLDER)
@click.argument("out", type=FOLDER)
@choice_options(drawn=False)
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
    **values: Any,
) -> None:
    """Turn RENDERS into full point clouds, OUT/<synset>/<model>/view-00.ply.

    Every point has its colour and pixel. Models whose clouds are there are not made again, so a
    stopped run is resumed by the same command.

    \b
    Examples:
      cma3d reconstruct renders clouds                            the view with the most points
      cma3d reconstruct renders clouds --keep all --format npz
      cma3d reconstruct renders clouds --normals --voxel 0.005 --outliers 2
    """
    from .clouds import reconstruct_renders

    done = reconstruct_renders(
        renders, out, read_settings(CloudConfig, config_file, values), choice, jobs=jobs, redo=redo
    )
    before = f", {done.present} models there before" if done.present else ""
    tell(f"{done.clouds} clouds of {done.models} models, {done.points:,} points{before}: {out}")
    if done.uncoloured:
        tell(
            f"{done.uncoloured} clouds have no colour: their views were not shaded "
            "(cma3d render --colour all)"
        )
    if done.left_out:
        tell(left_out_text(done.left_out))
    end_with_failures(done.failures)


def left_out_text(views: Sequence[Mapping[str, str]]) -> str:
    """Return a line on left-out views, with the first reason."""
    first = f"because {views[0]['reason']}"
    return (
        f"1 view left out, {first}"
        if len(views) == 1
        else f"{len(views)} views left out, the first {first}"
    )
