"""Models an hour beside BlenderProc, at equal samples without denoiser, and the noise of both.

    python benchmarks/neighbours.py [SHAPENET] [--models 8] [--blenderproc "blenderproc run"]

BlenderProc is run where it is found, or named by --blenderproc: the words that a script's name is
added to. Where there is none, its loop is re-enacted with this project's own Blender: a process a
model, Blender's importer, a render a view by all cores, nothing kept from view to view. All render
the same models from the same cameras, in colour and depth. Without SHAPENET it makes procedural
samples. All runs use the same machine and models one after the other, so the ratios count, not the
seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from shapenet3d_cma.core.processes import count_cores
from shapenet3d_cma.render.cameras import place_cameras
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.mesh.obj import read_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.render_file import find_renders, open_render
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import Model, find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

REFERENCE = 1024

BLENDERPROC = """
import blenderproc as bproc
import json
import sys
import numpy as np
obj, out, samples = sys.argv[1], sys.argv[2], int(sys.argv[4])
cameras = json.load(open(sys.argv[3]))
bproc.init()
bproc.loader.load_obj(obj)
bproc.camera.set_intrinsics_from_K_matrix(cameras["intrinsics"], 224, 224)
bproc.renderer.set_world_background([1, 1, 1], 0.45)
sun = bproc.types.Light()
sun.set_type("SUN")
sun.set_energy(1.5)
sun.set_rotation_euler([0.6, 0.3, 0])
bproc.renderer.set_max_amount_of_samples(samples)
bproc.renderer.set_noise_threshold(0)
bproc.renderer.set_denoiser(None)
bproc.renderer.enable_depth_output(activate_antialiasing=False)
for pose in cameras["poses"]:
    bproc.camera.add_camera_pose(np.array(pose))
bproc.writer.write_hdf5(out, bproc.renderer.render())
"""

LOOP = """
import json, math, sys
import bpy, h5py, mathutils, numpy as np, OpenEXR
obj, out, samples = sys.argv[1], sys.argv[2], int(sys.argv[4])
cameras = json.load(open(sys.argv[3]))
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.obj_import(filepath=obj)
scene = bpy.context.scene
render, cycles = scene.render, scene.cycles
render.engine, cycles.device, cycles.samples = "CYCLES", "CPU", samples
cycles.use_adaptive_sampling = cycles.use_denoising = False
cycles.max_bounces = cycles.diffuse_bounces = 3  # as BlenderProc sets them
cycles.glossy_bounces = cycles.transmission_bounces = 0
render.resolution_x = render.resolution_y = 224
scene.view_settings.view_transform = "Standard"
scene.view_layers[0].use_pass_z = True
render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
render.image_settings.color_depth = "32"
world = bpy.data.worlds.new("world")
scene.world, world.use_nodes = world, True
background = world.node_tree.nodes["Background"]
background.inputs[0].default_value, background.inputs[1].default_value = (1, 1, 1, 1), 0.45
sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
sun.data.energy, sun.rotation_euler = 1.5, (0.6, 0.3, 0)
scene.collection.objects.link(sun)
camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
camera.data.angle = 2 * math.atan(112 / cameras["intrinsics"][0][0])
scene.collection.objects.link(camera)
scene.camera = camera
for view, pose in enumerate(cameras["poses"]):
    camera.matrix_world = mathutils.Matrix(pose)
    render.filepath = f"{out}/{view}.exr"
    bpy.ops.render.render(write_still=True)
    with OpenEXR.File(render.filepath, separate_channels=True) as file:
        layers = {name.split(".", 1)[1]: layer.pixels for name, layer in file.channels().items()}
    light = np.clip(np.stack([layers["Combined." + band] for band in "RGB"], axis=-1), 0, 1)
    depth = next(pixels for name, pixels in layers.items() if name.startswith("Depth"))
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    with h5py.File(f"{out}/{view}.hdf5", "w") as file:
        file.create_dataset("colors", data=np.rint(shown * 255).astype(np.uint8), compression="gzip")
        file.create_dataset("depth", data=depth, compression="gzip")
