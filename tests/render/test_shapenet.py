from __future__ import annotations

from pathlib import Path

import pytest

from shapenet3d_cma.errors import InputError
from shapenet3d_cma.render.shapenet import category_names, find_models


def test_models_are_listed_in_order(shapenet: Path) -> None:
    models = find_models(shapenet)
    assert len(models) == 8
    assert models == sorted(models)
    assert all(model.obj.is_file() for model in models)
    assert {model.synset for model in models} == {"03001627", "03636649", "03797390", "02958343"}


def test_filters(shapenet: Path) -> None:
    assert {model.synset for model in find_models(shapenet, synsets=("chair", "03797390"))} == {"03001627", "03797390"}
    assert len(find_models(shapenet, limit=1)) == 4
    assert category_names(shapenet)["03001627"] == "chair"
    with pytest.raises(InputError, match="no synset 'zebra'; it has car, chair, lamp, mug"):
        find_models(shapenet, synsets=("zebra",))


def test_what_is_no_shapenet_is_named_with_the_remedy(tmp_path: Path, shapenet: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "03001627").mkdir(parents=True)
    for name, says in (
        ("none", "does not exist"),
        ("file", "is a file"),
        ("empty", "is no ShapeNet"),
        ("hollow", "no model in them"),
    ):
        with pytest.raises(InputError, match=f"{name} .*{says}.*cma3d samples"):
            find_models(tmp_path / name)
    with pytest.raises(InputError, match="shapenet looks like one"):
        find_models(shapenet.parent)


def test_a_broken_taxonomy_only_costs_the_names(tmp_path: Path) -> None:
    (tmp_path / "03001627" / "abc").mkdir(parents=True)
    (tmp_path / "taxonomy.json").write_text("[{]")
    assert category_names(tmp_path) == {}
    assert [model.key for model in find_models(tmp_path)] == ["03001627/abc"]
