"""Whatever a model came from, the render is the same, and `verify` finds its mesh again."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from PIL import Image

from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.laws import Verdict
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.verify import verify_shards
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import find_renders, open_render
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models, list_models
from shapenet3d_cma.render.shapenet.selection import Layout, Selection
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

pytestmark = pytest.mark.needs("bpy")

SMALL = RenderConfig(views=2, size=48, samples=2)
KINDS = (
    "spaces",
    "backslash",
    "letter-case",
    "parent-path",
    "path-outside",
    "non-ascii",
    "map-d",
    "missing-texture",
)


def surface_law(renders: Path, source: Path, layout: Layout = "auto") -> Verdict:
    """Pack renders and measure their points' distance to the source."""
    shards = renders.parent / f"{renders.name}-shards"
    pack_renders(renders, shards, PackConfig(points=64), jobs=1)
    verdicts = verify_shards(shards, source=source, layout=layout, jobs=1)
    return next(verdict for verdict in verdicts if verdict.law.name == "surface")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Some models with textures of all kinds of names: as folders, and as zips."""
    top = tmp_path_factory.mktemp("input")
    write_samples(
        top / "folders", SamplesConfig(per_category=1, categories="mug", pathologies=True)
    )
    (top / "zips").mkdir()
    chosen = [
        model
        for model in find_models(top / "folders")
        if any(kind in model.model_id for kind in KINDS)
    ]
    (top / "ids").write_text("\n".join(model.key for model in chosen), encoding="utf-8")
    for synset in {model.synset for model in chosen}:
        with zipfile.ZipFile(top / "zips" / f"{synset}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted((top / "folders" / synset).rglob("*")):
                file.write(path, path.relative_to(top / "folders"))
    return top / "folders", top / "zips"


def test_zips_give_the_same_content_as_folders(worlds: tuple[Path, Path], tmp_path: Path) -> None:
    folders, zips = worlds
    selection = Selection(ids=folders.parent / "ids")
    for root, name in ((folders, "a"), (zips, "b")):
        done = render_models(list_models(root, selection).models, tmp_path / name, SMALL, jobs=2)
        assert (done.rendered, done.failures) == (len(KINDS), [])
    for path in find_renders(tmp_path / "a"):
        with (
            h5py.File(path) as one,
            h5py.File(tmp_path / "b" / path.relative_to(tmp_path / "a")) as two,
        ):
            assert dict(one.attrs) == dict(two.attrs)
            assert set(one) == set(two)
            for field in one:
                assert np.array_equal(one[field][...], two[field][...]), field
    law = surface_law(tmp_path / "b", zips)
    assert (law.broken, law.checked) == (0, len(KINDS))


def test_a_flat_folder_is_rendered_and_verified(tmp_path: Path) -> None:
    source = tmp_path / "models"
    (source / "things").mkdir(parents=True)
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    box.export(source / "things" / "plain.stl")
    red, blue = box.copy(), box.copy()
    red.visual.vertex_colors = [255, 0, 0, 255]
    red.export(source / "red.ply")
    look = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.new("RGB", (8, 8), (0, 0, 255))
    )
    blue.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), material=look)
    scene = trimesh.Scene()
    scene.add_geometry(blue, transform=trimesh.transformations.translation_matrix([3, 0, 0]))
    scene.export(source / "things" / "blue.glb")
    models = list_models(source, Selection(layout="flat")).models
    assert render_models(models, tmp_path / "renders", SMALL, jobs=1).rendered == 3
    colours = {}
    for path in find_renders(tmp_path / "renders"):
        with open_render(path) as render:
            colours[render.model_id] = render.rgb(0)[render.depth[0] > 0].astype(int).mean(axis=0)
    assert colours["red"][0] > 2 * colours["red"][2]
    assert colours["blue"][2] > 2 * colours["blue"][0]
    law = surface_law(tmp_path / "renders", source, "flat")
    assert (law.broken, law.checked) == (0, 3)
