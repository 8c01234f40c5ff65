"""The schema of shards and render files, in one table.

It imports only modules of `core`, so that every stage may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from .camera import CONVENTIONS, Camera
from .errors import InputError
from .hdf5 import FAULTS, Rows, fault_text, json_attribute, open_file, read_attribute
from .untrusted import shown

__all__ = [
    "FORMAT",
    "GENERATOR",
    "LIBVER",
    "MOST_PIXELS",
    "RENDER_EXTRAS",
    "RENDER_FIELDS",
    "RENDER_LEVEL",
    "SCHEMA_VERSION",
    "SHADED",
    "SHARD_FIELDS",
    "SHARD_LEVEL",
    "Field",
    "Opened",
    "Row",
    "WrongFileError",
    "create_field",
    "file_stamp",
    "open_checked",
    "row_camera",
    "shuffle",
]

T = TypeVar("T")

FORMAT = "shapenet3d-cma"
SCHEMA_VERSION = 1
GENERATOR = f"shapenet3d-cma {__version__}"
"""The program and its version, as files and pages state them."""
Row = dict[str, NDArray[Any]]
"""One row, or a batch of rows, by field name."""


LIBVER = ("v110", "v110")  # 'latest' would write files that older HDF5 cannot read
MOST_PIXELS = 8192 * 81920
"""Pixels of the widest image that can be rendered."""
RENDER_LEVEL, SHARD_LEVEL = 1, 6
"""Levels of gzip, whose checksum notices flipped bits. Renders are read once or twice. Shards are kept,
copied and read for months: level 6 makes them 5 % smaller, reads as fast, and costs 2 ms a row."""


class WrongFileError(InputError):
    """A sound file of another format, kind or version."""


@dataclass(frozen=True)
class Field:
    """One dataset of a file: dtype, shape of a row, meaning.

    A shape's letters are sizes of the file: H, W image rows and columns, P points a row.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str

    def sizes(self, **letters: int) -> tuple[int, ...]:
        """Return the shape behind the leading axis, with its letters replaced.

        Example: `field.sizes(H=224, W=224, P=2048)`.
        """
        return tuple(letters[size] if isinstance(size, str) else size for size in self.shape)

    @property
    def storage(self) -> np.dtype[Any]:
        """The dtype that h5py stores; "utf-8" means strings of any length."""
        return h5py.string_dtype() if self.dtype == "utf-8" else np.dtype(self.dtype)


_VIEW = (
    Field("rgb", "u1", ("H", "W", 3), "sRGB on the chosen background"),
    Field("depth", "f4", ("H", "W"), "planar z in object units; 0 = background"),
    Field("intrinsics", "f8", (3, 3), "K, pixels"),
    Field("cam_from_obj", "f8", (4, 4), "[R t; 0 1], x_cam = R x_obj + t, OpenCV axes"),
)

SHADED = Field(
    "shaded", "?", (), "whether the view's rgb was rendered; where not, its rgb is all zero"
)
RENDER_FIELDS = (*_VIEW, SHADED)
"""A render file: leading axis V, the views of one model."""

