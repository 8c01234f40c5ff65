"""Data sets of labelled shapes, read one by one, and their errors.

Every reader of a benchmark returns one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ....core.errors import InputError
from ....core.hdf5 import FAULTS, Rows, fault_text, open_file
from ....core.untrusted import open_regular, read_bytes, shown
from ..config import Task

__all__ = [
    "ArrayShapes",
    "Dataset",
    "Layout",
    "Read",
    "Shapes",
    "check_labels",
    "check_name",
    "label_numbers",
    "read_h5",
    "read_lines",
    "read_table",
    "whole_numbers",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Shape = tuple[FloatArray, IntArray | None]
"""Points (n, 3), and the part of each, (n,), where parts are labelled."""
_LARGEST = 1e9  # of coordinates: distances of larger ones are no float32
_MOST_LIST = 2**26  # bytes of a list of names; ModelNet40's has some 200,000
_MOST_LINE = 2**12  # bytes of a line of numbers; the longest there are have seven of them
_MOST_NAME = 200  # characters


class Read(Protocol):
    """Reader of a shape by its number.

    It can be pickled, so that several processes share the work.
    """

    @property
    def files(self) -> bool:
        """Whether each shape is a file of its own, which takes long enough for several processes."""

    def __call__(self, number: int) -> Shape:
        """Return the shape of a number."""


@dataclass(frozen=True)
class Shapes:
    """One split of a data set.

    Attributes
    ----------
    labels : (N,) int64, index into the data set's classes
    names : (N,), what to call a shape in a message
    read : gives shape i, checked: finite points, at least one
    """

    labels: IntArray
    names: Sequence[str]
    read: Read

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ArrayShapes:
    """Shapes that are held as arrays: a list of (n, 3 or more), or one (N, n, 3 or more)."""

    points: Sequence[NDArray[Any]] | NDArray[Any]
    where: str
    parts: NDArray[Any] | None = None
    files: bool = field(default=False, init=False)

    def __call__(self, number: int) -> Shape:
        """Return the shape of a number; see `Shapes`."""
        where = f"{self.where}, shape {number}"
        points = checked_points(self.points[number], where)
        return points, None if self.parts is None else whole_numbers(
            np.asarray(self.parts[number]), where
        )


@dataclass(frozen=True)
class Dataset:
    """A benchmark as it lies on a disk.

    Attributes
    ----------
    task, layout : which, and in which form
    folder : where the layout was found
    classes : names, by label
    splits : "train", "test" and, where the benchmark has one, "val"
    notes : what a reader of the log should know
    """

    task: Task
    layout: str
    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, Shapes]
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return the fingerprint of the data, 16 hexadecimal digits: names, labels, a shape each."""
        digest = hashlib.sha256(json.dumps([self.layout, self.classes]).encode())
        for split, shapes in self.splits.items():
            digest.update(json.dumps([split, list(shapes.names), shapes.labels.tolist()]).encode())
            # one shape a split stands for the points: to read all would take long
            if len(shapes):
                digest.update(shapes.read(0)[0].tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Layout:
    """One form in which a benchmark is handed out.

    Attributes
    ----------
    name : as `--layout` and the log write it
    tasks : the benchmarks that come in this form
    folder : the customary name of its folder
    holds : what lies in that folder, in words
    source : where it is to be had
    matches : tells whether a folder holds it, by names alone
    open : lists the shapes of a task; raises InputError for what is missing or wrong
    """

    name: str
    tasks: tuple[Task, ...]
    folder: str
    holds: str
    source: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, Task], Dataset]


def checked_points(values: Any, where: str) -> FloatArray:
    """Take the coordinates of (n, 3 or more) values as float32.

    Raises
    ------
    InputError : no array, another shape, no points, or coordinates that are not finite or too large
        to compute with
    """
    if not isinstance(
        values, np.ndarray
    ):  # of nested lists, numpy would make whatever they add up to
        raise InputError(f"{where}: expected an array of points, found {type(values).__name__}")
    if (
        values.ndim != 2
        or values.shape[1] < 3
        or len(values) == 0
        or values.dtype.kind not in "fiu"
    ):
        raise InputError(
            f"{where}: expected (n, 3 or more) numbers, found {values.dtype} {values.shape}"
        )
    # numbers too large for float32 become infinity and are refused below: (n, 3)
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.ascontiguousarray(values[:, :3], dtype=np.float32)
    if not np.isfinite(points).all():
        raise InputError(
            f"{where} has coordinates that are not finite: get this file again, "
            f"or leave the shape out"
        )
    if np.abs(points).max() > _LARGEST:
        raise InputError(
            f"{where} has coordinates above {_LARGEST:.0e}: get this file again, "
            f"or leave the shape out"
        )
    return points


def whole_numbers(values: NDArray[Any], where: str) -> IntArray:
    """Take numbers that are whole, whatever their type, as int64.

    Raises
    ------
    InputError : some are not, or too large
    """
    if values.dtype.kind == "f":
        # from 2^53 on a float no longer holds every whole number
        bad = ~(np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**53))
        if bad.any():
            raise InputError(
                f"{where}: {float(values[bad].flat[0])} is no label of a part: get this file again"
            )
    elif values.dtype.kind not in "iu":
        raise InputError(f"{where}: labels must be whole numbers, found {values.dtype}")
    return values.astype(np.int64)


