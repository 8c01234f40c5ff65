"""Each law is seen to fail when it is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.files import sha256
from shapenet3d_cma.core.schema import SHARD_FIELDS, Row
from shapenet3d_cma.pack.card.sheet import draw_overview, draw_row, draw_sheet
from shapenet3d_cma.pack.laws import LAWS, Law, Verdict
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.row_checks import check_row
from shapenet3d_cma.pack.surface import SourceMesh, distance_to_mesh, read_mesh, source_mesh
from shapenet3d_cma.pack.verify import verdict_table, verify_shards

LIMITS = {law.name: law.limit for law in LAWS}


def test_every_law_holds_on_every_row(shards: Path, shapenet: Path) -> None:
    verdicts = verify_shards(shards, source=shapenet, jobs=2)
    of_splits = ("split", "distinct models")
    assert [verdict.law for verdict in verdicts] == [
        law for law in LAWS if law.name not in of_splits
    ]
    for verdict in verdicts:
        assert verdict.checked == {"attributes": 3, "sha256": 3, "manifest": 1}.get(
            verdict.law.name, 8
        )
        assert verdict.broken == 0, verdict
    assert "8 rows: every law holds" in verdict_table(verdicts)


def shift_pixels(row: Row) -> Row:
    return row | {"pixels": row["pixels"] + np.uint16([1, 0])}


def swap_two_pixels(row: Row) -> Row:
    pixels = row["pixels"].copy()
    pixels[[0, 1]] = pixels[[1, 0]]
    return row | {"pixels": pixels}


def nudge_point(row: Row) -> Row:
    points = row["points"].copy()
    points[100] += np.float32(2e-7)
    return row | {"points": points}


def repeat_point(row: Row) -> Row:
    points, pixels = row["points"].copy(), row["pixels"].copy()
    points[-1], pixels[-1] = points[0], pixels[0]
    return row | {"points": points, "pixels": pixels}


def roll_order(row: Row) -> Row:
    return row | {name: np.roll(row[name], 1, axis=0) for name in ("points", "pixels")}


def mirror_camera(row: Row) -> Row:
    pose = row["cam_from_obj"].copy()
    pose[0] *= -1
    return row | {"cam_from_obj": pose}


def half_pixel(row: Row) -> Row:
    """The other convention, cx = (W - 1) / 2."""
    k = row["intrinsics"].copy()
    k[:2, 2] -= 0.5
    return row | {"intrinsics": k}


def opengl_camera(row: Row) -> Row:
    return row | {"cam_from_obj": np.diag([1.0, -1, -1, 1]) @ row["cam_from_obj"]}


def nan_depth(row: Row) -> Row:
    depth = row["depth"].copy()
    depth[0, 0] = np.nan
    return row | {"depth": depth}


def count_one_more(row: Row) -> Row:
    return row | {"num_points": row["num_points"] + 1}


def no_image(row: Row) -> Row:
    return row | {"rgb": np.zeros_like(row["rgb"])}


def image_of_another(row: Row) -> Row:
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
        (nan_depth, {"finite"}),
        (count_one_more, {"num_points"}),
        (no_image, {"image"}),
        (image_of_another, {"outline"}),
    ],
)
def test_a_broken_law_is_named(shards: Path, damage: Callable[[Row], Row], laws: set[str]) -> None:
    row = Shards(shards)[2]
    assert not {name for name, figure in check_row(row).items() if figure > LIMITS[name]}
    broken = {name for name, figure in check_row(damage(row)).items() if not figure <= LIMITS[name]}
    assert laws <= broken


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def vouch(folder: Path) -> None:
    """Make the manifest agree with its shards' bytes, so that only the other laws can speak."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["shards"]:
        entry["bytes"] = (folder / entry["file"]).stat().st_size
        entry["sha256"] = sha256(folder / entry["file"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def broken(folder: Path, source: Path | None = None) -> dict[str, Verdict]:
    return {
        verdict.law.name: verdict
        for verdict in verify_shards(folder, source=source, jobs=1)
        if verdict.broken
    }


def test_a_row_over_another_is_found_across_shards(copy: Path) -> None:
    with h5py.File(copy / "shard-00000.h5") as one, h5py.File(copy / "shard-00002.h5", "a") as two:
        for field in SHARD_FIELDS:
            two[field.name][1] = one[field.name][2]
    vouch(copy)
    found = broken(copy)
    assert set(found) == {"distinct rows", "manifest"}, "its category is counted there"
    assert found["distinct rows"].where.startswith("shard-00002.h5 row 1 ")
    assert found["distinct rows"].reason.startswith("the same as shard-00000.h5 row 2 ")


@pytest.mark.parametrize(("view", "excess"), [(6, 1.0), (99, 94.0)])
def test_a_view_that_was_not_rendered_is_found(copy: Path, view: int, excess: float) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["view"][1] = view
    vouch(copy)
    found = broken(copy)
    assert set(found) == {"view"}
    assert found["view"].worst == excess


def test_the_image_of_another_row_is_found(copy: Path) -> None:
    with (
        h5py.File(copy / "shard-00000.h5", "a") as one,
        h5py.File(copy / "shard-00002.h5", "a") as two,
    ):
        one["rgb"][0], two["rgb"][1] = two["rgb"][1], one["rgb"][0]
    vouch(copy)
    assert set(broken(copy)) == {"outline"}


def lose_conventions(file: h5py.File) -> None:
    del file.attrs["conventions"]


def other_conventions(file: h5py.File) -> None:
    file.attrs["conventions"] = json.dumps(
        json.loads(file.attrs["conventions"]) | {"pixel": "(row, column)"}
    )


def other_settings(file: h5py.File) -> None:
    file.attrs["config"] = json.dumps(json.loads(file.attrs["config"]) | {"points": 9})


def torn_settings(file: h5py.File) -> None:
    file.attrs["render_config"] = "{"


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (lose_conventions, "conventions"),
        (other_conventions, "conventions"),
        (other_settings, "config"),
        (torn_settings, "render_config"),
    ],
)
def test_a_shard_that_states_something_else_is_found(
    copy: Path, damage: Callable[[h5py.File], None], name: str
) -> None:
    with h5py.File(copy / "shard-00001.h5", "a") as file:
        damage(file)
    vouch(copy)
    found = broken(copy)
    assert set(found) == {"attributes"}
    assert (found["attributes"].where, found["attributes"].checked) == ("shard-00001.h5", 3)
    assert found["attributes"].reason == f"other than expected: {name}"


