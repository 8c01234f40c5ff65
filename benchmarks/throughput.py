"""Models an hour: choose-then-shade against shading all, one worker against two, ours against other loops.

    python benchmarks/throughput.py [SHAPENET] [--models 16] [--views 24] [--samples 32]

Without SHAPENET it makes procedural samples. All runs use the same machine and models one after the other, so the
ratios count, not the seconds. The loop of other renderers is re-enacted: a process a model, Blender's importer, a
render a view, nothing kept from view to view, colour and depth of every view.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.run import render_models
from shapenet3d_cma.render.samples.config import SamplesConfig
from shapenet3d_cma.render.samples.write import write_samples
from shapenet3d_cma.render.shapenet import find_models

OTHER_LOOP = """
import math, sys
import bpy, mathutils
obj, out, views, samples = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.obj_import(filepath=obj)
scene = bpy.context.scene
render, cycles = scene.render, scene.cycles
render.engine, cycles.device, cycles.samples = "CYCLES", "CPU", samples
cycles.use_adaptive_sampling = cycles.use_denoising = False
render.resolution_x = render.resolution_y = 224
render.film_transparent = True
render.threads_mode, render.threads = "FIXED", 1
scene.view_layers[0].use_pass_z = True
render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
world = bpy.data.worlds.new("world")
scene.world, world.use_nodes = world, True
world.node_tree.nodes["Background"].inputs[0].default_value = (1, 1, 1, 1)
light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
scene.collection.objects.link(light)
camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
scene.collection.objects.link(camera)
scene.camera = camera
for view in range(views):
    angle = 2 * math.pi * view / views
    place = mathutils.Vector((1.5 * math.cos(angle), 1.5 * math.sin(angle), 0.8))
    camera.matrix_world = mathutils.Matrix.Translation(place) @ (-place).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    render.filepath = f"{out}/{view}.exr"
    bpy.ops.render.render(write_still=True)
"""


def ours(models: list, views: int, samples: int, colour: str, jobs: int) -> tuple[float, dict[str, float]]:
    """Give the wall time of a run and its seconds by phase, summed over workers."""
    with tempfile.TemporaryDirectory() as out:
        config = RenderConfig(views=views, samples=samples, colour=colour)
        done = render_models(models, Path(out), config, jobs=jobs)
        assert done.rendered == len(models), done.failures
        return done.wall, done.seconds


def others(models: list, views: int, samples: int) -> float:
    """Give the wall time of the other loop, two processes at a time as ours has two workers."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        waiting, running = list(models), []
        while waiting or running:
            while waiting and len(running) < 2:
                words = [str(waiting.pop().obj), out, str(views), str(samples)]
                running.append(subprocess.Popen([sys.executable, "-c", OTHER_LOOP, *words], stdout=subprocess.DEVNULL))
            running = [process for process in running if process.poll() is None]
            time.sleep(0.05)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapenet", type=Path, nargs="?")
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--samples", type=int, default=32)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = words.shapenet or Path(scratch) / "shapenet"
        if words.shapenet is None:
            write_samples(root, SamplesConfig(per_category=2))
        every = find_models(root)
        models = every[:: max(1, len(every) // words.models)][: words.models]
        print(f"{len(models)} models, {words.views} views of 224 x 224, {words.samples} samples\n")
        print("| run | models an hour | seconds | own cost over Blender's rendering |\n|---|---|---|---|", flush=True)
        walls = {}
        cores = os.sched_getaffinity(0)
        for colour, jobs in (("best", 1), ("best", 2), ("all", 2)):
            os.sched_setaffinity(0, set(list(cores)[:jobs]))  # a worker a core
            wall, seconds = ours(models, words.views, words.samples, colour, jobs)
            os.sched_setaffinity(0, cores)
            walls[colour, jobs] = wall
            worked = sum(value for name, value in seconds.items() if name != "blender")
            cost = f"{worked / seconds['blender']:.2f} in the worker, {wall * jobs / seconds['blender']:.2f} in all"
            rate = 3600 * len(models) / wall
            print(f"| --colour {colour} --jobs {jobs} | {rate:,.0f} | {wall:.1f} | {cost} |", flush=True)
        wall = others(models, words.views, words.samples)
        print(f"| other renderers' loop, 2 processes | {3600 * len(models) / wall:,.0f} | {wall:.1f} | |\n")
        print(f"two workers over one: {walls['best', 1] / walls['best', 2]:.2f}")
        print(f"--colour best over --colour all: {walls['all', 2] / walls['best', 2]:.1f}")
        print(f"--colour best over the other loop: {wall / walls['best', 2]:.1f}")
        print(f"--colour all over the other loop: {wall / walls['all', 2]:.1f}")


if __name__ == "__main__":
    main()
