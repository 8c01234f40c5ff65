"""The inspection page and the report without a browser: what they carry, what they escape, how large they are."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.page.charts import bars, histogram, round_ticks, sphere
from shapenet3d_cma.pack.page.coded import code, decode
from shapenet3d_cma.pack.page.html import page_html
from shapenet3d_cma.pack.page.inspect import (
    ViewRequest,
    as_row,
    draw_contact_sheet,
    inspect_data,
    report_dataset,
)
from shapenet3d_cma.pack.page.survey import count_right, survey_shards
from shapenet3d_cma.pack.page.view import View, render_views, shard_views
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.render.render_file import find_renders
from shapenet3d_cma.tests.pack.page.plain import PlainAnnotator

DTYPES = [np.uint8, np.uint16, np.uint32, np.float32, np.float64, np.bool_]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7)


def payload_of(text: str) -> dict[str, Any]:
    """Read what a page carries."""
    found = re.search(
        r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL
    )
    assert found
    payload: dict[str, Any] = json.loads(found[1])
    return payload


def page(views: list[View], **given: Any) -> str:
    return page_html(views, **({"total": 8, "source": "shards"} | given))


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_coded_arrays_are_decoded_bit_for_bit(array: np.ndarray) -> None:
    again = decode(json.loads(json.dumps(code(array))))
    assert again.shape == array.shape
    if array.dtype == np.bool_:
        assert np.array_equal(again, array)
    else:
        assert again.dtype == array.dtype
        assert again.tobytes() == array.tobytes()


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=True)))
def test_steps_lose_nothing(array: np.ndarray) -> None:
    assert decode(code(array, steps=True)).tobytes() == array.tobytes()


def test_steps_are_for_floats_of_four_bytes() -> None:
    with pytest.raises(ValueError, match="steps are for float32, got uint8"):
        code(np.zeros(3, np.uint8), steps=True)


def test_the_page_carries_the_arrays_as_they_are_stored(shards: Path) -> None:
    opened = Shards(shards)
    frames = payload_of(page(shard_views(opened, range(8))))["frames"]
    assert [frame["row"] for frame in frames] == list(range(8))
    for index, frame in enumerate(frames):
        row = opened[index]
        for name in ("rgb", "depth", "intrinsics", "cam_from_obj", "points", "pixels"):
            carried = decode(frame[name])
            assert carried.dtype == row[name].dtype
            assert np.array_equal(carried, row[name]), name
        for name in ("synset", "model_id", "view", "num_points"):
            assert frame[name] == row[name], name


def test_a_page_fetches_nothing_and_runs_only_its_own_code(shards: Path) -> None:
    text = page(shard_views(Shards(shards), [0]))
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert "http" not in text.replace("http-equiv", "")
    script = re.search(r'<script type="module">(.*)</script>', text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy


NASTY = (
    "</script><script>window.bad = 1</script><img src=x onerror='window.bad=1'>{payload}&\u2028\"'"
)


def test_names_and_paths_are_text(shards: Path) -> None:
    (view,) = shard_views(Shards(shards), [0])
    nasty = dataclasses.replace(view, model_id=NASTY, synset=NASTY, missing=NASTY)
    text = page(
        [nasty],
        source=NASTY,
        unit=NASTY,
        missing={"mask": NASTY},
        home=NASTY,
        neighbours=(NASTY, NASTY),
    )
    assert "<img" not in text
    assert text.count("<script") == page([view]).count("<script") == 2
    assert payload_of(text)["frames"][0]["model_id"] == NASTY
    assert html.escape(NASTY) in text


def test_a_row_of_the_default_size_stays_under_a_megabyte() -> None:
    """Even one that deflates badly: noise over three quarters of the image."""
    rng = np.random.default_rng(0)
    depth = np.where(rng.random((224, 224)) < 0.75, 1 + rng.random((224, 224)), 0).astype(
        np.float32
    )
    view = View(
        row=0, synset="03001627", model_id="0" * 32, view=0, stored=True,
        rgb=np.where(depth[..., None] > 0, rng.integers(0, 255, (224, 224, 3)), 255).astype(np.uint8),
        depth=depth, intrinsics=np.eye(3), cam_from_obj=np.eye(4),
        points=rng.random((2048, 3)).astype(np.float32),
        pixels=rng.integers(0, 224, (2048, 2)).astype(np.uint16), num_points=int((depth > 0).sum()),
    )  # fmt: skip
    assert len(page([view]).encode()) < 1_000_000


def test_a_view_of_a_render_equals_its_packed_row(renders: Path, shards: Path) -> None:
    opened = Shards(shards)
    for index, path in enumerate(find_renders(renders)[:3]):
        (view,) = render_views(path, index)
        (row,) = shard_views(opened, opened.find(f"{view.synset}/{view.model_id}"))
        assert view.view == row.view
        assert view.num_points == row.num_points
        assert np.array_equal(view.points[: len(row.points)], row.points)
        assert np.array_equal(view.pixels[: len(row.pixels)], row.pixels)
        assert not view.stored
        assert len(render_views(path, index, every=True)) == 6


def test_missing_rows_and_files_are_refused(renders: Path, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    for path, request, message in (
        (shards, ViewRequest(row=8), "has no row 8: it has rows 0 to 7"),
        (renders, ViewRequest(row=8), "has no model 8: it has models 0 to 7"),
        (shards, ViewRequest(rows=(8, 9)), "has no row 8"),
        (renders, ViewRequest(row=0, view=6), "has no view 6: it has views 0 to 5"),
        (shards, ViewRequest(row=0, view=77), "holds no view 77 of the model"),
        (
            renders,
            ViewRequest(model="zebra"),
            "has no render of the model 'zebra'; it has 8 models",
        ),
        (tmp_path / "none", ViewRequest(row=0), "is not a folder of shards"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            inspect_data(path, out, request, PlainAnnotator)
    with pytest.raises(InputError, match=r"a name that ends in \.html, or in \.png"):
        inspect_data(shards, tmp_path / "page.pdf", ViewRequest(row=0), PlainAnnotator)
    for wrong in ({}, {"row": 1, "model": "x"}, {"rows": (3, 3)}, {"rows": (0, 2), "every": True}):
        with pytest.raises(InputError):
            ViewRequest(**wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_row_comes_with_its_neighbours(shards: Path, renders: Path, tmp_path: Path) -> None:
    def shown(path: Path, request: ViewRequest) -> tuple[list[int], int, list[int]]:
        payload = payload_of(
            inspect_data(path, tmp_path / "a.html", request, PlainAnnotator).read_text(
                encoding="utf-8"
            )
        )
        return (
            [f["row"] for f in payload["frames"]],
            payload["start"],
            [f["view"] for f in payload["frames"]],
        )

    assert shown(shards, ViewRequest(row=3))[:2] == ([2, 3, 4], 1)
    assert shown(shards, ViewRequest(row=0))[:2] == ([0, 1], 0)
    assert shown(shards, ViewRequest(rows=(5, 99)))[:2] == ([5, 6, 7], 0)
    rows, start, views = shown(renders, ViewRequest(row=2, every=True))
    assert (rows, views) == ([2] * 6, list(range(6)))
    (best,) = render_views(find_renders(renders)[2], 2)
    assert views[start] == best.view
    assert shown(renders, ViewRequest(row=2, view=5)) == ([2], 0, [5])
    model = find_renders(renders)[4].stem
    assert shown(renders, ViewRequest(model=model))[:2] == ([3, 4, 5], 1)


def test_a_folder_of_pages_is_linked(shards: Path, tmp_path: Path) -> None:
    first = inspect_data(shards, tmp_path / "pages", ViewRequest(rows=(2, 5)), PlainAnnotator)
    assert first == tmp_path / "pages" / "row-000002.html"
    links = []
    for path in sorted((tmp_path / "pages").glob("*.html")):
        payload = payload_of(path.read_text(encoding="utf-8"))
        links.append((path.name, payload["previous"], payload["next"]))
    assert links == [
        ("row-000002.html", None, "row-000003.html"),
        ("row-000003.html", "row-000002.html", "row-000004.html"),
        ("row-000004.html", "row-000003.html", None),
    ]


def test_a_contact_sheet_shows_the_rows_in_order(shards: Path, tmp_path: Path) -> None:
    sheet = draw_contact_sheet(
        shards, tmp_path / "sheet.png", rows=(2, 8), shows=("rgb", "depth", "points")
    )
    page = np.asarray(Image.open(sheet))
    assert page.shape == (6 * 80, 240, 3)
    opened = Shards(shards)
    for position, index in enumerate(range(2, 8)):
        row = opened[index]
        tile = page[position * 80 :][:80]
        assert np.array_equal(tile[:, :80], row["rgb"])
        shown = (tile[:, 80:160] != 255).any(axis=-1)
        assert np.array_equal(shown, row["depth"] > 0)
        colours = {tuple(colour) for colour in row["rgb"][row["pixels"][:, 1], row["pixels"][:, 0]]}
        assert {tuple(colour) for colour in tile[:, 160:].reshape(-1, 3)} - {
            (255, 255, 255)
        } <= colours
    with pytest.raises(InputError, match=r"give a name that ends in \.png"):
        draw_contact_sheet(shards, tmp_path / "sheet.jpg")
    with pytest.raises(InputError, match="cannot be written"):
        draw_contact_sheet(shards, sheet / "sheet.png")


def test_views_that_cannot_be_drawn_are_refused(shards: Path) -> None:
    (view,) = shard_views(Shards(shards), [0])
    assert np.array_equal(as_row(view)["points"], view.points)
    for wrong, message in (
        ({"rgb": None}, "has no colour: choose another --view"),
        ({"pixels": view.pixels + np.uint16(60)}, "pixels outside its image"),
        ({"points": view.points * np.float32(np.nan)}, "points that are not finite"),
        ({"intrinsics": np.zeros((3, 3))}, "no valid camera"),
    ):
        with pytest.raises(InputError, match=message):
            as_row(dataclasses.replace(view, **wrong))  # type: ignore[arg-type]


# ---- the report ----


@pytest.fixture(scope="module")
def shifted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards whose row 1 has its pixels shifted by one column."""
    copy = shutil.copytree(shards, tmp_path_factory.mktemp("shifted") / "shards")
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["pixels"][1] += np.array([1, 0], np.uint16)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
    manifest["render_failures"] = [
        {"synset": "1", "model_id": "<b>", "kind": "model", "reason": "it <is> hollow"}
    ]
    manifest["left_out"] = [
        {"synset": "1", "model_id": "few", "view": 2, "reason": "3 points"}
    ] * 14
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_the_survey_counts_rows_models_and_points(shards: Path, shifted: Path) -> None:
    opened = Shards(shards)
    survey = survey_shards(opened)
    assert (survey.rows, survey.models, survey.points, survey.image) == (8, 8, 256, (80, 80))
    assert sorted(survey.synsets.values()) == [2, 2, 2, 2]
    assert (survey.checked, survey.right) == (8 * 256, 8 * 256)
    for index in range(8):
        row = opened[index]
        seen = row["depth"][row["depth"] > 0]
        assert (survey.near[index], survey.far[index]) == (seen.min(), seen.max())
        assert survey.num_points[index] == seen.size
        towards = -np.linalg.inv(row["cam_from_obj"])[:3, 2]
        assert np.allclose(survey.directions[index], towards)
    assert survey_shards(Shards(shifted)).right == 7 * 256
    assert len(survey_shards(opened, depths=3).near) == 3
    broken = opened[0] | {"intrinsics": np.zeros((3, 3))}
    assert count_right(broken) == 0


