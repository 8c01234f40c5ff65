"""Whatever a GLB, glTF or STL holds is a mesh, or one model's failure in plain words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.tests.fuzz.bounds import corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import broken
from shapenet3d_cma.tests.fuzz.scenes import exported, read_scene
from shapenet3d_cma.tests.render.test_hostile_models import gltf

WHOLE = json.loads(gltf())
VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -0.5, "", "x", "../../x", "http://x/y"]),
    st.sampled_from([[], {}, [0], [[]], {"a": 1}, "data:x;base64,AAAA", "data:x;base64,%", "VEC2", "MAT4", 5121, 5125]),
    st.lists(st.integers(-2, 2), max_size=17),
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a glTF document in which some values are others, or not there."""
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        while True:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                break
            place = inner
        if draw(st.booleans()):
            place[key] = draw(VALUES)
        else:
            del place[key]
        if not document:
            break
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scene")


@fuzz
@given(data=documents())
def test_any_gltf(folder: Path, data: bytes) -> None:
    read_scene(folder, "gltf", data)


@fuzz
@given(data=broken(exported("glb")))
def test_any_glb(folder: Path, data: bytes) -> None:
    read_scene(folder, "glb", data)


@fuzz
@given(data=st.one_of(broken(exported("stl")), broken(exported("stl_ascii"))))
def test_any_stl(folder: Path, data: bytes) -> None:
    read_scene(folder, "stl", data)


@pytest.mark.parametrize("kind", ["gltf", "glb", "stl"])
def test_past_failures(folder: Path, kind: str) -> None:
    for path in corpus(kind):
        read_scene(folder, kind, path.read_bytes())
