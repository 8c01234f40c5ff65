"""The stamp of an output folder, which names its kind."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InputError
from .disk import HIDDEN, name_file, sync

__all__ = ["is_bare", "read_stamp", "write_stamp"]

_FORMAT = "shapenet3d-cma output"


def read_stamp(path: Path) -> dict[str, Any] | None:
    """Read the stamp of an output folder, or return None."""
    stamp = path / HIDDEN / "stamp.json"
    # a link could lead to the stamp of another folder
    if (path / HIDDEN).is_symlink() or stamp.is_symlink() or not stamp.is_file():
        return None
    try:
        with stamp.open("rb") as file:
            # a stamp is one short line: never read more, whatever the size
            content = json.loads(file.read(4096))
    except (OSError, ValueError, RecursionError):
        return None
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or not isinstance(content.get("kind"), str)
    ):
        return None
    return content


def write_stamp(path: Path, kind: str, *, earlier: bool) -> dict[str, Any]:
    """Write the stamp of an output folder, unless another process did.

    Raises
    ------
    InputError : another process made the folder one of another kind
    """
    stamp, partial = path / HIDDEN / "stamp.json", path / HIDDEN / f"stamp-{secrets.token_hex(8)}"
    content = {"format": _FORMAT, "kind": kind, "earlier": earlier}
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")
        sync(partial)
        with suppress(InputError):  # another that shares the folder was first
            name_file(partial, stamp, replace=False)
    finally:
        partial.unlink(missing_ok=True)
    # the process that was first decides the kind
    content = read_stamp(path) or content
    if content["kind"] != kind:
        raise InputError(
            f"{path} holds {content['kind']} of cma3d, not {kind}: choose another output folder"
        )
    return content


def is_bare(hidden: Path) -> bool:
    """Check whether a record's folder holds at most locks and no stamp.

    A kill right after its making leaves it so.
    """
    if hidden.is_symlink() or not hidden.is_dir():
        return False
    locks = ("lock", "readers")
    return all(path.name.startswith("stamp-") or path.name in locks for path in hidden.iterdir())
