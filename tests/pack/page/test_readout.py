"""The read-out of a page, in the browser: each pixel names its point, each point its pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.tests.pack.page.browsing import (
    Look,
    canvas,
    holds,
    pixel_place,
    readout,
    settled,
)

pytestmark = pytest.mark.needs("playwright", "bpy")


def test_the_readout_of_a_pixel_names_its_point(
    gallery: Path, rows: Path, look: Look, keep: Any
) -> None:
    row, page = Shards(gallery / "shards")[1], look(rows)
    for i in np.linspace(0, 2047, 220).astype(int):
        page.mouse.move(*pixel_place(page, row, *(row["pixels"][i] + 0.5)))
        holds(readout(page), row, int(i))
    keep(page, "image-to-points")
    page.mouse.move(*pixel_place(page, row, 2.5, 2.5))
    values = readout(page)
    assert (values["stored"], values["pixel"], values["depth"]) == (
        "none",
        "(2, 2)",
        "0, background",
    )


def test_the_readout_of_a_point_names_its_pixel(
    gallery: Path, rows: Path, look: Look, keep: Any
) -> None:
    row, page = Shards(gallery / "shards")[1], look(rows)
    page.evaluate("cma3d.cloud.go('object', true)")
    drawn = page.evaluate("cma3d.drawnPoints()")
    assert len(drawn) >= 220
    for i, x, y in drawn[:: len(drawn) // 220]:
        page.mouse.move(x, y)
        holds(readout(page), row, i)
    keep(page, "points-to-image")


def test_through_the_camera_the_points_lie_on_their_pixels(
    gallery: Path, rows: Path, look: Look, keep: Any
) -> None:
    """The page's own projection, held against the pixels that are stored."""
    row, page = Shards(gallery / "shards")[1], look(rows)
    page.evaluate("cma3d.cloud.go('camera', true)")
    box = canvas(page, "cloud")
    scale = min(box["width"], box["height"]) / 224
    drawn = page.evaluate("cma3d.drawnPoints()")
    assert len(drawn) >= 200
    for i, x, y in drawn:
        u, v = row["pixels"][i] + 0.5
        assert (
            abs(x - box["x"] - box["width"] / 2 - (u - 112) * scale) < 0.5
        )  # a canvas is whole pixels wide
        assert (
            abs(y - box["y"] - box["height"] / 2 - (v - 112) * scale) < 0.5
        )  # a canvas is whole pixels wide
    keep(page, "through-the-camera")


def test_all_reconstructed_points_can_be_pointed_at(
    gallery: Path, rows: Path, look: Look, keep: Any
) -> None:
    row, page = Shards(gallery / "shards")[1], look(rows)
    page.locator("input[name=cloud][value=all]").check(force=True)
    page.evaluate("cma3d.cloud.go('object', true)")
    settled(page)
    cloud = back_project(row["depth"], Camera(row["intrinsics"], row["cam_from_obj"], 224, 224))
    box, count = canvas(page, "cloud"), 0
    for x in np.linspace(0.3, 0.7, 12):
        for y in np.linspace(0.2, 0.8, 14):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if page.locator("#readout").get_attribute("data-empty") == "yes":
                continue
            values = readout(page)
            number = int(values["full"].split(" of ")[0].replace(",", ""))
            assert values["pixel"] == "({}, {})".format(*cloud.pixels[number])
            assert values["xyz"] == " ".join(
                f"{value:.4f}" for value in cloud.points[number]
            ).replace("-", "−")
            count += 1
    assert count > 20
    keep(page, "all-points")


def test_arrow_keys_walk_over_pixels_and_a_pin_stays(gallery: Path, rows: Path, look: Look) -> None:
    row, page = Shards(gallery / "shards")[1], look(rows)
    u, v = map(int, row["pixels"][10])
    page.mouse.click(*pixel_place(page, row, u + 0.5, v + 0.5))
    page.mouse.move(*pixel_place(page, row, 3, 3))
    assert readout(page)["pixel"] == f"({u}, {v})"
    assert f"Point 10 is pixel {u}, {v}" in page.locator("#spoken").inner_text()
    page.locator("#picture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert readout(page)["pixel"] == f"({u + 1}, {v - 10})"
    page.keyboard.press("Escape")
    assert page.locator("#readout").get_attribute("data-empty") == "yes"
