"""Zips are read in place, and nothing in them reaches outside a model's folder."""

from __future__ import annotations

import contextlib
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError, ModelError
from shapenet3d_cma.render.shapenet import archive
from shapenet3d_cma.render.shapenet.archive import list_archive, unpack

MODEL = "03001627/abc"
OBJ = f"{MODEL}/models/model_normalized.obj"


def write_zip(path: Path, entries: dict[str, bytes], **how: object) -> Path:
    path.unlink(missing_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data, **how)
    archive._opened.cache_clear()
    return path


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("03001627/", "03001627.zip"),
        ("", "03001627.zip"),
        ("ShapeNetCore.v2/03001627/", "03001627.zip"),
        ("ShapeNetCore.v2/03001627/", "ShapeNetCore.v2.zip"),
        ("03001627\\", "03001627.zip"),
    ],
)
def test_models_are_found_however_the_zip_was_made(tmp_path: Path, prefix: str, name: str) -> None:
    entries = {
        f"{prefix}abc/models/model_normalized.obj": b"v 0 0 0\n",
        f"{prefix}abc/images/a.png": b"image",
    }
    path = write_zip(
        tmp_path / name, {**entries, f"{prefix}readme.txt": b"", "taxonomy.json": b"[]"}
    )
    ((synset, folder),) = contents = list_archive(path)
    assert synset == "03001627"
    assert folder.endswith("abc")
    assert sorted(contents[synset, folder]) == ["images/a.png", "models/model_normalized.obj"]
    (tmp_path / "out").mkdir()
    assert unpack(path, folder, tmp_path / "out") == []
    assert tree(tmp_path / "out") == {"images/a.png", "models/model_normalized.obj"}


def test_utf8_names_without_the_utf8_flag(tmp_path: Path) -> None:
    """As Info-ZIP writes them on Linux: the flag is not set."""
    path = write_zip(tmp_path / "03001627.zip", {"03001627/naïve-模型/images/tëx.png": b"image"})
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place + 1] &= ~0x08
    path.write_bytes(data)
    assert list_archive(path) == {("03001627", "03001627/naïve-模型"): ["images/tëx.png"]}
    (tmp_path / "out").mkdir()
    unpack(path, "03001627/naïve-模型", tmp_path / "out")
    assert tree(tmp_path / "out") == {"images/tëx.png"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{MODEL}/../../../evil.txt", "outside"),
        (f"{MODEL}/models/../../../../evil.txt", "outside"),
        (f"{MODEL}\\..\\..\\..\\evil.txt", "outside"),
        (f"{MODEL}//etc/evil.txt", "absolute"),
        (f"{MODEL}/C:\\evil.txt", "absolute"),
        ("../evil.txt", None),
        ("/03001627/abc/evil.txt", None),
        ("03001627/../evil.txt", None),
        ("03001627/./evil.txt", None),
        ("03001627/evil.txt", None),
    ],
)
def test_entries_that_lead_out_are_refused(tmp_path: Path, name: str, says: str | None) -> None:
    path = write_zip(tmp_path / "03001627.zip", {OBJ: b"v 0 0 0\n", name: b"evil"})
    out = tmp_path / "deep" / "er" / "out"
    out.mkdir(parents=True)
    notes = unpack(path, MODEL, out)
    assert tree(tmp_path) == {"03001627.zip", "deep/er/out/models/model_normalized.obj"}
    assert [folder for _, folder in list_archive(path)] == [MODEL]
    assert len(notes) == (says is not None)
    assert all(says in note and "refused" in note for note in notes)


@given(name=st.text(st.sampled_from("a./\\:é\0"), max_size=12))
def test_whatever_an_entry_is_called_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    top = tmp_path_factory.mktemp("zip")
    path = write_zip(top / "03001627.zip", {OBJ: b"v\n", f"{MODEL}/{name}": b"x"})
    out = top / "a" / "b" / "c" / "d" / "out"
    out.mkdir(parents=True)
    with contextlib.suppress(ModelError):
        unpack(path, MODEL, out)
    assert all(
        path.is_relative_to(out) or path.name == "03001627.zip"
        for path in top.rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize(
    ("kind", "says"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "no plain file")]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: int, says: str) -> None:
    info = zipfile.ZipInfo(f"{MODEL}/images/a.png")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    path = write_zip(tmp_path / "03001627.zip", {OBJ: b"v 0 0 0\n"})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, "/etc/hostname")
    (tmp_path / "out").mkdir()
    (note,) = unpack(path, MODEL, tmp_path / "out")
    assert says in note
    assert tree(tmp_path / "out") == {"models/model_normalized.obj"}


def test_a_bomb_fails_one_model_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    monkeypatch.setattr(archive, "MAX_ENTRIES", 5)
    large = write_zip(tmp_path / "03001627.zip", {OBJ: b"\0" * 1001})
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="1,001 bytes in 1 files"):
        unpack(large, MODEL, tmp_path / "out")
    many = write_zip(
        tmp_path / "03001628.zip", {f"03001628/abc/{number}": b"" for number in range(6)}
    )
    with pytest.raises(ModelError, match="6 files"):
        unpack(many, "03001628/abc", tmp_path / "out")
    assert tree(tmp_path / "out") == set()


def test_damage_costs_one_model_or_the_archive_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "03001627.zip", {OBJ: b"v 0 0 0\n" * 500})
    data = bytearray(path.read_bytes())
    data[80:90] = b"\xff" * 10
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match=r"cannot be read from 03001627\.zip"):
        unpack(path, MODEL, tmp_path / "out")
    path.write_bytes(data[:50])
    with pytest.raises(InputError, match=r"cannot be read as a zip archive.*download it again"):
        list_archive(path)


def test_a_directory_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    """Also where the locator leads to a record that says less than the one that zipfile reads."""
    path, size = tmp_path / "03001627.zip", archive._MOST_DIRECTORY + 1
    record = struct.Struct("<4sQ2H2L4Q")
    with path.open("wb") as file:
        file.truncate(size)  # a hole: it takes no room
        file.seek(size)
        for directory in (10, size):
            file.write(record.pack(b"PK\6\6", record.size - 12, 45, 45, 0, 0, 1, 1, directory, 0))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, size, 1))
        file.write(
            struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
        )
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="it is damaged"):
            list_archive(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
