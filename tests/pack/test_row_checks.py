"""The laws of one row: each is seen to fail when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.schema import Row
from shapenet3d_cma.pack import row_checks
from shapenet3d_cma.pack.laws import LAWS
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.row_checks import check_row

LIMITS = {law.name: law.limit for law in LAWS}


def shift_pixels(row: Row, i: int) -> Row:
    return row | {"pixels": row["pixels"] + np.uint16([1, 0])}


def swap_two_pixels(row: Row, i: int) -> Row:
    pixels = row["pixels"].copy()
    pixels[[i, i - 1]] = pixels[[i - 1, i]]
    return row | {"pixels": pixels}


def nudge_point(row: Row, i: int) -> Row:
    points = row["points"].copy()
    points[i] += np.float32(2e-7)
    return row | {"points": points}


def repeat_point(row: Row, i: int) -> Row:
    points, pixels = row["points"].copy(), row["pixels"].copy()
    points[i], pixels[i] = points[i - 1], pixels[i - 1]
    return row | {"points": points, "pixels": pixels}


def roll_order(row: Row, i: int) -> Row:
    return row | {name: np.roll(row[name], i + 1, axis=0) for name in ("points", "pixels")}


def mirror_camera(row: Row, i: int) -> Row:
    pose = row["cam_from_obj"].copy()
    pose[i % 3] *= -1
    return row | {"cam_from_obj": pose}


def half_pixel(row: Row, i: int) -> Row:
    """The other convention, cx = (W - 1) / 2."""
    k = row["intrinsics"].copy()
    k[:2, 2] -= 0.5
    return row | {"intrinsics": k}


def opengl_camera(row: Row, i: int) -> Row:
    return row | {"cam_from_obj": np.diag([1.0, -1, -1, 1]) @ row["cam_from_obj"]}


def spoil_depth(row: Row, i: int) -> Row:
    depth = row["depth"].copy()
    depth.flat[i] = (np.nan, np.inf, -1)[i % 3]
    return row | {"depth": depth}


def count_one_more(row: Row, i: int) -> Row:
    return row | {"num_points": row["num_points"] + 1}


def no_image(row: Row, i: int) -> Row:
    return row | {"rgb": np.full_like(row["rgb"], i)}


def image_of_another(row: Row, i: int) -> Row:
    return row | {"rgb": np.roll(row["rgb"], row["rgb"].shape[0] // 2, axis=0)}


@pytest.mark.parametrize(
    ("damage", "laws"),
    [
        (shift_pixels, {"pixel", "pixel centre"}),
        (swap_two_pixels, {"pixel", "pixel centre", "point"}),
        (nudge_point, {"point"}),
        (repeat_point, {"distinct pixels", "farthest point order"}),
        (roll_order, {"farthest point order"}),
        (mirror_camera, {"camera"}),
        (half_pixel, {"pixel centre", "point"}),
        (opengl_camera, {"pixel", "pixel centre", "point"}),
        (spoil_depth, {"finite"}),
        (count_one_more, {"num_points"}),
        (no_image, {"image"}),
        (image_of_another, {"outline"}),
    ],
)
@settings(max_examples=12)
@given(index=st.integers(0, 7), i=st.integers(0, 254))
def test_a_broken_law_is_named(
    shards: Path, damage: Callable[[Row, int], Row], laws: set[str], index: int, i: int
) -> None:
    """Any of the rows, damaged at any of its points."""
    row = Shards(shards)[index]
    broken = {
        name for name, value in check_row(damage(row, i)).items() if not value <= LIMITS[name]
    }
    assert laws <= broken


@given(st.data())
def test_the_outline_counts_what_is_painted_far_from_the_object(data: st.DataObject) -> None:
    """A pixel is far if more than two pixels lie between it and any depth, along either axis."""
    height, width = data.draw(st.integers(6, 16)), data.draw(st.integers(6, 16))
    v, u = np.indices((height, width))
    pixel = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    depth, near = np.zeros((height, width), np.float32), np.zeros((height, width), bool)
    for row, column in data.draw(st.lists(pixel, max_size=3)):
        depth[row, column] = 1
        near |= (abs(v - row) <= 2) & (abs(u - column) <= 2)
    rgb = np.full((height, width, 3), data.draw(st.integers(0, 255)), np.uint8)
    painted = np.zeros((height, width), bool)
    for row, column in data.draw(st.lists(pixel, max_size=12)):
        painted[row, column] = True
    assume(2 * (painted & ~near).sum() < (~near).sum())  # the rest is the background
    rgb[painted] = (int(rgb[0, 0, 0]) + 100) % 256
    assert row_checks._stray_share(rgb, depth) == (painted & ~near).sum() / depth.size