@pytest.mark.parametrize("value", [None, 5, {}, {"views": "x"}])
def test_a_manifest_that_lost_its_settings_is_found(copy: Path, value: object) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"render_config": value}))
    assert set(broken(copy)) == {"attributes", "view"}


def test_a_shard_of_another_version_is_refused_before_any_law(copy: Path) -> None:
    with h5py.File(copy / "shard-00001.h5", "a") as file:
        file.attrs["schema_version"] = 7
    vouch(copy)
    with pytest.raises(
        InputError,
        match=r"shard-00001\.h5 has schema version 7; this program reads version 1: make",
    ):
        verify_shards(copy, jobs=1)


def test_what_cannot_be_read_has_a_reason(copy: Path) -> None:
    shard = copy / "shard-00001.h5"
    shard.write_bytes(bytes(shard.stat().st_size))
    found = broken(copy)
    assert set(found) == {"readable", "sha256"}
    assert found["readable"].broken == 3
    assert "cannot be opened as HDF5" in found["readable"].reason
    assert "cannot be opened as HDF5" in verdict_table(list(found.values()))
    assert "cannot be opened as HDF5" in found["readable"].as_json()["reason"]


def test_every_flipped_bit_is_found(shards: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    shard = copy / "shard-00001.h5"
    whole = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 12):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(place) % 8
        shard.write_bytes(flipped)
        verdicts = {verdict.law.name: verdict for verdict in verify_shards(copy, jobs=1)}
        assert verdicts["sha256"].broken == 1
        assert verdicts["sha256"].where == "shard-00001.h5"


