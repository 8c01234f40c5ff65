"""Files that a user hands over, read whole: plain files only, and none that is larger than its kind may be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import InputError

__all__ = ["kind_of", "read_plain", "read_plain_text"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """Say what a file is, by its `st_mode`; "" of a plain file."""
    return _KINDS.get(stat.S_IFMT(mode), "")


def read_plain(path: Path, most: int, remedy: str) -> bytes:
    """Read a plain file. A pipe, a device or a socket is refused at once: to read it might never end.

    Parameters
    ----------
    most : bytes that a file of its kind may have
    remedy : ends the message, such as "give a text file"

    Raises
    ------
    InputError : it cannot be read, is no plain file, or is too large
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            kind = kind_of(status.st_mode)
            if kind or status.st_size > most:
                why = f"is {kind}, not a file" if kind else f"has {status.st_size:,} bytes, more than {most:,}"
                raise InputError(f"{path} {why}: {remedy}")
            return file.read(status.st_size)  # as much room is taken at once as is asked for
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise InputError(f"{path} cannot be read: {_reason(error)}; {remedy}") from None


def read_plain_text(path: Path, most: int, remedy: str) -> str:
    """Read a plain file as UTF-8 text, without the mark that some programs put before it; see `read_plain`.

    Raises
    ------
    InputError : as `read_plain`; it is not UTF-8
    """
    try:
        return read_plain(path, most, remedy).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} cannot be read: it is not UTF-8 text; {remedy}") from None


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
