"""The schema of shards and render files: one table that writer, reader, verifier and card are driven by.

A leaf: it imports nothing of the project but `camera` and `errors`, so every stage may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = [
    "FORMAT",
    "LIBVER",
    "RENDER_EXTRAS",
    "RENDER_FIELDS",
    "RENDER_LEVEL",
    "SCHEMA_VERSION",
    "SHADED",
    "SHARD_FIELDS",
    "SHARD_LEVEL",
    "Field",
    "Row",
    "WrongFileError",
    "create_field",
    "open_checked",
    "shuffle",
]

FORMAT = "shapenet3d-cma"
SCHEMA_VERSION = 1
Row = dict[str, NDArray[Any]]
"""One row, or a batch of rows, by field name."""

LIBVER = ("v110", "v110")  # 'latest' would write files that older HDF5 cannot read
RENDER_LEVEL, SHARD_LEVEL = 1, 6
"""Of gzip, which notices flipped bits. Renders are read once or twice; shards are kept, copied, and read for months: 6
makes them 5 % smaller, is read as fast, and costs packing 2 ms a row."""


class WrongFileError(InputError):
    """A file that is whole, but of another format, kind or version than is needed."""


@dataclass(frozen=True)
class Field:
    """One dataset of a file: its dtype, its shape behind the leading axis, and what it means.

    A shape's letters are sizes of the file: H, W image rows and columns, P points a row.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str

    def sizes(self, **letters: int) -> tuple[int, ...]:
        """Give the shape behind the leading axis, its letters replaced: `field.sizes(H=224, W=224, P=2048)`."""
        return tuple(letters[size] if isinstance(size, str) else size for size in self.shape)

    @property
    def storage(self) -> np.dtype[Any]:
        """The dtype that h5py stores: "utf-8" stands for strings of any length."""
        return h5py.string_dtype() if self.dtype == "utf-8" else np.dtype(self.dtype)


_VIEW = (
    Field("rgb", "u1", ("H", "W", 3), "sRGB on the chosen background"),
    Field("depth", "f4", ("H", "W"), "planar z in object units; 0 = background"),
    Field("intrinsics", "f8", (3, 3), "K, pixels"),
    Field("cam_from_obj", "f8", (4, 4), "[R t; 0 1], x_cam = R x_obj + t, OpenCV axes"),
)

SHADED = Field("shaded", "?", (), "whether the view's rgb was rendered; where not, its rgb is all zero")
RENDER_FIELDS = (*_VIEW, SHADED)
"""A render file: leading axis V, the views of one model."""

RENDER_EXTRAS = (
    Field("alpha", "u1", ("H", "W"), "share of the pixel that is covered, 255 = all; with a transparent background"),
    Field("normal", "f4", ("H", "W", 3), "shading normal, object frame; 0 = background"),
    Field("position", "f4", ("H", "W", 3), "the surface as Cycles places it, object frame; 0 = background"),
    Field("material", "u2", ("H", "W"), "index into the attribute materials; 65535 = background"),
)
"""Further fields that a render file holds when they were asked for."""

SHARD_FIELDS = (
    *_VIEW,
    Field("points", "f4", ("P", 3), "object frame, farthest point order"),
    Field("pixels", "u2", ("P", 2), "(u, v) = (column, row) of each point"),
    Field("num_points", "u4", (), "points reconstructed from this view before sampling"),
    Field("synset", "utf-8", (), "category, WordNet offset"),
    Field("model_id", "utf-8", (), "model within its category"),
    Field("view", "u2", (), "index of the view in the model's render"),
)
"""A shard: leading axis N, one row a view of a model."""


def create_field(
    file: h5py.File, field: Field, rows: int, *, growing: bool = False, level: int = RENDER_LEVEL, **letters: int
) -> h5py.Dataset:
    """Create a field's dataset with the layout of the schema: a chunk is exactly one row, so a row is one read.

    Parameters
    ----------
    rows : length of the leading axis
    growing : the leading axis may be resized later
    level : of compression
    letters : the file's sizes, see `Field.sizes`
    """
    sizes = field.sizes(**letters)
    scalar = not sizes and not growing  # a few bytes a row: no chunks
    return file.create_dataset(
        field.name,
        (rows, *sizes),
        field.storage,
        maxshape=(None, *sizes) if growing else None,
        chunks=None if scalar else ((1, *sizes) if sizes else (1024,)),
        **({} if scalar else {"compression": "gzip", "compression_opts": level, "shuffle": True}),
    )


def shuffle(row: NDArray[Any], field: Field) -> memoryview:
    """Give a row's bytes as HDF5's shuffle filter orders them: the first of all numbers, then the second of all.

    Parameters
    ----------
    row : of the field's shape, converted to its dtype, little-endian
    """
    array = np.ascontiguousarray(row, dtype=np.dtype(field.dtype).newbyteorder("<"))
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, array.itemsize).T).data


def open_checked(path: Path, fields: tuple[Field, ...], kind: str, **driver: Any) -> h5py.File:
    """Open a file for reading and check that it is of this format, version and kind and follows the table.

    Parameters
    ----------
    kind : "render" or "shard"
    driver : further keywords of `h5py.File`

    Raises
    ------
    InputError : names the file, what was found, what was expected and what to do; a `WrongFileError` where another
        release or program can read it
    """
    remedy = "delete it and render again" if kind == "render" else "copy it again, or pack again"
    try:
        file = h5py.File(path, "r", **driver)
    except OSError as error:
        raise InputError(f"{path} cannot be opened as HDF5: {error}; {remedy}") from None
    try:
        _check(file, fields, kind)
    except InputError:
        file.close()
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:  # h5py's words for damaged metadata
        file.close()
        raise InputError(f"{path} is damaged: {error}; {remedy}") from None
    return file


def _check(file: h5py.File, fields: tuple[Field, ...], kind: str) -> None:
    name = file.filename
    if file.attrs.get("format") != FORMAT:
        raise WrongFileError(f"{name} is no {FORMAT} file (attribute format is {file.attrs.get('format')!r})")
    if file.attrs.get("kind") != kind:
        raise WrongFileError(f"{name} is a {file.attrs.get('kind')} file; a {kind} file is needed here")
    version = int(file.attrs.get("schema_version", 0))
    if version != SCHEMA_VERSION:
        raise WrongFileError(
            f"{name} has schema version {version}; this program reads version {SCHEMA_VERSION}: "
            "make the file again, or use the release that wrote it"
        )
    letters: dict[str, int] = {}  # the sizes of this file, from the first field that has each
    for field in fields:
        dataset = file[field.name]
        rank, dtype = 1 + len(field.shape), dataset.dtype
        if dataset.ndim != rank or dtype != field.storage:
            found = f"{dtype} with {dataset.ndim} axes"
            raise InputError(f"{name}: {field.name} is {found}; expected {field.dtype} with {rank} axes")
        for letter, size in zip(("rows", *field.shape), dataset.shape, strict=True):
            if isinstance(letter, str):
                letters.setdefault(letter, size)
        expected = (letters["rows"], *field.sizes(**letters))
        if dataset.shape != expected:
            raise InputError(
                f"{name}: {field.name} has the shape {dataset.shape}; the other fields call for {expected}: "
                "the file was changed or badly made; make it again"
            )
