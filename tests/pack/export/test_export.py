"""Each export, read back by what its users read it with, gives the same cloud within the format's precision."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.schema import Row
from shapenet3d_cma.pack.config import ExportFormat, PackConfig
from shapenet3d_cma.pack.export.formats import write_nerf_model
from shapenet3d_cma.pack.export.shard_export import export_shards
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.reconstruct.backproject import Cloud, back_project
from shapenet3d_cma.tests.same import leftovers

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def views(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several views a model."""
    out = tmp_path_factory.mktemp("views") / "shards"
    pack_renders(renders, out, PackConfig(points=300, keep="all", shard_rows=12), jobs=1)
    return out


def whole(row: Row) -> Cloud:
    height, width = row["depth"].shape
    return back_project(row["depth"], Camera(row["intrinsics"], row["cam_from_obj"], width, height))


def rows_of(shards: Path, step: int = 3) -> Iterator[Row]:
    reader = Shards(shards)
    return (reader[row] for row in range(0, len(reader), step))


def reach(points: NDArray[Any], row: Row) -> NDArray[np.float64]:
    """How far a point moves, per unit of depth."""
    eye = -row["cam_from_obj"][:3, :3].T @ row["cam_from_obj"][:3, 3]
    way = points - eye
    return np.linalg.norm(way, axis=1) / (way @ row["cam_from_obj"][2, :3])


@pytest.mark.needs("open3d")
def test_bop_read_by_open3d(views: Path, tmp_path: Path) -> None:
    import open3d as o3d

    done = export_shards(views, tmp_path, "bop", jobs=2)
    assert (done.models, done.rows, done.failures) == (8, len(Shards(views)), [])
    with (tmp_path / "scenes.csv").open(newline="") as file:
        scenes = {(line["synset"], line["model_id"]): line for line in csv.DictReader(file)}
    assert len(scenes) == 8
    for row in rows_of(views):
        line = scenes[str(row["synset"]), str(row["model_id"])]
        scene, image = tmp_path / "train" / f"{int(line['scene_id']):06}", int(row["view"])
        camera = json.loads((scene / "scene_camera.json").read_text())[str(image)]
        (truth,) = json.loads((scene / "scene_gt.json").read_text())[str(image)]
        assert truth["obj_id"] == int(line["obj_id"]) == int(line["scene_id"]) + 1
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = np.reshape(truth["cam_R_m2c"], (3, 3)), truth["cam_t_m2c"]
        k, (height, width) = np.reshape(camera["cam_K"], (3, 3)), row["depth"].shape
        read = o3d.geometry.PointCloud.create_from_depth_image(
            o3d.io.read_image(str(scene / "depth" / f"{image:06}.png")),
            o3d.camera.PinholeCameraIntrinsic(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2]),
            pose,
            depth_scale=1 / camera["depth_scale"],
            depth_trunc=1e9,
        )
        cloud = whole(row)
        off = np.linalg.norm(np.asarray(read.points) / 1000 - cloud.points, axis=1)
        assert (off <= camera["depth_scale"] / 1000 / 2 * reach(cloud.points, row) + 1e-6).all()
        assert camera["depth_scale"] < 0.06, "of a millimetre, where the object is a metre large"
        assert np.array_equal(np.asarray(Image.open(scene / "rgb" / f"{image:06}.png")), row["rgb"])
        for name in ("mask", "mask_visib"):
            mask = np.asarray(Image.open(scene / name / f"{image:06}_000000.png"))
            assert np.array_equal(mask, np.where(row["depth"] > 0, 255, 0))
        (found,) = json.loads((scene / "scene_gt_info.json").read_text())[str(image)]
        assert found["px_count_all"] == row["num_points"]
        left, top, wide, high = found["bbox_obj"]
        right, bottom = (
            left + wide,
            top + high,
        )  # the last pixel, as bop_toolkit's calc_2d_bbox has it
        assert (row["depth"][top : bottom + 1, left : right + 1] > 0).sum() == row["num_points"]
        for edge in (
            row["depth"][top],
            row["depth"][bottom],
            row["depth"][:, left],
            row["depth"][:, right],
        ):
            assert edge.any(), "the box is tight"
    assert json.loads((tmp_path / "camera.json").read_text())["cx"] == 39.5


