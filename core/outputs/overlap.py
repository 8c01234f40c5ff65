"""Outputs that lie in an input, hold one, or are one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError

__all__ = ["followed_file", "followed_folder", "refuse_overlap", "resolve"]


def refuse_overlap(out: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that is, lies in or holds an input.

    Raises
    ------
    InputError : names both
    """
    target = resolve(out)
    for path in inputs:
        if path is None:
            continue
        source = resolve(path)
        if target == source:
            raise InputError(f"{out} is what is read: choose another place to write to")
        if target.is_relative_to(source):
            raise InputError(
                f"{out} lies in {path}, which is read: choose a place outside to write to"
            )
        if source.is_relative_to(target):
            raise InputError(
                f"{path}, which is read, lies in {out}: choose another place to write to"
            )


def followed_folder(path: Path) -> Path:
    """Resolve a path with `..`: new/../data is data, even without new."""
    return resolve(path) if ".." in path.parts else path


def followed_file(path: Path) -> Path:
    """Resolve `..` in the path of a file; keep its own name."""
    return resolve(path) if path.name == ".." else followed_folder(path.parent) / path.name


def resolve(path: Path) -> Path:
    """Return a path without links and `..`.

    Raises
    ------
    InputError : its links form a circle, or its name has a NUL
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:  # a circle of links, a NUL in the name
        raise InputError(f"{str(path)!r} cannot be followed: {error}; give another path") from None
