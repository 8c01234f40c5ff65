"""A page in Debian's Chromium: open, point, read the read-out, take photographs of the window."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shapenet3d_cma.core.outputs import write_file
from shapenet3d_cma.pack.page.html import PAGE
from shapenet3d_cma.tests.waiting import wait_for

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


LAYERS = ("rgb", "depth", "normal", "patches", "mask")


Page = Any


Look = Callable[..., Page]


def write_page(path: Path, text: str) -> Path:
    return write_file(path, PAGE, text.encode())


def ready(page: Page) -> None:
    page.wait_for_selector("html[data-ready=yes]")


def until(page: Page, condition: str) -> None:
    """Wait for a condition; asked from outside, since the page lets no text be run by what polls inside of it."""
    wait_for(lambda: page.evaluate(condition))


def settled(page: Page) -> Page:
    """Wait until the page has landed where it flies to and has drawn all that it was asked to: then a frame more."""
    until(page, "!window.cma3d?.cloud || (!cma3d.cloud.flight && cma3d.cloud.waiting === null)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page


def canvas(page: Page, name: str) -> dict[str, float]:
    """Return the place of a canvas in the window: x, y, width, height."""
    box: dict[str, float] = page.locator(f"#{name}").bounding_box()
    return box


def pixel_place(page: Page, row: Any, u: float, v: float) -> tuple[float, float]:
    """Return the place in the window of an image position, as long as the image is not zoomed."""
    box, (height, width) = canvas(page, "picture"), row["depth"].shape
    scale = min(box["width"] / width, box["height"] / height)
    return box["x"] + box["width"] / 2 + (u - width / 2) * scale, box["y"] + box["height"] / 2 + (
        v - height / 2
    ) * scale


def readout(page: Page) -> dict[str, str]:
    """Read the read-out."""
    values: dict[str, str] = page.evaluate(
        "Object.fromEntries(['stored', 'full', 'pixel', 'projects', 'xyz', 'depth', 'colour', 'patch']"
        ".map((name) => [name, document.getElementById('out-' + name).textContent]))"
    )
    return values


def expected(row: Any, i: int) -> dict[str, str]:
    """Say what the read-out should tell of a stored point, from the shard."""
    u, v = map(int, row["pixels"][i])
    number = int((row["depth"].ravel()[: v * row["depth"].shape[1] + u] > 0).sum())
    return {
        "stored": f"{i:,}",
        "full": f"{number:,} of {int(row['num_points']):,}",
        "pixel": f"({u}, {v})",
        "projects": f"✓ {u + 0.5:.3f}, {v + 0.5:.3f}",
        "xyz": " ".join(f"{value:.4f}" for value in row["points"][i]).replace("-", "−"),
        "depth": f"{row['depth'][v, u]:.5f}",
        "colour": ", ".join(map(str, row["rgb"][v, u])),
    }


def holds(values: dict[str, str], row: Any, i: int) -> None:
    for name, text in expected(row, i).items():
        assert values[name] == text, (i, name)


def choose(page: Page, layer: str) -> None:
    page.locator(f"input[name=layer][value={layer}]").check(force=True)


def photograph(page: Page) -> np.ndarray:
    """Return what the window shows: (height, width, 3) uint8."""
    page.mouse.move(1, 1)
    return np.asarray(Image.open(io.BytesIO(settled(page).screenshot())).convert("RGB"))


def painted(page: Page, photo: np.ndarray, row: Any, u: int, v: int) -> list[int]:
    """Read the colour that the image panel has in the middle of a pixel."""
    x, y = pixel_place(page, row, u + 0.5, v + 0.5)
    colour: list[int] = photo[int(y), int(x)].tolist()
    return colour


def frame_rate(page: Page) -> float:
    """Drag the points about for a while: pictures of them a second."""
    page.bring_to_front()
    box = canvas(settled(page), "cloud")
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    begun, before, way = time.monotonic(), page.evaluate("cma3d.cloud.draws"), 0.0
    while way < 1.5:
        way = time.monotonic() - begun
        page.mouse.move(box["x"] + 100 + 100 * min(way, 1.5), box["y"] + 100 + 25 * min(way, 1.5))
    rate: float = (page.evaluate("cma3d.cloud.draws") - before) / (time.monotonic() - begun)
    page.mouse.up()
    return rate
