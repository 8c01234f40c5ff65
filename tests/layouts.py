"""Folders as users have them, and what must be as it was afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Snapshot = dict[str, tuple[Any, ...]]

NAMES = (
    "a.txt", "notes", ".partial-x", ".cma3d-x", ".partial-host@1-00-a.h5", "shard-00000.h5", "manifest.json",
    "export.json", "clouds.json", "render.json", "failures.jsonl", "README.md", "README.txt", "LICENSE.txt",
    "index.csv", "taxonomy.json", "log.jsonl", "run.html", "overview.png", "report.html", "row-0.html", "page.html",
    "encoder.safetensors", "pack.unfinished.json", ".runs", "x" * 255, "two\nlines", "](http://x)", "\udcff.bin",
)  # fmt: skip
"""Names that commands use for their own files, that they once used, or that are hard to handle."""
FOLDERS = (
    "",
    "03001627/",
    "03001627/model/",
    "train/000000/",
    "shapenet/02691156/",
    ".runs/",
    "renders/",
    "shards/",
)
CONTENTS = (
    b"",
    b"mine",
    b"{}",
    b"[]",
    b"{",
    b"\x89HDF\r\n\x1a\n",
    b"<!doctype html>mine",
    b"ply\n",
    bytes(3000),
)

FILES = st.dictionaries(
    st.builds(
        str.__add__,
        st.sampled_from(FOLDERS),
        st.sampled_from([*NAMES, "model.ply", "view-00.ply", "model.h5"]),
    ),
    st.sampled_from(CONTENTS),
    min_size=1,
    max_size=6,
)
"""Files of a user: name -> content. Some names take others' places as folders: those are left out when it is made."""


def make_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a user's files; where a file has the name that a later one needs for its folder, that one is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def snapshot(folder: Path) -> Snapshot:
    """Tell all that is in a folder: of each file its bytes and time, of each link where it leads; folders end in /."""
    found: Snapshot = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            key = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[key] = ("link", str(path.readlink()))
            elif path.is_dir():
                found[f"{key}/"] = ("folder",)
            elif path.is_file():
                found[key] = ("file", path.read_bytes(), path.stat().st_mtime_ns)
            else:
                found[key] = ("other",)
    return found


def assert_kept(before: Snapshot, folder: Path, but: Iterable[str] = ()) -> None:
    """Hold that all that was in a folder is in it as it was, but for some names."""
    after, but = snapshot(folder), set(but)
    lost = [name for name, what in before.items() if name not in but and after.get(name) != what]
    assert not lost, f"not as before: {lost}"


def clear(folder: Path) -> Path:
    """Return an empty folder, for the next drawn example."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
