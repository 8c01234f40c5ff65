from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render.shapenet.listing import (
    Model,
    category_names,
    fetch,
    find_models,
    list_models,
    source_model,
)
from shapenet3d_cma.render.shapenet.selection import Selection
from shapenet3d_cma.render.shapenet.synsets import TOTAL, V2_COUNTS


def test_models_are_listed_in_order(shapenet: Path) -> None:
    models = find_models(shapenet)
    assert len(models) == 8
    assert models == sorted(models)
    assert all(model.obj.is_file() for model in models)
    assert {model.synset for model in models} == {"03001627", "03636649", "03797390", "02958343"}


def test_synsets_are_chosen_by_name_or_offset_and_limited(shapenet: Path) -> None:
    assert {model.synset for model in find_models(shapenet, synsets=("chair", "03797390"))} == {
        "03001627",
        "03797390",
    }
    assert len(find_models(shapenet, limit=1)) == 4
    assert category_names(shapenet)["03001627"] == "chair"
    with pytest.raises(InputError, match="no synset 'zebra'; it has car, chair, lamp, mug"):
        find_models(shapenet, synsets=("zebra",))


names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=9)


@settings(max_examples=20)
@given(
    tree=st.dictionaries(
        st.sampled_from(["02691156", "03001627", "04379243"]),
        st.sets(names, min_size=1, max_size=5),
        min_size=1,
    ),
    chosen=st.sets(st.sampled_from(["02691156", "03001627", "04379243"])),
    limit=st.none() | st.integers(1, 4),
)
def test_every_folder_of_a_synset_is_a_model_and_filters_choose_among_them(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[str, set[str]],
    chosen: set[str],
    limit: int | None,
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for synset, ids in tree.items():
        for name in ids:
            (root / synset / name).mkdir(parents=True)
    ids_there = {synset: sorted(path.name for path in (root / synset).iterdir()) for synset in tree}
    listed = find_models(root)
    assert [model.key for model in listed] == [
        f"{synset}/{name}" for synset in sorted(tree) for name in ids_there[synset]
    ]
    assert all(model.folder == root / model.key for model in listed)
    some = find_models(root, synsets=tuple(chosen & set(tree)), limit=limit)
    synsets = (chosen & set(tree)) or set(tree)
    assert [model.key for model in some] == [
        f"{synset}/{name}" for synset in sorted(synsets) for name in ids_there[synset][:limit]
    ]


def test_a_folder_without_models_is_refused_with_the_remedy(tmp_path: Path, shapenet: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "03001627").mkdir(parents=True)
    for name, says in (
        ("none", "does not exist"),
        ("file", "is a file"),
        ("empty", "is not a ShapeNet folder"),
        ("hollow", "no model in them"),
    ):
        with pytest.raises(InputError, match=f"{name} .*{says}.*cma3d samples"):
            find_models(tmp_path / name)
    with pytest.raises(InputError, match="shapenet looks like one"):
        find_models(shapenet.parent)


def test_a_broken_taxonomy_costs_only_the_names(tmp_path: Path) -> None:
    (tmp_path / "03001627" / "abc").mkdir(parents=True)
    (tmp_path / "taxonomy.json").write_text("[{]")
    assert category_names(tmp_path) == {}
    assert [model.key for model in find_models(tmp_path)] == ["03001627/abc"]


def zipped(shapenet: Path, out: Path) -> Path:
    """Pack a ShapeNet as it is handed out: a zip a synset."""
    out.mkdir()
    for synset in shapenet.glob("[0-9]*"):
        with zipfile.ZipFile(out / f"{synset.name}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(synset.rglob("*")):
                file.write(path, path.relative_to(shapenet))
    return out


def as_v1(shapenet: Path, out: Path) -> Path:
    """Lay a ShapeNet out as version 1 was: the OBJ and its MTL in the model's own folder."""
    for obj in shapenet.glob("*/*/models/model_normalized.obj"):
        folder = out / obj.relative_to(shapenet).parents[1]
        folder.mkdir(parents=True)
        (folder / "model.obj").write_text(
            obj.read_text().replace("model_normalized.mtl", "model.mtl")
        )
        text = obj.with_suffix(".mtl").read_text().replace("../images/", "./images/")
        (folder / "model.mtl").write_text(text)
        if (obj.parents[1] / "images").is_dir():
            shutil.copytree(obj.parents[1] / "images", folder / "images")
    return out


def test_zips_hold_the_same_models_as_folders(shapenet: Path, tmp_path: Path) -> None:
    zips = zipped(shapenet, tmp_path / "zips")
    listing = list_models(zips)
    assert listing.title == f"{zips}: ShapeNetCore in zip archives, 8 models of 4 categories"
    folders = find_models(shapenet)
    assert [model.key for model in listing.models] == [model.key for model in folders]
    for model, twin in zip(listing.models, folders, strict=True):
        scratch = tmp_path / model.model_id
        scratch.mkdir()
        folder, notes = fetch(model, scratch)
        assert notes == []
        assert folder.is_relative_to(scratch)
        ours = {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        theirs = {
            path.relative_to(twin.folder): path.read_bytes()
            for path in twin.folder.rglob("*")
            if path.is_file()
        }
        assert ours == theirs
    names = [model.key for model in find_models(zips, synsets=("chair", "03797390"))]
    assert names == [model.key for model in find_models(shapenet, synsets=("chair", "03797390"))]
    (single,) = {model.synset for model in find_models(zips / "03001627.zip")}
    assert single == "03001627"
    with pytest.raises(InputError, match="no synset 'zebra'; it has car, chair, lamp, mug"):
        find_models(zips, synsets=("zebra",))


def test_version_1_is_told_apart(shapenet: Path, tmp_path: Path) -> None:
    old = as_v1(shapenet, tmp_path / "v1")
    listing = list_models(old)
    assert (listing.layout, len(listing.models)) == ("v1", 8)
    assert all(model.obj.is_file() for model in listing.models)
    zips = zipped(old, tmp_path / "zips")
    assert {model.file for model in find_models(zips)} == {"model.obj"}
    with pytest.raises(
        InputError, match=r"is ShapeNetCore.v1 in folders \(--layout v1\), not ShapeNetCore.v2"
    ):
        list_models(old, Selection(layout="v2"))
    with pytest.raises(
        InputError, match=r"is ShapeNetCore.v2 in folders \(--layout v2\), not ShapeNetCore.v1"
    ):
        list_models(shapenet, Selection(layout="v1"))
    with pytest.raises(
        InputError, match=r"is ShapeNetCore in zip archives \(--layout zip\), not ShapeNetCore.v1"
    ):
        list_models(zips, Selection(layout="v1"))


def test_a_flat_folder_of_models(tmp_path: Path) -> None:
    for name in (
        "a.obj",
        "chair/b.OBJ",
        "chair/b.stl",
        "chair/deep/b.ply",
        "chair/x y(1).off",
        "é/c.glb",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("read.me", ".hidden.obj", ".git/d.obj"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ("long" * 40 + ".obj")).touch()
    with pytest.raises(InputError, match="it holds model files, which --layout flat takes"):
        find_models(tmp_path)
    models = list_models(tmp_path, Selection(layout="flat")).models
    by_file = {model.file: model for model in models}
    assert (by_file["a.obj"].synset, by_file["a.obj"].model_id) == ("00000000", "a")
    assert by_file["chair/deep/b.ply"].key == "chair/deep-b"
    assert by_file["chair/x y(1).off"].key == "chair/x-y-1"
    assert by_file["é/c.glb"].key == "é/c"
    twins = {by_file["chair/b.OBJ"].model_id, by_file["chair/b.stl"].model_id}
    assert len(twins) == 2
    assert all(name.startswith("b-") for name in twins)
    assert len(models) == len({model.key for model in models}) == 7
    assert all(len(model.model_id.encode()) <= 110 for model in models)
    (only,) = list_models(tmp_path, Selection(layout="flat", synsets=("é",))).models
    assert only.folder == tmp_path
    with pytest.raises(InputError, match=r"holds no model file: --layout flat takes \.obj"):
        list_models(_empty(tmp_path / "void"), Selection(layout="flat"))


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("layout", ["v2", "v1", "zip"])
def test_a_requested_layout_that_is_not_there_is_refused(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError, match=r"no synset folder|no zip of a synset"):
        list_models(tmp_path, Selection(layout=layout))
    with pytest.raises(InputError, match="does not exist"):
        list_models(tmp_path / "none", Selection(layout=layout))


@given(st.builds(Model, st.text(), st.text(), st.text().map(Path), st.text(), st.text()))
def test_a_model_travels_as_json_and_by_pickle(model: Model) -> None:
    assert Model.from_job(json.loads(json.dumps(model.job() | {"out": "x"}))) == model
    assert pickle.loads(pickle.dumps(model)) == model


def test_all_of_shapenet_is_listed_in_little_memory(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / "03001627" / f"{number:032x}").mkdir(parents=True)
    first = find_models(tmp_path)  # names that Python keeps once for all are made here
    tracemalloc.start()
    models = find_models(tmp_path)
    assert models == first
    used = tracemalloc.get_traced_memory()[0] / len(models)
    tracemalloc.stop()
    assert used * TOTAL < 80e6


def test_one_model_is_found_by_its_names(shapenet: Path, tmp_path: Path) -> None:
    model = find_models(shapenet)[0]
    assert source_model(shapenet, model.synset, model.model_id) == model
    for names in (
        (model.synset, "zebra"),
        ("..", model.model_id),
        (model.synset, f"../{model.key}"),
    ):
        with pytest.raises(InputError, match="--source is the ShapeNet that was rendered"):
            source_model(shapenet, *names)


def test_the_known_counts_are_those_of_version_2() -> None:
    assert (len(V2_COUNTS), TOTAL) == (55, 52_472)
