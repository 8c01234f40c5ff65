"""Writer, packing and reader: what goes in comes out, whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.errors import InputError
from shapenet3d_cma.files import PARTIAL
from shapenet3d_cma.pack import run as pack_run
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.run import pack_renders
from shapenet3d_cma.pack.schema import SCHEMA_VERSION, SHARD_FIELDS, Row
from shapenet3d_cma.pack.writer import ShardWriter
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.render.file import find_renders, open_render

PACK = PackConfig(points=256, shard_rows=3)


def everything(folder: Path) -> Row:
    shards = Shards(folder)
    return shards.read(range(len(shards)))


def assert_same(one: Row, two: Row) -> None:
    assert set(one) == set(two)
    for name, array in one.items():
        assert np.array_equal(array, two[name]), name


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "shards"))


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
            places = {tuple(pixel): point for pixel, point in zip(cloud.pixels.tolist(), cloud.points, strict=True)}
            for pixel, point in zip(row["pixels"].tolist(), row["points"], strict=True):
                assert np.array_equal(places[tuple(pixel)], point)


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
                    assert (dataset.compression, dataset.compression_opts, dataset.shuffle) == ("gzip", 1, True)


@given(st.lists(st.integers(0, 7), max_size=12), st.permutations([field.name for field in SHARD_FIELDS]), st.data())
def test_rows_are_read_in_the_order_asked_for(
    shards: Path, rows: list[int], names: list[str], data: st.DataObject
) -> None:
    asked = names[: data.draw(st.integers(1, len(names)))]
    reader = Shards(shards)
    batch = reader.read(rows, asked)
    assert list(batch) == asked
    for name in asked:
        assert len(batch[name]) == len(rows)
        for place, row in enumerate(rows):
            assert np.array_equal(batch[name][place], reader[row][name])


def test_a_reader_is_a_sequence(shards: Path) -> None:
    reader = Shards(shards)
    assert np.array_equal(reader[-1]["points"], reader[7]["points"])
    assert len(list(reader)) == 8
    for row in (8, -9):
        with pytest.raises(IndexError, match="of 8 rows"):
            reader[row]
    with pytest.raises(IndexError, match="of 8 rows"):
        reader.read([0, 8])
    assert reader.find(reader[4]["model_id"]) == reader.find(f"{reader[4]['synset']}/{reader[4]['model_id']}") == [4]
    with pytest.raises(InputError, match="no row of the model 'zebra'; it has 8 rows"):
        reader.find("zebra")


def first_depth(reader: Shards, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(reader[0]["depth"].tobytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_reader_in_use_may_be_handed_to_another_process(shards: Path, method: str) -> None:
    reader = Shards(shards)
    mine = reader[0]["depth"].tobytes()
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=first_depth, args=(reader, answers))
    process.start()
    assert answers.get(timeout=60) == mine
    process.join()
    assert pickle.loads(pickle.dumps(reader))[0]["depth"].tobytes() == mine


def test_any_number_of_processes_packs_the_same(renders: Path, shards: Path, tmp_path: Path) -> None:
    pack_renders(renders, tmp_path, PACK, jobs=2)
    for file in sorted(shards.glob("*")):
        if file.suffix == ".json":
            ours, theirs = (json.loads(path.read_text()) for path in (file, tmp_path / file.name))
            for manifest in (ours, theirs):
                for entry in manifest["shards"]:
                    del entry["sha256"], entry["bytes"]
            assert ours == theirs
    assert_same(everything(shards), everything(tmp_path))


def test_a_killed_packing_goes_on(renders: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    write = pack_run._write_shard

    def killed_at_the_last(path: Path, *others: object) -> object:
        if path.name == "shard-00002.h5":
            raise Killed
        return write(path, *others)

    with monkeypatch.context() as patch:
        patch.setattr(pack_run, "_write_shard", killed_at_the_last)
        with pytest.raises(Killed):
            pack_renders(renders, tmp_path, PACK, jobs=1)
    with pytest.raises(InputError, match="packing was not finished"):
        Shards(tmp_path)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.h5")}
    assert len(finished) == 2
    (tmp_path / f"{PARTIAL}9-shard-00002.h5").write_bytes(b"half")
    pack_renders(renders, tmp_path, PACK, jobs=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    assert not list(tmp_path.glob(f"{PARTIAL}*"))
    assert_same(everything(shards), everything(tmp_path))


def test_other_settings_replace_what_was_there(renders: Path, copy: Path) -> None:
    pack_renders(renders, copy, PackConfig(points=100, shard_rows=100), jobs=1)
    assert everything(copy)["points"].shape == (8, 100, 3)
    assert len(list(copy.glob("shard-*.h5"))) == 1


def test_all_views_may_be_kept_and_small_ones_are_left_out_and_counted(renders: Path, tmp_path: Path) -> None:
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


def test_a_shard_that_fails_leaves_nothing(shards: Path, tmp_path: Path) -> None:
    row = Shards(shards)[0]
    path = tmp_path / "shard.h5"

    def write_unequal_rows() -> None:
        with ShardWriter(path, {}) as shard:
            shard.append(row)
            shard.append(row | {"points": row["points"][:9]})

    with pytest.raises(ValueError, match=r"points has shape \(9, 3\)"):
        write_unequal_rows()
    assert list(tmp_path.iterdir()) == []
    with ShardWriter(path, {}) as shard:
        for _ in range(300):  # more than the datasets grow by at once
            shard.append(row)
    with h5py.File(path) as file:
        assert {len(file[field.name]) for field in SHARD_FIELDS} == {300}
        assert np.array_equal(file["points"][299], row["points"])


def test_what_is_missing_or_changed_is_said_in_one_line(copy: Path, tmp_path: Path) -> None:
    shard = copy / "shard-00001.h5"
    whole = shard.read_bytes()
    for damage, says in (
        (shard.unlink, "shard-00001.h5 is missing"),
        (lambda: shard.write_bytes(whole[:-1]), f"has {len(whole) - 1} bytes, the manifest says {len(whole)}"),
        (lambda: shard.write_bytes(b"\0" * len(whole)), "cannot be opened"),
    ):
        damage()
        with pytest.raises(InputError, match=says):
            everything(copy)
        shard.write_bytes(whole)
    manifest = copy / "manifest.json"
    text = manifest.read_text()
    for damaged, says in (
        (text.replace('"schema_version": 1', '"schema_version": 2'), "schema version 2; this program reads version 1"),
        (text[:-20], "cannot be read"),
        ('{"format": "other"}', "no shapenet3d-cma manifest"),
        (text.replace("shard-00001.h5", "../shard-00001.h5"), "outside its folder"),
    ):
        manifest.write_text(damaged)
        with pytest.raises(InputError, match=says):
            Shards(copy)
    with pytest.raises(InputError, match="no folder of shards"):
        Shards(tmp_path / "none")


def test_another_schema_version_in_a_shard_is_refused(copy: Path) -> None:
    shard = copy / "shard-00000.h5"
    with h5py.File(shard, "a") as file:
        file.attrs["schema_version"] = 7
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = shard.stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"shard-00000\.h5 has schema version 7; this program reads version 1"):
        Shards(copy)[0]


def test_a_render_file_is_no_shard(renders: Path, copy: Path) -> None:
    shutil.copy(find_renders(renders)[0], copy / "shard-00000.h5")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is a render file; a shard file is needed"):
        Shards(copy)[0]
