"""The images of real Blender: depth, colour, materials and light of a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import open3d as o3d
import pytest
import trimesh
from PIL import Image

from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import Render, find_renders, open_render
from shapenet3d_cma.render.rendering import read_failures, render_models
from shapenet3d_cma.render.shapenet.listing import Model, find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

SMALL = RenderConfig(views=3, size=48, samples=2, colour="best")


def ray_cast(
    render: Render, view: int, obj: Path
) -> tuple[np.ndarray, o3d.t.geometry.RaycastingScene]:
    """Planar depth of the OBJ, as trimesh reads it, along the ray through each pixel's centre."""
    mesh = trimesh.load(obj, force="mesh", process=False, skip_materials=True)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.asarray(mesh.vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.asarray(mesh.faces, np.uint32)),
    )
    camera = render.camera(view)
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    far = (
        camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye
    )  # one unit of planar depth long
    rays = np.concatenate([np.broadcast_to(camera.eye, far.shape), far], axis=-1).astype(np.float32)
    return scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy(), scene


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file}, dict(file.attrs)


def test_depth_equals_a_ray_cast_of_the_source_mesh(shapenet: Path, renders: Path) -> None:
    pixels = mismatched = 0
    errors = []
    for path in find_renders(renders):
        with open_render(path) as render:
            obj = shapenet / render.synset / render.model_id / "models" / "model_normalized.obj"
            for view, depth in enumerate(render.depth):
                cast, _ = ray_cast(render, view, obj)
                hit, seen = np.isfinite(cast), depth > 0
                pixels += int(hit.sum())
                mismatched += int((hit != seen).sum())
                errors.append(np.abs(cast - depth)[hit & seen])
    error = np.concatenate(errors)
    assert pixels > 30_000
    assert mismatched <= pixels / 10_000
    assert np.median(error) <= 1e-6
    assert (
        error > 1e-4
    ).mean() <= 1e-4  # where two surfaces lie closer together than float32 tells apart


def test_the_object_is_upright_and_in_frame(shapenet: Path, renders: Path) -> None:
    for path in find_renders(renders):
        with open_render(path) as render:
            for view, depth in enumerate(render.depth):
                edge = np.concatenate([depth[0], depth[-1], depth[:, 0], depth[:, -1]])
                assert not edge.any(), "cropped"
                camera = render.camera(view)
                low, high = camera.project([[0, 0, 0], [0, 0.1, 0]])[0]
                assert high[1] < low[1], "+Y must point up in the image"


def test_pixels_with_depth_have_colour_and_the_others_background(renders: Path) -> None:
    for path in find_renders(renders):
        with open_render(path) as render:
            assert render.shaded.all()
            for view, depth in enumerate(render.depth):
                painted = (render.rgb(view) < 250).any(axis=-1)
                solid = depth > 0
                inner = solid.copy()  # the colour's filter blurs the outline by a pixel
                for axis in (0, 1):
                    for step in (-1, 1):
                        inner &= np.roll(solid, step, axis)
                outer = ~solid
                for _ in range(2):
                    for axis in (0, 1):
                        for step in (-1, 1):
                            outer = outer & np.roll(outer, step, axis)
                assert not painted[outer].any()
                assert painted[inner].mean() > 0.6  # white things stay white


def test_further_fields_agree_with_depth_and_mesh(broken: Path, tmp_path: Path) -> None:
    """Position is a check of the back-projection, normals face the camera, materials are the visible side's."""
    config = RenderConfig(
        views=3,
        size=60,
        aspect=1.5,
        samples=2,
        normals=True,
        positions=True,
        materials=True,
        background="transparent",
    )
    model = Model(
        "03001627", "pathology-doubled-faces", broken / "03001627" / "pathology-doubled-faces"
    )
    assert render_models([model], tmp_path, config, jobs=1).rendered == 1
    with open_render(find_renders(tmp_path)[0]) as render:
        names = render.json("materials")
        for view, depth in enumerate(render.depth):
            camera = render.camera(view)
            assert depth.shape == (60, 90) == (camera.height, camera.width)
            seen = depth > 0
            fields = {
                name: render.rows[name][view]
                for name in ("position", "normal", "material", "alpha")
            }
            cloud = back_project(depth, camera)
            assert np.abs(fields["position"][seen] - cloud.points).max() < 1e-4
            normal = fields["normal"][seen]
            assert np.allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-3)
            towards = camera.eye - cloud.points
            towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            assert (np.einsum("mk,mk->m", normal, towards) > -0.2).mean() > 0.99
            assert {names[index] for index in np.unique(fields["material"][seen])} <= set(names)
            for name in ("position", "normal", "alpha"):
                inside = seen if name != "alpha" else grown(seen)
                assert not fields[name][~inside].any()
            assert (fields["material"][~seen] == 65535).all()
            assert fields["alpha"].max() == 255


