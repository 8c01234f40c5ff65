"""Noise per second: PSNR against 4,096 samples, and the cost of a view.

Measured for kinds of light, numbers of samples and the denoiser.

    python benchmarks/noise.py [SHAPENET] [--models 20] [--size 112]

Without SHAPENET it makes procedural samples. Prints a Markdown table; docs/rendering.md holds one.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from shapenet3d_cma.render.blender.worker import few_cores
from shapenet3d_cma.render.cameras import place_cameras
from shapenet3d_cma.render.choose import choose_views, count_points
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.mesh.mtl import GREY, read_materials
from shapenet3d_cma.render.mesh.obj import read_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

REFERENCE = 4096
SETTINGS = [(samples, denoise) for denoise in (False, True) for samples in (4, 8, 16, 32, 64)]


def measure(
    light: str, root: Path, models: int, size: int, scratch: Path
) -> dict[tuple[int, bool], list]:
    """Give, for each setting, (PSNR over the foreground in dB, seconds) of every model."""
    config = RenderConfig(views=6, size=size, light=light)
    with few_cores(1):
        from shapenet3d_cma.render.blender.passes import render_colour, render_geometry
        from shapenet3d_cma.render.blender.scene import Scene

        scene = Scene(config, threads=1)
    found: dict[tuple[int, bool], list] = {setting: [] for setting in SETTINGS}
    every = find_models(root)
    for model in every[:: max(1, len(every) // models)][:models]:
        mesh = read_obj(model.obj)
        surface = repair(mesh)
        materials, _ = read_materials(model.folder, mesh.libraries)
        scene.show(surface, [materials.get(name, GREY) for name in mesh.material_names])
        cameras = place_cameras(surface.vertices, config, model.key)
        depth = np.stack([render_geometry(scene, camera, scratch)["depth"] for camera in cameras])
        (best,) = choose_views(count_points(depth), "best")
        seen = depth[best] > 0

        def shade(samples: int, denoise: bool, camera=cameras[best]) -> np.ndarray:
            scene.config = dataclasses.replace(config, samples=samples, denoise=denoise)
            return render_colour(scene, camera, scratch)["rgb"].astype(float)

        truth = shade(REFERENCE, False)
        for setting in SETTINGS:
            begin = time.process_time()  # of one thread, so that a busy machine counts little
            image = shade(*setting)
            seconds = time.process_time() - begin
            error = ((image - truth)[seen] ** 2).mean()
            found[setting].append((10 * np.log10(255**2 / max(error, 1e-9)), seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapenet", type=Path, nargs="?")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--lights", nargs="*", default=["studio", "interior"])
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = words.shapenet
        if root is None:
            root = Path(scratch) / "shapenet"
            write_samples(root, SamplesConfig(per_category=2))
        print(
            f"{words.models} models, {words.size} x {words.size}, one thread; median PSNR against "
            f"{REFERENCE} samples"
        )
        print("\n| light | samples | denoised | PSNR, dB | CPU s a view |\n|---|---|---|---|---|")
        for light in words.lights:
            for (samples, denoise), values in measure(
                light, root, words.models, words.size, Path(scratch)
            ).items():
                psnr, seconds = np.median(values, axis=0)
                print(
                    f"| {light} | {samples} | {'yes' if denoise else 'no'} | {psnr:.1f} | "
                    f"{seconds:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