RENDER_EXTRAS = (
    Field(
        "alpha",
        "u1",
        ("H", "W"),
        "share of the pixel that is covered, 255 = all; with a transparent background",
    ),
    Field("normal", "f4", ("H", "W", 3), "shading normal, object frame; 0 = background"),
    Field(
        "position",
        "f4",
        ("H", "W", 3),
        "the surface as Cycles places it, object frame; 0 = background",
    ),
    Field("material", "u2", ("H", "W"), "index into the attribute materials; 65535 = background"),
)
"""Further fields, which a render file holds if the settings request them."""

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
    file: h5py.File,
    field: Field,
    rows: int,
    *,
    growing: bool = False,
    level: int = RENDER_LEVEL,
    **letters: int,
) -> h5py.Dataset:
    """Create a field's dataset, in chunks of one row.

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
    """Return a row's bytes in the order of HDF5's shuffle filter.

    The first bytes of all numbers come first, then the second bytes, and so on.

    Parameters
    ----------
    row : of the field's shape, converted to its dtype, little-endian
    """
    # numbers as rows of bytes, (n, itemsize), then transposed
    array = np.ascontiguousarray(row, dtype=np.dtype(field.dtype).newbyteorder("<"))
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, array.itemsize).T).data


def row_camera(row: Mapping[str, NDArray[Any]]) -> Camera:
    """Return the camera of a row, with the size of its depth.

    Parameters
    ----------
    row : one row, with intrinsics, cam_from_obj and depth

    Raises
    ------
    ValueError : intrinsics or pose are not those of a camera, see `Camera`
    """
    height, width = row["depth"].shape
    return Camera(row["intrinsics"], row["cam_from_obj"], width, height)


def file_stamp(kind: str, *, versioned: bool = True) -> dict[str, Any]:
    """Return the entries that identify a file, with its conventions.

    Parameters
    ----------
    kind : "render", "shard", "manifest", or the kind of an output folder
    versioned : add the version of the schema
    """
    return {
        "format": FORMAT,
        "kind": kind,
        **({"schema_version": SCHEMA_VERSION} if versioned else {}),
        "generator": GENERATOR,
        "conventions": CONVENTIONS,
    }


@dataclass(frozen=True)
class Opened:
    """An open file that follows the table: datasets by field name.

    Datasets are read row by row. Close the file after use.
    """

    path: Path
    file: h5py.File
    rows: dict[str, Rows]

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def attribute(self, name: str) -> str | int | None:
        """Read an attribute, a text or a whole number, or None.

        Raises
        ------
        InputError : it is something else, or damaged
        """
        return self._read(read_attribute, name)

    def json(self, name: str) -> Any:
        """Read an attribute that is stored as JSON.

        Raises
        ------
        InputError : it is missing, no JSON, or nested too deeply
        """
        return self._read(json_attribute, name)

    def _read(self, read: Callable[[h5py.h5f.FileID, str], T], name: str) -> T:
        try:
            return read(self.file.id, name)
        except FAULTS as error:
            raise InputError(
                f"{shown(self.path, 4096)} is damaged: {fault_text(error)}; make it again"
            ) from None


def open_checked(
    path: Path,
    fields: tuple[Field, ...],
    kind: str,
    *,
    extras: tuple[Field, ...] = (),
    **driver: Any,
) -> Opened:
    """Open a file for reading; check its format, version, kind and fields.

    Before any array is read it is certain that no link of the file leads to another file, and that
    nothing declares more than the file can hold.

    Parameters
    ----------
    kind : "render" or "shard"
    extras : further fields that it may hold
    driver : further keywords of `h5py.File`

    Raises
    ------
    InputError : with the file, what it states, what was expected and the remedy
    WrongFileError : another release or program can read the file
    """
    remedy = "delete it and render again" if kind == "render" else "copy it again, or pack again"
    where = shown(path, 4096)
    try:
        file = open_file(path, **driver)
    except OSError as error:
        raise InputError(
            f"{where} cannot be opened as HDF5: {fault_text(error)}; {remedy}"
        ) from None
    except FAULTS as error:
        raise InputError(f"{where} is damaged: {fault_text(error)}; {remedy}") from None
    try:
        _check_kind(file, where, kind)
        return Opened(path, file, _check_fields(file, where, fields, extras))
    except BaseException as error:
        file.close()
        if isinstance(error, FAULTS):  # h5py's words for damaged metadata
            raise InputError(f"{where} is damaged: {fault_text(error)}; {remedy}") from None
        raise


def _check_kind(file: h5py.File, name: str, kind: str) -> None:
    stated = {key: read_attribute(file.id, key) for key in ("format", "kind", "schema_version")}
    if stated["format"] != FORMAT:
        raise WrongFileError(
            f"{name} is not a {FORMAT} file (attribute format is {shown(repr(stated['format']))})"
        )
    if stated["kind"] != kind:
        raise WrongFileError(
            f"{name} is a {shown(stated['kind'])} file; a {kind} file is needed here"
        )
    if stated["schema_version"] != SCHEMA_VERSION:
        raise WrongFileError(
            f"{name} has schema version {shown(stated['schema_version'])}; "
            f"this program reads version {SCHEMA_VERSION}: make the file again, "
            "or use the release that wrote it"
        )


def _check_fields(
    file: h5py.File, name: str, fields: tuple[Field, ...], extras: tuple[Field, ...]
) -> dict[str, Rows]:
    """Open the fields, whose shapes must agree; extras if the file has them."""
    letters: dict[str, int] = {}  # the sizes of this file, from the first field that has each
    datasets = {}
    for field in (
        *fields,
        *(extra for extra in extras if file.id.links.exists(extra.name.encode())),
    ):
        rows = datasets[field.name] = Rows(file, field.name, field.storage)
        axes = ("rows", *field.shape)
        if len(rows.shape) != len(axes):
            raise InputError(
                f"{name}: {field.name} has {len(rows.shape)} axes; "
                f"expected {len(axes)}: make it again"
            )
        for letter, size in zip(axes, rows.shape, strict=True):
            if isinstance(letter, str):
                letters.setdefault(letter, size)
        expected = (letters["rows"], *field.sizes(**letters))
        if rows.shape != expected:
            raise InputError(
                f"{name}: {field.name} has the shape {rows.shape}; "
                f"the other fields call for {expected}: "
                "the file was changed or badly made; make it again"
            )
    _check_sizes(name, letters)
    return datasets


def _check_sizes(name: str, letters: dict[str, int]) -> None:
    height, width, points = letters["H"], letters["W"], letters.get("P", 1)
    if min(letters.values()) < 1:
        raise InputError(f"{name} holds nothing: {_sizes(letters)}; make it again")
    if height * width > MOST_PIXELS or points > height * width:
        raise InputError(
            f"{name} declares what no release writes: {_sizes(letters)}; make it again"
        )


def _sizes(letters: dict[str, int]) -> str:
    names = {"rows": "rows", "P": "points a row"}
    counts = ", ".join(
        f"{letters[letter]} {word}" for letter, word in names.items() if letter in letters
    )
    return f"{counts}, images of {letters['W']} x {letters['H']} pixels"
