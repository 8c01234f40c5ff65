"""Files of views: what is accepted places cameras that can be rendered from, the rest is refused in a line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render.cameras import load_view_file, place_cameras
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz

VERTICES = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
STRANGE = [
    None,
    True,
    "30",
    [],
    {},
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    5e-324,
    0,
    -1,
    10**400,
    90,
    1e-9,
    1e9,
    "\x1b",
]

numbers = st.floats(-180, 180) | st.sampled_from(STRANGE) | st.floats() | st.integers()
names = st.sampled_from(
    ["azimuth", "elevation", "distance", "roll", "zoom", "cam_from_obj", "\x1b", "a" * 5000]
)
matrices = st.lists(st.lists(numbers, max_size=5), max_size=5) | st.just(np.eye(4).tolist())
right = st.fixed_dictionaries({"azimuth": st.floats(-180, 180), "elevation": st.floats(-90, 90)})
views = (
    right
    | st.dictionaries(names, numbers | matrices, max_size=4)
    | st.fixed_dictionaries({"cam_from_obj": matrices})
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    entries: Any = draw(st.lists(right | views | numbers, max_size=4) | views | numbers)
    text = bytearray(json.dumps(entries).encode())
    if draw(st.booleans()) and text:
        place = draw(st.integers(0, len(text) - 1))
        text[place : place + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.just(b"[" * 3000)
        )
    return bytes(text)


def read(path: Path) -> None:
    """Read a file; cameras of what is accepted must be finite, and apart from the object's middle."""
    config = load_view_file(RenderConfig(cameras=str(path)))
    cameras = place_cameras(VERTICES, config, "a")
    assert len(cameras) == config.views
    for camera in cameras:
        assert np.isfinite(camera.cam_from_obj).all()


@fuzz
@given(files())
def test_view_files(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "views.json"
    path.write_bytes(content)
    with bounded("views", content, inside=path.parent, seconds=5, mib=256):
        read(path)


LONG = {
    "deep": b"[" * 10_000_000,
    "many": b'[{"azimuth": 1, "elevation": 2}' + b', {"azimuth": 1, "elevation": 2}' * 65535 + b"]",
    "number": b'[{"azimuth": ' + b"9" * 1_000_000 + b"}]",
    "quotes": b'"\\"' * 1_000_000,
    "keys": b'[{"' + b"a" * 4_000_000 + b'": 1}]',
    "large": b" " * (64 << 20) + b"[]",
}


@pytest.mark.parametrize("name", LONG)
def test_long_files_take_no_long_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "views.json").write_bytes(LONG[name])
    with bounded("views", inside=tmp_path, seconds=20, mib=1024):
        read(tmp_path / "views.json")
        raise AssertionError("accepted")


@pytest.mark.parametrize("path", corpus("views"), ids=lambda path: path.name)
def test_past_failures_are_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "views.json"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"views\.json"):
        load_view_file(RenderConfig(cameras=str(copy)))
    with bounded("views", inside=tmp_path, seconds=10, mib=256):
        read(copy)
