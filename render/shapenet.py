"""ShapeNetCore.v2 on disk: which models there are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

__all__ = ["Model", "category_names", "find_models"]

_SYNSET = re.compile(r"\d{8}")
_REMEDY = (
    "expected ShapeNetCore.v2 as <synset>/<model>/models/model_normalized.obj (`cma3d samples OUT` makes a small one)"
)


@dataclass(frozen=True, order=True)
class Model:
    """One model of ShapeNet: `folder` is `<root>/<synset>/<model_id>`."""

    synset: str
    model_id: str
    folder: Path

    @property
    def obj(self) -> Path:
        """Where its OBJ lies, if it has one."""
        return self.folder / "models" / "model_normalized.obj"

    @property
    def key(self) -> str:
        """`synset/model_id`."""
        return f"{self.synset}/{self.model_id}"


def category_names(root: Path) -> dict[str, str]:
    """Give the first name of each synset in `taxonomy.json`; empty where that file is missing or unreadable."""
    try:
        entries = json.loads((root / "taxonomy.json").read_text(encoding="utf-8"))
        return {entry["synsetId"]: entry["name"].split(",")[0] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def find_models(root: Path, *, synsets: tuple[str, ...] = (), limit: int | None = None) -> list[Model]:
    """List the models of a ShapeNet folder, sorted by synset and id; folders without an OBJ are models, too.

    Parameters
    ----------
    root : holds one folder a synset
    synsets : offsets or names of `taxonomy.json` to take; all where empty
    limit : take the first so many of each synset

    Raises
    ------
    InputError : no folder, no ShapeNet, an empty one, or a synset that it has not
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what}: {_REMEDY}")
    folders = {path.name: path for path in sorted(root.iterdir()) if _SYNSET.fullmatch(path.name) and path.is_dir()}
    if not folders:
        nested = next((path.parents[1] for path in sorted(root.glob("*/[0-9]*/*/models"))), None)
        hint = f"; {nested.parent} looks like one" if nested else ""
        raise InputError(f"{root} is no ShapeNet, it has no synset folder such as 03001627: {_REMEDY}{hint}")
    models = []
    for synset in _wanted(synsets, folders, root):
        ids = sorted(path.name for path in folders[synset].iterdir() if path.is_dir())
        models += [Model(synset, model_id, folders[synset] / model_id) for model_id in ids[:limit]]
    if not models:
        raise InputError(f"{root} has synset folders but no model in them: {_REMEDY}")
    return models


def _wanted(synsets: tuple[str, ...], folders: dict[str, Path], root: Path) -> list[str]:
    if not synsets:
        return list(folders)
    names = {name: synset for synset, name in category_names(root).items()}
    wanted = {names.get(name, name) for name in synsets}
    missing = sorted(wanted - set(folders))
    if missing:
        known = ", ".join(sorted(name for name, synset in names.items() if synset in folders)) or ", ".join(folders)
        raise InputError(f"{root} has no synset {missing[0]!r}; it has {known}")
    return sorted(wanted)
