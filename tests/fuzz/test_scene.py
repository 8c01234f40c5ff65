"""Whatever a GLB, glTF, OFF, PLY or STL holds is a mesh, or one model's failure in plain words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.tests.fuzz.bounds import corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import broken, lines
from shapenet3d_cma.tests.fuzz.scenes import exported, read_scene
from shapenet3d_cma.tests.render.mesh.broken_models import gltf

WHOLE = json.loads(gltf())
VALUES = st.one_of(
    st.sampled_from(
        [None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -0.5, "", "x", "../../x", "http://x/y"]
    ),
    st.sampled_from(
        [
            [],
            {},
            [0],
            [[]],
            {"a": 1},
            "data:x;base64,AAAA",
            "data:x;base64,%",
            "VEC2",
            "MAT4",
            5121,
            5125,
        ]
    ),
    st.lists(st.integers(-2, 2), max_size=17),
)
PLY = (
    b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    b"element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    b"0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n4 0 1 2 3\n"
)
HEADER = [
    "element vertex",
    "element face",
    "property float",
    "property list uchar int",
    "property",
    "comment",
    "format",
]


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a glTF document in which some values are others, or not there."""
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        while True:
            key = draw(
                st.sampled_from(
                    sorted(place) if isinstance(place, dict) else list(range(len(place)))
                )
            )
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                break
            place = inner
        if draw(st.booleans()):
            place[key] = copy.deepcopy(draw(VALUES))  # a later step may change it
        else:
            del place[key]
        if not document:
            break
    return json.dumps(document).encode()


DRAWN = {
    "glb": broken(exported("glb")),
    "gltf": documents(),
    "off": st.one_of(
        broken(exported("off")),
        broken(b"OFF\n# a comment\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n4 0 1 2 3\n"),
        lines(["OFF", "3", "0 0", "4 0 1"], most=8),
        lines(["3", "0 0", "4 0 1"], most=8).map(lambda text: b"OFF\n3 1 0\n" + text),
        st.binary(max_size=200),
    ),
    "ply": st.one_of(
        broken(PLY),
        broken(exported("ply")),
        lines(HEADER, most=8).map(lambda text: PLY.replace(b"end_header", text + b"end_header")),
        lines(HEADER, most=8).map(
            lambda text: b"ply\nformat ascii 1.0\n" + text + b"end_header\n0 0 0\n1 0 0\n"
        ),
        st.binary(max_size=200),
    ),
    "stl": st.one_of(broken(exported("stl")), broken(exported("stl_ascii"))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scene")


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("kind", DRAWN)
def test_any_scene(folder: Path, kind: str, data: st.DataObject) -> None:
    read_scene(folder, kind, data.draw(DRAWN[kind]))


@pytest.mark.parametrize(
    "path", [path for kind in DRAWN for path in corpus(kind)], ids=lambda path: path.name
)
def test_past_failures(folder: Path, path: Path) -> None:
    read_scene(folder, path.parent.name, path.read_bytes())