OPEN_BOX = """mtllib model_normalized.mtl
v 0 0 0\nv 1 0 0\nv 1 0 1\nv 0 0 1\nv 0 1 0\nv 1 1 0\nv 1 1 1\nv 0 1 1
usemtl outside
f 1 2 3 4\nf 1 5 6 2\nf 2 6 7 3\nf 3 7 8 4\nf 4 8 5 1
usemtl inside
f 4 3 2 1\nf 2 6 5 1\nf 3 7 6 2\nf 4 8 7 3\nf 1 5 8 4
"""


def test_each_side_of_a_doubled_face_shows_its_own_material(tmp_path: Path) -> None:
    """A box without a lid, red outside and blue inside: its walls are red, what is seen through the top is blue."""
    folder = tmp_path / "shapenet" / "03001627" / "box"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model_normalized.obj").write_text(OPEN_BOX)
    (folder / "models" / "model_normalized.mtl").write_text(
        "newmtl outside\nKd 1 0 0\nnewmtl inside\nKd 0 0 1\n"
    )
    config = RenderConfig(
        views=4, size=64, samples=4, elevation=(65, 65), cameras="ring", materials=True
    )
    render_models([Model("03001627", "box", folder)], tmp_path / "renders", config, jobs=1)
    with open_render(find_renders(tmp_path / "renders")[0]) as render:
        assert render.json("repairs") == {"opposite pairs merged": 5}
        assert render.json("materials") == ["outside", "inside"]
        for view in range(4):
            material, rgb = render.rows["material"][view], render.rgb(view).astype(int)
            camera = render.camera(view)
            # the middle of the floor is seen through the open top; the nearest wall's middle from
            # outside
            towards = np.sign(camera.eye - 0.5)
            floor = np.array([0.5, 0, 0.5])
            wall = np.array([0.5 + 0.5 * towards[0], 0.5, 0.5])
            for point, index, channel in ((floor, 1, 2), (wall, 0, 0)):
                u, v = np.floor(camera.project(point)[0]).astype(int)
                if abs(camera.eye[0] - 0.5) > abs(camera.eye[2] - 0.5) or index:
                    assert material[v, u] == index
                    assert rgb[v, u].argmax() == channel
            reds, blues = (material == 0), (material == 1)
            assert (rgb[reds].argmax(axis=-1) == 0).mean() > 0.9
            assert (rgb[blues].argmax(axis=-1) == 2).mean() > 0.9
            assert reds.sum() > 100
            assert blues.sum() > 200


def make_model(root: Path, name: str, obj: str, mtl: str) -> Model:
    """Write a model by hand."""
    folder = root / "shapenet" / "03001627" / name
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model_normalized.obj").write_text("mtllib model_normalized.mtl\n" + obj)
    (folder / "models" / "model_normalized.mtl").write_text(mtl)
    return Model("03001627", name, folder)


FRONT = RenderConfig(views=4, size=48, samples=32, cameras="ring", elevation=(0, 0), turn=False)
"""Views from +Z, +X, -Z and -X."""


def linear(rgb: np.ndarray) -> np.ndarray:
    value = rgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_textures_colours_and_opacity_are_what_the_mtl_says(tmp_path: Path) -> None:
    """A sheet of four parts. Seen from the front: white, grey, half-covered by its mask, red texture; behind: blue."""
    model = make_model(
        tmp_path,
        "sheet",
        "".join(f"v {x} {y} 0\n" for y in (0, 1) for x in range(5))
        + "vt 0.25 0.5\nvt 0.75 0.5\n"
        + "usemtl white\nf 1/1 2/1 7/1 6/1\nusemtl grey\nf 2/1 3/1 8/1 7/1\nusemtl masked\nf 3/1 4/1 9/1 8/1\n"
        + "usemtl picture\nf 4/1 5/1 10/1 9/1\nf 9/2 10/2 5/2 4/2\n",
        "newmtl white\nKd 1 1 1\nnewmtl grey\nKd 0.5 0.5 0.5\n"
        "newmtl masked\nKd 0 0 0\nd 0.5\nmap_d mask.png\nnewmtl picture\nmap_Kd two.png\n",
    )
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8, 0] = picture[:, 8:, 2] = 255
    Image.fromarray(picture).save(model.folder / "models" / "two.png")
    Image.fromarray(np.full((8, 16), 128, np.uint8)).save(model.folder / "models" / "mask.png")
    render_models([model], tmp_path / "renders", FRONT, jobs=1)
    with open_render(find_renders(tmp_path / "renders")[0]) as render:
        camera, behind = render.camera(0), render.camera(2)
        assert camera.eye[2] > 0 > behind.eye[2]

        def at(view: int, x: float) -> np.ndarray:
            u, v = np.floor(render.camera(view).project([x, 0.5, 0])[0]).astype(int)
            return render.rgb(view)[v - 1 : v + 2, u - 1 : u + 2].mean(axis=(0, 1))

        white, grey, masked, front, back = (
            at(0, 0.5),
            at(0, 1.5),
            at(0, 2.5),
            at(0, 3.5),
            at(2, 3.5),
        )
        assert np.allclose(linear(grey) / linear(white), linear(np.array(127.5)), atol=0.06), (
            "Kd is a display value"
        )
        assert np.allclose(linear(masked), 0.75, atol=0.08), (
            "mask times d: a quarter of black over white"
        )
        assert front[0] > 100 > front[2]
        assert back[2] > 100 > back[0], "the back has its own texture coordinates"
        assert (render.depth[0] > 0).sum() == (render.depth[2] > 0).sum()


