"""Benchmarks with drawn faults: text, lists, HDF5 structure and bytes, pickled clouds; an answer in any case."""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.model.tasks.benchmarks.folds import open_fold
from shapenet3d_cma.model.tasks.benchmarks.layouts import open_dataset
from shapenet3d_cma.model.tasks.benchmarks.prepared import prepare
from shapenet3d_cma.model.tasks.benchmarks.shapenetpart import read_split
from shapenet3d_cma.model.tasks.benchmarks.shapes import (
    check_labels,
    check_name,
    read_h5,
    read_lines,
    read_table,
)
from shapenet3d_cma.tests.fuzz.bounds import bounded, fuzz
from shapenet3d_cma.tests.fuzz.test_checkpoints import bent

CLOUD = np.arange(24, dtype="f4").reshape(8, 3) ** 2
VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        10**30,
        2.5,
        math.nan,
        "a",
        b"a",
        [],
        {},
        (),
        [0],
        np.float32(1),
        np.int8(-1),
        CLOUD,
    ]
)
ARRAYS = st.sampled_from(
    [CLOUD, CLOUD.astype("f8") * 1e300, CLOUD * np.nan, CLOUD[:0], CLOUD[:, :1], CLOUD[0], CLOUD.astype("S4"),
     CLOUD.astype("i8"), CLOUD.astype(bool), CLOUD.astype("c8"), np.array(3), CLOUD * 1e20, np.zeros((3, 3), "u1")]
)  # fmt: skip
LISTS = st.lists(st.one_of(ARRAYS, VALUES), max_size=3)
CLOUDS = st.one_of(st.tuples(LISTS, LISTS), st.lists(LISTS, max_size=3), VALUES)
ENTRIES = st.lists(st.one_of(st.tuples(ARRAYS, VALUES, VALUES), VALUES), max_size=3)
FOLDS = st.one_of(st.fixed_dictionaries({"train": ENTRIES, "test": ENTRIES}), VALUES)


@fuzz
@given(content=CLOUDS)
def test_pickled_clouds(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    for split in ("train", "test"):
        (folder / f"modelnet40_{split}_8192pts_fps.dat").write_bytes(pickle.dumps(content))
    with bounded("benchmarks", pickle.dumps(content), inside=folder, mib=256):
        dataset = open_dataset(folder, "modelnet40")
        clouds = prepare(dataset, "test", 8, normalise=True, jobs=1)
        assert np.isfinite(clouds.points).all()


@fuzz
@given(content=FOLDS)
def test_pickled_folds(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "2way_1shot").mkdir(exist_ok=True)
    (folder / "2way_1shot" / "0.pkl").write_bytes(pickle.dumps(content))
    with bounded("benchmarks", pickle.dumps(content), inside=folder, mib=256):
        dataset = open_fold(folder, 2, 1, 0)
        clouds = prepare(dataset, "train", 8, normalise=False, jobs=1)
        assert np.isfinite(clouds.points).all()


NUMBERS = st.sampled_from(
    [b"0", b"1", b"-2.5", b"nan", b"inf", b"1e308", b"1e-320", b"0x1", b"", b"a", b"\xff", b"#"]
)
LINES = st.lists(st.one_of(NUMBERS, st.binary(max_size=3)), max_size=7).map(b",".join)
TEXT = st.lists(st.one_of(LINES, st.just(b"1,2,3"), st.just(b"1," * 5000)), max_size=8).map(
    b"\n".join
)


@fuzz
@given(content=TEXT)
def test_tables(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "a.txt"
    path.write_bytes(content)
    with bounded("benchmarks", content, inside=path.parent, mib=256):
        assert read_table(path, ",", 3).shape[1] >= 3


@fuzz
@given(
    content=st.one_of(
        st.binary(max_size=50), bent(b'["shape_data/03797390/a", "shape_data/1/../\\u001b"]')
    )
)
def test_lists(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "list.json"
    path.write_bytes(content)
    with bounded("benchmarks", content, inside=path.parent, mib=256):
        read_split(path)
    with bounded("benchmarks", content, inside=path.parent, mib=256):
        assert all(check_name(line, "a").isprintable() for line in read_lines(path))


KINDS = st.sampled_from(
    ["f4", "f8", "i8", "u1", "S3", "c8", h5py.string_dtype(), h5py.ref_dtype, [("a", "f4")]]
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 8, 10**6, 10**12]), max_size=4).map(tuple)


@st.composite
def structures(draw: st.DrawFn) -> bytes:
    """A file of datasets, links and groups under the names that are read."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name in ("data", "label"):
            kind = draw(st.integers(0, 9))
            if kind == 0:
                file[name] = draw(
                    st.sampled_from([h5py.SoftLink("/x"), h5py.ExternalLink("/etc/passwd", "x")])
                )
            elif kind == 1:
                file.create_group(name)
            elif kind == 2:
                file[name] = np.dtype("f4")
            elif kind <= 5:
                shape = draw(SHAPES)
                packed = (
                    {"chunks": (1,) * len(shape), "compression": "gzip"}
                    if shape and all(shape)
                    else {}
                )
                if math.prod(shape) < 10**4 or packed:
                    file.create_dataset(name, shape, draw(KINDS), **packed)
            else:
                file[name] = np.zeros(
                    (2, 8, 3) if name == "data" else 2, draw(st.sampled_from(["f4", "u1", "i8"]))
                )
    return content.getvalue()


WHOLE = io.BytesIO()
with h5py.File(WHOLE, "w") as opened:
    opened["data"], opened["label"] = np.zeros((2, 8, 3), "f4"), np.zeros((2, 1), "u1")


@fuzz
@given(
    content=st.one_of(
        structures(), structures(), st.integers(0, 3000).map(lambda size: WHOLE.getvalue()[:size])
    )
)
def test_hdf5(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "a.h5"
    path.write_bytes(content)
    with bounded("benchmarks", content, inside=path.parent, mib=512):
        values = read_h5(path, ("data", "label"))
        check_labels(values["label"], 40, str(path))


def test_whole_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(WHOLE.getvalue())
    assert read_h5(tmp_path / "a.h5", ("data", "label"))["data"].shape == (2, 8, 3)
