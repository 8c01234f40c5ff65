"""Folders that are filled model by model: what they are made with, and since when, so that a second call goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import __version__
from ..camera import CONVENTIONS
from ..errors import InputError
from ..files import write_text
from ..untrusted import read_json, shown
from .schema import FORMAT
from .writer import cannot_write

__all__ = ["begin", "is_made", "record"]


def begin(path: Path, kind: str, config: dict[str, Any], *, redo: bool) -> int:
    """Refuse to mix what is made with other settings; give the time, ns, from which on the folder's files count.

    Parameters
    ----------
    path : the folder's record, a JSON file in it
    kind : of what the folder holds
    config : the settings
    redo : begin anew instead of refusing: what was made before this time counts no more

    Raises
    ------
    InputError : the folder was made with other settings, or cannot be written
    """
    try:
        before = read_json(path)
    except (OSError, ValueError):
        before = None
    match before:
        case {"config": dict(made), "since": int(since)}:
            pass
        case _:
            made, since = {}, 0
    other = [name for name, value in config.items() if name in made and made[name] != value]
    if other and not redo:
        raise InputError(
            f"{path.parent} was made with {other[0]} = {shown(made[other[0]])}, not {config[other[0]]}: "
            "give the same settings, choose another folder, or replace all with --redo"
        )
    if made and not redo:
        return since
    record(path, kind, config, None)  # of no use to a later call, should this one end here
    since = path.stat().st_mtime_ns  # by the clock of the disk that is written to
    record(path, kind, config, since)
    return since


def is_made(folder: Path, since: int) -> bool:
    """Tell whether a model's folder is there and counts."""
    return folder.is_dir() and folder.stat().st_mtime_ns >= since


def record(
    path: Path, kind: str, config: dict[str, Any], since: int | None, last_run: dict[str, Any] | None = None
) -> None:
    """Write what a folder is made with, and what the last run did.

    Raises
    ------
    InputError : it cannot be written
    """
    content = {
        "format": FORMAT,
        "kind": kind,
        "generator": f"shapenet3d-cma {__version__}",
        "config": config,
        "since": since,
        "conventions": CONVENTIONS,
        **({} if last_run is None else {"last_run": last_run}),
    }
    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None
