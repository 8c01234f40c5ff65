"""When two renders, or two sets of shards, are the same: array by array, attribute by attribute."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.render.render_file import find_renders


def _assert_same_file(one: Path, two: Path) -> None:
    with h5py.File(one) as first, h5py.File(two) as second:
        assert set(first) == set(second), one.name
        for field in first:
            assert first[field].dtype == second[field].dtype, (one.name, field)
            assert np.array_equal(first[field][...], second[field][...]), (one.name, field)
        assert dict(first.attrs) == dict(second.attrs), one.name


def assert_same_renders(one: Path, two: Path, *, some: bool = False) -> None:
    """Both folders hold the same models with the same content; with `some`, `two` may hold less of them."""
    names = [{path.relative_to(folder) for path in find_renders(folder)} for folder in (one, two)]
    assert names[0] >= names[1] if some else names[0] == names[1]
    for name in names[1]:
        _assert_same_file(one / name, two / name)


def assert_same_shards(one: Path, two: Path) -> None:
    """Both folders hold the same files with the same arrays and attributes, and manifests that vouch for them."""
    names = [sorted(path.name for path in folder.glob("*.h5")) for folder in (one, two)]
    assert names[0] == names[1]
    for name in names[0]:
        _assert_same_file(one / name, two / name)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, two)]
    assert manifests[0] == manifests[1]
    assert not [name for name in content(two) if name.startswith((".", "unfinished"))]
    assert not leftovers(two)


def content(folder: Path) -> dict[str, bytes]:
    """Read all files of an output folder, but for its record."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        name.as_posix(): (folder / name).read_bytes() for name in names if name.parts[0] != HIDDEN
    }


def leftovers(folder: Path) -> list[Path]:
    """List what is half written in an output folder."""
    return list((folder / HIDDEN / "tmp").iterdir())
