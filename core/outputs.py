"""Output folders and files: what is written, replaced and removed, and what never is.

A command writes into a folder that does not exist, is empty, or has this project's stamp for the
same kind of output. The folder's record, `.cma3d/`, holds the stamp and a journal: a line for each
file, with a digest of its content, written before the file takes its name. Only what the journal
lists, and is still as it was written, is replaced or removed. A single file is replaced only by one
of its own kind. All code that writes goes through this module.

    .cma3d/stamp.json    the kind of output
    .cma3d/lock          held by who writes
    .cma3d/journal-*     what was written, a JSON object a line; each process has its own
    .cma3d/tmp/          what is being written: <journal>-<number>
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import InputError
from .files import is_full

__all__ = [
    "HIDDEN",
    "Output",
    "cannot_write",
    "check_file",
    "claim",
    "reading",
    "refuse_overlap",
    "stamp_text",
    "write_file",
    "write_new",
]

HIDDEN = ".cma3d"
"""The record's folder within an output folder."""

_FORMAT = "shapenet3d-cma output"
_LIVE = "live"
"""In the place of a digest: a file that grows, such as a log, is known by its name alone."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_HEAD = 2**20  # bytes of a file in which its stamp stands
_PATIENCE = 1.0  # seconds for which a lock is tried
# first bytes of an HDF5 file of ours; they tell its size, so no two files of other content share
# them
_HEAD_HDF5 = 512


# ---- what may be written where ----


def refuse_overlap(out: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that is an input, lies in one, or holds one, also through links and `..`.

    Raises
    ------
    InputError : names both
    """
    here = _resolve(out)
    for given in inputs:
        if given is None:
            continue
        there = _resolve(given)
        if here == there:
            raise InputError(f"{out} is what is read: choose another place to write to")
        if here.is_relative_to(there):
            raise InputError(
                f"{out} lies in {given}, which is read: choose a place outside to write to"
            )
        if there.is_relative_to(here):
            raise InputError(
                f"{given}, which is read, lies in {out}: choose another place to write to"
            )


def _plain(path: Path) -> Path:
    """Follow `..`: new/../data is data, also where there is no new yet."""
    return _resolve(path) if ".." in path.parts else path


def _plain_file(path: Path) -> Path:
    """Follow `..` on the way to a file; its own name may be a link's."""
    return _resolve(path) if path.name == ".." else _plain(path.parent) / path.name


