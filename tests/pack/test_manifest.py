"""manifest.json: it lists whole shards of this version inside its folder, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.tests.pack.packed import everything


def test_what_is_missing_or_changed_is_said_in_one_line(copy: Path, tmp_path: Path) -> None:
    shard = copy / "shard-00001.h5"
    whole = shard.read_bytes()
    for damage, says in (
        (shard.unlink, "shard-00001.h5 is missing"),
        (
            lambda: shard.write_bytes(whole[:-1]),
            f"has {len(whole) - 1} bytes, the manifest says {len(whole)}",
        ),
        (lambda: shard.write_bytes(b"\0" * len(whole)), "cannot be opened"),
    ):
        damage()
        with pytest.raises(InputError, match=says):
            everything(copy)
        shard.write_bytes(whole)
    manifest = copy / "manifest.json"
    text = manifest.read_text()
    for damaged, says in (
        (
            text.replace('"schema_version": 1', '"schema_version": 2'),
            "schema version 2; this program reads version 1",
        ),
        (text[:-20], "cannot be read"),
        ('{"format": "other"}', "not a shapenet3d-cma manifest"),
        (text.replace("shard-00001.h5", "../shard-00001.h5"), "outside its folder"),
    ):
        manifest.write_text(damaged)
        with pytest.raises(InputError, match=says):
            Shards(copy)
    with pytest.raises(InputError, match="not a folder of shards"):
        Shards(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("file", 5, "file of entry 1 of shards is 5, not a text"),
        ("file", "", "names a shard outside its folder"),
        ("rows", "x", "rows of entry 1 of shards is 'x', not a count"),
        ("rows", None, "rows of entry 1 of shards is None"),
        ("rows", True, "rows of entry 1 of shards is True"),
        ("rows", -1, "rows of entry 1 of shards is -1"),
        ("bytes", 1.5, "bytes of entry 1 of shards is 1.5"),
        ("sha256", None, "sha256 of entry 1 of shards is None, not a text"),
        (None, None, "file of entry 1 of shards is None"),
    ],
)
def test_a_manifest_whose_entries_are_no_entries_is_refused(
    copy: Path, name: str | None, value: object, says: str
) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    if name is None:
        manifest["shards"][1] = value
    else:
        manifest["shards"][1][name] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=says):
        Shards(copy)


@pytest.mark.parametrize(
    "damaged", ["null", "[]", '{"format": "shapenet3d-cma", "schema_version": 1}', '"x"']
)
def test_a_manifest_without_shards_is_refused(copy: Path, damaged: str) -> None:
    (copy / "manifest.json").write_text(damaged)
    with pytest.raises(InputError, match="manifest"):
        Shards(copy)


def test_a_file_is_no_folder_of_shards(copy: Path) -> None:
    with pytest.raises(InputError, match=r"shard-00000\.h5 is a file: give the folder of shards"):
        Shards(copy / "shard-00000.h5")
