"""manifest.json: it lists whole shards of this version inside its folder, or is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.manifest import SHARD_NAME, read_record
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.writer import part_path
from shapenet3d_cma.tests.pack.packed import everything


@pytest.fixture(scope="module")
def folder(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny shards whose manifest is written again and again."""
    copy = Path(shutil.copytree(made / "shards", tmp_path_factory.mktemp("manifest") / "shards"))
    shutil.copy(copy / "manifest.json", copy / "original.json")
    return copy


def test_missing_or_changed_files_are_reported_in_one_line(copy: Path, tmp_path: Path) -> None:
    shard = copy / "shard-00001.h5"
    whole = shard.read_bytes()
    for damage, message in (
        (shard.unlink, "shard-00001.h5 is missing"),
        (
            lambda: shard.write_bytes(whole[:-1]),
            f"has {len(whole) - 1} bytes, the manifest says {len(whole)}",
        ),
        (lambda: shard.write_bytes(b"\0" * len(whole)), "cannot be opened"),
    ):
        damage()
        with pytest.raises(InputError, match=message):
            everything(copy)
        shard.write_bytes(whole)
    manifest = copy / "manifest.json"
    text = manifest.read_text()
    for damaged, message in (
        (
            text.replace('"schema_version": 1', '"schema_version": 2'),
            "schema version 2; this program reads version 1",
        ),
        (text[:-20], "cannot be read"),
        ('{"format": "other"}', "not a shapenet3d-cma manifest"),
        (text.replace("shard-00001.h5", "../shard-00001.h5"), "outside its folder"),
    ):
        manifest.write_text(damaged)
        with pytest.raises(InputError, match=message):
            Shards(copy)
    with pytest.raises(InputError, match="not a folder of shards"):
        Shards(tmp_path / "none")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(["file", "rows", "bytes", "sha256", None]), JSON)
def test_a_manifest_is_refused_unless_each_entry_is_a_shard(
    folder: Path, name: str | None, value: Any
) -> None:
    manifest = json.loads((folder / "original.json").read_text())
    entry = manifest["shards"][1]
    size = entry["bytes"]
    valid = (name == "sha256" and isinstance(value, str)) or (
        name == "rows" and type(value) is int and 0 <= 32 * value <= size
    )
    if name is None:
        manifest["shards"][1] = value
    else:
        assume(value != entry[name])
        entry[name] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if valid:
        assert Shards(folder).manifest["shards"][1] == entry
        return
    with pytest.raises(InputError) as refused:
        Shards(folder)
    assert str(folder) in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


SHARD = st.fixed_dictionaries({"file": JSON | st.just("shard-00003.h5") | st.just("../a.h5")})


@given(JSON | st.fixed_dictionaries({"shards": st.lists(SHARD | JSON, max_size=3) | JSON,
                                     "config": JSON, "render_config": JSON}))  # fmt: skip
def test_a_record_of_any_shape_names_only_shards(folder: Path, document: Any) -> None:
    """What it names may be removed, as one of ours."""
    (folder / "manifest.json").write_text(json.dumps(document))
    settings, files = read_record(folder)
    assert all(isinstance(table, dict) for table in settings.values())
    assert all(SHARD_NAME.fullmatch(name) for name in files)


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_every_name_of_a_shard_is_recognised(number: int, part: int) -> None:
    name = part_path(Path(f"shard-{number:05}.h5"), part).name
    assert SHARD_NAME.fullmatch(name)
    assert not SHARD_NAME.fullmatch(f"my-{name}")


@pytest.mark.parametrize(
    "damaged", ["null", "[]", '{"format": "shapenet3d-cma", "schema_version": 1}', '"x"']
)
def test_a_manifest_without_shards_is_refused(copy: Path, damaged: str) -> None:
    (copy / "manifest.json").write_text(damaged)
    with pytest.raises(InputError, match="manifest"):
        Shards(copy)


def test_a_file_instead_of_a_folder_is_refused(copy: Path) -> None:
    with pytest.raises(InputError, match=r"shard-00000\.h5 is a file: give the folder of shards"):
        Shards(copy / "shard-00000.h5")
