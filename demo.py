"""`cma3d demo`: every step once, small, on procedural models."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.errors import InputError
from .core.outputs import claim
from .core.progress import say
from .core.settings import read_settings
from .model.config import PretrainConfig
from .pack.config import PackConfig
from .render.config import RenderConfig
from .samples.config import SamplesConfig

if TYPE_CHECKING:
    from .pack.laws import Verdict

__all__ = ["run_demo"]

SAMPLES = SamplesConfig(per_category=4)
RENDER = RenderConfig(views=8, colour="best", samples=16)
PACK = PackConfig()


def pretrain_settings() -> PretrainConfig:
    """Return the settings of a network that learns on two CPU cores."""
    return read_settings(PretrainConfig, Path(__file__).parent / "model" / "small.toml")


def _is_earlier(folder: Path) -> bool:
    """Recognise a demo that version 0.1 made."""
    from .render.rendering import read_render_settings

    return (folder / "shapenet" / "README.txt").is_file() and read_render_settings(
        folder / "renders"
    ) is not None


def run_demo(out: Path, *, jobs: int | None = None) -> tuple[str, int]:
    """Make samples, render, pack, verify, draw and pretrain in `out`.

    Finished steps are not repeated.

    Returns
    -------
    summary : text for the user: results, their folders, files to look at, next commands
    failed : models and render files that failed

    Raises
    ------
    InputError : a stage cannot run here, or a law is broken
    """
    from .model.monitor.annotate import NetworkAnnotator
    from .model.train.pretraining import pretrain
    from .pack.card.sheet import draw_overview, draw_sheet
    from .pack.packing import pack_renders
    from .pack.page.inspect import ViewRequest, inspect_data, report_dataset
    from .pack.verify import verdict_table, verify_shards
    from .render.rendering import render_models
    from .render.shapenet.listing import find_models
    from .samples.shapenet_folder import write_samples

    begin = time.monotonic()
    with claim(out, "demo", earlier=_is_earlier):
        shapenet, renders, shards, run = (
            out / name for name in ("shapenet", "renders", "shards", "run")
        )

        say(f"[1/6] samples: a procedural ShapeNet in {shapenet}")
        written = write_samples(shapenet, SAMPLES)
        say(
            f"[2/6] render: {sum(written['models'].values())} models, {RENDER.views} views each, "
            "with Blender's Cycles"
        )
        rendered = render_models(find_models(shapenet), renders, RENDER, jobs=jobs)
        say("[3/6] pack: depth to points that know their pixels, in HDF5 shards")
        packed = pack_renders(renders, shards, PACK, jobs=jobs)
        say("[4/6] verify: every law on every row, every point against the CAD model")
        verdicts = verify_shards(shards, source=shapenet, jobs=jobs)
        say(verdict_table(verdicts))
        if any(verdict.broken for verdict in verdicts):
            raise InputError(
                f"{shards} breaks a law, see above: this is a fault of the program, "
                "please report it"
            )
        say("[5/6] inspect: pictures to check by eye")
        pictures = out / "pictures"
        overview = draw_overview(shards, pictures / "overview.png")
        first, last = (
            draw_sheet(shards, pictures / f"row-{row}.png", row=row) for row in (0, packed.rows - 1)
        )
        say("[6/6] pretrain: a small CrossAlignNet on these shards")
        trained = pretrain(shards, run, pretrain_settings(), report=say)
        page = inspect_data(
            shards, out / "page.html", ViewRequest(row=packed.rows // 2, run=run), NetworkAnnotator
        )
        report = report_dataset(shards, out / "report.html", NetworkAnnotator())

    failed = len(rendered.failures) + len(packed.failures)
    minutes = (time.monotonic() - begin) / 60
    return _summary(
        out,
        minutes,
        written,
        packed.rows,
        failed,
        verdicts,
        trained,
        [overview, first, last, page, report],
    ), failed


def _summary(
    out: Path,
    minutes: float,
    samples: dict[str, Any],
    rows: int,
    failed: int,
    verdicts: list[Verdict],
    trained: dict[str, Any],
    pictures: list[Path],
) -> str:
    surface = next(verdict for verdict in verdicts if verdict.law.name == "surface")
    models, categories = sum(samples["models"].values()), len(samples["models"])
    losses = f"{trained['first_loss']:.3f} -> {trained['last_loss']:.3f}"
    failures = f", {failed} failed" if failed else ""
    overview, first, last, page, report = pictures
    captions = {
        page: "in a browser: every pixel and its point, the masks, the network's reconstruction",
        report: "the whole dataset, each row a click away",
        overview: "every row's image",
        first: "one row: image, depth, points from two sides, reprojection",
        last: "",
        out / "run" / "run.html": "the run: losses, retrieval, linear probe, reconstructions",
    }
    width = max(len(str(path)) for path in captions)
    lines = "\n".join(f"  {path!s:{width}}  {text}".rstrip() for path, text in captions.items())
    return f"""
Done in {minutes:.1f} minutes. Everything is in {out}:

  shapenet/   {models} procedural CAD models of {categories} categories, in ShapeNet V2's layout
  renders/    {RENDER.views} views of each: depth, cameras, colour of the best view{failures}
  shards/     {rows} rows: image, depth, camera, {PACK.points} points and their pixels;
              every point re-projects to its pixel and lies within {surface.worst:.1g} of the CAD surface
  run/        CrossAlignNet with {trained["parameters"]:,} parameters, loss {losses}

Look at:

{lines}

Next, with ShapeNetCore.v2:

  cma3d build ShapeNetCore.v2 dataset
  cma3d verify dataset/shards --source ShapeNetCore.v2
  cma3d pretrain dataset/shards run
"""