def test_nerf_read_as_its_trainers_do(views: Path, tmp_path: Path) -> None:
    """Rays as nerfstudio and instant-ngp make them: OpenGL axes, pixel centres at + 0.5."""
    export_shards(views, tmp_path, "nerf", jobs=1)
    for row in rows_of(views):
        folder = tmp_path / str(row["synset"]) / str(row["model_id"])
        told = json.loads((folder / "transforms.json").read_text())
        (frame,) = [
            one
            for one in told["frames"]
            if one["file_path"] == f"images/view-{int(row['view']):02}.png"
        ]
        image, mask = (Image.open(folder / frame[name]) for name in ("file_path", "mask_path"))
        assert np.array_equal(np.asarray(image), row["rgb"])
        lines, columns = np.nonzero(np.asarray(mask))
        depth = np.load(folder / frame["depth_file_path"]) * 1e-3  # nerfstudio's default scale
        z = depth[lines, columns]
        x, y = (
            (columns + 0.5 - told["cx"]) / told["fl_x"],
            (lines + 0.5 - told["cy"]) / told["fl_y"],
        )
        obj_from_cam = np.array(frame["transform_matrix"])
        points = (
            np.stack([x * z, -y * z, -z], axis=1) @ obj_from_cam[:3, :3].T + obj_from_cam[:3, 3]
        )
        assert np.abs(points - whole(row).points).max() < 1e-6
        assert (told["w"], told["h"]) == image.size
        assert np.isclose(np.tan(told["camera_angle_x"] / 2) * told["fl_x"], told["w"] / 2)


def test_cameras_of_several_lenses_are_told_by_frame_alone(views: Path, tmp_path: Path) -> None:
    """nerfstudio asks a frame for its lens only where none stands on top."""
    row = Shards(views)[0]
    other = row | {"intrinsics": row["intrinsics"] * [[2], [2], [1]], "view": row["view"] + 1}
    write_nerf_model(tmp_path, [row, other], number=0, full=False)
    told = json.loads((tmp_path / "transforms.json").read_text())
    assert not {"fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y"} & set(
        told
    )
    for one, frame in zip((row, other), told["frames"], strict=True):
        assert (frame["fl_x"], frame["cy"]) == (one["intrinsics"][0, 0], one["intrinsics"][1, 2])
        assert (frame["h"], frame["w"]) == one["depth"].shape


@pytest.mark.needs("open3d")
def test_the_points_of_a_nerf_are_those_of_all_its_views(views: Path, tmp_path: Path) -> None:
    import open3d as o3d

    export_shards(views, tmp_path, "nerf", jobs=1)
    reader = Shards(views, ["points", "model_id", "synset"])
    names = [str(row["model_id"]) for row in reader]
    folder = tmp_path / str(reader[0]["synset"]) / names[0]
    read = o3d.io.read_point_cloud(str(folder / "points.ply"))
    assert np.array_equal(
        np.asarray(read.points),
        np.concatenate(
            [reader[row]["points"] for row in range(len(names)) if names[row] == names[0]]
        ),
    )
    assert read.has_colors()


@pytest.mark.needs("open3d", "trimesh")
@pytest.mark.parametrize("full", [False, True])
def test_ply_read_by_open3d_and_trimesh(views: Path, tmp_path: Path, full: bool) -> None:
    import open3d as o3d
    import trimesh

    export_shards(views, tmp_path, "ply", full=full, jobs=1)
    for row in rows_of(views):
        path = (
            tmp_path / str(row["synset"]) / str(row["model_id"]) / f"view-{int(row['view']):02}.ply"
        )
        cloud = whole(row) if full else Cloud(row["points"], row["pixels"])
        read = {
            name: values.numpy()
            for name, values in o3d.t.io.read_point_cloud(str(path)).point.items()
        }
        assert np.array_equal(read["positions"], cloud.points)
        assert np.array_equal(np.concatenate([read["u"], read["v"]], axis=1), cloud.pixels)
        u, v = cloud.pixels.T
        assert np.array_equal(read["colors"], row["rgb"][v, u])
        other = trimesh.load(path)
        assert np.array_equal(other.vertices, cloud.points)
        assert np.array_equal(other.colors[:, :3], row["rgb"][v, u])


