"""Standard output and error that never end a command.

What cannot be written there is lost; the work is not.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from .untrusted import shown
from .wording import visible

__all__ = [
    "end_with_failures",
    "failure_text",
    "keep_streams",
    "lost_output",
    "speak_utf8",
    "tell",
]


class _Kept(io.BufferedWriter):
    """A buffer that accepts every write; `failure` is the first error.

    What writes at last is Python's own FileIO: a signal between its return and ours would have
    bytes written twice.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Take some bytes."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[super().write(rest) :]
            except BlockingIOError as error:
                rest = rest[error.characters_written :]
                select.select([], [self.fileno()], [])
            except OSError as error:
                self._lose(error)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Write, or lose, what was taken."""
        while True:
            try:
                return super().flush()
            except BlockingIOError:  # a pipe that does not block, and is full
                select.select([], [self.fileno()], [])
            except OSError as error:
                if self.failure is not None:
                    return None
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Keep the first failure, and let all that follows go nowhere."""
        self.failure = self.failure or error
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self.fileno())
        os.close(null)


_kept: dict[int, _Kept] = {}


def speak_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding.

    In any other mode Python takes a name outside of ASCII for stray bytes, and no HDF5, JSON or
    page can hold it.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_streams() -> None:
    """Replace standard output and error by streams that never raise.

    What their encoding lacks is written with backslashes. A descriptor that is closed is put to the
    null device, or the next file that is opened would get its number, and with it what others
    print.
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
    raw = io.FileIO(descriptor, "w", closefd=False)
    buffer = _kept[descriptor] = _Kept(raw)
    if closed:
        buffer.failure = OSError(errno.EBADF, "it is closed")
    encoding = getattr(before, "encoding", None) or "utf-8"
    lines = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=lines)


def tell(text: object = "") -> None:
    """Print a result on standard output, with control characters escaped."""
    print(visible(str(text)), flush=True)


def failure_text(failure: Mapping[str, Any]) -> str:
    """Return a line on a file that failed, from its "file" and "reason"."""
    return shown(f"{failure['file']} failed: {failure['reason']}", 4000)


def end_with_failures(failures: Sequence[Mapping[str, Any]]) -> None:
    """Print failures and exit with status 1; return without any."""
    for failure in failures:
        tell(failure_text(failure))
    if failures:
        sys.exit(1)


def lost_output() -> str:
    """Return why standard output is incomplete, or "".

    A reader that has closed a pipe, as `head` does, has lost nothing.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    failure = _kept[1].failure if 1 in _kept else None
    return "" if failure is None or failure.errno == errno.EPIPE else str(failure.strerror)