def test_the_report_lists_faults_and_links_every_thumbnail(shifted: Path, tmp_path: Path) -> None:
    out = report_dataset(shifted, tmp_path / "my report.html", PlainAnnotator(), most=5)
    text = out.read_text(encoding="utf-8")
    assert "1,792 of 2,048 stored points re-project" in text
    assert 'id="verdict" data-verdict="broken"' in text
    assert "it &lt;is&gt; hollow" in text
    assert "1 models could not be rendered" in text
    assert "14 views were left out" in text
    links = re.findall(r'<li data-name="[^"]*"><a href="([^"]*)"', text)
    assert len(links) == 5
    for link in links:
        page = tmp_path / link.replace("%20", " ")
        assert '<a href="../my report.html">report</a>' in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "my report-rows").glob("*.html")) == sorted(
        link.split("/")[1] for link in links
    )
    bare = report_dataset(shifted, tmp_path / "bare.html", PlainAnnotator(), most=0)
    assert not (tmp_path / "bare-rows").exists()
    assert "No thumbnails" in bare.read_text(encoding="utf-8")


def test_a_report_needs_shards_and_an_html_name(
    shards: Path, renders: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a report is on shards"):
        report_dataset(renders, tmp_path / "a.html", PlainAnnotator())
    with pytest.raises(InputError, match=r"give a name that ends in \.html"):
        report_dataset(shards, tmp_path / "a.txt", PlainAnnotator())


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    ticks = round_ticks(low, low + width)
    assert len(ticks) <= 7
    assert (
        (ticks >= low - 1e-6 * abs(low) - 1e-9) & (ticks <= low + width + 1e-6 * abs(low) + 1e-9)
    ).all()


@given(hnp.arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32)))
def test_a_histogram_accepts_any_values(values: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        kept = values[np.abs(values) < 1e30]
    text = histogram([("a", kept), ("b", kept)], unit="u", label="l")
    assert text.startswith("<svg" if np.isfinite(kept).any() else "<p")


def test_directions_are_drawn_on_the_right_side_of_the_sphere() -> None:
    """From the front in the middle; from the object's right, +X, to the left; from above at the top."""

    def dot(direction: list[float]) -> tuple[float, float]:
        found = re.findall(
            r'<circle class="dot" cx="([\d.]+)" cy="([\d.]+)"',
            sphere(np.array([direction]), label=""),
        )
        assert len(found) == 1
        return float(found[0][0]), float(found[0][1])

    middle = dot([0, 0, -1])
    assert dot([1, 0, 0])[0] < middle[0] < dot([-1, 0, 0])[0]
    assert dot([0, 1, 0])[1] < middle[1] < dot([0, -1, 0])[1]
    assert dot([1, 0, 0])[1] == middle[1]


def test_bars_are_sorted_and_escaped() -> None:
    text = bars({"<a>": 1, "b": 3}, label="x")
    assert text.index("<span>b</span>") < text.index("<span>&lt;a&gt;</span>")


def test_the_command_writes_a_file_and_prints_its_name(
    cma3d_inside: Callable[..., Any], shards: Path, renders: Path, tmp_path: Path
) -> None:
    for words in (
        ("inspect", shards, "--row", 1, "-o", tmp_path / "row.html"),
        ("inspect", renders, "--row", 1, "--views", "all", "-o", tmp_path / "views.html"),
        ("inspect", shards, "--sheet", tmp_path / "sheet.png"),
        ("inspect", renders, "--row", 1, "-o", tmp_path / "row.png"),
        ("report", shards, "-o", tmp_path / "report.html"),
    ):
        done = cma3d_inside(*words)
        assert (done.returncode, done.stdout.strip()) == (0, str(words[-1])), done.stderr
        assert Path(str(words[-1])).stat().st_size > 1000


def test_open_shows_the_page_in_the_users_browser(
    cma3d: Callable[..., Any], shards: Path, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >"{tmp_path}/opened"\n')
    browser.chmod(0o755)
    words = ("inspect", shards, "--row", 0, "-o", tmp_path / "row.html", "--open")
    assert cma3d(*words, env={"BROWSER": f"{browser} %s"}).returncode == 0
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "row.html").as_uri()


def test_options_that_contradict_each_other_are_refused(
    cma3d_inside: Callable[..., Any], shards: Path, tmp_path: Path
) -> None:
    for words, message in (
        (
            ("inspect", shards, "--row", 0, "--views", "all", "-o", tmp_path / "a.png"),
            "a picture shows one view",
        ),
        (("inspect", shards, "--rows", "3"), "'3' is no range of rows such as 0:64"),
        (("inspect", shards, "--row", "0", "--sheet", "s.png"), "--sheet draws many rows"),
        (("inspect", shards, "--row", "0", "--show", "rgb"), "--show chooses what --sheet draws"),
    ):
        done = cma3d_inside(*words)
        assert done.returncode == 2
        assert message in done.stderr
