"""Models on disk: ShapeNetCore in folders or zips, or any files.

Listing opens no model. A `Model` knows where its files lie; `fetch` makes them a folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ...core.errors import InputError, ModelError, needs
from ...core.outputs import HIDDEN
from ...core.untrusted import parse_json, read_plain, shown
from .archive import list_archive, unpack
from .layout import (
    FORMATS,
    LAYOUT_NAMES,
    REMEDY,
    check_layout,
    model_files,
    recognise_layout,
    subfolders,
    synset_folders,
    zip_archives,
    zip_files,
)
from .model import V1_FILE, V2_FILE, Model
from .selection import Layout, Selection, select
from .synsets import V2_NAMES

__all__ = [
    "FORMATS",
    "V1_FILE",
    "V2_FILE",
    "Listing",
    "Model",
    "category_names",
    "fetch",
    "find_models",
    "list_models",
    "safe_id",
    "source_model",
]

NO_SYNSET = "00000000"
"""Synset of models that lie in no folder under `--layout flat`."""
_TAXONOMY = 64 << 20  # bytes; ShapeNet's own has 200 kB
_LONGEST = (
    100  # bytes of an id made from a path, so that file names made from it fit any file system
)
_LONGEST_NAME = (
    200  # bytes of a name that stays as it is: an ending, and a beginning of 30 bytes, still fit
)
_ACTIVE = frozenset('<>[]|\\"`*?')  # what pages, shells and patterns take for their own
_LISTED = 3  # names that a note gives as examples


@dataclass(frozen=True)
class Listing:
    """The selected models of a folder, sorted by synset and id.

    Attributes
    ----------
    notes : requested models that are missing, one line each
    whole : whether each synset has all its models, none left out by id, split, limit or share
    """

    root: Path
    layout: Layout
    models: list[Model]
    notes: list[str]
    whole: bool = True

    @property
    def title(self) -> str:
        """Describe the listing in one line."""
        synsets = len({model.synset for model in self.models})
        categories = "1 category" if synsets == 1 else f"{synsets} categories"
        return (
            f"{self.root}: {LAYOUT_NAMES[self.layout]}, {len(self.models):,} models of {categories}"
        )


def fetch(model: Model, scratch: Path) -> tuple[Path, list[str]]:
    """Make a model's folder available.

    Parameters
    ----------
    scratch : an empty folder, where files of an archive go

    Returns
    -------
    folder : holds `model.file`, if the model has it
    notes : entries of the archive that were refused

    Raises
    ------
    ModelError : its archive cannot be read
    """
    if not model.archive:
        return model.folder, []
    folder = (
        scratch / model.folder.name
    )  # its own name: an MTL may refer to ../<model_id>/texture.jpg
    try:
        folder.mkdir()
    except (OSError, ValueError):
        raise ModelError(f"no folder can have its name, {shown(folder.name, 60)!r}") from None
    notes = unpack(Path(model.archive), model.folder.as_posix(), folder)
    if notes and not (folder / model.file).is_file():
        raise ModelError(f"it has no {model.file}: {notes[0]}")
    return folder, notes


def category_names(root: Path) -> dict[str, str]:
    """Return the first name of each synset in `taxonomy.json`.

    Empty if the file is missing or unreadable.
    """
    try:
        entries = parse_json(read_plain(root / "taxonomy.json", _TAXONOMY, "download it again"))
        return {str(entry["synsetId"]): shown(entry["name"].split(",")[0], 40) for entry in entries}
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def find_models(
    root: Path, *, synsets: tuple[str, ...] = (), limit: int | None = None
) -> list[Model]:
    """List models, sorted by synset and id: `list_models` in short."""
    return list_models(root, Selection(synsets=synsets, limit=limit)).models


def list_models(root: Path, selection: Selection | None = None) -> Listing:
    """List the models of a folder or of a zip archive.

    Folders without an OBJ are models, too.

    Raises
    ------
    InputError : no model, another layout than the requested one, or nothing selected
    """
    selection = selection or Selection()
    if not os.path.lexists(root):
        raise InputError(f"{root} does not exist: {REMEDY}")
    if selection.layout not in ("auto", "flat"):
        check_layout(root, selection.layout)
    layout = recognise_layout(root) if selection.layout == "auto" else selection.layout
    notes: list[str] = []
    if layout == "flat":
        models = _flat(root, notes)
        models = _of_synsets(models, selection.synsets, root)
    elif layout == "zip":
        models = _zipped(root, selection.synsets, notes)
    else:
        models = _in_folders(root, selection.synsets, V1_FILE if layout == "v1" else V2_FILE, notes)
    if not models:
        raise InputError(f"{root} has synset folders but no model in them: {REMEDY}")
    models = _apart(sorted(models))
    if layout != "flat":
        _tell_renamed(models, notes)
    chosen, missing = select(models, selection)
    return Listing(root, layout, chosen, notes + missing, whole=len(chosen) == len(models))


def safe_id(name: str) -> str:
    """Return the id of a model by the name of its folder.

    It is the name itself if files, pages and terminals can carry it.

    Else one of letters, digits, `_`, `-` and dots that ends in a hash of the name: it is no UTF-8,
    is not printable, begins with a dot, has blanks around it or brackets in it, or is longer than
    200 bytes.
    """
    plain = (
        name.isprintable()
        and not name.startswith(".")
        and name == name.strip()
        and not _ACTIVE & set(name)
    )
    if plain and len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{_safe(name)}-{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _apart(models: list[Model]) -> list[Model]:
    """Rename models that share synset and id.

    They come from two archives or folders; else one file would stand for all.
    """
    taken: set[str] = set()
    apart = []
    for model in models:
        while model.key in taken:
            own = _hash(f"{model.archive}\0{model.folder}\0{model.file}\0{model.model_id}")
            model = replace(model, model_id=f"{model.model_id[:_LONGEST]}-{own}")  # noqa: PLW2901
        taken.add(model.key)
        apart.append(model)
    return sorted(apart)


def _tell_renamed(models: list[Model], notes: list[str]) -> None:
    """Note which models are called otherwise than their folders."""
    renamed = [model for model in models if model.model_id != model.folder.name]
    if renamed:
        renames = [f"{shown(model.folder.name, 40)!r} is {model.model_id}" for model in renamed]
        notes.append(
            f"{len(renamed)} models are called otherwise, as no file or page can carry their "
            "names, or two share "
            f"one: {_some(renames)}"
        )


def _some(names: list[str]) -> str:
    shortened = [shown(name, 120) for name in names[:_LISTED]]
    return ", ".join(shortened) + (", …" if len(names) > _LISTED else "")


def _in_folders(root: Path, synsets: tuple[str, ...], file: str, notes: list[str]) -> list[Model]:
    folders = synset_folders(root)
    if not folders:
        raise InputError(
            f"{root} is not a ShapeNet folder, it has no synset folder such as 03001627: {REMEDY}"
        )
    models = []
    for synset in _offsets(synsets, folders, root):
        folder = folders[synset]
        models += [Model(synset, safe_id(name), folder / name, file) for name in subfolders(folder)]
    if not synsets:
        other = [name for name in subfolders(root) if name not in folders and name != HIDDEN]
        _tell_left_out(other, "folders", "their names are no synsets", notes)
        _tell_left_out(
            [path.name for path in zip_files(root)],
            "zip archives",
            "there are folders beside them",
            notes,
        )
    return models


def _tell_left_out(names: list[str], what: str, why: str, notes: list[str]) -> None:
    if names:
        notes.append(f"{what} left out, as {why}: {len(names):,}, {_some(names)}")


def _zipped(root: Path, synsets: tuple[str, ...], notes: list[str]) -> list[Model]:
    archives = zip_archives(root)
    if not archives:
        raise InputError(
            f"{root} holds no zip of a synset such as 03001627.zip: give the folder that they lie "
            "in"
        )
    if root.is_dir():
        offsets = set(_offsets(synsets, [path.stem for path in archives], root))
        archives = [path for path in archives if path.stem in offsets]
    if root.is_dir() and not synsets:
        other = [path.name for path in zip_files(root) if path not in archives]
        _tell_left_out(other, "zip archives", "their names are no synsets", notes)
    models, strays = [], list[str]()
    for archive in archives:
        contents = list_archive(archive, strays)
        v1 = not any(V2_FILE in files for files in contents.values()) and any(
            V1_FILE in files for files in contents.values()
        )
        file, path = V1_FILE if v1 else V2_FILE, str(archive)
        models += [
            Model(synset, safe_id(folder.rsplit("/", 1)[-1]), Path(folder), file, path)
            for synset, folder in contents
        ]
    _tell_left_out(strays, "meshes in archives", "they lie in no folder of a synset", notes)
    return sorted(models if root.is_dir() else _of_synsets(models, synsets, root))


def _flat(root: Path, notes: list[str]) -> list[Model]:
    """List model files: the first folder is the synset."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: --layout flat takes a folder of model files")
    hidden: list[str] = []
    unread: list[str] = []
    files = list(model_files(root, hidden, unread))
    _tell_left_out(hidden, "model files and folders", "their names begin with a dot", notes)
    _tell_left_out(unread, "folders", "they are links, or cannot be read", notes)
    if not files:
        raise InputError(
            f"{root} holds no model file: --layout flat takes {', '.join(FORMATS)}, also in folders"
        )
    if any(not name.lower().endswith(".obj") for name in files):
        try:
            import trimesh  # noqa: F401
        except ImportError as error:
            raise needs("trimesh", "render", error) from None
    names = {name: _flat_names(name) for name in files}
    shared = Counter(names.values())
    models = []
    for name, (synset, model_id) in names.items():
        if (
            shared[synset, model_id] > 1
        ):  # chair.obj and chair.glb: told apart by a name that others don't change
            model_id += "-" + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]  # noqa: PLW2901
        models.append(Model(synset, model_id, root, name))
    return sorted(models)


