"""The worker process: Blender behind a pipe.

Started as `python -m shapenet3d_cma.render.blender.worker SETTINGS`.

It reads one job a line (JSON) from standard input and answers one line to each on standard output.
What Blender prints goes to standard error, where the supervisor keeps it as the worker's log. It is
the only process that imports bpy: a crash of Blender ends the worker and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...core.errors import InputError, ModelError
from ...core.files import is_full
from ...core.outputs import Output
from ...core.processes import end_with_parent
from ...core.untrusted import shown
from ..cameras import place_cameras
from ..choose import choose_views, count_points
from ..config import RenderConfig
from ..mesh.bounds import check_faces
from ..mesh.load import read_model
from ..mesh.mtl import GREY, LOST_TEXTURE
from ..mesh.repair import repair
from ..render_file import is_render, write_render
from ..shapenet.listing import Model, fetch

__all__ = ["few_cores", "main"]

ROOM = 2**20  # bytes: with less left on a disk, what failed failed for that


def render_model(
    job: dict[str, Any], config: RenderConfig, scene: Any, scratch: Path
) -> dict[str, Any]:
    """Render one model to its file.

    Parameters
    ----------
    job : the model (`Model.job`), config, config_hash, out (the file to write) and, where that lies
        in a claimed folder, output (`Output.as_json`)
    scratch : a folder of this model's own; what is written there is needed until this returns

    Returns
    -------
    seconds : by phase: load, geometry, colour, write; and blender, what Blender's own rendering
        took of it

    Raises
    ------
    ModelError : nothing to render
    """
    from .passes import render_colour, render_geometry

    clock = [time.perf_counter()]
    blender_before = scene.seconds
    model = Model.from_job(job)
    folder, refused = fetch(model, scratch)
    reading = {name: getattr(config, name) for name in ("forgive_paths", "opaque_zero", "metal")}
    mesh, materials, notes = read_model(folder, model.file, scratch, **reading)
    repairs = {
        name: getattr(config, name)
        for name in ("weld", "merge_doubled", "drop_duplicates", "drop_degenerate")
    }
    surface = repair(mesh, **repairs)
    check_faces(len(surface.front))
    if not len(surface.front):
        kind = Path(model.file).suffix[1:].upper()
        raise ModelError(
            f"its {kind} has no usable face" if len(mesh.vertices) else f"its {kind} is empty"
        )
    notes += refused + scene.show(
        surface, [materials.get(name, GREY) for name in mesh.material_names]
    )
    lost = [note for note in notes if note.startswith(LOST_TEXTURE)]
    if lost and config.missing_texture == "fail":
        raise ModelError(lost[0])
    cameras = place_cameras(surface.vertices, config, model.key)
    clock.append(time.perf_counter())
    geometry = render_geometry(scene, cameras)
    points = count_points(geometry["depth"])
    if not any(points):
        raise ModelError("no view shows anything of it")
    clock.append(time.perf_counter())
    shaded = choose_views(points, config.colour)
    colour = {view: render_colour(scene, cameras[view]) for view in shaded}
    clock.append(time.perf_counter())
    attributes = {name: job[name] for name in ("synset", "model_id", "config", "config_hash")}
    attributes |= {
        "repairs": surface.repairs,
        "notes": [shown(note, 1000) for note in sorted(notes)],
        "materials": list(mesh.material_names),
    }
    _write(job, cameras, geometry, colour, attributes)
    clock.append(time.perf_counter())
    phases = ("load", "geometry", "colour", "write")
    seconds = {
        name: after - before for name, before, after in zip(phases, clock, clock[1:], strict=False)
    }
    return seconds | {"blender": scene.seconds - blender_before}


def _write(job: dict[str, Any], *content: Any) -> None:
    """Write the file, to the run's claimed folder where there is one."""
    if "output" not in job:
        return write_render(Path(job["out"]), *content)
    output = Output.joined(job["output"], is_render)
    name = f"{job['synset']}/{job['model_id']}.h5"
    return write_render(
        Path(job["out"]), *content, write=lambda _, image: output.write_bytes(name, image)
    )


def main() -> None:
    """Answer jobs until standard input ends."""
    settings = json.loads(sys.argv[1])
    end_with_parent(settings.pop("parent"), by_kernel=True)
    # replies keep the real standard output; whatever Blender prints, also from C, joins the log
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    threads, scratch = settings.pop("threads"), Path(settings.pop("scratch"))
    device = settings.pop("device", "cpu")
    config = RenderConfig(**settings | {"elevation": tuple(settings["elevation"])})
    with few_cores(threads):
        from .scene import Scene

        scene = Scene(config, threads, device)
    print(json.dumps({"status": "ready", "device": scene.renders_on}), file=replies)
    for line in sys.stdin:
        job = json.loads(line)
        print(f"--- {job['synset']}/{job['model_id']}", file=sys.stderr, flush=True)
        try:
            # a name of its own for each: Cycles keeps images between renders by their path
            with tempfile.TemporaryDirectory(dir=scratch) as own:
                reply = {"status": "done", "seconds": render_model(job, config, scene, Path(own))}
        except (ModelError, InputError) as error:
            reply = {"status": "failed", "kind": "model", "reason": shown(str(error), 1000)}
        except Exception as error:
            traceback.print_exc()
            full = _full_disk(error, _standing(Path(job["out"])), scratch)
            kind, reason = ("disk", full) if full else ("error", _unexpected(error))
            reply = {"status": "failed", "kind": kind, "reason": reason}
        print(json.dumps(reply), file=replies)


def _unexpected(error: Exception) -> str:
    """Describe an unforeseen error; the library's own words are in the log."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return f"an unexpected {type(error).__name__} in reading or rendering it, a fault of the program: see its log"


@contextmanager
def few_cores(number: int) -> Iterator[None]:
    """Have what starts meanwhile believe that the machine has so many cores.

    Blender's thread pool counts the cores once. Told to use fewer, Cycles still does, but for each
    thread that works another spins, waiting for it: two such workers on two cores take twice the
    time.
    """
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[:number]))
    try:
        yield
    finally:
        # the threads that were started meanwhile get all cores, too
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), allowed)


def _standing(path: Path) -> Path:
    """Return the innermost folder of a path that exists."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _full_disk(error: Exception, *folders: Path) -> str:
    """Name the full disk behind an error, or return "".

    Blender does not say so when its scratch files are cut short, so the room that is left is looked
    at, too.
    """
    for folder in folders:
        if shutil.disk_usage(folder).free < ROOM:
            return f"the disk of {folder} is full"
    return f"the disk of {folders[0]} is full" if is_full(error) else ""


if __name__ == "__main__":
    main()
