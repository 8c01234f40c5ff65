"""The formats of exports: BOP, NeRF trainers, PLY viewers and plain images."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...core.schema import Row, row_camera
from ...reconstruct.backproject import back_project
from ...reconstruct.ply import cloud_vertices, view_comments, write_ply
from ..reader import Shards

__all__ = ["bop_set", "write_bop_scene", "write_nerf_model", "write_ply_model", "write_png_model"]

_MM = 1000.0  # an object unit is taken for a metre where a format wants millimetres
_FULL = 65535
_GL_FROM_CV = np.diag([1.0, -1.0, -1.0, 1.0])


def write_png_model(folder: Path, rows: Sequence[Row], *, number: int, full: bool) -> None:
    """Write plain PNG: view-00-rgb.png, view-00-depth.png, view-00-mask.png and cameras.json.

    Depth is planar z in 16 bits: object units = value x depth_scale, which cameras.json states
    for each view, so that the farthest point is 65535; 0 is nothing. Masks are 255 where there is
    depth. cameras.json also has intrinsics and cam_from_obj: OpenCV axes, x_cam = R x_obj + t, the
    centre of pixel (u, v) at (u + 0.5, v + 0.5).

    Parameters
    ----------
    rows : of one model
    """
    cameras = {}
    for row in rows:
        name = f"view-{int(row['view']):02}"
        values, scale = _depth16(row["depth"])
        _save(folder / f"{name}-rgb.png", row["rgb"])
        _save(folder / f"{name}-depth.png", values)
        _save(folder / f"{name}-mask.png", _mask(row["depth"]))
        cameras[name] = {
            "intrinsics": row["intrinsics"].tolist(),
            "cam_from_obj": row["cam_from_obj"].tolist(),
            "depth_scale": scale,
            "width": row["depth"].shape[1],
            "height": row["depth"].shape[0],
        }
    _json(folder / "cameras.json", cameras)


def write_ply_model(folder: Path, rows: Sequence[Row], *, number: int, full: bool) -> None:
    """Write PLY: view-00.ply and so on, points with colours and pixels.

    Each point has x y z, red green blue, and u v, its pixel. Points are in the frame of the .obj
    file. A row's sample is in farthest point order, so that the first n points are the farthest
    point sample of size n; a full cloud is in the order of its pixels. Comments of the header hold
    the size of the image, intrinsics and cam_from_obj.

    Parameters
    ----------
    rows : of one model
    full : all points of the view, from its depth, in place of the sample
    """
    for row in rows:
        camera = row_camera(row)
        points, pixels = row["points"], row["pixels"]
        if full:
            cloud = back_project(row["depth"], camera)
            points, pixels = cloud.points, cloud.pixels
        # images are [row, column], pixels are (column, row): (P, 3)
        colours = row["rgb"][pixels[:, 1], pixels[:, 0]]
        comments = view_comments(
            camera, f"{row['synset']}/{row['model_id']} view {int(row['view'])}"
        )
        path = folder / f"view-{int(row['view']):02}.ply"
        write_ply(path, cloud_vertices(points, pixels, colours), comments)


def write_nerf_model(folder: Path, rows: Sequence[Row], *, number: int, full: bool) -> None:
    """Write transforms.json with images/, masks/, depth/ and points.ply.

    A view is images/view-00.png, masks/view-00.png and depth/view-00.npy. transforms.json is as
    nerfstudio and instant-ngp read it: transform_matrix is obj_from_cam with OpenGL axes (x right,
    y up, z backward), the centre of pixel (u, v) at (u + 0.5, v + 0.5). The world is the frame of
    the .obj file. depth_file_path names float32 arrays, planar z in thousandths of the object unit,
    which nerfstudio's default depth_unit_scale_factor brings back. Masks are 255 where the object
    is. points.ply, named by ply_file_path, holds the points of all views, for methods that begin
    with points.

    Parameters
    ----------
    rows : of one model
    """
    for name in ("images", "masks", "depth"):
        (folder / name).mkdir()
    frames = [_nerf_frame(folder, row) for row in rows]
    lenses = [_lens(row) for row in rows]
    common = lenses[0]
    # nerfstudio applies top-level intrinsics to all frames: different ones go to each frame
    if any(lens != common for lens in lenses):
        common = {}
        for frame, lens in zip(frames, lenses, strict=True):
            frame.update(lens)
    pixels = [row["pixels"].astype(np.int64) for row in rows]
    colours = [
        row["rgb"][pixel[:, 1], pixel[:, 0]] for row, pixel in zip(rows, pixels, strict=True)
    ]
    vertices = cloud_vertices(
        np.concatenate([row["points"] for row in rows]),
        np.concatenate([row["pixels"] for row in rows]),
        np.concatenate(colours),
    )
    write_ply(
        folder / "points.ply",
        vertices,
        ["the points of all views; u v is the pixel in the point's own view"],
    )
    _json(
        folder / "transforms.json",
        {"camera_model": "OPENCV", **common, "ply_file_path": "points.ply", "frames": frames},
    )


def _nerf_frame(folder: Path, row: Row) -> dict[str, Any]:
    name = f"view-{int(row['view']):02}"
    _save(folder / "images" / f"{name}.png", row["rgb"])
    _save(folder / "masks" / f"{name}.png", _mask(row["depth"]))
    # multiplied in float64, so that the result is rounded to float32 only once
    np.save(
        folder / "depth" / f"{name}.npy", (row["depth"].astype(np.float64) * _MM).astype(np.float32)
    )
    return {
        "file_path": f"images/{name}.png",
        "mask_path": f"masks/{name}.png",
        "depth_file_path": f"depth/{name}.npy",
        # columns y and z of the pose change sign: OpenCV axes become OpenGL axes
        "transform_matrix": (row_camera(row).obj_from_cam @ _GL_FROM_CV).tolist(),
    }


def _lens(row: Row) -> dict[str, float]:
    """Return the intrinsics as transforms.json names them."""
    k, (height, width) = row["intrinsics"], row["depth"].shape
    return {
        "fl_x": float(k[0, 0]),
        "fl_y": float(k[1, 1]),
        "cx": float(k[0, 2]),
        "cy": float(k[1, 2]),
        "w": width,
        "h": height,
        # full angles of view, for a principal point in the middle
        "camera_angle_x": 2 * math.atan(width / 2 / float(k[0, 0])),
        "camera_angle_y": 2 * math.atan(height / 2 / float(k[1, 1])),
    }


def write_bop_scene(folder: Path, rows: Sequence[Row], *, number: int, full: bool) -> None:
    """Write a BOP dataset, one scene per model.

    The first model is train/000000/, and so on; scenes.csv lists the model of each scene. A scene
    holds rgb/, depth/, mask/, mask_visib/ (image ids are the views), scene_camera.json,
    scene_gt.json and scene_gt_info.json. Units are millimetres: an object unit is taken for a
    metre. The model frame is that of the .obj file. BOP's tools have the centre of pixel (u, v) at
    (u, v), so cx and cy of cam_K are smaller by 0.5 than in the shards. Depth is planar z;
    millimetres = value x depth_scale, which is chosen for each image so that the farthest point is
    65535. obj_id is the scene's number plus 1. There is no models/ folder: the CAD models are
    ShapeNet's.

    Parameters
    ----------
    rows : of one model
    number : of the scene
    """
    for name in ("rgb", "depth", "mask", "mask_visib"):
        (folder / name).mkdir()
    camera, truth, information = {}, {}, {}
    for row in rows:
        image = int(row["view"])
        values, scale = _depth16(row["depth"])
        mask = _mask(row["depth"])
        _save(folder / "rgb" / f"{image:06}.png", row["rgb"])
        _save(folder / "depth" / f"{image:06}.png", values)
        # there is one object and nothing in front of it, so both masks are equal
        for name in ("mask", "mask_visib"):
            _save(folder / name / f"{image:06}_000000.png", mask)
        k = row["intrinsics"].copy()
        k[:2, 2] -= 0.5
        pose = row["cam_from_obj"]
        camera[str(image)] = {"cam_K": k.ravel().tolist(), "depth_scale": scale * _MM}
        pose_entry = {
            "cam_R_m2c": pose[:3, :3].ravel().tolist(),
            "cam_t_m2c": (pose[:3, 3] * _MM).tolist(),
        }
        truth[str(image)] = [{**pose_entry, "obj_id": number + 1}]
        information[str(image)] = [_bop_info(mask)]
    _json(folder / "scene_camera.json", camera)
    _json(folder / "scene_gt.json", truth)
    _json(folder / "scene_gt_info.json", information)


def _bop_info(mask: NDArray[np.uint8]) -> dict[str, Any]:
    lines, columns = np.nonzero(mask)
    box = [-1, -1, -1, -1]
    # width and height from the first pixel to the last, one less than the number of pixels, as
    # BOP's own tools have it
    if len(lines):
        box = [int(columns.min()), int(lines.min()), int(np.ptp(columns)), int(np.ptp(lines))]
    count = len(lines)
    return {
        "bbox_obj": box,
        "bbox_visib": box,
        "px_count_all": count,
        "px_count_valid": count,
        "px_count_visib": count,
        "visib_fract": 1.0 if count else 0.0,
    }


def bop_set(shards: Shards, models: Sequence[tuple[int, str, str]]) -> dict[str, str]:
    """Return the files of a whole BOP dataset, camera.json and scenes.csv.

    Parameters
    ----------
    models : number of the scene, synset, model id
    """
    row = shards[0]
    k, (height, width) = row["intrinsics"], row["depth"].shape
    lens = {"fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2] - 0.5, "cy": k[1, 2] - 0.5}
    scale = _depth16(row["depth"])[1] * _MM  # of the first image: each image states its own
    sizes = {"depth_scale": scale, "width": width, "height": height}
    camera = {**{name: float(value) for name, value in lens.items()}, **sizes}
    scenes = io.StringIO(newline="")
    writer = csv.writer(scenes)
    writer.writerow(["scene_id", "obj_id", "synset", "model_id"])
    writer.writerows([number, number + 1, synset, model_id] for number, synset, model_id in models)
    return {"camera.json": json.dumps(camera, indent=1) + "\n", "scenes.csv": scenes.getvalue()}


def _depth16(depth: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float]:
    """Return depth in 16 bits and its scale; only background becomes 0."""
    # without depth any scale will do
    scale = float(depth.max()) / _FULL or 1.0
    values = np.rint(depth.astype(np.float64) / scale)
    # rounding could bring a small depth to 0, which means background: 1 is the least
    return np.where(depth > 0, np.clip(values, 1, _FULL), 0).astype(np.uint16), scale


def _mask(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.where(depth > 0, 255, 0).astype(np.uint8)


def _save(path: Path, pixels: NDArray[Any]) -> None:
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
