"""Folders that are filled model by model: what they are made with, so that a second call goes on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..core.errors import InputError
from ..core.outputs import Output
from ..core.schema import file_stamp
from ..core.untrusted import read_json, shown

__all__ = ["begin", "record", "remove_others"]


def begin(output: Output, name: str, config: dict[str, Any], *, redo: bool) -> str:
    """Refuse to mix what is made with other settings; return what stands for these.

    Parameters
    ----------
    name : of the folder's description, a JSON file in it
    config : the settings
    redo : replace what was made with other settings instead of refusing

    Raises
    ------
    InputError : the folder was made with other settings
    OSError : it cannot be written
    """
    try:
        before = read_json(output.path / name)
    except (OSError, ValueError):
        before = None
    match before:
        case {"config": dict(made)}:
            pass
        case _:
            made = {}
    other = [name for name, value in config.items() if name in made and made[name] != value]
    if other and not redo:
        raise InputError(
            f"{output.path} was made with {other[0]} = {shown(made[other[0]])}, not {config[other[0]]}: "
            "give the same settings, choose another folder, or replace all with --redo"
        )
    if made != json.loads(json.dumps(config)):
        record(output, name, config)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def record(
    output: Output, name: str, config: dict[str, Any], last_run: dict[str, Any] | None = None
) -> None:
    """Write what a folder is made with, and what the last run did.

    Raises
    ------
    OSError : it cannot be written
    """
    content = {
        **file_stamp(output.kind, versioned=False),
        "config": config,
        **({} if last_run is None else {"last_run": last_run}),
    }
    output.write_json(name, content)


def remove_others(output: Output, made: str) -> None:
    """Remove the models' folders that were made with other settings, where they are as they were written.

    Parameters
    ----------
    made : of `begin`; what a model's folder was made with begins with it

    Raises
    ------
    OSError : one cannot be removed
    """
    for name, entry in list(output.record.items()):
        if entry.get("made", made)[: len(made)] != made and output.owns(name):
            output.remove(name)
