"""The folder of samples: the same bytes for the same settings, laid out as ShapeNet is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.samples.categories import BUILDERS, CATEGORIES
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import build_parts, write_samples
from shapenet3d_cma.tests.samples.plain_obj import (
    COUNT,
    OBJ,
    Read,
    tree_hashes,
)


def test_same_seed_gives_same_bytes_in_another_process(samples: Path, tmp_path: Path) -> None:
    """Half the models: each depends on the seed, its category and its number, not on their count."""
    code = (
        "import sys; from pathlib import Path\n"
        "from shapenet3d_cma.samples.shapenet_folder import write_samples\n"
        "from shapenet3d_cma.samples.config import SamplesConfig\n"
        "write_samples(Path(sys.argv[1]), SamplesConfig(1, seed=0, pathologies=True))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Pacific/Auckland"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "again")], check=True, env=environment
    )
    again, first = tree_hashes(tmp_path / "again"), tree_hashes(samples)
    models = {name: digest for name, digest in again.items() if "/" in name}
    assert len({name.split("/")[0] for name in models}) == len(CATEGORIES)
    assert models.items() <= first.items()
    assert again["pathologies.json"] == first["pathologies.json"]


def test_another_seed_gives_other_models(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_samples(tmp_path / str(seed), SamplesConfig(1, seed, categories="mug,chair"))
    one, two = tree_hashes(tmp_path / "1"), tree_hashes(tmp_path / "2")
    objs = [
        {digest for name, digest in tree.items() if name.endswith(".obj")} for tree in (one, two)
    ]
    assert len(objs[0]) == len(objs[1]) == 2
    assert not objs[0] & objs[1]
    assert not {name for name in one if name.endswith(".obj")} & set(two)


def test_shapes_differ_from_seed_to_seed() -> None:
    shapes = {build_parts("mug", seed, 0)[0][0].mesh.vertices.tobytes() for seed in range(30)}
    assert len(shapes) == 30  # of five kinds, so the kind alone doesn't tell them apart


def test_models_differ_from_one_another(regular: dict[Path, Read]) -> None:
    digests = [hashlib.sha256((path / OBJ).read_bytes()).digest() for path in regular]
    assert len(set(digests)) == len(digests)


def test_the_layout_is_that_of_shapenet(samples: Path, regular: dict[Path, Read]) -> None:
    assert len(CATEGORIES) >= 14
    assert set(BUILDERS) == set(CATEGORIES)
    assert Counter(path.parent.name for path in regular) == dict.fromkeys(
        CATEGORIES.values(), COUNT
    )
    for path, read in regular.items():
        record = json.loads((path / "models/model_normalized.json").read_text(encoding="utf-8"))
        assert set(record) == {"max", "centroid", "id", "numVertices", "min"}
        assert record["id"] == path.name
        assert record["numVertices"] == len(read.vertices)
        assert (path / OBJ).read_text(encoding="utf-8").count("mtllib model_normalized.mtl\n") == 1


def test_taxonomy_counts_the_folders_and_names_parents(samples: Path) -> None:
    taxonomy = json.loads((samples / "taxonomy.json").read_text(encoding="utf-8"))
    folders = {path.name: len(list(path.iterdir())) for path in samples.glob("[0-9]*")}
    entries = {entry["synsetId"]: entry for entry in taxonomy}
    assert {s: entries[s]["numInstances"] for s in folders} == folders
    assert all(set(entry) == {"synsetId", "name", "children", "numInstances"} for entry in taxonomy)
    parents = [entry for entry in taxonomy if entry["synsetId"] not in folders]
    assert parents
    assert all(set(parent["children"]) <= set(folders) for parent in parents)


def test_the_readme_names_licence_and_command(samples: Path) -> None:
    text = (samples / "README.txt").read_text(encoding="utf-8")
    assert "CC0" in text
    assert f"cma3d samples OUT --seed 0 --per-category {COUNT} --pathologies" in text


def test_the_summary_counts_models_and_files(tmp_path: Path) -> None:
    seen: list[object] = []

    def watch(jobs):  # type: ignore[no-untyped-def]
        for job in jobs:
            seen.append(job)
            yield job

    summary = write_samples(
        tmp_path / "new" / "out", SamplesConfig(2, categories="mug, bottle"), watch
    )
    files = [
        path
        for path in (tmp_path / "new" / "out").rglob("*")
        if path.is_file() and HIDDEN not in path.parts
    ]
    assert summary["models"] == {CATEGORIES["bottle"]: 2, CATEGORIES["mug"]: 2}
    assert (summary["files"], summary["bytes"]) == (
        len(files),
        sum(path.stat().st_size for path in files),
    )
    assert len(seen) == 4
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_a_second_call_changes_nothing_and_a_larger_one_adds_models(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_samples(out, SamplesConfig(1, categories="mug"))
    (out / "notes.txt").write_text("mine")
    before = tree_hashes(out)
    write_samples(out, SamplesConfig(1, categories="mug"))
    assert tree_hashes(out) == before
    write_samples(out, SamplesConfig(2, categories="mug"))
    assert len(list(out.glob("[0-9]*/*"))) == 2
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(
        InputError, match=r"holds 2 models that these settings do not make .* another folder"
    ):
        write_samples(out, SamplesConfig(2, seed=1, categories="mug"))


def test_wrong_targets_are_refused_and_unchanged(tmp_path: Path) -> None:
    config = SamplesConfig(1, categories="mug")
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "thesis.tex").write_text("years")
    file.write_text("x")
    link.symlink_to(tmp_path / "nothing")
    for target, words in (
        (full, "is not empty .* and no samples that cma3d made: choose an empty folder"),
        (file, "is a file: choose another"),
        (file / "below", "cannot be written: .* choose another folder"),
        (link, "is a link to nothing"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            write_samples(target, config)
        assert str(target) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]


def test_a_stopped_run_is_resumed(tmp_path: Path) -> None:
    def stop(jobs):  # type: ignore[no-untyped-def]
        yield from list(jobs)[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "out", SamplesConfig(2, categories="mug"), stop)
    write_samples(tmp_path / "out", SamplesConfig(2, categories="mug"))
    write_samples(tmp_path / "unbroken", SamplesConfig(2, categories="mug"))
    assert tree_hashes(tmp_path / "out") == tree_hashes(tmp_path / "unbroken")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_samples(tmp_path, SamplesConfig(1, categories="mug"))
    assert (tmp_path / "taxonomy.json").is_file()


def test_settings_are_checked() -> None:
    assert read_settings(SamplesConfig, given={"per_category": 2}) == SamplesConfig(2)
    assert SamplesConfig(categories="mug,bed, mug").chosen == ("bed", "mug")
    with pytest.raises(
        InputError, match=r"categories: 'unicorn' is unknown; the names are airplane, bed"
    ):
        read_settings(SamplesConfig, given={"categories": "mug,unicorn"})
    with pytest.raises(InputError, match="per_category"):
        read_settings(SamplesConfig, given={"per_category": 0})
