"""HDF5 files of others: no links to other files, bounded memory.

libhdf5 follows external links, virtual datasets and external storage wherever they lead, trusts the
sizes that a file declares, and where a chunk inflates to less than its dataset calls for it reads
on in the process's memory. So what a file is made of is looked at before any of it is read, and
chunks of numbers are inflated here, to their very length.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import Any, SupportsIndex

import h5py
import numpy as np
from numpy.typing import NDArray

from .untrusted import open_regular, parse_json, shown

__all__ = [
    "FAULTS",
    "Chunks",
    "Rows",
    "fault_text",
    "is_of_kind",
    "json_attribute",
    "open_file",
    "read_attribute",
]

FAULTS = (
    OSError,  # it cannot be opened, or libhdf5 cannot read on
    KeyError,  # a member or an attribute is not there
    ValueError,  # this module's own; h5py's of a shape or a layout
    RuntimeError,  # libhdf5's of a damaged structure
    TypeError,  # a type that NumPy has no equivalent of
    OverflowError,  # a declared number that no C integer holds
)
"""Errors that a damaged file raises; not MemoryError, as sizes are bounded before."""

_MOST_MEMBERS = 256  # of the root group; a shard has ten
_MOST_TEXT = 2**26  # bytes of an attribute
_RATIO = 1040  # deflate makes nothing smaller than by 1032
_MOST_CHUNK = 2**24  # bytes of a chunk of many rows
_POINTER = 16  # bytes that stand for a text of any length: how long it is, and where it lies
_SHUFFLE, _DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE


Chunks = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]
"""(N,) each: offset of a row in the file, its bytes (0: never written), its filter mask."""


def fault_text(error: BaseException) -> str:
    """Return the words of an error on one line."""
    # str() of a KeyError would put its text in quotes
    words = error.args[0] if isinstance(error, KeyError) and error.args else error
    strerror = getattr(error, "strerror", None)
    return shown(str(strerror or words or type(error).__name__), 500)


def open_file(path: Path, **driver: Any) -> h5py.File:
    """Open a plain file as HDF5; refuse links at its root.

    Parameters
    ----------
    driver : further keywords of `h5py.File`

    Raises
    ------
    OSError : it cannot be opened, is not a plain file, or not HDF5
    ValueError : a member is a link that leads elsewhere
    """
    os.close(open_regular(path))  # h5py waits for ever where it is a pipe
    file = h5py.File(path, "r", **driver)
    try:
        _check_root(file)
    except BaseException:
        file.close()
        raise
    return file


def _check_root(file: h5py.File) -> None:
    plist = file.id.get_create_plist()
    # chunks are read here by their offset in the file, which a user block would move
    if plist.get_userblock() or plist.get_sizes() != (8, 8):
        raise ValueError("it is laid out as no release of this program does it")
    if file.id.get_num_objs() > _MOST_MEMBERS:
        raise ValueError(f"it has {file.id.get_num_objs()} members")
    links: list[bytes] = []

    def look(name: bytes, info: Any) -> None:
        if info.type != h5py.h5l.TYPE_HARD:
            links.append(name)

    file.id.links.iterate(look, info=True)
    if links:
        raise ValueError(
            f"{shown(links[0].decode(errors='replace'))} is a link that leads elsewhere, "
            "not a dataset"
        )


def is_of_kind(path: Path, format: str, kind: str) -> bool:  # noqa: A002
    """Check whether a file is HDF5 of a format and kind."""
    try:
        with open_file(path) as file:
            return (read_attribute(file.id, "format"), read_attribute(file.id, "kind")) == (
                format,
                kind,
            )
    except FAULTS:
        return False


def read_attribute(file: h5py.h5f.FileID, name: str) -> str | int | None:
    """Read a text or integer attribute of a file's root, or None.

    Raises
    ------
    ValueError : it is something else, such as an array or a reference, or no UTF-8, or too long
    OSError, RuntimeError : it is damaged
    """
    key = name.encode()
    if not h5py.h5a.exists(file, key):
        return None
    attribute = h5py.h5a.open(file, key)
    kind = attribute.get_type()
    family, bytes_ = kind.get_class(), attribute.get_storage_size()
    # a text of variable length counts as a pointer here; `_read_text` checks its length
    if attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR and bytes_ <= _MOST_TEXT:
        if family == h5py.h5t.INTEGER:
            number = np.empty((), kind.dtype)
            attribute.read(number)
            return int(number)
        if family == h5py.h5t.STRING:
            return _read_text(attribute, kind, name)
    raise ValueError(f"its attribute {name} is neither a text nor a whole number")


def _read_text(attribute: Any, kind: Any, name: str) -> str:
    held = np.empty((), object if kind.is_variable_str() else kind.dtype)
    attribute.read(held)
    text = held.item()
    if len(text) > _MOST_TEXT:
        raise ValueError(f"its attribute {name} is longer than {_MOST_TEXT} bytes")
    try:
        return text if isinstance(text, str) else bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"its attribute {name} is not UTF-8") from None


def json_attribute(file: h5py.h5f.FileID, name: str) -> Any:
    """Read an attribute that holds JSON.

    Raises
    ------
    ValueError : it is missing, not JSON, or nested too deeply
    OSError, RuntimeError : it is damaged
    """
    text = read_attribute(file, name)
    if not isinstance(text, str):
        raise ValueError(f"its attribute {name} is missing or no text")
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"its attribute {name}: {error}") from None


class Rows:
    """A dataset of the file itself, read row by row.

    `rows[5]` is a row, `rows[2:9]` are some, `rows[...]` are all.

    Parameters
    ----------
    file : of `open_file`; keep it open
    name : of the dataset, a member of the root
    storage : the dtype that it must have; any plain numbers if None

    Attributes
    ----------
    name, shape, dtype : as of an h5py.Dataset
    chunks : where rows lie, once one of them was read; taken over from another object of the same
        dataset, it spares the walk through the file's index

    Raises
    ------
    ValueError : it is missing or no plain dataset: a link, a group, a virtual one, one of
        references; or it declares more than the file can hold
    """

    def __init__(self, file: h5py.File, name: str, storage: np.dtype[Any] | None = None) -> None:
        self._id = _plain_dataset(file, name, storage)
        self.name, self._handle = name, file.id.get_vfd_handle()
        self._file_bytes = os.fstat(self._handle).st_size
        self._dataset = h5py.Dataset(self._id, readonly=True)
        self.shape: tuple[int, ...] = self._id.shape
        self.dtype: np.dtype[Any] = _native(self._id.dtype)
        self._text = h5py.check_string_dtype(self.dtype) is not None
        self._item_bytes = _POINTER if self._text else self.dtype.itemsize
        # bytes of the whole dataset, in Python's integers, which do not overflow
        raw = math.prod(self.shape) * self._item_bytes
        if not self.shape:
            raise ValueError(f"{name} has no rows")
        if raw > _RATIO * self._file_bytes:
            raise ValueError(
                f"{name} declares {raw} bytes, "
                f"more than a file of {self._file_bytes} bytes can hold"
            )
        self._row_bytes = math.prod(self.shape[1:]) * self._item_bytes
        self._by_row, self._shuffled, self._deflated = self._layout(raw)
        self.chunks: Chunks | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: SupportsIndex | slice | Any) -> NDArray[Any]:
        """Read rows.

        Raises
        ------
        OSError, ValueError, RuntimeError : they are damaged, or texts that are no UTF-8
        """
        if rows is Ellipsis:
            rows = slice(None)
        if not isinstance(rows, slice):
            index = range(len(self))[rows]
            return np.asarray(self[index : index + 1][0])
        begin, end, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("rows are read one after the other")
        # libhdf5 reads all other layouts, which `_layout` checked when the dataset was opened
        if not self._by_row:
            return np.asarray((self._dataset.asstr() if self._text else self._dataset)[begin:end])
        # (N, ...) in the field's dtype, filled row by row: a row is a chunk
        values = np.empty((max(0, end - begin), *self.shape[1:]), self.dtype)
        for index, row in enumerate(range(begin, end)):
            self._read(row, values[index])
        return values

    def _layout(self, raw: int) -> tuple[bool, bool, bool]:
        """Return whether a chunk is one row, shuffled, deflated; check other layouts."""
        plist = self._id.get_create_plist()
        # contiguous data: all of it must lie in the file
        if plist.get_layout() != h5py.h5d.CHUNKED:
            held = self._id.get_storage_size()
            # 0 bytes: the dataset was never written
            if held not in (0, raw) or (self._id.get_offset() or 0) + held > self._file_bytes:
                raise ValueError(f"{self.name} holds {held} bytes where its shape calls for {raw}")
            return False, False, False
        filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
        if filters not in ([], [_SHUFFLE], [_DEFLATE], [_SHUFFLE, _DEFLATE]):
            raise ValueError(
                f"{self.name} is packed with the filters {filters}, "
                "which no release of this program uses"
            )
        # a chunk is inflated in memory at once: bound it before
        chunk = plist.get_chunk()
        chunk_bytes = math.prod(chunk) * self._item_bytes
        if chunk_bytes > max(_MOST_CHUNK, self._row_bytes):
            raise ValueError(f"{self.name} is cut into chunks of {chunk_bytes} bytes")
        shuffled, deflated = _SHUFFLE in filters, _DEFLATE in filters
        # our own layout, one row a chunk, is read here; libhdf5 reads others, checked first
        if chunk == (1, *self.shape[1:]) and not self._text:
            return True, shuffled, deflated
        self._check_chunks(chunk, chunk_bytes, shuffled=shuffled, deflated=deflated)
        return False, shuffled, deflated

    def _check_chunks(
        self, chunk: tuple[int, ...], size: int, *, shuffled: bool, deflated: bool
    ) -> None:
        """Check that chunks that libhdf5 will read inflate to their very length."""

        def look(info: Any) -> None:
            if info.byte_offset is None:
                return
            self._check_place(info.byte_offset, info.size, size)
            stored = self._stored(info.byte_offset, info.size)
            self._inflate(stored, info.filter_mask, size, shuffled=shuffled, deflated=deflated)

        self._id.chunk_iter(look)

    def _table(self) -> Chunks:
        """Look up where the rows lie."""
        if self.chunks is None:
            places, sizes = np.zeros(len(self), np.int64), np.zeros(len(self), np.int64)
            masks = np.zeros(len(self), np.uint32)

            def look(info: Any) -> None:
                row = info.chunk_offset[0]
                # a damaged index may list chunks that are no row: they are passed over
                if (
                    info.byte_offset is not None
                    and row < len(self)
                    and not any(info.chunk_offset[1:])
                ):
                    self._check_place(info.byte_offset, info.size, self._row_bytes)
                    places[row], sizes[row], masks[row] = (
                        info.byte_offset,
                        info.size,
                        info.filter_mask,
                    )

            self._id.chunk_iter(look)
            self.chunks = places, sizes, masks
        return self.chunks

    def _check_place(self, place: int, size: int, inflated: int) -> None:
        """Refuse a chunk outside of the file, or too large for deflate.

        Deflate makes data larger by a thousandth at most.
        """
        if place + size > self._file_bytes or size > inflated + inflated // 64 + 1024:
            raise ValueError(
                f"{self.name} has a chunk of {size} bytes for {inflated}, "
                "or one outside of the file"
            )

    def _stored(self, place: int, size: int) -> bytes:
        try:
            return os.pread(self._handle, size, place)
        # an OSError without a number, as h5py's: with one it would pass for an error of writing
        except OSError as error:
            raise OSError(f"{self.name} cannot be read: {error.strerror}") from None

    def _read(self, row: int, values: NDArray[Any]) -> None:
        """Read one row, stored as a chunk, into an array."""
        places, sizes, masks = self._table()
        size = int(sizes[row])
        if not size:
            values[...] = 0  # what was never written
            return
        stored = self._stored(int(places[row]), size)
        shuffled, deflated = self._shuffled, self._deflated
        data, shuffled = self._inflate(
            stored, int(masks[row]), self._row_bytes, shuffled=shuffled, deflated=deflated
        )
        # undo the shuffle: byte k of all numbers is contiguous in the chunk
        flat, itemsize = values.reshape(-1).view(np.uint8), self._item_bytes
        # with one byte a number the shuffle changes nothing
        if not shuffled or itemsize == 1:
            flat[...] = np.frombuffer(data, np.uint8)
            return
        ordered = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
        for byte in range(itemsize):
            flat[byte::itemsize] = ordered[byte]

    def _inflate(
        self, stored: bytes, mask: int, size: int, *, shuffled: bool, deflated: bool
    ) -> tuple[bytes, bool]:
        """Return a chunk's `size` bytes, and whether they are shuffled.

        HDF5 skips a filter that does not make a chunk smaller, and notes it in the mask.
        """
        # bit n of the mask says that filter n was skipped; deflate comes after the shuffle
        if deflated and not mask & (1 << int(shuffled)):
            stream = zlib.decompressobj()
            try:
                # asked for one byte more: a stream that is too long does not reach its end
                data = stream.decompress(stored, size + 1)
            except zlib.error as error:
                raise ValueError(f"{self.name}: {error}") from None
            if not stream.eof:
                raise ValueError(
                    f"{self.name}: a chunk that is cut short, or inflates to more than {size} bytes"
                )
        else:
            data = stored
        if len(data) != size:
            raise ValueError(f"{self.name}: a chunk of {len(data)} bytes instead of {size}")
        return data, shuffled and not mask & 1


def _plain_dataset(file: h5py.File, name: str, storage: np.dtype[Any] | None) -> h5py.h5d.DatasetID:
    """Open a dataset after checking that it lies in the file.

    The check comes first: to ask for a shape follows links.
    """
    key = name.encode()
    if not file.id.links.exists(key):
        raise ValueError(f"it has no dataset {name}")
    # checked before the member is opened, since opening follows links
    if file.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name} is a link that leads elsewhere, not a dataset")
    member = h5py.h5o.open(file.id, key)
    if not isinstance(member, h5py.h5d.DatasetID):
        what = "a group" if isinstance(member, h5py.h5g.GroupID) else "a named type"
        raise ValueError(f"{name} is {what}, not a dataset")
    plist = member.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise ValueError(f"{name} takes its data from other files")
    _check_type(member, name, storage)
    return member


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a native dtype in NumPy's own notation."""
    own = dtype.newbyteorder("=")
    return own if own == dtype and not dtype.hasobject else dtype


def _check_type(member: h5py.h5d.DatasetID, name: str, storage: np.dtype[Any] | None) -> None:
    kind = member.get_type()
    if storage is None:
        # 8 bytes at most: longer floats differ between machines
        fits = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT) and kind.get_size() <= 8
    else:
        fits = kind.equal(h5py.h5t.py_create(storage, logical=True))
    if kind.committed() or not fits:
        stored_type = (
            str(kind.dtype)
            if kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
            else "another kind"
        )
        expected = (
            "plain numbers" if storage is None else "text" if storage.hasobject else str(storage)
        )
        raise ValueError(f"{name} is of {stored_type}; expected {expected}")
