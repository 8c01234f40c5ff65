"""What every reader gives: data sets of labelled shapes, read one by one; and the errors that they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...hdf5 import FAULTS, Rows, open_file, told
from ...untrusted import shown
from .config import Task

__all__ = [
    "ArrayShapes",
    "Dataset",
    "Layout",
    "Read",
    "Shapes",
    "check_labels",
    "read_h5",
    "read_lines",
    "read_table",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Shape = tuple[FloatArray, IntArray | None]
"""Points (n, 3), and the part of each, (n,), where parts are labelled."""


class Read(Protocol):
    """Reads the shape of a number; picklable, so that several processes can share the work."""

    @property
    def files(self) -> bool:
        """Whether each shape is a file of its own, which takes long enough for several processes."""

    def __call__(self, number: int) -> Shape:
        """Give the shape of a number."""


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
        """Give the shape of a number; see `Shapes`."""
        where = f"{self.where}, shape {number}"
        points = checked_points(self.points[number], where)
        return points, None if self.parts is None else np.asarray(self.parts[number]).astype(np.int64)


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
        """Give 16 hexadecimal digits that stand for the data, whatever is made of them: names, labels, a shape each."""
        digest = hashlib.sha256(json.dumps([self.layout, self.classes]).encode())
        for split, shapes in self.splits.items():
            digest.update(json.dumps([split, list(shapes.names), shapes.labels.tolist()]).encode())
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


def checked_points(values: NDArray[Any], where: str) -> FloatArray:
    """Take the coordinates of (n, 3 or more) values as float32.

    Raises
    ------
    InputError : another shape, no points, or coordinates that are not finite
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] < 3 or len(values) == 0 or values.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected (n, 3 or more) numbers, found {values.dtype} {values.shape}")
    points = np.ascontiguousarray(values[:, :3], dtype=np.float32)
    if not np.isfinite(points).all():
        raise InputError(f"{where} has coordinates that are not finite: get this file again, or leave the shape out")
    return points


def check_labels(labels: Any, classes: int, where: str) -> IntArray:
    """Turn labels of any integer type and shape into (N,) int64.

    Raises
    ------
    InputError : labels that are no class; names the first
    """
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
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{path} cannot be read ({reason}): it belongs to this layout; get it again") from None
    return [line.strip() for line in lines if line.strip()]


def read_table(path: Path, delimiter: str | None, least: int) -> NDArray[np.float64]:
    """Read a text file of numbers, a point a line: (n, at least `least`).

    Raises
    ------
    InputError : it is missing or holds something else; names the file
    """
    try:
        table = np.loadtxt(path, delimiter=delimiter, ndmin=2)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as points: {reason}; get this file again") from None
    if len(table) == 0 or table.shape[1] < least:
        raise InputError(f"{path}: expected lines of {least} numbers, found {table.shape[0]} of {table.shape[1]}")
    return table


def read_h5(path: Path, names: Sequence[str], points: str = "data") -> dict[str, NDArray[Any]]:
    """Read datasets of a benchmark's HDF5 file.

    Parameters
    ----------
    names : datasets to read, all with the same number of rows
    points : the one of them that holds (N, n, 3 or more) points

    Raises
    ------
    InputError : the file is missing or damaged, or lacks one of them
    """
    try:
        with open_file(path) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(
                    f"{path} has no dataset {missing[0]!r}; it holds {shown(', '.join(map(repr, file))) or 'none'}"
                )
            values = {name: Rows(file, name)[...] for name in names}
    except FAULTS as error:
        reason = "there is no such file" if not path.exists() else told(error)
        raise InputError(f"{path} cannot be read as HDF5 ({reason}): download it again") from None
    if values[points].ndim != 3 or values[points].shape[2] < 3:
        raise InputError(f"{path}: {points!r} has shape {values[points].shape}, expected (shapes, points, 3)")
    wrong = [name for name in names if len(values[name]) != len(values[points])]
    if wrong:
        raise InputError(
            f"{path}: {len(values[points])} shapes, but {len(values[wrong[0]])} rows of {wrong[0]!r}: download it again"
        )
    return values
