"""Models an hour: choose-then-shade against shading all, one worker against two, our own cost.

    python benchmarks/throughput.py [SHAPENET] [--models 16] [--views 24] [--samples 32] [--long]

Without SHAPENET it makes procedural samples. All runs use the same machine and models one after the
other, so the ratios count, not the seconds; `benchmarks/neighbours.py` compares with others. --long
measures our own cost alone, over all models of SHAPENET: what starting costs is then shared by
many.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples


def ours(
    models: list, views: int, samples: int, colour: str, jobs: int
) -> tuple[float, dict[str, float]]:
    """Return the wall time of a run and its seconds by phase, summed over workers."""
    with tempfile.TemporaryDirectory() as out:
        config = RenderConfig(views=views, samples=samples, colour=colour)
        done = render_models(models, Path(out), config, jobs=jobs)
        assert done.rendered == len(models), done.failures
        return done.wall, done.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapenet", type=Path, nargs="?")
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--long", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = words.shapenet or Path(scratch) / "shapenet"
        if words.shapenet is None:
            write_samples(root, SamplesConfig(per_category=2))
        every = find_models(root)
        models = (
            every if words.long else every[:: max(1, len(every) // words.models)][: words.models]
        )
        print(f"{len(models)} models, {words.views} views of 224 x 224, {words.samples} samples\n")
        print(
            "| run | models an hour | seconds | own cost over Blender's rendering "
            "|\n|---|---|---|---|",
            flush=True,
        )
        walls, blender = {}, {}
        cores = os.sched_getaffinity(0)
        for colour, jobs in [("best", 2)] if words.long else [("best", 1), ("best", 2), ("all", 2)]:
            os.sched_setaffinity(0, set(list(cores)[:jobs]))  # a worker a core
            wall, seconds = ours(models, words.views, words.samples, colour, jobs)
            os.sched_setaffinity(0, cores)
            walls[colour, jobs], blender[colour, jobs] = wall, seconds["blender"]
            worked = sum(value for name, value in seconds.items() if name != "blender")
            cost = f"{worked / seconds['blender']:.2f} in the worker, {wall * jobs / seconds['blender']:.2f} in all"
            rate = 3600 * len(models) / wall
            print(
                f"| --colour {colour} --jobs {jobs} | {rate:,.0f} | {wall:.1f} | {cost} |",
                flush=True,
            )
        if words.long:
            return
        print()
        print(f"two workers over one: {walls['best', 1] / walls['best', 2]:.2f}")
        alone = blender["best", 1] / blender["best", 2]
        print(
            f"of at most {2 * alone:.2f}: Blender's own rendering takes {1 / alone:.2f} times as "
            "long beside another"
        )
        print(f"--colour best over --colour all: {walls['all', 2] / walls['best', 2]:.1f}")


if __name__ == "__main__":
    main()
