"""The layers of a page, in the browser: image, depth, normals, patches, masks, the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
import pytest

from shapenet3d_cma.model.monitor.annotate import RATIOS, SEEDS, NetworkAnnotator
from shapenet3d_cma.pack.page.html import page_html
from shapenet3d_cma.pack.page.inspect import ViewRequest, inspect_data
from shapenet3d_cma.pack.page.view import shard_views
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.tests.pack.page.browsing import (
    LAYERS,
    Look,
    choose,
    painted,
    photograph,
    pixel_place,
    readout,
    settled,
    write_page,
)

pytestmark = pytest.mark.needs("playwright", "bpy")


def test_each_layer_shows_what_is_stored(gallery: Path, rows: Path, look: Look, keep: Any) -> None:
    row, page = Shards(gallery / "shards")[1], look(rows)
    with h5py.File(gallery / "renders" / str(row["synset"]) / f"{row['model_id']}.h5") as file:
        rendered = file["normal"][int(row["view"])]
    depth, seen = row["depth"], row["depth"] > 0
    inside = [
        (u, v) for u, v in row["pixels"][::40] if (depth[v - 2 : v + 3, u - 2 : u + 3] > 0).all()
    ]
    assert len(inside) > 20
    pictures = {}
    for layer in LAYERS:
        choose(page, layer)
        page.locator("#dots").set_checked(layer in ("patches", "mask"))
        photo = photograph(page)
        pictures[layer] = photo.tobytes()
        legends = page.locator("[data-legend]:visible")
        assert legends.count() == (0 if layer == "rgb" else 1)
        if layer == "rgb":
            for u, v in inside:
                assert painted(page, photo, row, u, v) == row["rgb"][v, u].tolist()
        if layer == "depth":
            near, far = depth[seen].min(), depth[seen].max()
            for u, v in inside:
                colour = mpl.colormaps["viridis"]((far - depth[v, u]) / (far - near), bytes=True)[
                    :3
                ]
                assert (
                    np.abs(np.subtract(painted(page, photo, row, u, v), np.int16(colour))).max()
                    <= 4
                )
        if (
            layer == "normal"
        ):  # a shard has none: they are from the depth, and agree with those that were rendered
            apart = []
            for u, v in inside:
                right, down, ahead = row["cam_from_obj"][:3, :3] @ rendered[v, u]
                normal = np.subtract(painted(page, photo, row, u, v), 127.5) / 127.5
                apart.append(np.degrees(np.arccos(np.clip(normal @ [right, -down, -ahead], -1, 1))))
            assert np.median(apart) < 4
        keep(page, f"layer-{layer}")
    assert len(set(pictures.values())) == len(LAYERS)


@pytest.mark.needs("torch")
def test_the_mask_layer_shows_the_masks_of_training(
    gallery: Path, rows: Path, look: Look, keep: Any
) -> None:
    from shapenet3d_cma.model.config import PretrainConfig
    from shapenet3d_cma.model.monitor.figures import STRATEGIES, all_masks, patch_indices

    row, page = Shards(gallery / "shards")[1], look(rows)
    points, cells, grid = all_masks(row["pixels"], 1, (224, 224), PretrainConfig(), RATIOS, SEEDS)
    indices = patch_indices(row["points"], 64, 32)
    choose(page, "mask")
    for t, strategy in enumerate(STRATEGIES):
        page.locator(f"input[name=strategy][value='{t}']").check(force=True)
        assert page.locator("input[name=strategy]:checked + span").inner_text() == strategy
        for r, s, rule in ((RATIOS.index(0.6), 0, True), (0, 3, False), (len(RATIOS) - 1, 7, True)):
            page.locator("#ratio").fill(str(r))
            page.locator("#seed").fill(str(s))
            page.locator("#collisions").set_checked(rule)
            shown = page.evaluate(
                "(() => { const { masks } = cma3d;"
                " return [[...masks.points], [...masks.cells]] })()"
            )
            assert shown[0] == points[r, s, int(rule)].astype(int).tolist()
            assert shown[1] == cells[t, r, s, int(rule)].astype(int).tolist()
            caption = page.locator("#mask-caption").inner_text()
            assert f"{points[r, s, int(rule)].sum()} of 64 patches" in caption
            assert f"{cells[t, r, s, int(rule)].sum()} of 196 image cells" in caption
            if rule and s == 0:
                keep(page, f"mask-{strategy}")
    page.locator("#dots").set_checked(False)
    photo = photograph(page)
    for cell in range(0, 196, 7):
        v, u = (16 * (cell // grid[1]) + 8, 16 * (cell % grid[1]) + 8)
        plain = painted(page, photo, row, u, v) == row["rgb"][v, u].tolist()
        assert plain != cells[len(STRATEGIES) - 1, len(RATIOS) - 1, 7, 1, cell], (
            "a masked cell is veiled, another is not"
        )
    i = int(indices[5, 3])
    page.mouse.move(*pixel_place(page, row, *(row["pixels"][i] + 0.5)))
    patches_read = readout(page)["patch"]
    masked = points[-1, 7, 1]
    assert sorted(patches_read.split(", ")) == sorted(
        f"{g} {'masked' if masked[g] else 'visible'}"
        for g in np.unique(np.argwhere(indices == i)[:, 0])
    )
    colours = page.evaluate(
        "(({ visible, masked }) => [...cma3d.cloud.panes[0].sets[0].colours]"
        ".map((word) => [visible, masked].indexOf(word)))(cma3d.picture.look)"
    )
    held = np.zeros((64, 2048), bool)
    np.put_along_axis(held, indices.astype(int), True, axis=1)
    seen, hidden = (held[kind].any(axis=0) for kind in (~masked, masked))
    assert np.array_equal(np.equal(colours, 0), seen), (
        "what the encoder sees is coloured as visible"
    )
    assert np.array_equal(np.equal(colours, 1), hidden & ~seen)


@pytest.mark.needs("torch")
def test_a_reconstruction_is_shown_beside_the_truth(
    gallery: Path, look: Look, keep: Any, tmp_path: Path
) -> None:
    from shapenet3d_cma.demo import pretrain_settings
    from shapenet3d_cma.model.train.pretraining import pretrain

    settings = pretrain_settings().replace(epochs=3, threads=1)
    pretrain(gallery / "shards", tmp_path / "run", settings, report=lambda _: None)
    out = inspect_data(
        gallery / "shards",
        tmp_path / "a.html",
        ViewRequest(row=1, run=tmp_path / "run"),
        NetworkAnnotator,
    )
    page = look(out)
    choose(page, "network")
    assert page.evaluate("cma3d.cloud.panes.map((pane) => pane.title)") == [
        "the truth",
        "the network",
    ]
    before = page.locator("#cloud").screenshot()
    page.locator("#network-seed").fill("2")
    assert settled(page).locator("#cloud").screenshot() != before
    assert "Chamfer distance" in page.locator("#network-caption").inner_text()
    keep(page, "reconstruction")


def test_without_masks_the_page_says_why(gallery: Path, look: Look, tmp_path: Path) -> None:
    views = shard_views(Shards(gallery / "shards"), [1])
    missing = {"patches": "No torch.", "mask": "No torch."}
    page = look(
        write_page(tmp_path / "a.html", page_html(views, total=1, source="x", missing=missing))
    )
    assert page.locator("#missing").inner_text() == "No torch."
    for layer in ("patches", "mask"):
        assert page.locator(f"input[name=layer][value={layer}]").is_disabled()
    page.keyboard.press("5")
    assert page.evaluate("cma3d.state.layer") == "rgb"
    page = look(
        write_page(
            tmp_path / "b.html",
            page_html([dataclasses.replace(views[0], missing="Few.")], total=1, source="x"),
        )
    )
    assert page.locator("#missing").inner_text() == "Few."
