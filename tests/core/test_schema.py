"""The laws of the schema, on drawn inputs."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.schema import (
    LIBVER,
    RENDER_EXTRAS,
    RENDER_FIELDS,
    SHARD_FIELDS,
    Field,
    create_field,
    file_stamp,
    row_camera,
    shuffle,
)

FIELDS = {field.name: field for field in (*SHARD_FIELDS, *RENDER_FIELDS, *RENDER_EXTRAS)}
NUMBERS = [field for field in FIELDS.values() if field.dtype != "utf-8"]


@st.composite
def field_rows(draw: st.DrawFn) -> tuple[Field, np.ndarray]:
    """Draw a field and an array of its dtype and shape."""
    field = draw(st.sampled_from(NUMBERS))
    letters = {letter: draw(st.integers(1, 6)) for letter in "HWP"}
    return field, draw(hnp.arrays(np.dtype(field.dtype), field.sizes(**letters)))


@given(field_rows())
def test_shuffled_bytes_are_those_of_the_row(drawn: tuple[Field, np.ndarray]) -> None:
    field, row = drawn
    planes = np.frombuffer(bytes(shuffle(row, field)), np.uint8)
    numbers = planes.reshape(row.itemsize, -1).T.tobytes()
    assert numbers == row.astype(row.dtype.newbyteorder("<")).tobytes()


@given(field_rows(), st.integers(1, 3))
def test_a_dataset_returns_the_rows_that_were_stored(
    drawn: tuple[Field, np.ndarray], rows: int
) -> None:
    field, row = drawn
    letters = {
        letter: size
        for letter, size in zip(field.shape, row.shape, strict=True)
        if isinstance(letter, str)
    }
    with h5py.File(io.BytesIO(), "w", libver=LIBVER) as file:
        dataset = create_field(file, field, rows, **letters)
        for index in range(rows):
            dataset[index] = row
        assert dataset.dtype == field.storage
        assert dataset.chunks in (None, (1, *row.shape))
        assert all(dataset[index].tobytes() == row.tobytes() for index in range(rows))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1, 170), st.floats(0, 6))
def test_the_camera_of_a_row_has_the_size_of_its_depth(
    width: int, height: int, fov: float, turn: float
) -> None:
    eye = (2 * np.sin(turn), 0.3, 2 * np.cos(turn))
    camera = Camera.from_fov(fov, width, height).look_at(eye, (0, 0, 0))
    row = {
        "intrinsics": camera.intrinsics,
        "cam_from_obj": camera.cam_from_obj,
        "depth": np.zeros((height, width), np.float32),
    }
    again = row_camera(row)
    assert (again.width, again.height) == (width, height)
    assert np.array_equal(again.intrinsics, camera.intrinsics)
    assert np.array_equal(again.cam_from_obj, camera.cam_from_obj)


@given(
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-2, 2)).filter(
        lambda matrix: np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-6
    )
)
def test_a_row_without_a_rotation_has_no_camera(matrix: np.ndarray) -> None:
    pose = np.eye(4)
    pose[:3, :3] = matrix
    row = {"intrinsics": np.eye(3), "cam_from_obj": pose, "depth": np.zeros((2, 3), np.float32)}
    with pytest.raises(ValueError, match="must hold a rotation"):
        row_camera(row)


@given(st.sampled_from(list(FIELDS.values())), st.tuples(*[st.integers(1, 300)] * 3))
def test_the_letters_of_a_shape_stand_for_the_sizes_of_the_file(
    field: Field, sizes: tuple[int, int, int]
) -> None:
    letters = dict(zip("HWP", sizes, strict=True))
    for size, given_size in zip(field.sizes(**letters), field.shape, strict=True):
        assert size == letters.get(str(given_size), given_size)


@given(st.text(), st.booleans())
def test_a_stamp_opens_with_format_and_kind(kind: str, versioned: bool) -> None:
    stamp = file_stamp(kind, versioned=versioned)
    assert list(stamp)[:2] == ["format", "kind"]
    assert stamp["kind"] == kind
    assert ("schema_version" in stamp) == versioned
