"""Pages in Debian's Chromium, opened from the disk; pictures of them are kept in `screenshots`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shapenet3d_cma.model.monitor.annotate import NetworkAnnotator
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.page.inspect import ViewRequest, inspect_data
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import list_models
from shapenet3d_cma.render.shapenet.selection import Selection
from shapenet3d_cma.tests.pack.page.browsing import (
    CHROMIUM,
    FLAGS,
    Look,
    Page,
    ready,
    settled,
)
from shapenet3d_cma.tests.pictures import screenshots
from shapenet3d_cma.tests.waiting import PATIENCE


@pytest.fixture(scope="session")
def gallery(shapenet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chairs, four views each, of the paper's size, with normals; and their shards, all views."""
    out = tmp_path_factory.mktemp("gallery")
    models = list_models(shapenet, Selection(synsets=("chair",))).models
    config = RenderConfig(views=4, size=224, samples=8, normals=True)
    assert render_models(models, out / "renders", config, jobs=1).rendered == 2
    assert pack_renders(out / "renders", out / "shards", PackConfig(keep="all"), jobs=1).rows == 8
    return out


@pytest.fixture(scope="session")
def rows(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of row 1 and the rows beside it."""
    return inspect_data(
        gallery / "shards",
        tmp_path_factory.mktemp("pages") / "rows.html",
        ViewRequest(row=1),
        NetworkAnnotator,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: `make browser` installs it")
        pytest.skip("no Chromium: `make browser` installs it")  # pytest alone, without `make test`
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Any) -> Iterator[Look]:
    """Open a page from the disk; at the end, nothing was fetched and the console is empty."""
    contexts, requests, messages = [], [], []

    def open_page(path: Path, *, width: int = 1280, height: int = 720, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        ready(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def keep(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keep a picture of what a page shows; where they lie is told at the end of the run."""
    folder = screenshots(request.config)
    folder.mkdir(parents=True, exist_ok=True)

    def save(page: Page, name: str) -> None:
        settled(page).screenshot(path=folder / f"{name}.png")

    return save
