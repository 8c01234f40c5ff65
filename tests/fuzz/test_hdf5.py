"""HDF5 with drawn faults: of structure, through the library, and of bytes, which libhdf5 meets as they are.

Bytes are changed in a process of their own for each case: a fault of libhdf5 would take the tests
along.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.schema import RENDER_FIELDS, SHARD_FIELDS
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.rows import model_rows
from shapenet3d_cma.render.render_file import read_config_hash
from shapenet3d_cma.tests.fuzz import faults
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.made import (
    MODELS,
    RENDER,
    config_hash,
    make_renders,
    make_shards,
    vouch,
)

NAMES = {
    "shard": [field.name for field in SHARD_FIELDS],
    "render": [field.name for field in RENDER_FIELDS],
}
SECONDS = 20
PATCHES = [b"\x00", b"\xff", b"\x01", b"\x7f", b"\xff" * 8, b"\x00" * 8]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_shards(make_renders(folder / "renders"), folder / "shards")
    return folder


@contextlib.contextmanager
def kept(world: Path, kind: str):
    """Yield the file to damage; it and the manifest are restored."""
    path = world / "shards/shard-00000.h5" if kind == "shard" else world / f"renders/{MODELS[0]}.h5"
    whole, manifest = path.read_bytes(), (world / "shards/manifest.json").read_bytes()
    try:
        yield path
    finally:
        path.write_bytes(whole)
        (world / "shards/manifest.json").write_bytes(manifest)


def read_all(world: Path, kind: str, path: Path) -> None:
    """Read what the file holds, as commands do."""
    if kind == "shard":
        vouch(world / "shards")
        shards = Shards(world / "shards", most_open=1)
        with contextlib.closing(shards):
            shards.read(range(len(shards)))
        return
    with contextlib.suppress(OSError, KeyError):
        read_config_hash(path)
    model_rows(path, PackConfig(points=8, keep="all"), config_hash(RENDER))


def is_vast(file: h5py.File) -> bool:
    """Check for a dataset that declares more than 256 MiB."""
    datasets = [
        file[name] for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)
    ]
    return any(
        isinstance(one, h5py.Dataset) and one.size * one.dtype.itemsize > 2**28 for one in datasets
    )


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("kind", NAMES)
def test_drawn_structure_is_read_within_bounds(
    world: Path, tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    with kept(world, kind) as path:
        with h5py.File(path, "a", libver=faults.LIBVER) as file:
            for _ in range(data.draw(st.integers(1, 3))):
                if is_vast(file):  # faults that copy would take all memory
                    break
                table = faults.SHARD_FAULTS if kind == "shard" else faults.FAULTS
                name, field = (
                    data.draw(st.sampled_from(sorted(table))),
                    data.draw(st.sampled_from(NAMES[kind])),
                )
                with contextlib.suppress(Exception):
                    table[name](file, field, tmp_path / "outside.h5")  # some follow no other
            if data.draw(st.booleans()):
                name, value = (
                    data.draw(st.sampled_from(sorted(file.attrs))),
                    data.draw(st.sampled_from(list(faults.ODD))),
                )
                with contextlib.suppress(KeyError, AttributeError, TypeError):
                    faults.attribute(name, faults.ODD[value])(file)
        with bounded("hdf5", path.read_bytes(), inside=world):
            read_all(world, kind, path)


def in_a_child(world: Path, kind: str, path: Path) -> int:
    """Read in a forked process; give 0 for an answer, 1 for another error, or the negative of the signal it died of."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(SECONDS)
            with bounded("hdf5", path.read_bytes(), inside=world):
                read_all(world, kind, path)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def damage(data: st.DataObject, content: bytes) -> bytes:
    """Flip, overwrite or cut."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        patch = data.draw(
            st.sampled_from([b"\x00", b"\xff", b"\x01", b"\xff" * 8, b"\x00" * 8, b"\x7f"])
            | st.binary(max_size=8)
        )
        changed[place : place + len(patch)] = patch
    return bytes(
        changed[: data.draw(st.integers(0, len(changed)))]
        if data.draw(st.integers(0, 5)) == 0
        else changed
    )


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("kind", NAMES)
def test_drawn_bytes_are_read_within_bounds(world: Path, kind: str, data: st.DataObject) -> None:
    with kept(world, kind) as path:
        path.write_bytes(damage(data, path.read_bytes()))
        assert in_a_child(world, kind, path) == 0


@pytest.mark.parametrize("past", corpus("hdf5"), ids=lambda path: path.name)
def test_past_failures_are_read_within_bounds(world: Path, past: Path) -> None:
    for kind in NAMES:
        with kept(world, kind) as path:
            shutil.copy(past, path)
            assert in_a_child(world, kind, path) == 0
