"""Verification of shards: what breaks a law is found, wherever it lies, and named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.schema import SHARD_FIELDS, Row
from shapenet3d_cma.pack import verify
from shapenet3d_cma.pack.card.sheet import draw_overview, draw_row, draw_sheet
from shapenet3d_cma.pack.laws import LAWS, Law, Verdict
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.verify import verdict_table, verify_shards
from shapenet3d_cma.tests.fuzz.made import vouch


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
    verdicts = broken(copy)
    assert set(verdicts) == {"distinct rows", "manifest"}, "its category is counted there"
    assert verdicts["distinct rows"].location.startswith("shard-00002.h5 row 1 ")
    assert verdicts["distinct rows"].reason.startswith("the same as shard-00000.h5 row 2 ")


@pytest.mark.parametrize(("view", "excess"), [(6, 1.0), (99, 94.0)])
def test_a_view_that_was_not_rendered_is_found(copy: Path, view: int, excess: float) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["view"][1] = view
    vouch(copy)
    verdicts = broken(copy)
    assert set(verdicts) == {"view"}
    assert verdicts["view"].worst == excess


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
def test_a_shard_with_other_attributes_is_found(
    copy: Path, damage: Callable[[h5py.File], None], name: str
) -> None:
    with h5py.File(copy / "shard-00001.h5", "a") as file:
        damage(file)
    vouch(copy)
    verdicts = broken(copy)
    assert set(verdicts) == {"attributes"}
    assert (verdicts["attributes"].location, verdicts["attributes"].checked) == (
        "shard-00001.h5",
        3,
    )
    assert verdicts["attributes"].reason == f"other than expected: {name}"


@pytest.mark.parametrize("value", [None, 5, {}, {"views": "x"}])
def test_a_manifest_without_its_settings_is_found(copy: Path, value: object) -> None:
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


def test_an_unreadable_row_has_a_reason(copy: Path) -> None:
    shard = copy / "shard-00001.h5"
    shard.write_bytes(bytes(shard.stat().st_size))
    verdicts = broken(copy)
    assert set(verdicts) == {"readable", "sha256"}
    assert verdicts["readable"].broken == 3
    assert "cannot be opened as HDF5" in verdicts["readable"].reason
    assert "cannot be opened as HDF5" in verdict_table(list(verdicts.values()))
    assert "cannot be opened as HDF5" in verdicts["readable"].as_json()["reason"]


def test_every_flipped_bit_is_found(tiny: Path) -> None:
    copy = tiny / "shards"
    shard = copy / "shard-00001.h5"
    whole = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 12):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(place) % 8
        shard.write_bytes(flipped)
        verdicts = {verdict.law.name: verdict for verdict in verify_shards(copy, jobs=1)}
        assert verdicts["sha256"].broken == 1
        assert verdicts["sha256"].location == "shard-00001.h5"


def test_a_row_that_cannot_be_read_does_not_stop_the_rest(copy: Path) -> None:
    shard = copy / "shard-00001.h5"
    data = bytearray(shard.read_bytes())
    with h5py.File(shard) as file:
        chunk = file["rgb"].id.get_chunk_info(1)
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 8] = bytes(255 - byte for byte in data[middle : middle + 8])
    shard.write_bytes(data)
    verdicts = {verdict.law.name: verdict for verdict in verify_shards(copy, jobs=1)}
    assert (verdicts["readable"].broken, verdicts["readable"].checked) == (1, 8)
    assert verdicts["readable"].location == "shard-00001.h5 row 1"
    assert (verdicts["point"].broken, verdicts["point"].checked) == (0, 7)


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
    for source, message in (
        ("none", "does not exist"),
        ("empty", "is not a ShapeNet folder"),
        ("file", "is a file"),
    ):
        with pytest.raises(
            InputError, match=f"--source is the ShapeNet that was rendered, but .*{message}"
        ):
            verify_shards(shards, source=tmp_path / source)


def test_one_point_off_the_surface_breaks_the_law(shards: Path, shapenet: Path, copy: Path) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        point = file["points"][1, 17]
        point[1] += 1e-3
        file["points"][1, 17] = point
    vouch(copy)
    assert broken(copy, shapenet)["surface"].broken == 1


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


def test_a_set_without_rows_is_refused_as_empty(copy: Path, tmp_path: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"shards": []}))
    for act in (
        lambda: draw_sheet(copy, tmp_path / "a.png", row=0),
        lambda: verify_shards(copy),
        lambda: draw_sheet(copy, tmp_path / "a.png", model="x"),
    ):
        with pytest.raises(InputError, match="lists no shards: it is empty"):
            act()


def test_bad_requests_for_sheets_are_refused(shards: Path, tmp_path: Path) -> None:
    for out, row, message in (
        (tmp_path / "a.png", 8, "has no row 8: it has rows 0 to 7"),
        (tmp_path / "a.jpg", 0, "ends in .png"),
        (shards / "manifest.json" / "a.png", 0, "cannot be written|which is read"),
    ):
        with pytest.raises(InputError, match=message):
            draw_sheet(shards, out, row=row)
    assert list(tmp_path.iterdir()) == []


class Listed:
    """The rows of shards by name, without files."""

    def __init__(self, keys: list[tuple[str, str, int]]) -> None:
        self.keys, self.folder, self.files = keys, Path("set"), [Path("shard-00000.h5")]
        self.starts = np.array([0, len(keys)])

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, rows: list[int], names: list[str]) -> dict[str, list[Any]]:
        order = ["synset", "model_id", "view"]
        return {name: [self.keys[row][order.index(name)] for row in rows] for name in names}


def indexed(keys: list[tuple[str, str, int]]) -> verify._RowIndex:
    index = verify._RowIndex(Listed(keys))
    for row, key in enumerate(keys):
        index.note(row, key)
    return index


SYNSETS = st.sampled_from(["02691156", "03001627"])
KEYS = st.lists(
    st.tuples(SYNSETS, st.sampled_from("abcde"), st.integers(0, 2)), min_size=1, max_size=12
)


@given(KEYS)
def test_each_later_row_of_the_same_view_is_a_twin(keys: list[tuple[str, str, int]]) -> None:
    index, verdict = indexed(keys), Verdict(Law("distinct rows", 0, "rows", ""))
    index.find_twins(verdict)
    assert (verdict.broken, verdict.checked) == (len(keys) - len(set(keys)), len(keys))
    assert index.synsets == Counter(synset for synset, *_ in keys)


@given(KEYS, KEYS)
def test_models_of_two_sets_are_counted_once(
    one: list[tuple[str, str, int]], two: list[tuple[str, str, int]]
) -> None:
    verdict = Verdict(Law("distinct models", 0, "models", ""))
    verify._compare_sets(indexed(one), indexed(two), verdict)
    first, second = ({key[:2] for key in keys} for keys in (one, two))
    assert (verdict.broken, verdict.checked) == (len(first & second), len(first) + len(second))