def _flat_names(file: str) -> tuple[str, str]:
    """Return synset and id of a model file by its path.

    They have letters, digits, `_`, `-` and inner dots.
    """
    *folders, name = Path(file).with_suffix("").parts
    synset = _safe(folders[0]) if folders else NO_SYNSET
    return synset, _safe("-".join([*folders[1:], name]))


def _safe(text: str) -> str:
    """Make a name of letters, digits, `_`, `-` and inner dots.

    A long one is cut and ends in a hash of the whole.
    """
    safe = re.sub(r"[^\w.-]+", "-", text).strip(".-") or "model"
    if len(safe.encode()) > _LONGEST:
        kept = safe.encode()[: _LONGEST - 9].decode(errors="ignore")
        safe = f"{kept}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return safe


def _of_synsets(models: list[Model], synsets: tuple[str, ...], root: Path) -> list[Model]:
    offsets = set(_offsets(synsets, sorted({model.synset for model in models}), root))
    return [model for model in models if model.synset in offsets]


def _offsets(synsets: tuple[str, ...], there: Iterable[str], root: Path) -> list[str]:
    """Return the synsets requested by offset or name.

    Raises
    ------
    InputError : one is not there
    """
    there = list(there)
    if not synsets:
        return there
    known = V2_NAMES | category_names(root)
    names = {name: synset for table in (V2_NAMES, known) for synset, name in table.items()}
    offsets = {name if name in there else names.get(name, name) for name in synsets}
    missing = sorted(offsets - set(there))
    if missing:
        listed = ", ".join(sorted(known.get(synset, synset) for synset in there))
        raise InputError(f"{root} has no synset {missing[0]!r}; it has {shown(listed, 1000)}")
    return sorted(offsets)


def source_model(root: Path, synset: str, model_id: str, layout: Layout = "auto") -> Model:
    """Find one model by its names.

    Raises
    ------
    InputError : `root` cannot be listed, or there is no such model
    """
    model = _by_key(root, layout).get(f"{synset}/{model_id}")
    if model is None:
        raise InputError(
            f"{root} has no model {synset}/{model_id}: --source is the ShapeNet that was rendered"
        )
    return model


@lru_cache(maxsize=1)
def _by_key(root: Path, layout: Layout) -> dict[str, Model]:
    return {model.key: model for model in list_models(root, Selection(layout=layout)).models}
