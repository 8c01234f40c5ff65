"""Hostile material libraries and pictures: what cannot be shown becomes a note."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shapenet3d_cma.render.mesh import bounds
from shapenet3d_cma.render.mesh.mtl import read_materials
from shapenet3d_cma.render.shapenet.doctor import diagnose
from shapenet3d_cma.render.shapenet.listing import (
    list_models,
)
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.render.mesh.broken_models import (
    TRIANGLE,
    png,
    put_model,
)


def read_mtl(folder: Path, text: str | bytes) -> tuple[dict[str, object], list[str]]:
    (folder / "models" / "a.mtl").write_bytes(text.encode() if isinstance(text, str) else text)
    materials, notes = read_materials(folder, ("a.mtl", "./a.mtl", "../models/a.mtl"))
    return dict(materials), notes


@pytest.mark.parametrize(
    "text",
    [
        "newmtl m\nmap_Kd " + "-a " * 1_000_000 + "x.png\n",
        "newmtl " + "m" * 10_000_000 + "\nKd 1 0 0\n",
        "newmtl m\n" + "".join(f"map_Kd {number}.png\n" for number in range(30_000)),
        "".join(f"newmtl {number}\n" for number in range(80_000)),
        b"\0\xff\xfe" * 100_000,
        b"newmtl m\nmap_Kd a\0b\nKd nan inf 1e999\nd " + b"9" * 5000,
        "newmtl m\nmap_Kd a.mtl\nmap_d a.mtl\nmtllib a.mtl\n",
    ],
    ids=["options", "name", "maps", "materials", "garbage", "numbers", "itself"],
)
def test_material_libraries_without_end(tmp_path: Path, text: str | bytes) -> None:
    folder = put_model(tmp_path)
    with bounded("mtl", inside=tmp_path, mib=300, seconds=60):
        materials, notes = read_mtl(folder, text)
    assert len(materials) <= bounds.MOST_MATERIALS
    assert len(notes) <= bounds.MOST_LOOKUPS + 1
    assert all(len(note) < 500 and note.isprintable() for note in notes)


@pytest.mark.parametrize("keyword", ["map_Kd", "map_d"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: png(path, 14_000, 14_000), "it has more than 134,217,728 pixels"),
        (lambda path: png(path, 2**31 - 1, 2**31 - 1), "it has more than 134,217,728 pixels"),
        (
            lambda path: path.write_bytes(b"GIF89a\1\0\1\0\0\0\0\0"),
            "it is not a readable picture",
        ),
        (
            lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0"),
            "it is not a readable picture",
        ),
        (lambda path: path.write_bytes(b""), "it is not a readable picture"),
        (lambda path: path.write_text("no picture"), "it is not a readable picture"),
        (lambda path: path.symlink_to("/etc/hostname"), "leads outside"),
        (lambda path: path.symlink_to("/dev/zero"), "leads outside"),
        (lambda path: path.symlink_to(path), "cannot be looked up"),
        (os.mkfifo, "is missing"),
        (lambda path: path.mkdir(), "is missing"),
    ],
    ids=[
        "196 MP",
        "bomb",
        "gif",
        "cut",
        "empty",
        "text",
        "link",
        "device",
        "ring",
        "fifo",
        "folder",
    ],
)
def test_pictures_that_may_not_be_shown_are_left_out(
    tmp_path: Path, make: Callable[[Path], object], says: str, keyword: str
) -> None:
    folder = put_model(tmp_path, "mtllib a.mtl\nusemtl m\n" + TRIANGLE)
    make(folder / "models" / "t.png")
    with bounded("mtl", inside=tmp_path, mib=100, seconds=5):
        materials, notes = read_mtl(folder, f"newmtl m\n{keyword} t.png\n")
    assert (
        [note for note in notes if says in note and note.startswith("texture 't.png'")]
        == notes
        != []
    )
    assert vars(materials["m"])["texture"] is vars(materials["m"])["mask"] is None
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert {"unreadable texture", "missing texture", "refused reference"} & set(found.counts)


def test_many_large_pictures_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put_model(tmp_path)
    for number in range(4):
        png(folder / "models" / f"{number}.png", 8192, 8192)
    text = "".join(f"newmtl m{number}\nmap_Kd {number}.png\n" for number in range(4))
    assert read_mtl(folder, text)[1] == []
    png(folder / "models" / "3.png", 8192, 8193)
    assert "pictures have more than 268,435,456 pixels together" in " ".join(
        read_mtl(folder, text)[1]
    )
