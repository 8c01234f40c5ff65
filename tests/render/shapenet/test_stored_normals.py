"""Stored normals are compared with the faces that use them, whatever the text holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.render.mesh.obj import parse_obj
from shapenet3d_cma.render.shapenet.stored_normals import FaceText, share_of_stray_normals

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def share(text: str | bytes) -> float:
    data = text.encode() if isinstance(text, str) else text
    return share_of_stray_normals(FaceText.find(data), parse_obj(data).vertices)


@given(st.floats(-180, 180), st.sampled_from(["1//1 2//1 3//1", "1/1/1 2/2/1 3/3/1"]))
def test_a_normal_strays_from_30_degrees_on(degrees: float, face: str) -> None:
    angle = np.radians(degrees)
    text = SQUARE + f"vn {np.sin(angle)} 0 {np.cos(angle)}\nvt 0 0\n" + f"f {face}\n" * 2
    off = min(abs(degrees), 180 - abs(degrees))  # whichever side is seen
    if abs(off - 30) > 1e-6:
        assert share(text) == (off > 30)


@given(st.binary(max_size=80) | st.text("fvn/ 12.-\n\t", max_size=80))
def test_any_text_has_a_share(text: str | bytes) -> None:
    assert 0 <= share(text) <= 1


def test_the_share_is_of_the_triangles_that_have_normals() -> None:
    text = SQUARE + "vn 0 0 1\nvn 1 0 0\n"
    faces = "f 1//1 2//1 3//1\nf 1//2 3//2 4//2\nf 1 2 3\nf 1//9 2//9 3//9\nf 1//2 2//2 3//2 4//2\n"
    assert share(text + faces) == 0.5
    assert share(text.replace("vn 1 0 0", "vn x 0 0") + faces) == 0.0
    assert share(SQUARE + faces) == 0.0


def test_negative_indices_are_seen() -> None:
    assert FaceText.find(b"v 0 0 0\nf 1/1 2/-2 3\n").counts_backwards
    assert not FaceText.find(b"v 0 -1 0\nf 1 2 3\n").counts_backwards