def _resolve(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:  # a circle of links, a NUL in the name
        raise InputError(f"{str(path)!r} cannot be followed: {error}; give another path") from None


@contextmanager
def claim(
    path: Path,
    kind: str,
    *,
    inputs: Sequence[Path | None] = (),
    shared: bool = False,
    earlier: Callable[[Path], bool] | None = None,
    known: Callable[[Path], bool] | None = None,
) -> Iterator[Output]:
    """Claim a folder to write to, for as long as the block lasts.

    A folder that was made by the claim and holds nothing at the end of the block is removed again.

    Parameters
    ----------
    kind : of output, one word such as "renders"
    inputs : folders and files that are read; None entries are left out
    shared : others of the same kind may write to it at the same time
    earlier : tells a folder that version 0.1 wrote, which kept no record
    known : tells, by its content, a file that version 0.1 wrote in such a folder; a function of a
        module

    Raises
    ------
    InputError : the folder holds something else, is an input, is in use, or cannot be written
    """
    refuse_overlap(path, inputs)
    path = _plain(path)
    made = _check_claim(path, kind, earlier or _never)
    with ExitStack() as stack:
        try:
            stack.callback(_remove_unused, path, _make(made))
            lock = _take(path, shared=shared)
            stack.callback(os.close, lock)
            _check_claim(path, kind, earlier or _never)  # again: another may have been here first
            stamp = _read_stamp(path) or _write_stamp(path, kind, earlier=any(_content(path)))
            _name_holder(lock, shared=shared)
            output = Output(
                path, kind, secrets.token_hex(8), known, earlier=bool(stamp.get("earlier"))
            )
            output.tidy()
        except OSError as error:
            raise InputError(cannot_write(path, error)) from None
        stack.callback(output._let_go)
        yield output


def _check_claim(path: Path, kind: str, earlier: Callable[[Path], bool]) -> list[Path]:
    """Refuse a folder that is not of this kind; list the folders to make, the innermost first."""
    try:
        if not os.path.lexists(path):
            return _missing(path)
        if not path.is_dir():
            what = "a link to nothing" if path.is_symlink() and not path.exists() else "a file"
            raise InputError(f"{path} is {what}: choose another output folder")
        stamp = _read_stamp(path)
        if stamp is not None and stamp["kind"] != kind:
            raise InputError(
                f"{path} holds {stamp['kind']} of cma3d, not {kind}: choose another output folder"
            )
        if stamp is not None:
            return []
        names = _content(path)
        if names and not earlier(path):
            raise InputError(
                f"{path} is not empty (it holds {names[0]!r}) and no {kind} that cma3d made: "
                "choose an empty folder or one that does not exist yet"
            )
        if os.path.lexists(path / HIDDEN) and not _is_bare(path / HIDDEN):
            raise InputError(f"{path / HIDDEN} is not of cma3d: choose another output folder")
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None
    return []


def _never(_: Path) -> bool:
    return False


def _content(path: Path) -> list[str]:
    """List the names in a folder but for the record's; hidden ones last."""
    names = [inner.name for inner in path.iterdir() if inner.name != HIDDEN]
    return sorted(names, key=lambda name: (name.startswith("."), name))


def _missing(path: Path) -> list[Path]:
    """List the folders that do not exist, from `path` outwards."""
    made = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        made.append(folder)
    return made


def _make(missing: list[Path]) -> list[Path]:
    """Make folders, all or none; list those that nobody else made meanwhile, the innermost first."""
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir()
                made.insert(0, folder)
    except OSError:
        for folder in made:
            folder.rmdir()
        raise
    return made


def _is_bare(hidden: Path) -> bool:
    """Check whether a record's folder is what a kill right after its making leaves: locks at most, and no stamp."""
    if hidden.is_symlink() or not hidden.is_dir():
        return False
    locks = ("lock", "readers")
    return all(path.name.startswith("stamp-") or path.name in locks for path in hidden.iterdir())


def _read_stamp(path: Path) -> dict[str, Any] | None:
    """Read the stamp of an output folder: "kind" and "earlier"; None where there is none."""
    stamp = path / HIDDEN / "stamp.json"
    if (path / HIDDEN).is_symlink() or stamp.is_symlink() or not stamp.is_file():
        return None
    try:
        with stamp.open("rb") as file:
            content = json.loads(file.read(4096))
    except (OSError, ValueError, RecursionError):
        return None
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or not isinstance(content.get("kind"), str)
    ):
        return None
    return content


def _write_stamp(path: Path, kind: str, *, earlier: bool) -> dict[str, Any]:
    stamp, partial = path / HIDDEN / "stamp.json", path / HIDDEN / f"stamp-{secrets.token_hex(8)}"
    content = {"format": _FORMAT, "kind": kind, "earlier": earlier}
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")
        _sync(partial)
        with suppress(InputError):  # another that shares the folder was first
            _name_file(partial, stamp, replace=False)
    finally:
        partial.unlink(missing_ok=True)
    content = _read_stamp(path) or content
    if content["kind"] != kind:
        raise InputError(
            f"{path} holds {content['kind']} of cma3d, not {kind}: choose another output folder"
        )
    return content


