"""Layouts: ShapeNetCore v2 or v1, zip archives, or any files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError
from ...core.outputs import HIDDEN
from .archive import SYNSET
from .model import V1_FILE, V2_FILE
from .selection import Layout

__all__ = [
    "FORMATS",
    "LAYOUT_NAMES",
    "REMEDY",
    "check_layout",
    "model_files",
    "recognise_layout",
    "subfolders",
    "synset_folders",
    "zip_archives",
    "zip_files",
]

FORMATS = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off")
"""Files that `--layout flat` takes for models."""
REMEDY = (
    "expected ShapeNetCore.v2 as <synset>/<model>/models/model_normalized.obj "
    "(`cma3d samples OUT` makes a small one)"
)
LAYOUT_NAMES = {
    "v2": "ShapeNetCore.v2 in folders",
    "v1": "ShapeNetCore.v1 in folders",
    "zip": "ShapeNetCore in zip archives",
    "flat": "model files in folders",
}


def recognise_layout(root: Path) -> Layout:
    """Recognise the layout of a folder by a few subfolders.

    Raises
    ------
    InputError : it has none of these layouts
    """
    if root.is_file() and root.suffix.lower() == ".zip":
        return "zip"
    if not root.is_dir():
        what = (
            "is a file, not a folder" if root.is_file() else "is neither a folder nor a plain file"
        )
        raise InputError(f"{root} {what}: {REMEDY}")
    synsets = synset_folders(root)
    if synsets:
        for folder in list(synsets.values())[:5]:
            for name in subfolders(folder)[:20]:
                if os.path.exists(folder / name / V2_FILE):  # noqa: PTH110 - of a name too long it says no
                    return "v2"
                if os.path.exists(folder / name / V1_FILE):  # noqa: PTH110
                    return "v1"
        return "v2"
    if zip_archives(root):
        return "zip"
    nested = next((path for path in sorted(root.glob("*/[0-9]*")) if _holds_models(path)), None)
    hint = f"; {nested.parent} looks like one" if nested else ""
    if not nested and next(model_files(root, [], []), None):
        hint = "; it holds model files, which --layout flat takes"
    raise InputError(
        f"{root} is not a ShapeNet folder, it has no synset folder such as 03001627: {REMEDY}{hint}"
    )


def check_layout(root: Path, layout: Layout) -> None:
    """Refuse a requested layout that the folder does not have.

    Else each model would fail by itself.
    """
    try:
        found = recognise_layout(root)
    except InputError:  # no layout: reading the requested one reports what is missing
        return
    if found == layout or (layout == "zip" and zip_archives(root)):
        return
    if {found, layout} == {"v1", "v2"}:
        file = V1_FILE if layout == "v1" else V2_FILE
        other = V1_FILE if found == "v1" else V2_FILE
        folders = [
            folder / name for folder in synset_folders(root).values() for name in subfolders(folder)
        ]
        if any((folder / file).exists() for folder in folders) or not any(
            (f / other).exists() for f in folders
        ):
            # a few may be laid out otherwise, and a folder without any model is neither
            return
    raise InputError(
        f"{root} is {LAYOUT_NAMES[found]} (--layout {found}), not {LAYOUT_NAMES[layout]}: leave --layout "
        f"{layout} out, "
        f"or give --layout {found}"
    )


def _holds_models(path: Path) -> bool:
    """Check whether a folder or zip is likely a synset's."""
    if not SYNSET.fullmatch(path.stem):
        return False
    return path.suffix.lower() == ".zip" or (path.is_dir() and bool(subfolders(path)))


def synset_folders(root: Path) -> dict[str, Path]:
    """Return the synset folders of a ShapeNet by name."""
    return {name: root / name for name in subfolders(root) if SYNSET.fullmatch(name)}


def subfolders(folder: Path) -> list[str]:
    """List the names of subfolders, and of broken links.

    A broken link may have been a model; it must not vanish.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read: {error.strerror}; check its permissions"
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or (entry.is_symlink() and not entry.is_file())
    except OSError:  # links in a ring
        return True


def zip_archives(root: Path) -> list[Path]:
    """Return the zips that ShapeNet is handed out in: one a synset."""
    if root.is_file():
        return [root]
    return [path for path in zip_files(root) if SYNSET.fullmatch(path.stem)]


def zip_files(root: Path) -> list[Path]:
    """List the zip archives of a folder, whatever their names."""
    try:
        return sorted(path for path in root.iterdir() if path.suffix.lower() == ".zip")
    except OSError as error:
        raise InputError(
            f"{root} cannot be read: {error.strerror}; give a folder, or a zip archive"
        ) from None


def model_files(root: Path, hidden: list[str], unread: list[str]) -> Iterator[str]:
    """Yield the model files of a folder; links to folders are not followed.

    Parameters
    ----------
    hidden : takes files and folders left out, as their names begin with a dot
    unread : takes folders left out, as they are links or cannot be read
    """
    for folder, inner, files in os.walk(
        root, onerror=lambda error: unread.append(Path(error.filename).name)
    ):
        relative = Path(folder).relative_to(root)
        hidden.extend(name for name in sorted(inner) if name.startswith(".") and name != HIDDEN)
        unread.extend(name for name in sorted(inner) if os.path.islink(f"{folder}/{name}"))  # noqa: PTH114
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(FORMATS):
                if name.startswith("."):
                    hidden.append(name)
                else:
                    yield (relative / name).as_posix()
