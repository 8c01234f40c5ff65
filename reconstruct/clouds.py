"""Cloud files, one a view: points with pixels and colours."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from ..core.camera import Camera
from ..core.errors import InputError, needs
from ..core.hdf5 import FAULTS, fault_text
from ..core.outputs import Output, cannot_write, claim, reading
from ..core.processes import results_in_order, workers
from ..core.progress import Progress
from ..render.choice import Choice, choose_renders
from ..render.choose import choose_views, count_points
from ..render.render_file import Render, find_renders, open_render
from .backproject import Cloud, back_project
from .config import CloudConfig
from .filters import drop_outliers, one_a_voxel
from .normals import depth_normals
from .ply import cloud_vertices, view_comments, write_ply
from .resume import Summary, begin, record, remove_others

__all__ = ["CLOUDS", "CloudSummary", "reconstruct_renders", "write_clouds"]

CLOUDS = "clouds.json"
"""The record of a folder of clouds: its settings and the summary of the last run."""


@dataclass
class CloudSummary(Summary):
    """The counts and failures of a run.

    Attributes
    ----------
    models, clouds, points : made by this run
    present : models whose clouds were there before
    uncoloured : clouds without colour, as their views had none
    left_out : views without a point: {model, view, reason}
    failures : render files that could not be used: {file, reason}
    """

    models: int = 0
    clouds: int = 0
    points: int = 0
    present: int = 0
    uncoloured: int = 0
    left_out: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


def reconstruct_renders(
    renders: Path,
    out: Path,
    config: CloudConfig,
    choice: Choice | None = None,
    *,
    jobs: int | None = None,
    redo: bool = False,
) -> CloudSummary:
    """Reconstruct full clouds to `out/<synset>/<model_id>/view-00.ply` (or `.npz`).

    The folder of a model is whole or absent, so a second call makes the missing clouds, and those
    whose render was replaced. The files do not depend on `jobs`.

    Parameters
    ----------
    choice : models to take; all if None
    jobs : processes; the number of cores if None
    redo : replace clouds made with other settings instead of refusing

    Raises
    ------
    InputError : no renders, `out` cannot be written or was made with other settings, a package is
        missing
    """
    _check_packages(config)
    paths = choose_renders(find_renders(renders), choice or Choice())
    with reading(renders), claim(out, "clouds", inputs=[renders]) as output:
        try:
            return _reconstruct_all(paths, output, config, jobs=jobs, redo=redo)
        except OSError as error:
            raise InputError(cannot_write(out, error)) from None


def _reconstruct_all(
    paths: list[Path], output: Output, config: CloudConfig, *, jobs: int | None, redo: bool
) -> CloudSummary:
    identity = begin(output, CLOUDS, dataclasses.asdict(config), redo=redo)
    # a model's folder is current if it was made with the same settings from the same render
    keys = {path: f"{identity}-{_identity(path)}" for path in paths}
    missing = {path: key for path, key in keys.items() if not output.is_made(_name(path), key)}
    summary = CloudSummary(present=len(keys) - len(missing))
    tasks = (delayed(_reconstruct)(path, output, config, key) for path, key in missing.items())
    with (
        results_in_order(workers(jobs), tasks) as results,
        Progress(len(missing), "models") as progress,
    ):
        for done in results:
            # the output cannot be written, as on a full disk: the run ends
            if isinstance(done, InputError):
                raise done
            summary.add(done)
            progress.advance(failed=len(done.failures))
    remove_others(output, identity)
    record(output, CLOUDS, dataclasses.asdict(config), dataclasses.asdict(summary))
    return summary


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _identity(path: Path) -> str:
    """Return a text that changes when a render file is replaced.

    It compares size and time for equality only, since clocks may jump.
    """
    try:
        state = path.stat()
    except OSError:  # the worker that opens it lists it as failed
        return "unreadable"
    return f"{state.st_size}-{state.st_mtime_ns}"


def _reconstruct(
    path: Path, output: Output, config: CloudConfig, key: str
) -> CloudSummary | InputError:
    """Make the clouds of one model."""
    try:
        with open_render(path) as render:
            try:
                with output.write_folder(_name(path), key) as partial:
                    return write_clouds(render, partial, config)
            except OSError as error:
                if error.errno is None:  # HDF5's: the render's fault
                    raise
                return InputError(cannot_write(output.path / _name(path), error))
    except (InputError, *FAULTS) as error:
        return CloudSummary(
            failures=[{"file": f"{path.parent.name}/{path.name}", "reason": fault_text(error)}]
        )


def write_clouds(render: Render, folder: Path, config: CloudConfig) -> CloudSummary:
    """Write the clouds of a render's chosen views, one view in memory."""
    shaded, summary = render.shaded, CloudSummary(models=1)
    # (V,) int64; one depth is in memory at a time
    num_points = count_points(render.view_depths())
    for view in choose_views(num_points, config.keep):
        # with keep = best this means that no view of the model has a point
        if not num_points[view]:
            name = f"{render.synset}/{render.model_id}"
            summary.left_out.append(
                {"model": name, "view": view, "reason": f"view {view} has no point"}
            )
            continue
        coloured = bool(shaded[view])
        summary.points += _write_cloud(render, view, folder, config, coloured=coloured)
        summary.clouds += 1
        summary.uncoloured += not coloured
    return summary