def test_png_read_by_pillow(views: Path, tmp_path: Path) -> None:
    export_shards(views, tmp_path, "png", jobs=1)
    for row in rows_of(views):
        folder, name = (
            tmp_path / str(row["synset"]) / str(row["model_id"]),
            f"view-{int(row['view']):02}",
        )
        told = json.loads((folder / "cameras.json").read_text())[name]
        rgb, values, mask = (
            np.asarray(Image.open(folder / f"{name}-{kind}.png"))
            for kind in ("rgb", "depth", "mask")
        )
        assert values.dtype == np.uint16
        assert np.array_equal(rgb, row["rgb"])
        assert np.array_equal(mask > 0, row["depth"] > 0)
        depth = (values * told["depth_scale"]).astype(np.float32)
        assert np.array_equal(depth > 0, row["depth"] > 0)
        camera = Camera(told["intrinsics"], told["cam_from_obj"], told["width"], told["height"])
        read, cloud = back_project(depth, camera), whole(row)
        assert np.array_equal(read.pixels, cloud.pixels)
        off = np.linalg.norm(read.points - cloud.points, axis=1)
        assert (off <= told["depth_scale"] / 2 * reach(cloud.points, row) + 1e-6).all()


def test_a_second_call_writes_only_what_is_missing(views: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_shards(views, out, "png", jobs=1)
    whole_models = sorted(out.glob("0*/*"))
    before = {path: path.stat().st_mtime_ns for path in out.glob("0*/*/*")}
    shutil.rmtree(whole_models[0])
    done = export_shards(views, out, "png", jobs=1)
    assert (done.models, done.present) == (1, 7)
    assert not leftovers(out)
    after = {path: path.stat().st_mtime_ns for path in out.glob("0*/*/*")}
    assert after.keys() == before.keys()
    assert {path.parent for path in after if after[path] != before[path]} == {whole_models[0]}


def test_two_exports_do_not_mix(views: Path, shards: Path, tmp_path: Path) -> None:
    export_shards(shards, tmp_path, "png", jobs=1)
    for folder, name, says in (
        (shards, "ply", "format = png, not ply"),
        (views, "png", r"shards = \w+, not \w+"),
    ):
        with pytest.raises(
            InputError, match=f"was made with {says}: give the same settings, choose another folder"
        ):
            export_shards(folder, tmp_path, name, jobs=1)
    assert export_shards(views, tmp_path, "png", jobs=1, redo=True).models == 8
    assert export_shards(views, tmp_path, "png", jobs=1).present == 8


def test_what_cannot_be_read_is_listed_and_the_rest_is_written(
    cma3d: Run, shards: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    data = bytearray((copy / "shard-00001.h5").read_bytes())
    with h5py.File(copy / "shard-00001.h5") as file:
        chunk = file["rgb"].id.get_chunk_info(1)
    data[chunk.byte_offset + chunk.size // 2] ^= 255
    (copy / "shard-00001.h5").write_bytes(data)
    done = cma3d("export", copy, tmp_path / "out", "--format", "png", "--jobs", 1)
    assert done.returncode == 1
    assert "7 views of 7 models" in done.stdout
    row = Shards(shards, ["synset", "model_id"])[4]
    assert f"{row['synset']}/{row['model_id']} failed: " in done.stdout
    assert "the file is damaged" in done.stdout


def test_names_do_not_lead_out_of_the_folder(shards: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["model_id"][1] = "../../out"
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        InputError, match=r"row 1 has the name '../../out', which is no name of a folder"
    ):
        export_shards(copy, tmp_path / "a", "png", jobs=1)


def test_full_is_for_ply_alone(cma3d: Run, shards: Path, tmp_path: Path) -> None:
    done = cma3d("export", shards, tmp_path / "a", "--format", "bop", "--full")
    assert done.returncode == 2
    assert "--full is for --format ply" in done.stderr


@pytest.mark.parametrize("name", ["png", "bop"])
def test_what_is_all_there_needs_no_room(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: ExportFormat
) -> None:
    out = tmp_path / "out"
    first = export_shards(shards, out, name, jobs=1)

    monkeypatch.setattr(
        Path, "open", _full_disk(Path.open)
    )  # which Path.write_text and Path.write_bytes call, too
    again = export_shards(shards, out, name, jobs=1)
    assert (again.models, again.present) == (0, first.models)
    (out / "README.txt").unlink()
    with pytest.raises(
        InputError, match="cannot be written: No space left on device; free some space"
    ):
        export_shards(shards, out, name, jobs=1)


def _full_disk(open_file: Callable[..., Any]) -> Callable[..., Any]:
    def act(path: Path, mode: str = "r", *words: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return open_file(path, mode, *words, **named)

    return act