def _remove_unused(path: Path, made: list[Path]) -> None:
    """Remove folders that the claim made, if nothing but the record is in them and nobody else holds them."""
    with suppress(OSError):
        if not made or _content(path):
            return
        with ExitStack() as stack:
            if os.path.lexists(path / HIDDEN):
                lock = os.open(path / HIDDEN / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (path / HIDDEN / "tmp").rmdir()
                for journal in _journal_files(path / HIDDEN):
                    journal.unlink()
                for name in (
                    "readers",
                    "stamp.json",
                    "lock",
                ):  # in this order: a kill leaves what is understood
                    (path / HIDDEN / name).unlink(missing_ok=True)
                (path / HIDDEN).rmdir()
            for folder in made:
                folder.rmdir()


# ---- locks ----


def _take(path: Path, *, shared: bool) -> int:
    """Take the lock of a folder to write to; the system lets go when the process ends, however it ends."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with ExitStack() as failed:
        while True:
            path.mkdir(exist_ok=True)
            (path / HIDDEN).mkdir(exist_ok=True)
            lock = os.open(path / HIDDEN / "lock", flags, 0o666)
            failed.callback(os.close, lock)
            if not _lock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                raise InputError(
                    f"{path} is being written by another process{_holder(lock)}: wait for it, or stop it"
                )
            if os.fstat(lock).st_nlink:
                break  # else its holder found the folder unused, and removed it
            failed.close()
        with ExitStack() as tried:
            readers = os.open(path / HIDDEN / "readers", flags, 0o666)
            tried.callback(os.close, readers)
            if not _lock(
                readers, fcntl.LOCK_EX, 2 * _PATIENCE
            ):  # who begins to read lets go before that
                raise InputError(
                    f"{path} is being read by another command: wait for it, or stop it"
                )
        failed.pop_all()
    return lock


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Keep others from writing to an output folder while the block reads it; a folder without a record has no lock.

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
            _lock(readers, fcntl.LOCK_SH)
            if not _lock(lock, fcntl.LOCK_EX):
                raise InputError(
                    f"{path} is being written by another process{_holder(lock)}: wait until it has ended"
                )
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
        yield


def _lock(descriptor: int, how: int, patience: float = _PATIENCE) -> bool:
    """Try to take a lock for a moment, as others hold some for a moment; True too on a file system that has none."""
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


def _name_holder(lock: int, *, shared: bool) -> None:
    """Write down who holds a lock, for those who are refused; where it is shared, nobody."""
    with suppress(OSError):  # no reason to fail on a full disk
        os.ftruncate(lock, 0)
        if not shared:
            os.pwrite(lock, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)


def _holder(lock: int) -> str:
    with suppress(OSError):
        text = os.pread(lock, 200, 0).decode("ascii", "replace")
        return f" ({text})" if text.isprintable() and text else ""
    return ""


# ---- the folder ----

_journals: dict[str, _Journal] = {}
"""Of this process: folder -> journal."""


class Output:
    """A claimed folder. Its copies in other processes, by pickle, write to it while the claim lasts.

    Names are relative to the folder, with `/`; no part of a name may lead through a link.

    Attributes
    ----------
    path : the folder
    kind : of output
    claim : stands for this claim among all of the folder
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
        return self.__dict__ | {"path": self.path.absolute(), "_record": None, "_written": {}}

    def write(
        self,
        name: str,
        write: Callable[[Path], object],
        *,
        before: Callable[[], object] | None = None,
        live: bool = False,
    ) -> Path:
        """Write a file, whole or not at all; one of that name is replaced if it is ours.

        Parameters
        ----------
        write : writes the path that it is given
        before : called when the file is on the disk, before it takes its name
        live : lines are added to it, see `append`: known as ours by its name alone

        Raises
        ------
        InputError : a file of that name is not ours, or a folder on the way is none
        OSError : the disk is full, rights are missing
        """
        path = self._place(name)
        with self._partial(path.suffix) as partial:
            write(partial)
            _sync(partial)
            replace = self.check_free(name)
            if before is not None:
                before()
            if not live or self.record.get(name, {}).get("digest") != _LIVE:
                self._note({"name": name} | ({"digest": _LIVE} if live else _digests(partial)))
            try:
                _name_file(partial, path, replace=replace)
            except _TakenError:  # perhaps by another run that shares the folder
                self._record = None
                if not self.owns(name):
                    raise
                _name_file(partial, path, replace=True)
            self._written[name] = _identity(path)
        return path

    def write_bytes(
        self,
        name: str,
        content: bytes | memoryview,
        *,
        before: Callable[[], object] | None = None,
        live: bool = False,
    ) -> Path:
        """Write a file of these bytes, unless it stands already, as a full disk would refuse it; see `write`."""
        if self._stands(name, content):
            return self.path / name
        return self.write(name, lambda path: path.write_bytes(content), before=before, live=live)

    def _stands(self, name: str, content: bytes | memoryview) -> bool:
        path = self.path / name
        try:
            same = name in self.record and path.stat().st_size == len(content) and self.owns(name)
            return same and path.read_bytes() == content
        except OSError:
            return False

    def write_text(self, name: str, text: str, *, live: bool = False) -> Path:
        """Write a file of UTF-8 text, line ends as they are; see `write`."""
        return self.write_bytes(name, text.encode(), live=live)

    def write_json(self, name: str, content: Any, *, live: bool = False) -> Path:
        """Write a JSON file for people, too; see `write`."""
        return self.write_text(
            name, json.dumps(content, indent=1, ensure_ascii=False) + "\n", live=live
        )

    @contextmanager
    def write_folder(self, name: str, made: str = "") -> Iterator[Path]:
        """Return a new folder of the same name; at the end of the block it takes its place, whole.

        An older folder makes way if it is ours.

        Parameters
        ----------
        made : stands for all that decides the content, for `is_made`

        Raises
        ------
        InputError : a folder of that name is not ours, or holds what is not
        OSError : the disk is full, rights are missing
        """
        path = self._place(name)
        with self._partial("") as place:
            partial = place / path.name
            partial.mkdir(parents=True)
            yield partial
            for inner in [*partial.rglob("*"), partial]:
                _sync(inner)
            entry = {"name": name, "digest": _folder_digest(partial), "made": made}
            if self._is_equal(name, entry["digest"]):
                return
            stands = self.check_free(name, folder=True)
            self._note(
                entry | {"made": ""} if stands else entry
            )  # what stands must not pass for what is to come
            with self._out_of_the_way(path):
                partial.rename(path)  # over an empty folder at most
            _sync(path.parent)
            if stands:
                self._note(entry)

    def _is_equal(self, name: str, digest: str) -> bool:
        """Check whether a folder that is not ours holds just what would be written: it stays, and stays not ours."""
        path = self.path / name
        if name in self.record or path.is_symlink() or not path.is_dir():
            return False
        return _is_filled(path) and _folder_digest(path) == digest

    def is_made(self, name: str, made: str) -> bool:
        """Check whether a folder stands that was written with this `made`."""
        entry = self.record.get(name)
        return entry is not None and entry.get("made") == made and (self.path / name).is_dir()

    @contextmanager
    def append(self, name: str) -> Iterator[IO[str]]:
        """Open a text file to add lines to; one that is there must be ours."""
        path = self.live(name)
        with path.open("ab+") as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                file.write(b"\n")  # after a line that a kill cut short
        with path.open("a", encoding="utf-8") as file:
            yield file

    def live(self, name: str) -> Path:
        """Return the path of a file that others write to by themselves, after it is recorded as ours.

        Raises
        ------
        InputError : a file of that name is not ours
        """
        path = self._place(name)
        self.check_free(name)
        if self.record.get(name, {}).get("digest") != _LIVE:
            self._note({"name": name, "digest": _LIVE})
        return path

    def touch(self, name: str) -> None:
        """Set the time of a file that is ours to now, as a sign of life."""
        os.utime(self.path / name)

    def folder(self, name: str) -> Path:
        """Make a folder in it, with those on the way.

        Raises
        ------
        InputError : a file or a link is in the way
        """
        path = self.path
        for part in _parts(name):
            path = path / part
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                what = "a link" if path.is_symlink() else "a file"
                raise InputError(
                    f"{path} is {what}, where a folder belongs: move it away, or choose another folder"
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
        """Refuse a name that is taken by what is not ours, or is of the other sort; tell whether something is there.

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
        if folder and not _is_filled(path):
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
        """Check whether a file or folder is recorded, and still as it was written."""
        entry, path = self.record.get(name), self.path / name
        try:
            self._check_way(name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                return False
            if entry is None:
                return self._known is not None and path.is_file() and self._known(path)
            if entry["digest"] == _LIVE:
                return path.is_file()
            if self._written.get(name) == _identity(path):
                return True
            digest = _folder_digest(path) if path.is_dir() else _file_digest(path)
            return digest in entry["digests"] or _head_digest(path) in entry["digests"]
        except (OSError, InputError):
            return False

    def _check_way(self, name: str) -> None:
        """Refuse a name that leads through a link: what lies behind is not in this folder."""
        path = self.path
        for part in _parts(name)[:-1]:
            path = path / part
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link, where a folder belongs: move it away, or choose another folder"
                )

    def adopt(self, name: str, *, live: bool = False) -> None:
        """Record a file that the caller knows by its content, as one of version 0.1, which kept no record."""
        self._check_way(name)
        path = self.path / name
        if (
            path.is_file()
            and not path.is_symlink()
            and not (name in self.record and self.owns(name))
        ):
            self._note({"name": name} | ({"digest": _LIVE} if live else _digests(path)))

    @property
    def record(self) -> dict[str, dict[str, Any]]:
        """The journals' last entry of each name."""
        while self._record is None:
            with suppress(FileNotFoundError):  # joined with another meanwhile
                self._record = _read_journals(_journal_files(self.path / HIDDEN))
        return self._record

    def as_json(self) -> dict[str, str]:
        """Return what another process, that cannot be handed objects, needs to write here too; see `joined`."""
        return {"path": str(self.path.absolute()), "kind": self.kind, "claim": self.claim}

    @classmethod
    def joined(cls, told: dict[str, str], known: Callable[[Path], bool] | None = None) -> Output:
        """Make a copy, in another process, of an output that is claimed."""
        path = Path(told["path"])
        stamp = _read_stamp(path) or {}
        return cls(path, told["kind"], told["claim"], known, earlier=bool(stamp.get("earlier")))

    def _note(self, entry: dict[str, Any]) -> None:
        """Add an entry to the journal, and to the record."""
        self._journal.add(entry)
        if self._record is not None:
            _enter(self._record, entry)

    def _place(self, name: str) -> Path:
        """Return the path of a name, in a folder that is made."""
        parts = _parts(name)
        return (self.folder("/".join(parts[:-1])) if len(parts) > 1 else self.path) / parts[-1]

    @property
    def _journal(self) -> _Journal:
        key = str(self.path.absolute())
        journal = _journals.get(key)
        if journal is None or (journal.pid, journal.claim) != (
            os.getpid(),
            self.claim,
        ):  # a fork has its own
            if journal is not None:
                journal.close()
            journal = _journals[key] = _Journal(self.path / HIDDEN, self.claim)
        return journal

    @contextmanager
    def _partial(self, suffix: str) -> Iterator[Path]:
        """Return a name in the folder of what is being written; what is left there afterwards is removed."""
        partial = self._journal.partial(suffix)
        try:
            yield partial
        finally:
            _discard(partial)

    @contextmanager
    def _out_of_the_way(self, path: Path) -> Iterator[None]:
        """Remove a folder that was checked to be ours, at once, as a kill may come; back if the block fails."""
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
            _discard(aside)

    def tidy(self) -> None:
        """Remove what killed processes were writing, and join their journals to one."""
        hidden = self.path / HIDDEN
        tmp = hidden / "tmp"
        if tmp.is_symlink():
            raise InputError(
                f"{tmp} is a link, where a folder belongs: move it away, or choose another folder"
            )
        tmp.mkdir(exist_ok=True)
        self._record = None
        with _dead_journals(hidden) as dead:
            tokens = {path.name.rpartition("-")[2] for path in dead}
            for left in tmp.iterdir():
                if left.name.partition("-")[0] in tokens:
                    _discard(left)
            if len(dead) > 8:
                with suppress(OSError):  # the disk may be full: then another time
                    self._journal.add(*_read_journals(dead).values())
                    for path in dead:
                        path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        journal = _journals.pop(str(self.path.absolute()), None)
        if journal is not None:
            journal.close()


class _Journal:
    """The journal of one process in one folder; its lock tells others that the process lives."""

    def __init__(self, hidden: Path, claim: str) -> None:
        self.pid, self.claim, self._hidden, self._count = os.getpid(), claim, hidden, 0
        self.token = secrets.token_hex(8)
        number = 1 + max((_number(path) for path in hidden.glob("journal-*")), default=0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            self._file = os.open(hidden / f"journal-{number:06}-{self.token}", flags, 0o666)
            if _lock(self._file, fcntl.LOCK_EX) and os.fstat(self._file).st_nlink:
                break  # else another took it for a dead one's, as it was not locked yet
            os.close(self._file)
            self.token = secrets.token_hex(8)

    def add(self, *entries: dict[str, Any]) -> None:
        """Write entries to the disk; a line that a kill or a full disk cuts short spoils no other."""
        text = "".join(f"\n{json.dumps(entry)}\n" for entry in entries).encode()
        while text:
            text = text[os.write(self._file, text) :]
        os.fdatasync(self._file)

    def partial(self, suffix: str) -> Path:
        """Return a new name for what is being written."""
        self._count += 1
        (self._hidden / "tmp").mkdir(exist_ok=True)
        return self._hidden / "tmp" / f"{self.token}-{self._count}{suffix[:16]}"

    def close(self) -> None:
        """Let go of the journal."""
        os.close(self._file)


@contextmanager
def _dead_journals(hidden: Path) -> Iterator[list[Path]]:
    """Return the journals whose processes have ended, locked, so that they are one command's to join."""
    dead = []
    with ExitStack() as stack:
        for journal in _journal_files(hidden):
            with suppress(OSError):
                descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                dead.append(journal)
        yield dead


def _journal_files(hidden: Path) -> list[Path]:
    """List the journals of a folder's record, of processes that live and of those that ended."""
    return [path for path in hidden.glob("journal-*") if path.is_file() and not path.is_symlink()]


def _number(journal: Path) -> int:
    """Read a journal's place among all: no clock tells it, as clocks jump."""
    number = journal.name.split("-")[1]
    return int(number) if number.isdecimal() else 0


def _read_journals(journals: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Read journals from the oldest on: the last entry of each name, with all "digests" that it ever had."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(journals, key=lambda path: (_number(path), path.name)):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError, RecursionError):  # cut short by a kill
                _enter(found, json.loads(line or b"null"))
    return found


def _enter(record: dict[str, dict[str, Any]], entry: dict[str, Any]) -> None:
    name, digests = (
        str(entry["name"]),
        {*entry.get("digests", ()), str(entry["digest"]), *entry.get("head", ())},
    )
    record[name] = entry | {
        "digests": sorted(digests.union(record.get(name, {}).get("digests", ())))
    }


# ---- single files ----


def write_new(path: Path, content: bytes | memoryview) -> None:
    """Write a new file outside of any claimed folder, whole or not at all.

    Raises
    ------
    InputError : the name is taken
    OSError : the disk is full, rights are missing
    """
    if os.path.lexists(path):
        raise InputError(f"{path} is there: move it away, or give another name")
    _write_beside(path, content, replace=False)


def _write_beside(path: Path, content: bytes | memoryview, *, replace: bool) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f"{HIDDEN}-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        _name_file(partial, path, replace=replace)
    finally:
        partial.unlink(missing_ok=True)


def stamp_text(kind: str) -> str:
    """Make the stamp that a single file of a kind holds in its first bytes."""
    return f"shapenet3d-cma:{kind}"


def write_file(
    path: Path, kind: str, content: bytes, *, inputs: Sequence[Path | None] = ()
) -> Path:
    """Write a single file, whole or not at all; only one with the stamp of the same kind is replaced.

    Parameters
    ----------
    content : holds `stamp_text(kind)` in its first MiB

    Raises
    ------
    InputError : the name is taken, lies in an input, or cannot be written
    """
    assert stamp_text(kind).encode() in content[:_HEAD], f"no stamp in what is written as {kind}"
    path = _plain_file(path)
    replace = check_file(path, kind, inputs)
    made: list[Path] = []
    try:
        made = _make(_missing(path.parent))
        _write_beside(path, content, replace=replace)
    except OSError as error:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise InputError(cannot_write(path, error)) from None
    return path


def check_file(path: Path, kind: str, inputs: Sequence[Path | None] = ()) -> bool:
    """Refuse a name that is taken by anything but a file of this kind, or lies in an input; tell whether it is there.

    Raises
    ------
    InputError : names it
    """
    refuse_overlap(path, inputs)
    path = _plain_file(path)
    try:
        if not os.path.lexists(path):
            return False
        if path.is_symlink() or not path.is_file():
            what = (
                "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no plain file"
            )
            raise InputError(f"{path} is {what}: give the name of a new file")
        with path.open("rb") as file:
            ours = stamp_text(kind).encode() in file.read(_HEAD)
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None
    if not ours:
        raise InputError(
            f"{path} is there and is no {kind} that cma3d wrote: move it away, or give another name"
        )
    return True


# ---- steps ----


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if any(part in ("", ".", "..", HIDDEN) or "\0" in part for part in parts):
        raise InputError(f"{name!r} is no name within an output folder")
    return parts


class _TakenError(InputError):
    """A file that was to be new is there."""


def _name_file(partial: Path, path: Path, *, replace: bool) -> None:
    """Return a finished file its name. One that takes a new name never replaces another that came meanwhile."""
    if replace:
        partial.replace(path)
    else:
        try:
            os.link(partial, path, follow_symlinks=False)
        except FileExistsError:
            raise _TakenError(
                f"{path} was written by another process meanwhile: it is left as it is"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                raise _TakenError(
                    f"{path} was written by another process meanwhile: it is left as it is"
                ) from None
            partial.rename(path)
    _sync(path.parent)


def _discard(path: Path) -> None:
    """Remove what this module itself made in a folder of its own."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _folder_digest(folder: Path) -> str:
    """Compute what stands for all names and contents in a folder."""
    lines = []
    for path in sorted(folder.rglob("*")):
        link = path.is_symlink()
        kind = (
            "link"
            if link
            else "folder"
            if path.is_dir()
            else _file_digest(path)
            if path.is_file()
            else "other"
        )
        lines.append(json.dumps([path.relative_to(folder).as_posix(), kind]))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _is_filled(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entries)


def _digests(path: Path) -> dict[str, Any]:
    """Compute what an entry of the journal holds of a file."""
    head = _head_digest(path)
    return {"digest": _file_digest(path), **({"head": [head]} if head else {})}


def _head_digest(path: Path) -> str | None:
    """Compute what stands for the beginning of an HDF5 file, by which one of ours is known that was cut or spoilt."""
    if path.suffix != ".h5" or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_HDF5)
    return hashlib.blake2b(head, digest_size=16).hexdigest() if len(head) == _HEAD_HDF5 else None


def _identity(path: Path) -> tuple[int, ...]:
    """Return what changes as a file is written to, or another takes its name."""
    found = path.stat(follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sync(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's names, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def cannot_write(path: Path, error: OSError | RuntimeError) -> str:
    """Word in one line that a file or folder cannot be written, why, and what to do."""
    full = is_full(error) or getattr(error, "errno", None) == errno.EFBIG
    remedy = "free some space, then the same command goes on"
    if not full:
        remedy = "see to the folder or its rights, or choose another folder"
    return f"{path} cannot be written: {getattr(error, 'strerror', None) or error}; {remedy}"
