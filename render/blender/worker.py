"""The worker process: Blender behind a pipe. `python -m shapenet3d_cma.render.blender.worker SETTINGS`.

It reads one job a line (JSON) from standard input and answers one line to each on standard output. What Blender
prints goes to standard error, where the supervisor keeps it as the worker's log. It is the only process that imports
bpy: a crash of Blender ends the worker and nothing else.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ...files import is_full
from ...reconstruct.choose import choose_views, count_points
from ..config import RenderConfig
from ..file import write_render
from ..mtl import GREY, read_materials
from ..obj import read_obj
from ..repair import repair
from ..views import place_cameras

__all__ = ["main"]

ROOM = 2**20  # bytes: with less left on a disk, what failed failed for that


class ModelError(Exception):
    """The model cannot be rendered; the message says why."""


def render_model(job: dict[str, Any], config: RenderConfig, scene: Any, scratch: Path) -> dict[str, Any]:
    """Render one model to its file.

    Parameters
    ----------
    job : folder (the model's), synset, model_id, config_hash and out (the file to write)

    Returns
    -------
    seconds : by phase: load, geometry, colour, write

    Raises
    ------
    ModelError : nothing to render
    """
    import numpy as np

    from .passes import render_colour, render_depth

    clock = [time.perf_counter()]
    folder = Path(job["folder"])
    obj = folder / "models" / "model_normalized.obj"
    if not obj.is_file():
        raise ModelError("it has no models/model_normalized.obj")
    if not obj.resolve().is_relative_to(folder.resolve()):
        raise ModelError("its OBJ is a link that leads outside the model's folder")
    mesh = read_obj(obj)
    surface = repair(mesh)
    if not len(surface.front):
        raise ModelError("its OBJ has no usable face" if len(mesh.vertices) else "its OBJ is empty")
    materials, notes = read_materials(folder, mesh.libraries)
    undefined = [name for name in mesh.material_names if name and name not in materials]
    notes += [f"material {name!r} is not defined" for name in undefined]
    notes += scene.show(surface, [materials.get(name, GREY) for name in mesh.material_names])
    cameras = place_cameras(surface.vertices, config, f"{job['synset']}/{job['model_id']}")
    clock.append(time.perf_counter())
    depth = np.stack([render_depth(scene, camera, scratch) for camera in cameras])
    clock.append(time.perf_counter())
    shaded = choose_views(count_points(depth), config.colour)
    rgb = {view: render_colour(scene, cameras[view], scratch) for view in shaded}
    clock.append(time.perf_counter())
    attributes = {name: job[name] for name in ("synset", "model_id", "config", "config_hash")}
    write_render(
        Path(job["out"]), cameras, depth, rgb, attributes | {"repairs": surface.repairs, "notes": sorted(notes)}
    )
    clock.append(time.perf_counter())
    phases = ("load", "geometry", "colour", "write")
    return {name: after - before for name, before, after in zip(phases, clock, clock[1:], strict=False)}


def main() -> None:
    """Answer jobs until standard input ends."""
    settings = json.loads(sys.argv[1])
    _die_with_parent(settings.pop("parent"))
    # replies keep the real standard output; whatever Blender prints, also from C, joins the log
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    threads, scratch = settings.pop("threads"), Path(settings.pop("scratch"))
    config = RenderConfig(**settings | {"elevation": tuple(settings["elevation"])})
    from .scene import Scene

    scene = Scene(config, threads)
    print(json.dumps({"status": "ready"}), file=replies)
    for line in sys.stdin:
        job = json.loads(line)
        print(f"--- {job['synset']}/{job['model_id']}", file=sys.stderr, flush=True)
        try:
            reply = {"status": "done", "seconds": render_model(job, config, scene, scratch)}
        except ModelError as error:
            reply = {"status": "failed", "kind": "model", "reason": str(error)}
        except Exception as error:
            traceback.print_exc()
            full = _full_disk(error, Path(job["out"]).parent, scratch)
            kind, reason = ("disk", full) if full else ("error", f"{type(error).__name__}: {error}")
            reply = {"status": "failed", "kind": kind, "reason": reason}
        print(json.dumps(reply), file=replies)


def _full_disk(error: Exception, *folders: Path) -> str:
    """Name the full disk behind an error; "" where there is none.

    Blender does not say so when its scratch files are cut short, so the room that is left is looked at, too.
    """
    for folder in folders:
        if shutil.disk_usage(folder).free < ROOM:
            return f"the disk of {folder} is full"
    return f"the disk of {folders[0]} is full" if is_full(error) else ""


def _die_with_parent(parent: int) -> None:
    """Have Linux kill this process when its parent dies, so that a killed run leaves no Blender behind."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before Linux was told
            sys.exit(1)


if __name__ == "__main__":
    main()
