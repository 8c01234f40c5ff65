"""Hostile zip archives: each is refused, or read without its bad entries."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh import bounds, headers
from shapenet3d_cma.render.mesh import images as pictures
from shapenet3d_cma.render.shapenet import archive
from shapenet3d_cma.render.shapenet.archive import list_archive, unpack
from shapenet3d_cma.render.shapenet.listing import (
    Listing,
    fetch,
    list_models,
)
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.render.mesh.broken_models import (
    TRIANGLE,
    V2,
)


def test_zips_with_false_directories(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    names = [
        f"03001627/abc/{V2}",
        "__MACOSX/03001627/abc/._x",
        "/03001627/x/models/model_normalized.obj",
    ]
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, TRIANGLE)
    listing = list_models(tmp_path)
    assert [model.key for model in listing.models] == ["03001627/abc"]
    assert listing.notes[0].startswith(
        "meshes in archives left out, as they lie in no folder of a synset: 1"
    )
    data = path.read_bytes()
    place = data.rindex(b"PK\5\6")
    for lie in (
        data[: place + 12] + struct.pack("<I", 2**31) + data[place + 16 :],  # a directory of 2 GiB
        data[:place]
        + b"PK\6\7"
        + struct.pack("<IQI", 0, 0, 1)
        + data[place:],  # zip64 that is not there
        data[: place - 10],
        b"PK\5\6",
    ):
        path.write_bytes(lie)
        with bounded("zip", lie, inside=tmp_path, mib=200):
            list_archive(path)


def test_two_models_of_one_name_are_two(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        for top in ("a", "b"):
            file.writestr(f"{top}/03001627/abc/{V2}", TRIANGLE)
    listing: Listing = list_models(path)
    assert len({model.key for model in listing.models}) == 2
    assert listing.notes[0].startswith("1 models are called otherwise")


def test_entries_that_are_not_unpacked_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("03001627/locked/" + V2, TRIANGLE)
        file.writestr("03001627/squeezed/" + V2, TRIANGLE, zipfile.ZIP_LZMA)
        file.writestr("03001627/long/" + "x" * 300 + "/y", TRIANGLE)
        file.writestr("03001627/deep/" + "x/" * 3000 + "y", TRIANGLE)
        file.writestr("03001627/clash/" + V2, TRIANGLE)
        file.writestr("03001627/clash/" + V2 + "/below", TRIANGLE)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)
    archive._opened.cache_clear()
    says = {
        "locked": "encrypted",
        "squeezed": "another method",
        "long": "too long",
        "deep": "too long",
    }
    for model in list_models(tmp_path).models:
        scratch = tmp_path / "scratch" / model.model_id
        scratch.mkdir(parents=True)
        with pytest.raises(
            ModelError, match=says.get(model.model_id, "cannot be read from")
        ) as error:
            fetch(model, scratch)
        assert str(tmp_path) not in str(error.value)


def test_an_archive_of_many_entries_is_listed_in_time(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(20_000):
            file.writestr(f"03001627/{number % 1000}/{number}", b"")
    with bounded("zip", inside=tmp_path, mib=400, seconds=60):
        assert len(list_archive(path)) == 1000
    (tmp_path / "out").mkdir()
    assert unpack(path, "03001627/7", tmp_path / "out") == []


def test_the_bounds_let_honest_models_through() -> None:
    """200 MB of OBJ, 5 million faces, textures of 8192 x 8192."""
    assert bounds.MOST_BYTES >= 5 * 200 * 10**6
    assert bounds.MOST_LINES >= 20_000_000
    assert bounds.MOST_FACES >= 5_000_000
    assert pictures.MOST_PIXELS >= 8192**2
    headers.check_header(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "off", lambda _: 0)
