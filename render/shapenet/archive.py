"""ShapeNet's zip archives, read in place, model by model."""

from __future__ import annotations

import io
import re
import stat
import weakref
import zipfile
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ...core.errors import InputError, ModelError
from ...core.files import is_full
from ...core.untrusted import shown

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "SYNSET", "list_archive", "unpack"]

SYNSET = re.compile(r"[0-9]{8}")
MAX_BYTES = 2 << 30
"""Bytes of one model's files, unpacked; the largest of ShapeNet has a tenth of it."""
MAX_ENTRIES = 10_000
"""Files that one model may have."""
_NOT_NEEDED = ".binvox"
_MOST_DIRECTORY = (
    2**28
)  # bytes of an archive's directory; that of all of ShapeNet in one has half of it
_LONGEST_PART = 255  # bytes between two slashes that a file system takes
_DEEPEST = 32  # folders below each other in a model
_OF_MACOS = "__MACOSX"  # where its programs keep what they know of files
_MESHES = ("model_normalized.obj", "model.obj")

_DAMAGED = (
    zipfile.BadZipFile,  # a record that is missing, cut, or contradicts another; a wrong checksum
    zlib.error,  # bytes that do not inflate
    EOFError,  # an entry that ends before its size
    # an entry that lies before the file's beginning; UnicodeDecodeError: a name that is not its
    # UTF-8
    ValueError,
    OverflowError,  # an entry that lies beyond 2^63
    NotImplementedError,  # a newer version of the format, patches
)
"""Errors that zipfile raises at a damaged archive: the file's fault, not ours."""

_Index = dict[tuple[str, str], list[zipfile.ZipInfo]]


def list_archive(path: Path, strays: list[str] | None = None) -> dict[tuple[str, str], list[str]]:
    """Return the files of each model in an archive.

    The key is (synset, folder within the archive), the value the paths below that folder.

    Parameters
    ----------
    strays : takes the meshes that lie in no model's folder

    Raises
    ------
    InputError : it is not a zip archive, or damaged
    """
    if not path.is_file():
        raise InputError(
            f"{path} is not a plain file: give a zip archive, or the folder that they lie in"
        )
    try:
        index = _index(_open(path), path, strays)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read as a zip archive ({error.strerror}): download it again"
        ) from None
    except _DAMAGED:
        raise InputError(
            f"{path} cannot be read as a zip archive, it is damaged: download it again"
        ) from None
    return {
        (synset, folder): [_name(info)[len(folder) + 1 :] for info in infos]
        for (synset, folder), infos in index.items()
    }


class _Bounded(io.BufferedReader):
    """A file that refuses to hand zipfile a directory of excessive size.

    zipfile reads an archive's directory as a whole.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, unless that is more than any directory has."""
        if size is not None and size > _MOST_DIRECTORY:
            raise zipfile.BadZipFile("its directory is larger than any")
        return super().read(size)


def _open(path: Path) -> zipfile.ZipFile:
    """Open an archive; its file closes with the last reference to it."""
    file = _Bounded(io.FileIO(path))
    try:
        archive = zipfile.ZipFile(file)
    except BaseException:
        file.close()
        raise
    weakref.finalize(archive, file.close)
    return archive


def unpack(path: Path, folder: str, target: Path) -> list[str]:
    """Unpack the files of one model.

    Parameters
    ----------
    folder : the model's folder within the archive
    target : an empty folder; nothing is written elsewhere

    Returns
    -------
    notes : entries that were refused, and why

    Raises
    ------
    ModelError : it cannot be read, or is larger than any model may be
    """
    notes = []
    try:
        archive, index = _opened(path, path.stat().st_mtime_ns)
        infos = index.get(folder, [])
        # Judged by what the directory states, before anything is unpacked.
        size = sum(info.file_size for info in infos)
        if size > MAX_BYTES or len(infos) > MAX_ENTRIES:
            raise ModelError(
                f"{path.name} says {size:,} bytes in {len(infos):,} files for it: more than any "
                "model has"
            )
        for info in infos:
            name = _name(info)[len(folder) + 1 :]
            why = _refusal(info, name)
            if why:
                notes.append(f"archive entry {shown(info.filename)!r} refused: {why}")
            elif name and not name.endswith(("/", _NOT_NEEDED)):
                _copy(archive, info, target / name)
    except OSError as error:
        if is_full(error):
            raise
        raise ModelError(
            f"it cannot be read from {shown(path.name)}: {error.strerror or 'damaged'}"
        ) from None
    except _DAMAGED:
        raise ModelError(
            f"it cannot be read from {shown(path.name)}: the archive is damaged there"
        ) from None
    return notes


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write one file.

    zipfile yields no more bytes than the entry states, and checks their checksum.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)


@lru_cache(maxsize=1)  # a chair's index has 60,000 entries; models of one synset stand side by side
def _opened(path: Path, _: int) -> tuple[zipfile.ZipFile, dict[str, list[zipfile.ZipInfo]]]:
    archive = _open(path)
    return archive, {folder: infos for (_, folder), infos in _index(archive, path).items()}


def _index(archive: zipfile.ZipFile, path: Path, strays: list[str] | None = None) -> _Index:
    """Sort entries by model.

    Entries of no model are dropped; `strays` collects the meshes among them.
    """
    index: _Index = {}
    for info in archive.infolist():
        name = _name(info)
        model = _model_of(name, path.stem)
        if model is not None:
            index.setdefault(model, []).append(info)
        elif strays is not None and name.endswith(_MESHES) and not name.startswith(_OF_MACOS):
            strays.append(name)
    return index


def _model_of(name: str, stem: str) -> tuple[str, str] | None:
    """Return synset and folder, `…/synset/id`, of the model of an entry.

    The synset is the first part of eight digits; in an archive named by its synset that one, which
    may also be missing.
    """
    parts = name.split("/")
    if parts[0] == _OF_MACOS:
        return None
    if SYNSET.fullmatch(stem):
        synset, position = stem, parts.index(stem) if stem in parts else -1
    else:
        position = next(
            (index for index, part in enumerate(parts) if SYNSET.fullmatch(part)), len(parts)
        )
        synset = parts[position] if position < len(parts) else ""
    folder = parts[: position + 2]
    if len(parts) < len(folder) + 1 or position == len(parts) or {"", ".", ".."} & set(folder):
        return None
    return synset, "/".join(folder)


def _refusal(info: zipfile.ZipInfo, name: str) -> str:
    """Return why an entry is not unpacked, or ""."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or name[1:2] == ":":
        return "an absolute path"
    if ".." in PurePosixPath(name).parts:
        return "it leads outside the model's folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link" if kind == stat.S_IFLNK else "no plain file"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is packed by another method than zip's usual ones"
    parts = name.split("/")
    if len(parts) > _DEEPEST or any(
        len(part.encode(errors="replace")) > _LONGEST_PART for part in parts
    ):
        return "its name is too long"
    return "it is encrypted" if info.flag_bits & 1 else ""


def _name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name with slashes.

    Some Windows programs write backslashes, against the format.

    Programs on Linux write UTF-8 and often do not say so; zipfile then takes it for code page 437.
    """
    name = info.filename
    # Bit 11 says that the name is UTF-8.
    if not info.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")