def test_edges_are_sharp_and_curves_smooth(tmp_path: Path) -> None:
    ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    vertices = "".join(f"v {np.cos(a):.6f} {y} {np.sin(a):.6f}\n" for y in (0, 1) for a in ring)
    faces = "".join(
        f"f {k + 1} {k + 17} {(k + 1) % 16 + 17} {(k + 1) % 16 + 1}\n" for k in range(16)
    )
    lid = "f " + " ".join(str(k + 17) for k in range(16)) + "\n"
    model = make_model(tmp_path, "drum", vertices + faces + lid, "")
    config = RenderConfig(views=3, size=64, samples=1, elevation=(30, 30), normals=True)
    render_models([model], tmp_path / "renders", config, jobs=1)
    with open_render(find_renders(tmp_path / "renders")[0]) as render:
        cloud = back_project(render.depth[0], render.camera(0))
        normal = render.rows["normal"][0][cloud.pixels[:, 1], cloud.pixels[:, 0]]
        on_lid = cloud.points[:, 1] > 0.999
        assert (np.abs(normal[on_lid]) @ [0, 1, 0] > 0.999).mean() > 0.97, (
            "the lid is flat to its edge"
        )
        side = cloud.points[~on_lid] * [1, 0, 1]
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        angle = np.degrees(np.arccos(np.clip(np.abs((normal[~on_lid] * side).sum(axis=1)), 0, 1)))
        assert angle.max() < 4, "facets would be up to 11 degrees off"


def test_size_and_place_of_a_model_do_not_matter(tmp_path: Path) -> None:
    faces = "f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    scales = {"large": 300.0, "tiny": 1e-5}
    models = []
    for name, scale in scales.items():
        vertices = cube * scale + 2 * scale
        text = "".join("v {:.9g} {:.9g} {:.9g}\n".format(*vertex) for vertex in vertices)
        models.append(make_model(tmp_path, name, text + faces, ""))
    assert render_models(models, tmp_path / "renders", SMALL, jobs=1).rendered == 2
    for model in models:
        scale = scales[model.model_id]
        with open_render(tmp_path / "renders" / f"{model.key}.h5") as render:
            assert (render.depth > 0).mean() > 0.1
            cast, _ = ray_cast(render, 0, model.obj)
            both = np.isfinite(cast) & (render.depth[0] > 0)
            assert np.abs(cast - render.depth[0])[both].max() < 1e-5 * scale


def grown(mask: np.ndarray) -> np.ndarray:
    """Return a mask with two more pixels all around."""
    for _ in range(2):
        mask = (
            mask
            | np.roll(mask, 1, 0)
            | np.roll(mask, -1, 0)
            | np.roll(mask, 1, 1)
            | np.roll(mask, -1, 1)
        )
    return mask


@pytest.mark.parametrize("light", ["studio", "forest"])
def test_light_comes_from_above_and_turns(shapenet: Path, tmp_path: Path, light: str) -> None:
    """A mug's top is brighter than its bottom, and turning the light changes the picture but not the depth."""
    model = next(model for model in find_models(shapenet) if model.synset == "03797390")
    pictures = []
    for turn in (0, 120):
        config = RenderConfig(views=1, size=48, samples=8, light=light, light_turn=turn)
        render_models([model], tmp_path / str(turn), config, jobs=1)
        pictures.append(contents(find_renders(tmp_path / str(turn))[0])[0])
    assert np.array_equal(pictures[0]["depth"], pictures[1]["depth"])
    seen = pictures[0]["depth"] > 0
    difference = np.abs(pictures[0]["rgb"].astype(int) - pictures[1]["rgb"].astype(int)).mean(
        axis=-1
    )
    assert difference[seen].mean() > 2


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("broken") / "shapenet"
    write_samples(out, SamplesConfig(per_category=1, categories="mug", pathologies=True))
    return out


