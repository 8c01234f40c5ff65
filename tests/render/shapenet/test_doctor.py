"""The doctor finds every fault that the samples know, and says what cannot be rendered."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from shapenet3d_cma.render.shapenet.doctor import FINDINGS, LARGE, diagnose, diagnosis_text
from shapenet3d_cma.render.shapenet.listing import list_models
from shapenet3d_cma.render.shapenet.selection import Selection
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

NAMED = {
    "doubled-faces": "doubled faces",
    "doubled-shared-vertices": "doubled faces",
    "wrong-normals": "wrong normals",
    "duplicate-faces": "duplicate faces",
    "missing-texture": "missing texture",
    "parent-path": None,  # as most of ShapeNet is
    "backslash-path": "backslash in path",
    "letter-case": "letter case of path",
    "spaces-in-name": "space in path",
    "alpha-half": "alpha below one",
    "alpha-zero": "alpha zero",
    "tr-instead-of-d": "Tr",
    "map-d": "alpha map",
    "illum-7": "metallic illum",
    "undefined-material": "undefined material",
    "missing-mtl": "missing MTL",
    "missing-json": "missing JSON",
    "empty-obj": "empty OBJ",
    "no-obj": "no OBJ",
    "no-faces": "no usable face",
    "nan-vertex": "NaN",
    "zero-area": "degenerate faces",
    "index-out-of-range": "bad index",
    "relative-indices": "negative index",
    "crlf": "CRLF",
    "non-ascii": "non-ASCII name",
    "line-elements": "lines or points",
    "not-normalised": "not unit size",
    "flat-sheet": "flat",
    "many-faces": "very large mesh",
    "path-outside": "refused reference",
    "path-absolute": "refused reference",
}
"""What the doctor calls each pathology."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("doctor") / "shapenet"
    write_samples(out, SamplesConfig(per_category=1, categories="mug", pathologies=True))
    return out


def test_every_pathology_is_named(broken: Path) -> None:
    announced = json.loads((broken / "pathologies.json").read_text(encoding="utf-8"))
    assert {entry["fault"] for entry in announced} == set(NAMED)
    diagnosis = diagnose(list_models(broken), jobs=1)
    found = {model.key: model for model in diagnosis.models}
    for entry in announced:
        model = found[f"{entry['synset']}/{entry['model_id']}"]
        name = NAMED[entry["fault"]]
        assert name is None or name in model.counts, entry["fault"]
        assert name is not None or not set(model.counts) - {"same OBJ"}, entry["fault"]
        assert model.fatal == (entry["outcome"] == "failed"), entry["fault"]
        if "faces" in entry.get("properties", {}):
            assert model.faces == entry["properties"]["faces"]
    sound = [model for model in diagnosis.models if "pathology" not in model.key]
    assert not any(
        FINDINGS[name].weight in ("fatal", "lost") for model in sound for name in model.counts
    )


def test_jobs_and_zips_make_no_difference(broken: Path, tmp_path: Path) -> None:
    for synset in broken.glob("[0-9]*"):
        with zipfile.ZipFile(tmp_path / f"{synset.name}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(synset.rglob("*")):
                file.write(path, path.relative_to(broken))
    shutil.copy(broken / "taxonomy.json", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    folders = diagnose(list_models(broken), jobs=2).as_json()
    zips = diagnose(list_models(tmp_path), jobs=1).as_json()
    for document in (folders, zips):
        del document["root"], document["layout"]
    assert folders == zips
    assert sorted(tmp_path.rglob("*")) == before


def test_counts_against_those_expected(broken: Path) -> None:
    rows = {row["name"]: row for row in diagnose(list_models(broken), jobs=1).synsets()}
    assert (rows["car"]["folders"], rows["car"]["models"], rows["car"]["expected"]) == (3, 1, 3514)
    part = diagnose(list_models(broken, Selection(limit=1)), jobs=1)
    assert all(row["expected"] is None for row in part.synsets()), "of a part nothing is expected"
    assert "not known" in diagnosis_text(part)


def test_unreadable_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "03001627" / "abc"
    (folder / "models").mkdir(parents=True)
    obj = folder / "models" / "model_normalized.obj"
    obj.write_text("mtllib a.mtl\nv 0 0 0\nv .6 0 0\nv 0 .8 .1\nusemtl m\nf 1 2 3\n")
    (folder / "models" / "a.mtl").write_text(
        "newmtl m\nmap_Kd fake.png\nmap_d ../../../x\nnewmtl n\nmap_Kd a.gif\n"
    )
    (folder / "models" / "fake.png").write_bytes(b"no picture")
    (folder / "models" / "a.gif").write_bytes(b"GIF89a\1\0\1\0\0\0\0\0")
    (model,) = diagnose(list_models(tmp_path), jobs=1).models
    assert model.counts["unreadable texture"] == 2
    assert model.counts["refused reference"] == 1
    obj.unlink()
    obj.symlink_to("/etc/hostname")
    (model,) = diagnose(list_models(tmp_path), jobs=1).models
    assert model.counts == {"unreadable": 1}


def test_a_damaged_archive_costs_the_model(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("03001627/abc/models/model_normalized.obj", "v 0 0 0\n" * 900)
    data = bytearray(path.read_bytes())
    data[75:80] = b"\xff" * 5
    path.write_bytes(data)
    assert [model.counts for model in diagnose(list_models(tmp_path), jobs=1).models] == [
        {"unreadable": 1}
    ]


@pytest.mark.parametrize(
    ("name", "data", "fatal"),
    [
        ("a.glb", b"glTF\2", "unreadable"),
        ("a.glb", b"nonsense", "unreadable"),
        ("a.ply", b"", "empty OBJ"),
        ("a.stl", b"x", "unreadable"),
        ("a.stl", bytes(80) + b"\1\0\0\0" + bytes(50), None),
    ],
)
def test_other_formats_are_judged_by_their_headers(
    tmp_path: Path, name: str, data: bytes, fatal: str | None
) -> None:
    (tmp_path / name).write_bytes(data)
    (model,) = diagnose(list_models(tmp_path, Selection(layout="flat")), jobs=1).models
    assert list(model.counts) == ([fatal] if fatal else [])


def test_people_get_a_table_and_programs_get_json(
    cma3d, cma3d_inside, broken: Path, tmp_path: Path
) -> None:
    people = cma3d("doctor", broken)
    assert people.returncode == 1
    assert "cannot be rendered: 02958343/pathology-empty-obj: empty OBJ" in people.stdout
    assert "30 of 33 models can be rendered" in people.stdout
    assert "ShapeNetCore.v2 in folders, 33 models" in people.stderr
    programs = cma3d_inside("doctor", broken, "--json", "--jobs", 1)
    document = json.loads(programs.stdout)
    assert programs.returncode == 1
    assert len(document["fatal"]) == 3
    assert document["faces"] > LARGE
    doubled = next(row for row in document["findings"] if row["finding"] == "doubled faces")
    assert 0 < doubled["share"] < 1
    assert cma3d_inside("doctor", broken, "--synset", "mug").returncode == 0
    none = cma3d_inside("doctor", tmp_path)
    assert none.returncode == 2
    assert none.stderr.count("\n") == 1
