"""Full clouds as files: what the renders say, in the formats' own readers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.reconstruct.clouds import reconstruct_renders
from shapenet3d_cma.reconstruct.config import CloudConfig
from shapenet3d_cma.reconstruct.normals import depth_normals
from shapenet3d_cma.render.choice import Choice
from shapenet3d_cma.render.render_file import find_renders, open_render
from shapenet3d_cma.tests.same import leftovers

Run = Callable[..., subprocess.CompletedProcess[str]]


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*")}


@pytest.mark.needs("open3d", "trimesh")
def test_a_ply_holds_the_cloud_with_colours_normals_and_pixels(
    renders: Path, tmp_path: Path
) -> None:
    import open3d as o3d
    import trimesh

    done = reconstruct_renders(renders, tmp_path, CloudConfig(normals=True), jobs=2)
    assert (done.models, done.clouds, done.failures, done.left_out) == (8, 8, [], [])
    total = 0
    for path in find_renders(renders):
        with open_render(path) as render:
            view = int(np.count_nonzero(render.depth, axis=(1, 2)).argmax())
            depth, camera, rgb = render.view_depth(view), render.camera(view), render.rgb(view)
        (file,) = (tmp_path / path.parent.name / path.stem).iterdir()
        assert file.name == f"view-{view:02}.ply"
        read = {
            name: values.numpy()
            for name, values in o3d.t.io.read_point_cloud(str(file)).point.items()
        }
        cloud = back_project(depth, camera)
        u, v = cloud.pixels.T
        assert np.array_equal(read["positions"], cloud.points)
        assert np.array_equal(np.concatenate([read["u"], read["v"]], axis=1), cloud.pixels)
        assert np.array_equal(read["colors"], rgb[v, u])
        assert np.array_equal(read["normals"], depth_normals(depth, camera)[v, u])
        mesh = trimesh.load(file)
        assert np.array_equal(mesh.vertices, cloud.points)
        assert np.array_equal(mesh.colors[:, :3], rgb[v, u])
        total += len(cloud)
    assert done.points == total


def test_an_npz_holds_camera_pixels_and_colours(renders: Path, tmp_path: Path) -> None:
    done = reconstruct_renders(renders, tmp_path, CloudConfig(format="npz", keep="all"), jobs=1)
    assert (done.models, done.clouds) == (8, 48)
    for file in list(tmp_path.glob("*/*/*.npz"))[::9]:
        with np.load(file) as cloud:
            assert (str(cloud["synset"]), str(cloud["model_id"])) == file.parts[-3:-1]
            assert int(cloud["view"]) == int(file.stem.removeprefix("view-"))
            camera = Camera(cloud["intrinsics"], cloud["cam_from_obj"], *cloud["size"].tolist())
            uv, _ = camera.project(cloud["points"])
            assert np.array_equal(np.floor(uv), cloud["pixels"])
            assert cloud["colours"].shape == cloud["points"].shape


@pytest.mark.needs("open3d")
def test_filters_thin_the_cloud_and_leave_the_rest_as_it_was(renders: Path, tmp_path: Path) -> None:
    def points(folder: Path) -> dict[tuple[int, int], list[float]]:
        with np.load(next(folder.glob("*/*/*.npz"))) as cloud:
            return dict(
                zip(map(tuple, cloud["pixels"].tolist()), cloud["points"].tolist(), strict=True)
            )

    for name, config in (("all", CloudConfig()), ("few", CloudConfig(voxel=0.05, outliers=2.0))):
        one = Choice(ids=tmp_path / "ids")
        (tmp_path / "ids").write_text(find_renders(renders)[0].stem)
        npz = dataclasses.replace(config, format="npz")
        assert reconstruct_renders(renders, tmp_path / name, npz, one, jobs=1).models == 1
    everything, few = points(tmp_path / "all"), points(tmp_path / "few")
    assert few.items() <= everything.items()
    assert 10 < len(few) < len(everything) / 3


def test_a_second_call_makes_only_what_is_missing_or_old(renders: Path, tmp_path: Path) -> None:
    world, out = Path(shutil.copytree(renders, tmp_path / "renders")), tmp_path / "clouds"
    reconstruct_renders(world, out, CloudConfig(), jobs=1)
    before = stamps(out)
    first, second, *_ = find_renders(world)
    shutil.rmtree(out / first.parent.name / first.stem)
    os.utime(second)
    done = reconstruct_renders(world, out, CloudConfig(), jobs=1)
    assert (done.models, done.present) == (2, 6)
    assert not leftovers(out)
    changed = {path for path, stamp in stamps(out).items() if before.get(path) != stamp}
    assert {path.parent.name for path in changed} == {first.stem, second.stem}
    assert reconstruct_renders(world, out, CloudConfig(), jobs=1).present == 8


def test_other_settings_are_refused_and_replace_all_with_redo_even_over_a_kill(
    renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shapenet3d_cma.reconstruct import clouds

    reconstruct_renders(renders, tmp_path, CloudConfig(), jobs=1)
    npz = CloudConfig(format="npz")
    with pytest.raises(InputError, match=r"was made with format = ply, not npz: .* --redo"):
        reconstruct_renders(renders, tmp_path, npz, jobs=1)
    write, made = clouds.write_clouds, []

    def killed_at_the_third(*words: object) -> object:
        made.append(words)
        if len(made) == 3:
            raise KeyboardInterrupt
        return write(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(clouds, "write_clouds", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            reconstruct_renders(renders, tmp_path, npz, jobs=1, redo=True)
    done = reconstruct_renders(renders, tmp_path, npz, jobs=1)
    assert (done.models, done.present) == (6, 2)
    assert len(list(tmp_path.glob("*/*/*.npz"))) == 8
    assert not list(tmp_path.glob("*/*/*.ply"))


def test_unusable_renders_are_listed_and_the_rest_is_made(
    cma3d_inside: Run, renders: Path, tmp_path: Path
) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    first, *_ = find_renders(world)
    first.write_bytes(first.read_bytes()[:5000])
    done = cma3d_inside("reconstruct", world, tmp_path / "clouds", "--jobs", 1)
    assert done.returncode == 1
    assert "7 clouds of 7 models" in done.stdout
    assert f"{first.parent.name}/{first.name} failed: " in done.stdout
    assert "cannot be opened as HDF5" in done.stdout
    record = json.loads((tmp_path / "clouds" / "clouds.json").read_text())
    assert len(record["last_run"]["failures"]) == 1


def test_views_without_colour_give_clouds_without_colour(renders: Path, tmp_path: Path) -> None:
    import h5py

    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    for path in find_renders(world):
        with h5py.File(path, "a") as file:
            file["shaded"][...] = False
    done = reconstruct_renders(world, tmp_path / "clouds", CloudConfig(), jobs=1)
    assert done.uncoloured == 8
    assert b"property uchar red" not in next((tmp_path / "clouds").glob("*/*/*.ply")).read_bytes()


def test_a_missing_render_fails_alone(renders: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    gone = find_renders(world)[0]
    gone.unlink()
    gone.symlink_to("nothing")
    done = reconstruct_renders(world, tmp_path / "clouds", CloudConfig(), jobs=1)
    assert done.models == 7
    assert [failure["file"] for failure in done.failures] == [f"{gone.parent.name}/{gone.name}"]