def test_a_row_that_cannot_be_read_does_not_stop_the_rest(shards: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    shard = copy / "shard-00001.h5"
    data = bytearray(shard.read_bytes())
    with h5py.File(shard) as file:
        chunk = file["rgb"].id.get_chunk_info(1)
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 8] = bytes(255 - byte for byte in data[middle : middle + 8])
    shard.write_bytes(data)
    verdicts = {verdict.law.name: verdict for verdict in verify_shards(copy, jobs=1)}
    assert (verdicts["readable"].broken, verdicts["readable"].checked) == (1, 8)
    assert verdicts["readable"].where == "shard-00001.h5 row 1"
    assert (verdicts["point"].broken, verdicts["point"].checked) == (0, 7)


def test_points_off_the_surface_are_measured(shards: Path, shapenet: Path) -> None:
    row = Shards(shards)[0]
    mesh = read_mesh(shapenet / row["synset"] / row["model_id"] / "models" / "model_normalized.obj")
    assert distance_to_mesh(row["points"], mesh, row["cam_from_obj"]).max() <= 1e-5
    towards_camera = row["cam_from_obj"][2, :3] * -0.5
    away = (row["points"] + towards_camera).astype(np.float32)
    assert distance_to_mesh(away, mesh, row["cam_from_obj"]).min() > 1e-3


def mesh_of(path: Path, *triangles: object) -> SourceMesh:
    corners = np.array(triangles, dtype=float).reshape(-1, 3)
    faces = [f"f {first} {first + 1} {first + 2}" for first in range(1, len(corners), 3)]
    path.write_text("\n".join([*(f"v {x} {y} {z}" for x, y, z in corners), *faces]) + "\n")
    return read_mesh(path)


@pytest.mark.parametrize("silent", ["compute_closest_points", "cast_rays"])
def test_the_nearest_triangle_and_the_one_on_the_ray_both_count(
    tmp_path: Path, silent: str
) -> None:
    """Either finds the point's own triangle where the other names a wrong one."""
    near, far = [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, -9], [1, 0, -9], [0, 1, -9]]
    mesh = mesh_of(tmp_path / "a.obj", near, far)

    class Scene:
        """Open3D's, but that one of its answers is the far triangle."""

        INVALID_ID = mesh.scene.INVALID_ID

        def __getattr__(self, name: str) -> Any:
            answer = getattr(mesh.scene, name)
            if name != silent:
                return answer
            return lambda asked: {"primitive_ids": answer(asked)["primitive_ids"] * 0 + 1}

    points = np.array([[0.2, 0.3, 0]], dtype=np.float32)
    pose = Camera.from_fov(40, 8, 8).look_at(eye=(0.2, 0.3, 5), target=(0.2, 0.3, 0)).cam_from_obj
    wrong = SourceMesh(mesh.triangles, Scene())
    assert distance_to_mesh(points, wrong, pose).max() <= 1e-6


def test_no_name_leads_out_of_the_source(shapenet: Path) -> None:
    model = next(shapenet.glob("0*/*"))
    inside = f"{model.parent.name}/{model.name}"
    assert source_mesh(shapenet, model.parent.name, model.name).triangles.size
    for synset, name in (
        ("..", f"{shapenet.name}/{inside}"),
        (str(model.parent), model.name),
        ("x", f"../{inside}"),
    ):
        with pytest.raises(InputError, match="no model"):
            source_mesh(shapenet, synset, name)


def red_above(shards: Path) -> Row:
    """A row whose points are red where they are high, in the object's own frame, else blue."""
    row = Shards(shards)[0]
    high = row["points"][:, 1] > np.quantile(row["points"][:, 1], 0.7)
    rgb = np.full_like(row["rgb"], 255)
    u, v = row["pixels"].T
    rgb[v, u] = np.where(high[:, None], (255, 0, 0), (0, 0, 255))
    return row | {"rgb": rgb}


