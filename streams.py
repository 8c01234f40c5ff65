"""Standard output and error that never end a command: what cannot be written there is lost, the work is not."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO, cast

from .wording import visible

__all__ = ["keep_streams", "lost_output", "speak_utf8", "tell"]


class _Raw(io.FileIO):
    """A descriptor that takes all that is written; `failure` is why, from some point on, nothing arrives."""

    failure: OSError | None = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: memoryview | bytes, /) -> int:  # type: ignore[override]
        """Write, or lose, some bytes."""
        while self.failure is None:
            try:
                written: int | None = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # a pipe that does not block, and is full
            except OSError as error:
                self.failure = error
        return len(memoryview(data).cast("B"))


_kept: dict[int, _Raw] = {}


def speak_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding.

    In any other mode Python takes a name outside of ASCII for stray bytes, and no HDF5, JSON or page can hold it.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_streams() -> None:
    """Put streams in the place of standard output and error that lose what cannot be written, and never raise.

    What their encoding lacks is written with backslashes. A descriptor that is closed is put to the null device, or
    the next file that is opened would get its number, and with it what others print.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if _is_closed(descriptor)]
    for descriptor in closed:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)
    if sys.stdout is sys.__stdout__:  # else somebody listens in this process
        sys.stdout = _kept_stream(1, sys.stdout, 1 in closed)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _kept_stream(2, sys.stderr, 2 in closed)


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _kept_stream(descriptor: int, before: TextIO | None, closed: bool) -> TextIO:
    raw = _kept[descriptor] = _Raw(descriptor)
    if closed:
        raw.failure = OSError(errno.EBADF, "it is closed")
    encoding = getattr(before, "encoding", None) or "utf-8"
    lines = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(cast(io.RawIOBase, raw)), encoding, "backslashreplace", line_buffering=lines
    )


def tell(text: object = "") -> None:
    """Print a result on standard output, with what a terminal would obey written out."""
    print(visible(str(text)), flush=True)


def lost_output() -> str:
    """Say why a part of standard output is lost; "" where none is, or where the reader had enough, as `head` has."""
    if sys.stdout is not None:
        sys.stdout.flush()
    failure = _kept[1].failure if 1 in _kept else None
    return "" if failure is None or failure.errno == errno.EPIPE else str(failure.strerror)