def _write_cloud(
    render: Render, view: int, folder: Path, config: CloudConfig, *, coloured: bool
) -> int:
    camera, depth = render.camera(view), render.view_depth(view)
    # points (M, 3) and pixels (M, 2); colours and normals are read at the pixels, (M, 3)
    cloud = _filtered(back_project(depth, camera), config)
    # (M,) each; images are indexed by row first, so [line, column]
    column, line = cloud.pixels[:, 0], cloud.pixels[:, 1]
    colours = render.rgb(view)[line, column] if coloured else None
    normals = depth_normals(depth, camera)[line, column] if config.normals else None
    path = folder / f"view-{view:02}.{config.format}"
    if config.format == "ply":
        comments = view_comments(camera, f"{render.synset}/{render.model_id} view {view}")
        write_ply(path, cloud_vertices(cloud.points, cloud.pixels, colours, normals), comments)
    else:
        _write_npz(path, cloud, colours, normals, camera, render, view)
    return len(cloud)


def _filtered(cloud: Cloud, config: CloudConfig) -> Cloud:
    # outliers go first, so that they move no voxel's mean
    if config.outliers:
        cloud = cloud[drop_outliers(cloud.points, config.neighbours, config.outliers)]
    return cloud[one_a_voxel(cloud.points, config.voxel)] if config.voxel else cloud


def _write_npz(
    path: Path,
    cloud: Cloud,
    colours: NDArray[np.uint8] | None,
    normals: NDArray[np.float32] | None,
    camera: Camera,
    render: Render,
    view: int,
) -> None:
    optional = {"colours": colours, "normals": normals}
    # in memory first: a zip file that meets a full disk reports it again while it is deleted
    content = io.BytesIO()
    np.savez_compressed(
        content,
        points=cloud.points,
        pixels=cloud.pixels,
        **{name: array for name, array in optional.items() if array is not None},
        intrinsics=camera.intrinsics,
        cam_from_obj=camera.cam_from_obj,
        size=np.array([camera.width, camera.height]),
        synset=np.array(render.synset),
        model_id=np.array(render.model_id),
        view=np.array(view),
    )
    path.write_bytes(content.getbuffer())


def _check_packages(config: CloudConfig) -> None:
    if config.voxel or config.outliers:
        try:
            import open3d  # noqa: F401
        except (ImportError, OSError) as error:
            raise needs("open3d", "reconstruct", error) from None
