"""A claimed output folder: what is written, replaced and removed in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from .digests import entry_digests, file_digest, file_identity, folder_digest, head_digest
from .disk import HIDDEN, TakenError, discard, is_filled, name_file, name_parts, sync
from .journal import LIVE, Journal, dead_journals, enter_entry, journal_files, read_journals
from .stamp import read_stamp

__all__ = ["Output"]

_journals: dict[str, Journal] = {}
"""The journals of this process, by folder."""


class Output:
    """A claimed folder.

    Pickled copies in other processes write to it, too, while the claim lasts. Names are relative
    to the folder, with `/`; no part of a name may lead through a link.

    Attributes
    ----------
    path : the folder
    kind : of output
    claim : id of this claim
    earlier : whether version 0.1, which kept no record, began the folder
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        claim: str,
        known: Callable[[Path], bool] | None = None,
        *,
        earlier: bool = False,
    ) -> None:
        self.path, self.kind, self.claim, self.earlier = path, kind, claim, earlier
        self._known = known if earlier else None
        self._record: dict[str, dict[str, Any]] | None = None
        self._written: dict[
            str, tuple[int, ...]
        ] = {}  # by this object: what is as it was left needs no reading

    def __getstate__(self) -> dict[str, Any]:
        # a worker may have another working folder, and reads the record again
        return self.__dict__ | {"path": self.path.absolute(), "_record": None, "_written": {}}

    def write(
        self,
        name: str,
        write: Callable[[Path], object],
        *,
        before: Callable[[], object] | None = None,
        live: bool = False,
    ) -> Path:
        """Write a file atomically; replace an older one of ours.

        Parameters
        ----------
        write : writes the path that it is given
        before : called when the file is on the disk, before it takes its name
        live : lines are added to it, see `append`: known as ours by its name alone

        Raises
        ------
        InputError : a file of that name is not ours, or a file is in place of a folder
        OSError : the disk is full, rights are missing
        """
        path = self._place(name)
        with self._partial(path.suffix) as partial:
            # 1. the content is on the disk, under a name of its own
            write(partial)
            sync(partial)
            # 2. checked late, as writing may take hours
            replace = self.check_free(name)
            if before is not None:
                before()
            # 3. the journal knows the file before it has its name
            if not live or self.record.get(name, {}).get("digest") != LIVE:
                self._note({"name": name} | ({"digest": LIVE} if live else entry_digests(partial)))
            # 4. the name
            try:
                name_file(partial, path, replace=replace)
            except TakenError:  # perhaps by another run that shares the folder
                self._record = None
                if not self.owns(name):
                    raise
                name_file(partial, path, replace=True)
            self._written[name] = file_identity(path)
        return path

    def write_bytes(
        self,
        name: str,
        content: bytes | memoryview,
        *,
        before: Callable[[], object] | None = None,
        live: bool = False,
    ) -> Path:
        """Write a file of these bytes; see `write`.

        A file that holds them already is left: a full disk would refuse to write it again.
        """
        if self._holds(name, content):
            return self.path / name
        return self.write(name, lambda path: path.write_bytes(content), before=before, live=live)

    def _holds(self, name: str, content: bytes | memoryview) -> bool:
        path = self.path / name
        try:
            same = name in self.record and path.stat().st_size == len(content) and self.owns(name)
            return same and path.read_bytes() == content
        except OSError:
            return False

    def write_text(self, name: str, text: str, *, live: bool = False) -> Path:
        """Write a file of UTF-8 text; see `write`.

        Line ends are written as they are.
        """
        return self.write_bytes(name, text.encode(), live=live)

    def write_json(self, name: str, content: Any, *, live: bool = False) -> Path:
        """Write a JSON file for people, too; see `write`."""
        return self.write_text(
            name, json.dumps(content, indent=1, ensure_ascii=False) + "\n", live=live
        )

    @contextmanager
    def write_folder(self, name: str, made: str = "") -> Iterator[Path]:
        """Yield an empty folder, which is named after the block.

        An older folder of that name is replaced if it is ours.

        Parameters
        ----------
        made : key of all that decides the content, for `is_made`

        Raises
        ------
        InputError : a folder of that name is not ours, or holds what is not
        OSError : the disk is full, rights are missing
        """
        path = self._place(name)
        with self._partial("") as parent:
            partial = parent / path.name
            partial.mkdir(parents=True)
            yield partial
            # all files, then the folders that name them
            for inner in [*partial.rglob("*"), partial]:
                sync(inner)
            entry = {"name": name, "digest": folder_digest(partial), "made": made}
            if self._is_equal(name, entry["digest"]):
                return
            replaces = self.check_free(name, folder=True)
            # until the new folder has its name, `is_made` must not take the old one for it
            self._note(entry | {"made": ""} if replaces else entry)
            with self._out_of_the_way(path):
                partial.rename(path)  # over an empty folder at most
            sync(path.parent)
            if replaces:
                self._note(entry)

    def _is_equal(self, name: str, digest: str) -> bool:
        """Check whether a folder holds exactly what would be written.

        It is left there, and is still not ours.
        """
        path = self.path / name
        if name in self.record or path.is_symlink() or not path.is_dir():
            return False
        return is_filled(path) and folder_digest(path) == digest

    def is_made(self, name: str, made: str) -> bool:
        """Check whether a folder exists that was written with this `made`."""
        entry = self.record.get(name)
        return entry is not None and entry.get("made") == made and (self.path / name).is_dir()

    @contextmanager
    def append(self, name: str) -> Iterator[IO[str]]:
        """Open a text file of ours, or a new one, for appending."""
        path = self.live(name)
        with path.open("ab+") as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                file.write(b"\n")  # after a line that a kill cut short
        with path.open("a", encoding="utf-8") as file:
            yield file

    def live(self, name: str) -> Path:
        """Record a file as ours; return its path for another writer.

        Raises
        ------
        InputError : a file of that name is not ours
        """
        path = self._place(name)
        self.check_free(name)
        if self.record.get(name, {}).get("digest") != LIVE:
            self._note({"name": name, "digest": LIVE})
        return path

    def touch(self, name: str) -> None:
        """Set a file's time to now, as a sign of life."""
        os.utime(self.path / name)

    def folder(self, name: str) -> Path:
        """Make a folder in it, with those on the way.

        Raises
        ------
        InputError : a file or a link is in the way
        """
        path = self.path
        for part in name_parts(name):
            path = path / part
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                what = "a link" if path.is_symlink() else "a file"
                raise InputError(
                    f"{path} is {what}, where a folder belongs: "
                    "move it away, or choose another folder"
                )
            path.mkdir(exist_ok=True)
        return path

    def remove(self, name: str) -> None:
        """Remove a file or folder if it is there.

        Raises
        ------
        InputError : it is not ours, or holds what is not
        """
        path = self.path / name
        self.check_free(name, folder=path.is_dir())
        if path.is_dir():
            with self._out_of_the_way(path):
                pass
        else:
            path.unlink(missing_ok=True)

    def check_free(self, name: str, *, folder: bool = False) -> bool:
        """Refuse a name that is taken by something not ours.

        Returns whether something of ours has it.

        Parameters
        ----------
        folder : whether a folder is to get the name

        Raises
        ------
        InputError : names what is there
        """
        self._check_way(name)
        path = self.path / name
        if not os.path.lexists(path):
            return False
        if path.is_symlink() or path.is_dir() != folder:
            what = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no folder"
            raise InputError(f"{path} is {what}: move it away, or choose another output folder")
        if folder and not is_filled(path):
            return True
        if self.owns(name):
            return True
        self._record = None  # another process may have written since
        if not self.owns(name):
            changed = (
                "changed since cma3d wrote it" if name in self.record else "not written by cma3d"
            )
            raise InputError(
                f"{path} is there, {changed}: move it away, or choose another output folder"
            )
        return True

    def owns(self, name: str) -> bool:
        """Check whether a file or folder is recorded and unchanged since."""
        entry, path = self.record.get(name), self.path / name
        try:
            self._check_way(name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                return False
            # not in the journal: a file of version 0.1 is recognised by its content
            if entry is None:
                return self._known is not None and path.is_file() and self._known(path)
            if entry["digest"] == LIVE:
                return path.is_file()
            if self._written.get(name) == file_identity(path):
                return True
            # an HDF5 file that was cut short is still recognised by its head
            digest = folder_digest(path) if path.is_dir() else file_digest(path)
            return digest in entry["digests"] or head_digest(path) in entry["digests"]
        except (OSError, InputError):
            return False

    def _check_way(self, name: str) -> None:
        """Refuse a name that leads through a link, out of this folder."""
        path = self.path
        for part in name_parts(name)[:-1]:
            path = path / part
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link, where a folder belongs: "
                    "move it away, or choose another folder"
                )

    def adopt(self, name: str, *, live: bool = False) -> None:
        """Record a file of version 0.1 that the caller recognised."""
        self._check_way(name)
        path = self.path / name
        if (
            path.is_file()
            and not path.is_symlink()
            and not (name in self.record and self.owns(name))
        ):
            self._note({"name": name} | ({"digest": LIVE} if live else entry_digests(path)))

    @property
    def record(self) -> dict[str, dict[str, Any]]:
        """The journals' last entry of each name."""
        while self._record is None:
            with suppress(FileNotFoundError):  # joined with another meanwhile
                self._record = read_journals(journal_files(self.path / HIDDEN))
        return self._record

    def as_json(self) -> dict[str, str]:
        """Return what another process needs to write here; see `joined`."""
        return {"path": str(self.path.absolute()), "kind": self.kind, "claim": self.claim}

    @classmethod
    def joined(cls, claimed: dict[str, str], known: Callable[[Path], bool] | None = None) -> Output:
        """Make a copy in another process from `as_json`."""
        path = Path(claimed["path"])
        earlier = bool((read_stamp(path) or {}).get("earlier"))
        return cls(path, claimed["kind"], claimed["claim"], known, earlier=earlier)

    def _note(self, entry: dict[str, Any]) -> None:
        """Add an entry to the journal, and to the record."""
        self._journal.add(entry)
        if self._record is not None:
            enter_entry(self._record, entry)

    def _place(self, name: str) -> Path:
        """Return the path of a name, in a folder that is made."""
        parts = name_parts(name)
        return (self.folder("/".join(parts[:-1])) if len(parts) > 1 else self.path) / parts[-1]

    @property
    def _journal(self) -> Journal:
        key = str(self.path.absolute())
        journal = _journals.get(key)
        # a forked process inherits the dictionary, and needs a journal of its own
        key_of_process = (os.getpid(), self.claim)
        if journal is None or (journal.pid, journal.claim) != key_of_process:
            if journal is not None:
                journal.close()
            journal = _journals[key] = Journal(self.path / HIDDEN, self.claim)
        return journal

    @contextmanager
    def _partial(self, suffix: str) -> Iterator[Path]:
        """Yield a path for an unfinished file; remove it afterwards."""
        partial = self._journal.partial(suffix)
        try:
            yield partial
        finally:
            discard(partial)

    @contextmanager
    def _out_of_the_way(self, path: Path) -> Iterator[None]:
        """Move a folder aside, then remove it; restore it on failure.

        One rename, so that a kill leaves no half-removed folder under its name.
        """
        if not os.path.lexists(path):
            yield
            return
        aside = self._journal.partial("-old")
        path.rename(aside)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                aside.rename(path)
            raise
        finally:
            discard(aside)

    def tidy(self) -> None:
        """Remove unfinished files of killed processes, and join their journals to one."""
        hidden = self.path / HIDDEN
        tmp = hidden / "tmp"
        if tmp.is_symlink():
            raise InputError(
                f"{tmp} is a link, where a folder belongs: move it away, or choose another folder"
            )
        tmp.mkdir(exist_ok=True)
        self._record = None
        with dead_journals(hidden) as dead:
            # journal-<number>-<token>; unfinished files begin with the token
            tokens = {path.name.rpartition("-")[2] for path in dead}
            for left in tmp.iterdir():
                if left.name.partition("-")[0] in tokens:
                    discard(left)
            if len(dead) > 8:
                with suppress(OSError):  # the disk may be full: then another time
                    # added to our journal before they are removed: a kill in between loses nothing
                    self._journal.add(*read_journals(dead).values())
                    for path in dead:
                        path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Close this process's journal of the folder."""
        journal = _journals.pop(str(self.path.absolute()), None)
        if journal is not None:
            journal.close()