def centres(axis: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The middles of the red and of all points of a panel, x right and y down as on the paper."""
    (dots,) = axis.collections
    paper = axis.transData.transform(dots.get_offsets()) * (1, -1)
    colours = dots.get_facecolors()
    red = (colours[:, 0] > 0.9) & (colours[:, 2] < 0.1)
    return paper[red].mean(axis=0), paper.mean(axis=0)


def test_a_sheet_shows_points_where_they_are(shards: Path) -> None:
    row = red_above(shards)
    figure = draw_row(row, "row")
    figure.canvas.draw()
    image, _, reprojection, *clouds = figure.axes[:5]
    (dots,) = reprojection.collections
    assert np.abs(np.asarray(dots.get_offsets()) - (row["pixels"] + 0.5)).max() < 1e-3
    for axis in (image, reprojection):
        assert axis.images[0].get_extent() == [0, 80, 80, 0]
        assert axis.get_ylim()[0] > axis.get_ylim()[1], "rows run downwards"
    for axis in clouds:
        red, middle = centres(axis)
        assert red[1] < middle[1], "what is high is drawn above"


def test_the_wrong_source_is_noticed(shards: Path, shapenet: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shapenet, tmp_path / "shapenet"))
    one, two = sorted((copy / "03001627").iterdir())
    shutil.rmtree(one)
    two.rename(one)
    surface = verify_shards(shards, source=copy, jobs=1)[-2]
    assert surface.law.name == "surface"
    assert surface.broken == 2
    assert surface.worst == np.inf
    shutil.rmtree(one)
    surface = verify_shards(shards, source=copy, jobs=1)[-2]
    assert f"03001627/{one.name} of {copy}: it has no models/model_normalized.obj" in surface.reason
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for source, says in (
        ("none", "does not exist"),
        ("empty", "is not a ShapeNet folder"),
        ("file", "is a file"),
    ):
        with pytest.raises(
            InputError, match=f"--source is the ShapeNet that was rendered, but .*{says}"
        ):
            verify_shards(shards, source=tmp_path / source)


def test_one_point_off_the_surface_breaks_the_law(shards: Path, shapenet: Path, copy: Path) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        point = file["points"][1, 17]
        point[1] += 1e-3
        file["points"][1, 17] = point
    vouch(copy)
    assert broken(copy, shapenet)["surface"].broken == 1


def test_a_figure_that_is_no_number_breaks_its_law() -> None:
    verdict = Verdict(Law("x", 1, "", ""))
    verdict.add(float("nan"), "row 0")
    verdict.add(0.5, "row 1")
    assert (verdict.broken, verdict.where, verdict.worst) == (1, "row 0", np.inf)


def test_sheets_are_pictures(shards: Path, tmp_path: Path) -> None:
    from PIL import Image

    sheet = draw_sheet(shards, tmp_path / "row.png", row=1)
    model = Shards(shards)[1]["model_id"]
    same = draw_sheet(shards, tmp_path / "model.png", model=model)
    one, two = (np.asarray(Image.open(path).convert("RGB")) for path in (sheet, same))
    assert one.shape[0] > 600
    assert len(np.unique(one.reshape(-1, 3), axis=0)) > 500
    assert (one != two).any(axis=-1).mean() < 0.01  # alike but for the title
    overview = np.asarray(Image.open(draw_overview(shards, tmp_path / "overview.png")))
    assert overview.shape == (80, 8 * 80, 3)
    assert np.array_equal(overview[:, 80:160], Shards(shards)[1]["rgb"])


def test_a_set_without_rows_is_said_to_be_empty(copy: Path, tmp_path: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"shards": []}))
    for look in (
        lambda: draw_sheet(copy, tmp_path / "a.png", row=0),
        lambda: verify_shards(copy),
        lambda: draw_sheet(copy, tmp_path / "a.png", model="x"),
    ):
        with pytest.raises(InputError, match="lists no shards: it is empty"):
            look()


def test_bad_requests_for_sheets_are_answered(shards: Path, tmp_path: Path) -> None:
    for out, row, says in (
        (tmp_path / "a.png", 8, "has no row 8: it has rows 0 to 7"),
        (tmp_path / "a.jpg", 0, "ends in .png"),
        (shards / "manifest.json" / "a.png", 0, "cannot be written|which is read"),
    ):
        with pytest.raises(InputError, match=says):
            draw_sheet(shards, out, row=row)
    assert list(tmp_path.iterdir()) == []
