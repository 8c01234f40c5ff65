"""Text and JSON of others, read within bounds, shown on one line.

The parser is Python's own `json`; it bounds neither length nor depth, so both are checked before.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .wording import visible

__all__ = [
    "kind_of",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_json_lines",
    "read_plain",
    "read_plain_text",
    "shown",
]

MOST_BYTES = 2**28
"""Bytes of a JSON document: the manifest of all of ShapeNet takes a tenth of it."""
MOST_DEPTH = 64
"""Levels of lists and objects: usual documents need less than ten."""
MOST_SHOWN = 200
"""Characters of a text that a message repeats."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# a string's opening quote to its closing one, or to the end where it has none; never goes back, so
# time is linear
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def parse_json(
    text: str | bytes, *, most_depth: int = MOST_DEPTH, most_bytes: int = MOST_BYTES
) -> Any:
    """Parse JSON of others; check length and depth before.

    Parameters
    ----------
    text : bytes are taken for UTF-8
    most_depth : of nested lists and objects
    most_bytes : of the document; of a str, characters

    Raises
    ------
    ValueError : one line that says what is wrong: too long, too deep, not UTF-8, no JSON
    """
    if len(text) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes} bytes")
    if not isinstance(text, str):
        try:
            text = bytes(text).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 (byte {error.start})") from None
    # json recurses, so depth is checked in the text
    if _is_deep(text, most_depth):
        raise ValueError(f"it is nested deeper than {most_depth} levels")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None


def _is_deep(text: str, most: int) -> bool:
    """Check whether brackets outside of strings are nested deeper than `most`."""
    if text.count("[") + text.count("{") <= most:
        return False
    brackets = "".join(_BRACKET.findall(_STRING.sub("", text))).encode("ascii")
    # (B,) +1 for an opening bracket, -1 for a closing one: the running sum is the depth
    steps = np.where(np.isin(np.frombuffer(brackets, np.uint8), list(b"[{")), 1, -1)
    return bool(len(steps)) and int(np.cumsum(steps).max()) > most


def kind_of(mode: int) -> str:
    """Name what is not a plain file, by its `st_mode`; "" of a plain file."""
    return _KINDS.get(stat.S_IFMT(mode), "")


def open_regular(path: Path) -> int:
    """Open a plain file for reading, and return its descriptor.

    Pipes and devices, which may never answer, are refused.

    Raises
    ------
    OSError : it cannot be opened, or is not a plain file; `strerror` says why
    """
    # O_NONBLOCK: to open a pipe without a writer would wait for one
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    kind = kind_of(os.fstat(descriptor).st_mode)
    if not kind:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def read_bytes(path: Path, most: int) -> bytes:
    """Read a plain file of a bounded length.

    Raises
    ------
    OSError : it cannot be read, or is not a plain file
    ValueError : it is longer than `most` bytes
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most:  # as much room is taken at once as is asked for
            return file.read(size)
    raise ValueError(f"it is longer than {most} bytes")


def read_plain(path: Path, most: int, remedy: str) -> bytes:
    """Read a plain file that a user hands over.

    Parameters
    ----------
    most : bytes that a file of its kind may have
    remedy : ends the message, such as "give a text file"

    Raises
    ------
    InputError : it cannot be read, is not a plain file, or is too large
    """
    try:
        return read_bytes(path, most)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read: {reason}; {remedy}") from None


def read_plain_text(path: Path, most: int, remedy: str) -> str:
    """Read a plain file as UTF-8 text, without byte order mark.

    Raises
    ------
    InputError : as `read_plain`; it is not UTF-8
    """
    try:
        return read_plain(path, most, remedy).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} cannot be read: it is not UTF-8 text; {remedy}") from None


def read_json(path: Path, *, most_depth: int = MOST_DEPTH, most_bytes: int = MOST_BYTES) -> Any:
    """Read a JSON file within bounds; see `parse_json`.

    Raises
    ------
    OSError : it cannot be read, or is not a plain file
    ValueError : one line that says what is wrong with its content
    """
    return parse_json(read_bytes(path, most_bytes), most_depth=most_depth, most_bytes=most_bytes)


def read_json_lines(
    path: Path, *, most_depth: int = MOST_DEPTH, most_bytes: int = 2**24
) -> Iterator[Any]:
    """Yield the values of a file of JSON lines.

    A line that is too long, too deep or no JSON is left out.

    Parameters
    ----------
    most_bytes : of one line

    Raises
    ------
    OSError : it cannot be read, or is not a plain file
    """
    with os.fdopen(open_regular(path), "rb") as file:
        whole = True  # whether what comes next begins a line
        while line := file.readline(most_bytes):
            begins, whole = whole, line.endswith(b"\n") or len(line) < most_bytes
            if not (begins and whole):
                continue
            try:
                yield parse_json(line, most_depth=most_depth, most_bytes=most_bytes)
            except ValueError:
                continue


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """Return a value for a message: one line, escaped, shortened.

    A plain text stays as it is; one with line breaks, escape sequences or what is no UTF-8 has them
    escaped.
    """
    text = str(value) if isinstance(value, str | Path) else _represent(value)
    if len(text) > most:
        text = text[:most] + " …"
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _represent(value: object) -> str:
    try:
        return repr(value)
    except (
        ValueError,
        RecursionError,
    ):  # a number of more than 4,300 digits; what is nested too deeply
        return f"a {type(value).__name__}"
