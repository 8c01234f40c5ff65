"""The claim of an output folder while a command writes to it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from .disk import HIDDEN, cannot_write, list_content, make_folders, missing_folders
from .journal import journal_files
from .locks import name_holder, take_lock
from .output_folder import Output
from .overlap import followed_folder, refuse_overlap
from .stamp import is_bare, read_stamp, write_stamp

__all__ = ["claim"]


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
    """Claim a folder to write to during the block.

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
    path = followed_folder(path)
    # refuse before anything is made
    new_folders = _check_claim(path, kind, earlier or _never)
    with ExitStack() as stack:
        try:
            # first on the stack, so called last: the lock is free again by then
            stack.callback(_remove_unused, path, make_folders(new_folders))
            lock = take_lock(path, shared=shared)
            stack.callback(os.close, lock)
            _check_claim(path, kind, earlier or _never)  # again: another may have been here first
            stamp = read_stamp(path) or write_stamp(path, kind, earlier=any(list_content(path)))
            name_holder(lock, shared=shared)
            output = Output(
                path, kind, secrets.token_hex(8), known, earlier=bool(stamp.get("earlier"))
            )
            output.tidy()
        except OSError as error:
            raise InputError(cannot_write(path, error)) from None
        # called first: the journal is closed while the lock is still held
        stack.callback(output.let_go)
        yield output


def _check_claim(path: Path, kind: str, earlier: Callable[[Path], bool]) -> list[Path]:
    """Refuse a folder of another kind; list the folders to make."""
    try:
        if not os.path.lexists(path):
            return missing_folders(path)
        if not path.is_dir():
            what = "a link to nothing" if path.is_symlink() and not path.exists() else "a file"
            raise InputError(f"{path} is {what}: choose another output folder")
        stamp = read_stamp(path)
        if stamp is not None and stamp["kind"] != kind:
            raise InputError(
                f"{path} holds {stamp['kind']} of cma3d, not {kind}: choose another output folder"
            )
        if stamp is not None:
            return []
        # no stamp: only an empty folder, or one of version 0.1, can be claimed
        names = list_content(path)
        if names and not earlier(path):
            raise InputError(
                f"{path} is not empty (it holds {names[0]!r}) and no {kind} that cma3d made: "
                "choose an empty folder or one that does not exist yet"
            )
        if os.path.lexists(path / HIDDEN) and not is_bare(path / HIDDEN):
            raise InputError(f"{path / HIDDEN} is not of cma3d: choose another output folder")
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None
    return []


def _never(_: Path) -> bool:
    return False


def _remove_unused(path: Path, new_folders: list[Path]) -> None:
    """Remove folders that the claim made and nobody uses."""
    with suppress(OSError):
        if not new_folders or list_content(path):
            return
        with ExitStack() as stack:
            if os.path.lexists(path / HIDDEN):
                lock = os.open(path / HIDDEN / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                stack.callback(os.close, lock)
                # fails if another process uses the folder: then everything stays
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (path / HIDDEN / "tmp").rmdir()
                for journal in journal_files(path / HIDDEN):
                    journal.unlink()
                # the stamp before the lock: a kill in between leaves what `is_bare` accepts
                for name in ("readers", "stamp.json", "lock"):
                    (path / HIDDEN / name).unlink(missing_ok=True)
                (path / HIDDEN).rmdir()
            for folder in new_folders:
                folder.rmdir()
