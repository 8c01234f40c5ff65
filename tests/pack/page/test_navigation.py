"""Moving on a page, in the browser: rows, views, mouse, keys, fingers, links."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shapenet3d_cma.pack.page.inspect import ViewRequest, inspect_data, report_dataset
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.tests.pack.page.browsing import (
    Look,
    canvas,
    choose,
    holds,
    pixel_place,
    readout,
    ready,
    settled,
    until,
)
from shapenet3d_cma.tests.pack.page.plain import PlainAnnotator

pytestmark = pytest.mark.needs("playwright", "bpy")


def test_views_are_shown_as_a_strip_and_as_cameras_in_the_scene(
    gallery: Path, look: Look, keep: Any, tmp_path: Path
) -> None:
    page = look(
        inspect_data(
            gallery / "renders",
            tmp_path / "a.html",
            ViewRequest(row=0, every=True),
            PlainAnnotator,
        )
    )
    strip = page.locator("#strip button")
    assert strip.count() == 4
    begun = page.evaluate("cma3d.frame.coded.view")
    assert strip.nth(begun).get_attribute("aria-current") == "true"
    other = (begun + 1) % 4
    place = page.evaluate(
        "(at) => { const box = document.getElementById('cloud').getBoundingClientRect();"
        " const frame = cma3d.cloud.frames[at];"
        " const [x, y] = cma3d.cloud.orbit.project(frame.camera.eye, ...cma3d.cloud.paneSize);"
        " return [box.left + x, box.top + y] }",
        other,
    )
    keep(page, "views")
    page.mouse.click(*place)  # a camera in the scene leads to its view
    until(page, f"cma3d.frame.coded.view === {other}")
    assert page.locator("#view").inner_text() == f"view {other}"
    strip.nth(begun).click()
    until(page, f"cma3d.frame.coded.view === {begun}")
    choose(page, "normal")
    assert page.locator("#normal-source").inner_text() == "as rendered"
    page.locator("#others").check()
    assert (
        page.evaluate("cma3d.cloud.panes[0].sets.filter((set) => set.kind === 'stored').length")
        == 4
    )
    keep(page, "views-all-points")


def test_next_and_previous(gallery: Path, rows: Path, look: Look, tmp_path: Path) -> None:
    page = look(rows)
    assert page.locator("#row").inner_text() == "row 1 of 8"
    page.locator("#next").click()
    until(page, "document.getElementById('row').textContent === 'row 2 of 8'")
    assert page.locator("#next").is_disabled()
    page.keyboard.press("p")
    page.keyboard.press("p")
    until(page, "document.getElementById('row').textContent === 'row 0 of 8'")
    page = look(
        inspect_data(
            gallery / "shards", tmp_path / "pages", ViewRequest(rows=(3, 5)), PlainAnnotator
        )
    )
    assert page.locator("#previous").is_disabled()
    page.locator("#next").click()
    page.wait_for_url("**/row-000004.html")
    ready(page)
    assert page.locator("#row").inner_text() == "row 4 of 8"


def test_mouse_and_keys_move_the_points(rows: Path, look: Look) -> None:
    page = look(rows)
    box = canvas(page, "cloud")
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def orbit() -> dict[str, Any]:
        state: dict[str, Any] = page.evaluate("({...cma3d.cloud.orbit})")
        return state

    def changes(act: Callable[[], object], *names: str) -> None:
        before = orbit()
        act()
        after = orbit()
        assert {name for name in before if before[name] != after[name]} == set(names)

    def drag(**options: Any) -> None:
        page.mouse.move(*middle)
        page.mouse.down(**options)
        page.mouse.move(middle[0] + 40, middle[1] + 25, steps=4)
        page.mouse.up(**options)

    changes(drag, "turn")
    changes(lambda: drag(button="right"), "target")
    far = orbit()["distance"]
    turned = f"cma3d.cloud.orbit.distance !== {far!r}"
    changes(lambda: page.mouse.wheel(0, -200) or until(page, turned), "distance")
    page.locator("#cloud").focus()
    changes(lambda: page.keyboard.press("ArrowLeft"), "turn")
    changes(lambda: page.keyboard.press("Shift+ArrowLeft"), "target")
    changes(lambda: page.keyboard.press("+"), "distance")
    page.keyboard.press("c")
    settled(page)
    assert np.allclose(orbit()["turn"], page.evaluate("cma3d.frame.camera.rows"))
    turn = np.array(orbit()["turn"])
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    page.locator("#cloud").focus()
    for _ in range(40):
        page.keyboard.press("ArrowUp")
    turn = np.array(orbit()["turn"])
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert turn[1, 1] <= 0, "the scene never stands on its head"


def test_both_themes_fit_the_window_and_every_control_has_a_label(
    rows: Path, look: Look, keep: Any
) -> None:
    for scheme in ("light", "dark"):
        page = look(rows, color_scheme=scheme)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator("#picture").focus()
        page.keyboard.press("ArrowRight")
        keep(page, scheme)
        size = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert size == [1280, 720], "nothing to scroll"
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, canvas, a')]"
        ".filter((element) => !element.closest('[hidden], [aria-hidden]'))"
        ".filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim()"
        " || element.closest('label'))).map((element) => element.outerHTML)"
    )
    assert unnamed == []
    assert (
        page.locator("#cloud")
        .get_attribute("aria-label")
        .startswith("Point cloud of chair, 2048 points")
    )
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_the_page_works_on_a_phone(gallery: Path, rows: Path, look: Look, keep: Any) -> None:
    row = Shards(gallery / "shards")[1]
    page = look(rows, width=390, height=844, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    u, v = map(int, row["pixels"][0])
    page.touchscreen.tap(*pixel_place(page, row, u + 0.5, v + 0.5))
    values = readout(page)
    assert values["stored"] != "none" or values["pixel"] == f"({u}, {v})"
    holds(values, row, 0)
    keep(page, "phone")
    page.locator("#cloud").scroll_into_view_if_needed()
    box = canvas(page, "cloud")
    before = page.evaluate("cma3d.cloud.orbit.turn")
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(places)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (150, 60))
    for step in range(1, 6):
        touch("touchMove", (150 + 8 * step, 60))
    touch("touchEnd")
    assert page.evaluate("cma3d.cloud.orbit.turn") != before
    distance = page.evaluate("cma3d.cloud.orbit.distance")
    touch("touchStart", (150, 60), (200, 60))
    touch("touchMove", (130, 60), (230, 60))
    touch("touchEnd")
    assert page.evaluate("cma3d.cloud.orbit.distance") < distance, "two fingers apart come nearer"
    keep(page, "phone-points")


def test_the_report_opens_the_pages(gallery: Path, look: Look, keep: Any, tmp_path: Path) -> None:
    out = report_dataset(gallery / "shards", tmp_path / "report.html", PlainAnnotator(), most=5)
    for scheme, width, height in (("light", 1280, 900), ("dark", 390, 844)):
        page = look(out, color_scheme=scheme, width=width, height=height)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"report-{scheme}")
    assert page.locator("#verdict").get_attribute("data-verdict") == "holds"
    page.locator("#search").fill("nothing like it")
    assert page.locator("li[data-name]:visible").count() == 0
    page.locator("#search").fill("CHAIR")
    assert page.locator("li[data-name]:visible").count() == 5
    page.locator("li[data-name] a").nth(1).click()
    ready(page)
    assert page.locator("#row").inner_text() == "row 1 of 8"
    page.locator("#next").click()
    page.wait_for_url("**/row-000003.html")
    ready(page)
    page.get_by_text("report", exact=True).click()
    page.wait_for_url("**/report.html")
