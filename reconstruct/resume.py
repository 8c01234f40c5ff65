"""Folders filled model by model, with settings for a later call."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Self

from ..core.errors import InputError
from ..core.outputs import Output
from ..core.schema import file_stamp
from ..core.untrusted import read_json, shown

__all__ = ["Summary", "begin", "record", "remove_others"]


@dataclass
class Summary:
    """The counts and lists of a run; subclasses have the fields."""

    def add(self, other: Self) -> None:
        """Add another summary's counts and lists."""
        for entry in dataclasses.fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))


def begin(output: Output, name: str, config: dict[str, Any], *, redo: bool) -> str:
    """Check a folder's settings against its record; return their hash.

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
    # a record of any other shape counts as no record
    match before:
        case {"config": dict(previous)}:
            pass
        case _:
            previous = {}
    # a setting that the record lacks, as of another release, is no difference
    other = [name for name, value in config.items() if name in previous and previous[name] != value]
    if other and not redo:
        raise InputError(
            f"{output.path} was made with {other[0]} = {shown(previous[other[0]])}, "
            f"not {config[other[0]]}: "
            "give the same settings, choose another folder, or replace all with --redo"
        )
    # compared as JSON returns it, where a tuple is a list; equal settings write nothing
    if previous != json.loads(json.dumps(config)):
        record(output, name, config)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def record(
    output: Output, name: str, config: dict[str, Any], last_run: dict[str, Any] | None = None
) -> None:
    """Write the record of a folder: its settings and its last run.

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


def remove_others(output: Output, identity: str) -> None:
    """Remove the unchanged model folders that other settings made.

    Parameters
    ----------
    identity : of `begin`; the record of each model's folder begins with it

    Raises
    ------
    OSError : one cannot be removed
    """
    for name, entry in list(output.record.items()):
        # an entry without `made` is a file, such as the record itself: it stays
        if entry.get("made", identity)[: len(identity)] != identity and output.owns(name):
            output.remove(name)