def test_each_pathology_has_its_announced_outcome(broken: Path, tmp_path: Path) -> None:
    announced = json.loads((broken / "pathologies.json").read_text(encoding="utf-8"))
    done = render_models(find_models(broken), tmp_path, RenderConfig(views=3, size=64, samples=2))
    failed = {(failure["synset"], failure["model_id"]) for failure in done.failures}
    assert failed == {
        (entry["synset"], entry["model_id"]) for entry in announced if entry["outcome"] == "failed"
    }
    assert {(entry["synset"], entry["model_id"]) for entry in read_failures(tmp_path)} == failed
    for entry in announced:
        if entry["outcome"] == "failed":
            continue
        with open_render(tmp_path / entry["synset"] / f"{entry['model_id']}.h5") as render:
            assert render.model_id == entry["model_id"]
            assert render.depth.any(axis=(1, 2)).sum() >= 2
            for view in range(3):
                red, green, blue = np.moveaxis(render.rgb(view).astype(int), -1, 0)
                assert not ((red > 200) & (blue > 200) & (green < 80)).any(), (
                    "purple: a texture was not found"
                )
            properties = entry.get("properties", {})
            if properties.get("pairs"):
                assert render.json("repairs")["opposite pairs merged"] > 0
            if properties.get("texture_shown") is False:
                assert render.json("notes")


def test_repairs_can_be_left_out(broken: Path, tmp_path: Path) -> None:
    """Depth is the same with and without them; what is counted, shown or refused is not."""
    faults = (
        "doubled-faces",
        "duplicate-faces",
        "alpha-zero",
        "letter-case",
        "missing-texture",
        "illum-7",
    )
    models = [
        model
        for model in find_models(broken)
        if model.model_id.removeprefix("pathology-") in faults
    ]
    as_is = {
        "weld": 0.0,
        "merge_doubled": False,
        "drop_duplicates": False,
        "drop_degenerate": False,
    }
    as_is |= {"forgive_paths": False, "opaque_zero": False, "metal": True, "smooth_angle": 180.0}
    config = {"views": 2, "size": 64, "samples": 8}
    assert render_models(
        models, tmp_path / "mended", RenderConfig(**config), jobs=1
    ).rendered == len(faults)
    done = render_models(
        models, tmp_path / "as-is", RenderConfig(**config, **as_is, missing_texture="fail"), jobs=1
    )
    reasons = {
        failure["model_id"].removeprefix("pathology-"): failure["reason"]
        for failure in done.failures
    }
    assert set(reasons) == {"letter-case", "missing-texture"}
    assert all(reason.startswith("texture ") and "missing" in reason for reason in reasons.values())
    for path in find_renders(tmp_path / "as-is"):
        other = tmp_path / "mended" / path.relative_to(tmp_path / "as-is")
        with open_render(path) as render, open_render(other) as mended:
            assert not render.json("repairs")
            assert np.array_equal(render.depth > 0, mended.depth > 0)
            assert np.abs(render.depth - mended.depth).max() < 1e-5
            assert (
                not np.array_equal(render.rgb(0), mended.rgb(0))
                or render.model_id == "pathology-duplicate-faces"
            )


def test_both_sides_show_their_own_material(broken: Path, tmp_path: Path) -> None:
    """Doubled faces must not speckle: the picture equals that of the same mesh with its fronts alone."""
    source = broken / "03001627" / "pathology-doubled-faces"
    single, double = (tmp_path / "shapenet" / "03001627" / name for name in ("single", "double"))
    shutil.copytree(source, single)
    shutil.copytree(source, double)
    obj = single / "models" / "model_normalized.obj"
    lines, seen, keep = obj.read_text().splitlines(), set(), []
    vertices = [line for line in lines if line.startswith("v ")]
    for line in lines:
        if line.startswith("f "):
            key = frozenset(vertices[int(word.split("/")[0]) - 1] for word in line.split()[1:])
            if key in seen:
                continue
            seen.add(key)
        keep.append(line)
    obj.write_text("\n".join(keep) + "\n")
    # without a turn both have the same cameras, whatever they are called
    config = RenderConfig(views=4, size=64, samples=2, elevation=(10, 60), turn=False)
    models = [Model("03001627", folder.name, folder) for folder in (double, single)]
    assert render_models(models, tmp_path / "renders", config, jobs=1).rendered == 2
    doubles, singles = (contents(tmp_path / "renders" / f"{model.key}.h5")[0] for model in models)
    assert np.array_equal(doubles["depth"], singles["depth"])
    difference = np.abs(doubles["rgb"].astype(int) - singles["rgb"].astype(int)).max(axis=-1)
    assert (difference[doubles["depth"] > 0] > 60).mean() < 0.02
