"""The journals of an output folder: its files, as JSON lines.

An entry is on the disk before its file has its name, so a kill between the two leaves no file of
ours that the journal lacks.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .locks import try_lock

__all__ = ["LIVE", "Journal", "dead_journals", "enter_entry", "journal_files", "read_journals"]

LIVE = "live"
"""Stands for a digest: a file that grows, such as a log, is known by its name alone."""


class Journal:
    """The journal of one process in a folder, locked while it lives."""

    def __init__(self, hidden: Path, claim: str) -> None:
        self.pid, self.claim, self._hidden, self._count = os.getpid(), claim, hidden, 0
        self.token = secrets.token_hex(8)
        number = 1 + max((_number(path) for path in hidden.glob("journal-*")), default=0)
        # O_EXCL: never the file of another process; O_APPEND: every write goes to the end
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            self._file = os.open(hidden / f"journal-{number:06}-{self.token}", flags, 0o666)
            # without a name: another process took it for a dead one's before it was locked
            if try_lock(self._file, fcntl.LOCK_EX) and os.fstat(self._file).st_nlink:
                break
            os.close(self._file)
            self.token = secrets.token_hex(8)

    def add(self, *entries: dict[str, Any]) -> None:
        """Write entries through to the disk.

        Each stands between two line ends, so a line that was cut short spoils no other.
        """
        text = "".join(f"\n{json.dumps(entry)}\n" for entry in entries).encode()
        while text:
            text = text[os.write(self._file, text) :]
        os.fdatasync(self._file)

    def partial(self, suffix: str) -> Path:
        """Return a new path for an unfinished file."""
        self._count += 1
        (self._hidden / "tmp").mkdir(exist_ok=True)
        # the token at the front tells `tidy` whose file it is
        return self._hidden / "tmp" / f"{self.token}-{self._count}{suffix[:16]}"

    def close(self) -> None:
        """Close the journal, which also unlocks it."""
        os.close(self._file)


@contextmanager
def dead_journals(hidden: Path) -> Iterator[list[Path]]:
    """Yield the journals of ended processes, locked during the block."""
    dead = []
    with ExitStack() as stack:
        for journal in journal_files(hidden):
            with suppress(OSError):
                descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                stack.callback(os.close, descriptor)
                # a journal of a running process is locked: this raises, and the journal is left out
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                dead.append(journal)
        yield dead


def journal_files(hidden: Path) -> list[Path]:
    """List the journals of running and of ended processes."""
    return [path for path in hidden.glob("journal-*") if path.is_file() and not path.is_symlink()]


def _number(journal: Path) -> int:
    """Return a journal's number, by which they are ordered: clocks may jump."""
    number = journal.name.split("-")[1]
    return int(number) if number.isdecimal() else 0


def read_journals(journals: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Read journals, oldest first, to the last entry of each name.

    An entry's "digests" are all that its name ever had.
    """
    record: dict[str, dict[str, Any]] = {}
    for path in sorted(journals, key=lambda path: (_number(path), path.name)):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError, RecursionError):  # cut short by a kill
                enter_entry(record, json.loads(line or b"null"))
    return record


def enter_entry(record: dict[str, dict[str, Any]], entry: dict[str, Any]) -> None:
    """Put an entry into a record, with all earlier digests."""
    name, digests = (
        str(entry["name"]),
        {*entry.get("digests", ()), str(entry["digest"]), *entry.get("head", ())},
    )
    # older digests stay: a kill before the rename leaves the older file in place
    record[name] = entry | {
        "digests": sorted(digests.union(record.get(name, {}).get("digests", ())))
    }