def label_numbers(labels: Any, where: str) -> IntArray:
    """Read the labels of a pickle as (N,) int64.

    Each is a whole number, or an array that begins with one.

    Raises
    ------
    InputError : something else
    """
    numbers = []
    for i, label in enumerate(labels):
        first = label.flat[0] if isinstance(label, np.ndarray) and 0 < label.size else label
        if (
            isinstance(first, bool)
            or not isinstance(first, int | np.integer)
            or not abs(int(first)) < 2**62
        ):
            raise InputError(
                f"{where}: the label of shape {i} is no whole number: get this file again"
            )
        numbers.append(int(first))
    return np.array(numbers, dtype=np.int64)


def check_name(name: str, where: str) -> str:
    """Check a name that a list gives to a class, a shape or a file.

    It must be a plain name that leads into no other folder.

    Raises
    ------
    InputError : it is empty, too long, `.` or `..`, or holds a slash or what cannot be printed
    """
    plain = name and len(name) <= _MOST_NAME and name not in (".", "..") and name.isprintable()
    if not plain or "/" in name or "\\" in name:
        raise InputError(f"{where} lists {shown(name)!r}, which is no name: get this file again")
    return name


def check_labels(labels: Any, classes: int, where: str) -> IntArray:
    """Turn labels of any integer type and shape into (N,) int64.

    Raises
    ------
    InputError : labels that are no class; names the first
    """
    # some files hold (N, 1) labels
    array = np.asarray(labels).reshape(-1)
    if array.dtype.kind not in "iu":
        raise InputError(f"{where}: labels must be whole numbers, found {array.dtype}")
    array = array.astype(np.int64)
    bad = np.flatnonzero((array < 0) | (array >= classes))
    if len(bad):
        raise InputError(
            f"{where}: label {array[bad[0]]} of shape {bad[0]} is outside 0 to {classes - 1}: "
            f"the file is damaged, or its classes are others than the {classes} known here"
        )
    return array


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file that are not empty.

    Raises
    ------
    InputError : there is no such file, or it cannot be read
    """
    try:
        lines = read_bytes(path, _MOST_LIST).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, UnicodeDecodeError):
            reason = "it is no text"
        raise InputError(
            f"{path} cannot be read ({reason}): it belongs to this layout; get it again"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def read_table(path: Path, delimiter: str | None, least: int) -> NDArray[np.float64]:
    """Read a text file of numbers, a point a line: (n, at least `least`).

    Raises
    ------
    InputError : it is missing or holds something else; names the file, and the line where it is
        one's fault
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            columns = _columns(file.readline(_MOST_LINE), delimiter, least, path)
        table = np.loadtxt(path, delimiter=delimiter, ndmin=2, comments=None, encoding="latin1")
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise InputError(
            f"{path} cannot be read as points: {reason}; get this file again"
        ) from None
    except (ValueError, MemoryError):
        number = _odd_line(path, delimiter, columns)
        raise InputError(
            f"{path} cannot be read as points: line {number} is no {columns} numbers; "
            f"get this file again"
        ) from None
    return table


def _columns(line: bytes, delimiter: str | None, least: int, path: Path) -> int:
    """Count the numbers of a file's first line."""
    columns = len(line.split(None if delimiter is None else delimiter.encode()))
    if (
        not line.strip()
        or columns < least
        or (len(line) == _MOST_LINE and not line.endswith(b"\n"))
    ):
        raise InputError(
            f"{path}: expected lines of {least} numbers, "
            f"found {int(bool(line.strip()))} of {columns}"
        )
    return columns


def _odd_line(path: Path, delimiter: str | None, columns: int) -> int:
    """Find the first line that is not as many numbers as the first one."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), 1):
            try:
                numbers = [
                    float(each)
                    for each in line.split(None if delimiter is None else delimiter.encode())
                ]
            except ValueError:
                return number
            if numbers and len(numbers) != columns:
                return number
    return 1


def read_h5(path: Path, names: Sequence[str], points: str = "data") -> dict[str, NDArray[Any]]:
    """Read datasets of a benchmark's HDF5 file.

    Parameters
    ----------
    names : datasets to read, all with the same number of rows
    points : the one of them that holds (N, n, 3 or more) points

    Raises
    ------
    InputError : the file is missing or damaged, lacks one of them, or takes one from somewhere else
    """
    try:
        with open_file(path) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(
                    f"{path} has no dataset {missing[0]!r}; it holds "
                    f"{shown(', '.join(map(repr, file))) or 'none'}"
                )
            values = {name: Rows(file, name)[...] for name in names}
    except InputError:
        raise
    except FAULTS as error:
        reason = "there is no such file" if not path.exists() else fault_text(error)
        if isinstance(error, OSError) and not error.strerror:  # libhdf5's words
            reason = "it is damaged, cut short, or no HDF5"
        raise InputError(f"{path} cannot be read as HDF5 ({reason}): download it again") from None
    if values[points].ndim != 3 or values[points].shape[2] < 3:
        raise InputError(
            f"{path}: {points!r} has shape {values[points].shape}, expected (shapes, points, 3)"
        )
    wrong = [
        name for name in names if not values[name].ndim or len(values[name]) != len(values[points])
    ]
    if wrong:
        rows = len(values[wrong[0]]) if values[wrong[0]].ndim else 0
        raise InputError(
            f"{path}: {len(values[points])} shapes, but {rows} rows of {wrong[0]!r}: "
            f"download it again"
        )
    return values
