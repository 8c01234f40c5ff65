"""The writer: what goes in comes out, in files no larger than asked; and a kill at any moment costs nothing."""

from __future__ import annotations

import contextlib
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.files import sha256
from shapenet3d_cma.core.schema import SHARD_FIELDS, SHARD_LEVEL, Row, create_field
from shapenet3d_cma.pack import writer
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.writer import ShardWriter, encode_row, part_path
from shapenet3d_cma.tests.same import assert_same_shards


def made_row(number: int, rng: np.random.Generator, *, size: int = 8, points: int = 5) -> Row:
    """A row of noise, which does not compress."""
    return {
        "rgb": rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        "depth": rng.random((size, size), dtype=np.float32),
        "intrinsics": rng.random((3, 3)),
        "cam_from_obj": rng.random((4, 4)),
        "points": rng.random((points, 3), dtype=np.float32),
        "pixels": rng.integers(0, size, (points, 2), dtype=np.uint16),
        "num_points": np.uint32(number),
        "synset": f"{number % 7:08}",
        "model_id": f"modèle-{number:032}",
        "view": np.uint16(number % 65536),
    }


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 64), st.integers(1, 200))
def test_bytes_are_those_of_hdf5s_own_filters(seed: int, size: int, points: int) -> None:
    """What the workers compress is what HDF5 would have written, so any HDF5 reads it."""
    row = made_row(1, np.random.default_rng(seed), size=size, points=points)
    encoded = encode_row(row)
    with h5py.File(io.BytesIO(), "w") as file:
        for field in SHARD_FIELDS:
            if field.shape:
                sizes = {"H": size, "W": size, "P": points}
                dataset = create_field(file, field, 1, level=SHARD_LEVEL, **sizes)
                dataset[0] = row[field.name]
                assert (dataset.compression, dataset.shuffle) == ("gzip", True)
                _, stored = dataset.id.read_direct_chunk((0,) * dataset.ndim)
                ours = encoded.chunks[field.name]
                # deflate may cut its blocks otherwise, by its version; what it holds is the same
                assert np.array_equal(_inflated(stored), _inflated(ours)), field.name


def _inflated(data: bytes) -> np.ndarray:
    import zlib

    return np.frombuffer(zlib.decompress(data), dtype=np.uint8)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(1, 40), st.integers(90, 300)
)
def test_no_file_exceeds_its_limits_and_models_stay_together(
    tmp_path_factory: pytest.TempPathFactory, views: list[int], max_rows: int, max_kib: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(0)
    rows: list[Row] = []
    with ShardWriter(
        folder / "s.h5", {"x": 1}, max_rows=max_rows, max_bytes=max_kib * 1024
    ) as shard:
        for model, count in enumerate(views):
            mine = [
                made_row(len(rows) + view, rng, size=40) | {"model_id": str(model)}
                for view in range(count)
            ]
            shard.append(*mine)
            rows += mine
    assert shard.files == [part_path(folder / "s.h5", part) for part in range(len(shard.files))]
    assert sorted(folder.iterdir()) == sorted(shard.files)
    read, where = [], dict[str, list[str]]()
    for path in shard.files:
        assert path.stat().st_size <= max_kib * 1024
        with h5py.File(path) as file:
            assert 0 < len(file["view"]) <= max_rows
            for name in file["model_id"].asstr():
                where.setdefault(name, []).append(path.name)
            read += [
                {field.name: file[field.name][row] for field in SHARD_FIELDS}
                for row in range(len(file["view"]))
            ]
    assert len(read) == len(rows)
    for one, two in zip(read, rows, strict=True):
        for field in SHARD_FIELDS:
            value = (
                one[field.name].decode() if isinstance(one[field.name], bytes) else one[field.name]
            )
            assert np.array_equal(value, two[field.name]), field.name
    for model, count in enumerate(views):
        if count <= max_rows and count * 12_500 < (max_kib - 64) * 1024:
            assert len(set(where[str(model)])) == 1


def test_incomplete_rows_are_refused(tmp_path: Path) -> None:
    row = made_row(0, np.random.default_rng(0))
    for bad, message in (
        ({name: value for name, value in row.items() if name != "depth"}, "the row has no depth"),
        (row | {"points": row["points"][0]}, r"points has the shape \(3,\), expected 2 axes"),
    ):
        with pytest.raises(ValueError, match=message), ShardWriter(tmp_path / "s.h5", {}) as shard:
            shard.append(bad)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_of_several_files_is_one_to_the_reader_and_is_resumed_as_one(
    renders: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PackConfig(points=256, shard_rows=8, shard_mib=1)
    monkeypatch.setattr(writer, "_FILE_OVERHEAD", 2**20 - 40_000)  # as if rows were large
    pack_renders(renders, tmp_path, config, jobs=1)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    names = [entry["file"] for entry in manifest["shards"]]
    assert names[:2] == ["shard-00000.h5", "shard-00000_01.h5"]
    assert 2 < len(names) < 9
    one, two = Shards(tmp_path), Shards(shards)
    for row in range(8):
        assert np.array_equal(one[row]["points"], two[row]["points"])
    stamps = {name: (tmp_path / name).stat().st_mtime_ns for name in names}
    assert pack_renders(renders, tmp_path, config, jobs=1).rows == 8
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in names} == stamps
    before = sha256(tmp_path / names[0])
    (tmp_path / names[0]).write_bytes(
        (tmp_path / names[0]).read_bytes()[:5000]
    )  # then the shard is made anew
    pack_renders(renders, tmp_path, config, jobs=1)
    assert sha256(tmp_path / names[0]) == before
    (tmp_path / names[0]).write_bytes(b"of somebody else")
    with pytest.raises(
        InputError, match=r"shard-00000\.h5 is there, changed since cma3d wrote it: move it away"
    ):
        pack_renders(renders, tmp_path, config, jobs=1)
    assert (tmp_path / names[0]).read_bytes() == b"of somebody else"
    (tmp_path / names[0]).unlink()
    monkeypatch.undo()
    assert (
        pack_renders(
            renders, tmp_path, PackConfig(points=256, shard_rows=8), jobs=1, redo=True
        ).rows
        == 8
    )
    assert [path.name for path in sorted(tmp_path.glob("*.h5"))] == ["shard-00000.h5"], (
        "no part is left behind"
    )


def test_a_packing_killed_at_random_moments_equals_an_uninterrupted_one(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    words = [
        "pack",
        renders,
        tmp_path / "shards",
        "--points",
        "256",
        "--shard-rows",
        "3",
        "--jobs",
        "2",
    ]
    line = [sys.executable, "-m", "shapenet3d_cma.cli", *map(str, words)]
    for _ in range(3):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.8, 3))
        except subprocess.TimeoutExpired:
            workers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same_shards(shards, tmp_path / "shards")


def test_a_write_protected_file_is_reported_in_one_line(
    renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may write anywhere, so the refusal is made up."""

    def refuse(self: Path, content: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(
        InputError, match=r"shard-00000.h5 cannot be written: Permission denied; check the folder"
    ):
        pack_renders(renders, tmp_path / "shards", PackConfig(points=256), jobs=1)


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
