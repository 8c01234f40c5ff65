"""Locks of an output folder: a writer or several, and readers."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from .disk import HIDDEN

__all__ = ["name_holder", "reading", "take_lock", "try_lock"]

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_PATIENCE = 1.0  # seconds for which a lock is tried


def take_lock(path: Path, *, shared: bool) -> int:
    """Take the lock of an output folder; return its descriptor.

    The system releases it when the process ends, however it ends.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with ExitStack() as failed:
        while True:
            path.mkdir(exist_ok=True)
            (path / HIDDEN).mkdir(exist_ok=True)
            lock = os.open(path / HIDDEN / "lock", flags, 0o666)
            failed.callback(os.close, lock)
            if not try_lock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                raise InputError(
                    f"{path} is being written by another process{_holder(lock)}: "
                    "wait for it, or stop it"
                )
            # without a name, the lock went with a folder that its holder found unused
            if os.fstat(lock).st_nlink:
                break
            failed.close()
        # only a test that nobody reads: the lock is released with its descriptor
        with ExitStack() as tried:
            readers = os.open(path / HIDDEN / "readers", flags, 0o666)
            tried.callback(os.close, readers)
            # twice as long as a command that begins to read waits for us: one of the two goes on
            if not try_lock(readers, fcntl.LOCK_EX, 2 * _PATIENCE):
                raise InputError(
                    f"{path} is being read by another command: wait for it, or stop it"
                )
        failed.pop_all()
    return lock


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Lock an output folder against writers while the block reads it.

    A folder without a record has no lock.

    Raises
    ------
    InputError : another process is writing to it
    """
    with ExitStack() as stack:
        with suppress(OSError):
            readers = os.open(path / HIDDEN / "readers", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(os.close, readers)
            lock = os.open(path / HIDDEN / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(os.close, lock)
            # readers' lock, then writer's; a writer takes them the other way round: one notices
            try_lock(readers, fcntl.LOCK_SH)
            if not try_lock(lock, fcntl.LOCK_EX):
                raise InputError(
                    f"{path} is being written by another process{_holder(lock)}: "
                    "wait until it has ended"
                )
            # only a test that nobody writes: the lock is released at once
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
        yield


def try_lock(descriptor: int, how: int, patience: float = _PATIENCE) -> bool:
    """Try for `patience` seconds to take a lock; return success.

    On a file system without locks it succeeds, too.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True


def name_holder(lock: int, *, shared: bool) -> None:
    """Write the holder's name into an exclusive lock."""
    with suppress(OSError):  # no reason to fail on a full disk
        os.ftruncate(lock, 0)
        if not shared:
            os.pwrite(lock, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)


def _holder(lock: int) -> str:
    with suppress(OSError):
        text = os.pread(lock, 200, 0).decode("ascii", "replace")
        return f" ({text})" if text.isprintable() and text else ""
    return ""
