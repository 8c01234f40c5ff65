"""Packing: the rows that come out, again after a kill, a full disk, or renders that changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.schema import SCHEMA_VERSION, SHARD_FIELDS
from shapenet3d_cma.pack import packing as pack_run
from shapenet3d_cma.pack import rows as pack_rows
from shapenet3d_cma.pack.card.card import CARD
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import check_settings, pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.rows import RenderJob
from shapenet3d_cma.pack.writer import ShardWriter
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.render.render_file import find_renders, open_render
from shapenet3d_cma.tests.pack.packed import FULL_DISK, PACK, assert_same, everything
from shapenet3d_cma.tests.same import content, leftovers


def test_a_row_is_the_best_view_of_a_model_and_nothing_else(renders: Path, shards: Path) -> None:
    rows = Shards(shards)
    paths = find_renders(renders)
    assert len(rows) == len(paths) == 8
    for row, path in zip(rows, paths, strict=True):
        with open_render(path) as render:
            counts = np.count_nonzero(render.depth, axis=(1, 2))
            view = int(row["view"])
            assert view == counts.argmax()
            assert row["num_points"] == counts.max()
            assert (row["synset"], row["model_id"]) == (render.synset, render.model_id)
            assert np.array_equal(row["depth"], render.depth[view])
            assert np.array_equal(row["rgb"], render.rgb(view))
            assert np.array_equal(row["cam_from_obj"], render.camera(view).cam_from_obj)
            cloud = back_project(render.depth[view], render.camera(view))
            point_of = {
                tuple(pixel): point
                for pixel, point in zip(cloud.pixels.tolist(), cloud.points, strict=True)
            }
            for pixel, point in zip(row["pixels"].tolist(), row["points"], strict=True):
                assert np.array_equal(point_of[tuple(pixel)], point)


def test_the_files_follow_the_schema(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    assert [entry["rows"] for entry in manifest["shards"]] == [3, 3, 2]
    assert manifest["rows"] == sum(manifest["synsets"].values()) == 8
    for entry in manifest["shards"]:
        with h5py.File(shards / entry["file"]) as file:
            assert file.attrs["format"] == "shapenet3d-cma"
            assert file.attrs["schema_version"] == SCHEMA_VERSION
            assert json.loads(file.attrs["config"])["points"] == 256
            assert "OpenCV" in json.loads(file.attrs["conventions"])["camera_frame"]
            for field in SHARD_FIELDS:
                dataset = file[field.name]
                assert dataset.dtype == field.storage
                if field.shape:
                    assert dataset.chunks == (1, *dataset.shape[1:]), "a chunk is exactly one row"
                    assert (dataset.compression, dataset.compression_opts, dataset.shuffle) == (
                        "gzip",
                        6,
                        True,
                    )


def test_any_number_of_processes_packs_the_same(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    pack_renders(renders, tmp_path, PACK, jobs=2)
    assert content(tmp_path) == content(shards), "byte for byte, the card included"


def test_a_killed_packing_is_resumed(
    renders: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    append = pack_run._Packing._append_all

    def killed_at_the_last(packing: object, shard: ShardWriter, *others: object) -> object:
        if shard.path.name == "shard-00002.h5":
            raise Killed
        return append(packing, shard, *others)

    with monkeypatch.context() as patch:
        patch.setattr(pack_run._Packing, "_append_all", killed_at_the_last)
        with pytest.raises(Killed):
            pack_renders(renders, tmp_path, PACK, jobs=1)
    with pytest.raises(InputError, match="packing was not finished"):
        Shards(tmp_path)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.h5")}
    assert len(finished) == 2
    pack_renders(renders, tmp_path, PACK, jobs=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    assert not leftovers(tmp_path)
    assert_same(everything(shards), everything(tmp_path))


def test_other_settings_are_refused_and_replace_the_shards_with_redo(
    renders: Path, copy: Path
) -> None:
    (copy / "shard-mine.h5").write_bytes(b"mine")
    (copy / "shard-00077.h5").write_bytes(b"mine, too")
    before = content(copy)
    other = PackConfig(points=100, shard_rows=100)
    with pytest.raises(InputError, match=r"was packed with points = 256, not 100: .* --redo"):
        pack_renders(renders, copy, other, jobs=1)
    with pytest.raises(InputError, match="no row at all"):
        pack_renders(renders, copy, PackConfig(points=100_000), jobs=1, redo=True)
    assert content(copy) == before
    pack_renders(renders, copy, other, jobs=1, redo=True)
    assert everything(copy)["points"].shape == (8, 100, 3)
    assert set(content(copy)) == {
        *CARD,
        "manifest.json",
        "shard-00000.h5",
        "shard-mine.h5",
        "shard-00077.h5",
    }
    assert (copy / "shard-mine.h5").read_bytes() == b"mine"


def test_renders_of_other_settings_are_refused(renders: Path, copy: Path, tmp_path: Path) -> None:
    others = Path(shutil.copytree(renders, tmp_path / "renders"))
    settings = json.loads((others / "render.json").read_text())
    settings["config"]["samples"] = 99
    (others / "render.json").write_text(json.dumps(settings))
    before = content(copy)
    with pytest.raises(InputError, match="was packed from renders with samples = 4, not 99"):
        pack_renders(others, copy, PACK, jobs=1)
    assert content(copy) == before


def test_a_shard_that_no_manifest_lists_is_not_overwritten(renders: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-00001.h5").write_bytes(b"mine")
    with pytest.raises(
        InputError,
        match=r"is not empty \(it holds 'shard-00001\.h5'\) and no shards that cma3d made",
    ):
        pack_renders(renders, tmp_path, PACK, jobs=1)
    assert (tmp_path / "shard-00001.h5").read_bytes() == b"mine"


def test_a_replacement_that_was_killed_leaves_no_file_behind(
    renders: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PackConfig(points=100, shard_rows=100)
    with monkeypatch.context() as patch:
        patch.setattr(
            pack_run, "_write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            pack_renders(renders, copy, other, jobs=1, redo=True)
    with pytest.raises(InputError, match="packing was not finished"):
        Shards(copy)
    with pytest.raises(InputError, match="was packed with points = 100, not 256"):
        pack_renders(renders, copy, PACK, jobs=1)
    stamp = (copy / "shard-00000.h5").stat().st_mtime_ns
    pack_renders(renders, copy, other, jobs=1)
    assert (copy / "shard-00000.h5").stat().st_mtime_ns == stamp
    assert set(content(copy)) == {*CARD, "manifest.json", "shard-00000.h5"}


def test_renders_that_changed_are_packed_again_and_only_their_shards(
    renders: Path, tmp_path: Path
) -> None:
    world, out = Path(shutil.copytree(renders, tmp_path / "renders")), tmp_path / "shards"
    first = find_renders(world)[0]
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    assert len(pack_renders(world, out, PACK, jobs=1).failures) == 1
    others = {path: path.stat().st_mtime_ns for path in out.glob("shard-0000[12].h5")}
    first.write_bytes(whole)
    assert pack_renders(world, out, PACK, jobs=1).failures == []
    assert len(Shards(out)) == 8
    with h5py.File(first, "a") as file:  # the model was replaced, rendered again under its name
        file["rgb"][...] = 255 - file["rgb"][...]
    pack_renders(world, out, PACK, jobs=1)
    row = Shards(out)[0]
    with open_render(first) as render:
        assert np.array_equal(row["rgb"], render.rgb(int(row["view"])))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in others.items())


def test_a_failed_render_is_tried_again_although_its_file_is_the_same(
    renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(
            pack_rows,
            "open_render",
            lambda path: refuse(path) if path == second else open_render(path),
        )
        second = find_renders(renders)[1]
        failures = pack_renders(renders, tmp_path, PACK, jobs=1).failures
    assert [failure["reason"] for failure in failures] == ["Permission denied"]
    assert pack_renders(renders, tmp_path, PACK, jobs=1).rows == 8


def test_a_render_under_another_models_name_is_a_failure(renders: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    first = find_renders(world)[0]
    shutil.copy(first, first.with_name("twin.h5"))
    (failure,) = pack_renders(world, tmp_path / "shards", PACK, jobs=1).failures
    assert "twin.h5 holds the model" in failure["reason"]


def test_incomplete_render_settings_are_reported_in_one_line(renders: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    (world / "render.json").write_text('{"config_hash": "a", "config": {}}')
    with pytest.raises(InputError, match="have seed = None, which is not a number"):
        pack_renders(world, tmp_path / "shards", PACK, jobs=1)
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("limit", [0, 5_000, 60_000])
def test_a_full_disk_is_reported_in_one_line_and_changes_nothing(
    renders: Path, copy: Path, limit: int
) -> None:
    """Files may not grow beyond a limit, which is an error of writing as that of a full disk."""
    before = content(copy)
    words = [
        "pack",
        str(renders),
        str(copy),
        "--redo",
        "--points",
        "200",
        "--shard-rows",
        "100",
        "--jobs",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"cma3d: {copy}")
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert content(copy) == before


def test_all_views_may_be_kept_and_small_ones_are_left_out_and_counted(
    renders: Path, tmp_path: Path
) -> None:
    with_all = pack_renders(renders, tmp_path, PackConfig(points=400, keep="all"), jobs=1)
    counts = []
    for path in find_renders(renders):
        with open_render(path) as render:
            counts += np.count_nonzero(render.depth, axis=(1, 2)).tolist()
    assert with_all.rows == sum(count >= 400 for count in counts)
    assert len(with_all.left_out) == sum(count < 400 for count in counts) > 0
    assert "a row holds 400" in with_all.left_out[0]["reason"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["left_out"] == with_all.left_out
    with pytest.raises(InputError, match="no row at all"):
        pack_renders(renders, tmp_path / "none", PackConfig(points=6000), jobs=1)
    assert not (tmp_path / "none").exists()


def test_a_damaged_render_is_listed_and_the_rest_is_packed(renders: Path, tmp_path: Path) -> None:
    shutil.copytree(renders, tmp_path / "renders")
    first, second, *_ = find_renders(tmp_path / "renders")
    first.write_bytes(b"no HDF5")
    with h5py.File(second, "a") as file:
        file.attrs["config_hash"] = "other"
    packed = pack_renders(tmp_path / "renders", tmp_path / "shards", PACK, jobs=1)
    assert packed.rows == 6
    reasons = {failure["file"]: failure["reason"] for failure in packed.failures}
    assert "cannot be opened as HDF5" in reasons[f"{first.parent.name}/{first.name}"]
    assert "other settings" in reasons[f"{second.parent.name}/{second.name}"]


@given(st.integers(0, 50), st.integers(1, 40), st.sampled_from(["best", "all"]), st.integers(1, 30))
def test_slices_hold_all_models_in_order(
    count: int, shard_rows: int, keep: Literal["best", "all"], views: int
) -> None:
    models = [RenderJob(Path(f"{number}.h5")) for number in range(count)]
    config = PackConfig(keep=keep, shard_rows=shard_rows)
    slices = list(pack_run._slices(models, config, views))
    assert [model for part in slices for model in part] == models
    rows = 1 if keep == "best" else views
    assert all(len(part) * rows <= max(shard_rows, rows) for part in slices)
    assert len({len(part) for part in slices[:-1]}) <= 1


COUNT = st.integers(1, 1000)
SETTINGS = {"points": COUNT, "keep": st.sampled_from(["best", "all"]), "num_samples": COUNT,
            "seed": COUNT, "shard_rows": COUNT, "shard_mib": COUNT}  # fmt: skip


@given(st.fixed_dictionaries(SETTINGS), st.fixed_dictionaries({}, optional=SETTINGS))
def test_settings_are_refused_exactly_if_one_differs(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, Any], changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "settings"
    folder.mkdir(exist_ok=True)
    record = {"shards": [], "config": before, "render_config": {}}
    (folder / "manifest.json").write_text(json.dumps(record))
    now = before | changes
    different = sorted(name for name in before if before[name] != now[name])
    if not different:
        check_settings(folder, {"config": now})
        return
    name = different[0]
    with pytest.raises(InputError, match=f"with {name} = {before[name]}, not {now[name]}: give"):
        check_settings(folder, {"config": now})
