"""A PLY file holds the very numbers that it was made from."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.reconstruct.ply import encode_ply

TYPES = {"float": "f4", "double": "f8", "uchar": "u1", "ushort": "u2", "uint": "u4", "int": "i4"}


@given(
    st.integers(0, 9).flatmap(
        lambda count: st.dictionaries(
            st.sampled_from(["x", "y", "z", "red", "u", "v", "part"]),
            st.sampled_from(list(TYPES.values())).flatmap(
                lambda dtype: hnp.arrays(np.dtype(dtype), count)
            ),
            min_size=1,
        )
    )
)
def test_what_was_encoded_is_read_back(vertices: dict[str, np.ndarray]) -> None:
    head, _, body = encode_ply(vertices, ["a comment"]).partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "comment a comment"]
    properties = [line.split()[1:] for line in lines if line.startswith("property")]
    rows = np.frombuffer(body, [(name, "<" + TYPES[kind]) for kind, name in properties])
    assert [name for _, name in properties] == list(vertices)
    assert f"element vertex {len(rows)}" in lines
    for name, values in vertices.items():
        assert rows[name].tobytes() == values.tobytes()
