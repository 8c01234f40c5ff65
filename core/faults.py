"""Unforeseen errors: one line for the user, and a report in a file."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from .. import __version__
from .files import is_full
from .wording import one_line, visible

__all__ = ["FAULT", "answer", "write_report"]

FAULT = 70
"""Exit status of a fault of the program; EX_SOFTWARE of sysexits.h."""
_PACKAGES = (
    "numpy",
    "h5py",
    "click",
    "joblib",
    "psutil",
    "pillow",
    "bpy",
    "open3d",
    "torch",
    "distributed",
)
_AGAIN = "then give the same command again, what was finished is kept"
_REMEDIES = {
    errno.EACCES: f"check its permissions, {_AGAIN}",
    errno.EPERM: f"check its permissions, {_AGAIN}",
    errno.EROFS: "choose a place that can be written",
    errno.EIO: f"the disk, or the way to it, is damaged: check it, {_AGAIN}",
    errno.EMFILE: f"raise the limit (`ulimit -n`) or give fewer --jobs, {_AGAIN}",
    errno.ENFILE: f"close other programs or give fewer --jobs, {_AGAIN}",
    errno.EFBIG: f"raise the limit of file sizes (`ulimit -f`), {_AGAIN}",
    errno.EAGAIN: f"raise the limit of processes (`ulimit -u`) or give fewer --jobs, {_AGAIN}",
    errno.ENAMETOOLONG: "give shorter names",
    errno.ELOOP: "its links lead in a circle: mend them",
}


def answer(error: BaseException) -> tuple[str, int]:
    """Return one line on what happened and its remedy, and the exit status.

    The machine's limits and the state of its disks are the user's to mend: status 2. All else is
    our fault: 70, with a report in a file; where none can be written, the report follows the line.
    """
    if isinstance(error, MemoryError) or _is_memory(error):
        return (
            "memory ran out: give fewer --jobs or smaller settings, "
            f"or take a larger machine, {_AGAIN}",
            2,
        )
    if isinstance(error, BrokenExecutor):
        return f"a worker process died, as where memory runs out: give fewer --jobs, {_AGAIN}", 2
    if isinstance(error, OSError) and (error.errno is not None or is_full(error)):
        return _of_system(error), 2
    line, rest = _reported(error)
    if isinstance(error, RecursionError):
        return (
            "what was given is nested too deeply to be read: "
            f"give it with fewer levels; if it has few, {line}",
            2,
        )
    return f"this is a fault of the program: {line} ({_in_short(error)}){rest}", FAULT


def _is_memory(error: BaseException) -> bool:
    """Check whether torch ran out of memory, by its own errors."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _of_system(error: OSError) -> str:
    """Word what the operating system refused."""
    name = error.filename if error.filename2 is None else error.filename2
    where = "" if name is None or isinstance(name, int) else f"{one_line(os.fsdecode(name), 500)}: "
    if is_full(error):
        return f"{where}the disk, or your share of it, is full: make room, {_AGAIN}"
    if error.errno == errno.ENOMEM:
        return f"{where}memory ran out: give fewer --jobs, {_AGAIN}"
    reason = error.strerror or type(error).__name__
    return f"{where}{reason}: {_REMEDIES.get(error.errno or 0, f'check it, {_AGAIN}')}"


def _in_short(error: BaseException) -> str:
    try:
        return one_line(f"{type(error).__name__}: {error}", 200)
    except Exception:  # an error that cannot even say what it is
        return type(error).__name__


def _reported(error: BaseException) -> tuple[str, str]:
    """Write the report; return words that name its file, or contain it if none can be written."""
    text = _report_text(error)
    path = write_report(text)
    if path is None:
        return "report it with what follows", f"\n{visible(text)}"
    return f"report it with {path}", ""


def write_report(text: str) -> Path | None:
    """Write a report to a temporary file; return its path or None."""
    name = None
    try:
        descriptor, name = tempfile.mkstemp(prefix="cma3d-fault-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        if name is not None:
            with suppress(OSError):
                Path(name).unlink()
        return None
    return Path(name).absolute()


def _report_text(error: BaseException) -> str:
    """Return what is needed to find a fault: versions, platform, command line, traceback."""
    versions = []
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    lines = [
        f"shapenet3d-cma {__version__}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"Python {sys.version.split()[0]}, {platform.platform()}",
        ", ".join(versions),
        f"command: {shlex.join(sys.argv)}",
        f"folder: {_folder()}",
        "",
    ]
    return "\n".join(lines) + "\n" + "".join(traceback.format_exception(error))


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return "none"