"""


def ours(models: list, views: int, samples: int, colour: str, out: Path) -> float:
    """Render as `cma3d render` does, a worker a core; give the wall time."""
    begin = time.perf_counter()
    done = render_models(models, out, RenderConfig(views=views, samples=samples, colour=colour))
    assert done.rendered == len(models), done.failures
    return time.perf_counter() - begin


def write_cameras(model: Model, views: int, path: Path) -> None:
    """Write our cameras of a model for Blender as others use it: OpenGL axes, the object turned to stand on +Z."""
    upright = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    cameras = place_cameras(
        repair(read_obj(model.obj)).vertices, RenderConfig(views=views), model.key
    )
    poses = [
        (upright @ camera.obj_from_cam @ np.diag([1, -1, -1, 1])).tolist() for camera in cameras
    ]
    path.write_text(json.dumps({"intrinsics": cameras[0].intrinsics.tolist(), "poses": poses}))


def theirs(command: list[str], models: list, views: int, samples: int, out: Path) -> float:
    """Render one model after the other, each in a process of its own that uses all cores; give the wall time."""
    begin = time.perf_counter()
    for model in models:
        folder = out / model.model_id
        folder.mkdir(parents=True)
        cameras = folder / "cameras.json"
        write_cameras(model, views, cameras)
        words = [*command, str(model.obj), str(folder), str(cameras), str(samples)]
        run = subprocess.run(
            words, check=False, capture_output=True, text=True
        )  # some Blenders crash as they end
        if len(list(folder.glob("*.hdf5"))) != views:
            sys.exit(f"{shlex.join(words)} failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return time.perf_counter() - begin


def cpu_seconds() -> float:
    """Return what all processes that have ended used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def noise(image: np.ndarray, truth: np.ndarray, seen: np.ndarray) -> float:
    """Return the PSNR over the object, dB."""
    error = ((image.astype(float) - truth.astype(float))[seen] ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def our_noise(models: list, samples: int, scratch: Path) -> float:
    """Return the median PSNR of our images, dB."""
    for name, number in (("some", samples), ("many", REFERENCE)):
        ours(models, 6, number, "best", scratch / name)
    found = []
    for path in find_renders(scratch / "some"):
        with (
            open_render(path) as some,
            open_render(scratch / "many" / path.relative_to(scratch / "some")) as many,
        ):
            view = int(np.argmax(some.shaded))
            found.append(noise(some.rgb(view), many.rgb(view), some.depth[view] > 0))
    return float(np.median(found))


def their_noise(command: list[str], models: list, samples: int, scratch: Path) -> float:
    """Return the median PSNR of their images, dB."""
    for name, number in (("some", samples), ("many", REFERENCE)):
        theirs(command, models, 1, number, scratch / name)
    found = []
    for path in sorted((scratch / "some").glob("*/0.hdf5")):
        with (
            h5py.File(path) as some,
            h5py.File(scratch / "many" / path.relative_to(scratch / "some")) as many,
        ):
            depth = some["depth"][...]
            found.append(
                noise(
                    some["colors"][..., :3], many["colors"][..., :3], depth.reshape(224, 224) < 1e9
                )
            )
    return float(np.median(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapenet", type=Path, nargs="?")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument(
        "--our-samples", type=int, help="ours at fewer samples: see where the noise is the same"
    )
    parser.add_argument(
        "--times",
        type=int,
        default=4,
        help="our runs take so many times the models, as starts count",
    )
    parser.add_argument(
        "--blenderproc", default="blenderproc run" if shutil.which("blenderproc") else ""
    )
    words = parser.parse_args()
    fewer = words.our_samples or words.samples
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        root = words.shapenet or scratch / "shapenet"
        if words.shapenet is None:
            write_samples(root, SamplesConfig(per_category=2))
        every = find_models(root)
        models = every[:: max(1, len(every) // words.models)][: words.models]
        many = every[:: max(1, len(every) // (words.models * words.times))][
            : words.models * words.times
        ]
        script = scratch / "script.py"
        script.write_text(BLENDERPROC if words.blenderproc else LOOP)
        command = [*(shlex.split(words.blenderproc) or [sys.executable]), str(script)]
        name = "BlenderProc" if words.blenderproc else "BlenderProc's loop, re-enacted"
        print(
            f"{words.views} views of 224 x 224, {words.samples} samples (ours {fewer}), "
            f"{count_cores()} cores\n"
        )
        print("| | models | models an hour | s a model | CPU s a model | noise, PSNR dB |")
        print("|---|---|---|---|---|---|", flush=True)
        rates = {}
        runs = {
            name: (models, lambda out: theirs(command, models, words.views, words.samples, out)),
            "--colour best": (many, lambda out: ours(many, words.views, fewer, "best", out)),
            "--colour all": (many, lambda out: ours(many, words.views, fewer, "all", out)),
        }
        quality = {name: their_noise(command, models[:4], words.samples, scratch / "their noise")}
        quality["--colour best"] = quality["--colour all"] = our_noise(
            models[:4], fewer, scratch / "noise"
        )
        for place, (run, (taken, render)) in enumerate(runs.items()):
            before = cpu_seconds()
            seconds = render(scratch / f"run{place}") / len(taken)
            cpu = (cpu_seconds() - before) / len(taken)
            rates[run] = 3600 / seconds
            row = f"{run} | {len(taken)} | {rates[run]:,.0f} | {seconds:.2f} | {cpu:.2f} | {quality[run]:.1f}"
            print(f"| {row} |", flush=True)
        for run in ("--colour best", "--colour all"):
            print(f"{run} over {name}: {rates[run] / rates[name]:.1f} times the models an hour")


if __name__ == "__main__":
    main()
