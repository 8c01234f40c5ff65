"""Faults of HDF5 files, each put into a valid one: what is replaced, by what, and what must be said of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from shapenet3d_cma.core.schema import LIBVER

Fault = Callable[[h5py.File, str, Path], None]
SECRET = 77
"""Every byte of the file outside: it must turn up nowhere."""


def write_secret(path: Path, like: h5py.Dataset) -> None:
    """Write a file outside that looks as the dataset should, and its raw bytes beside it."""
    values = np.full(like.shape, SECRET, np.uint8 if like.dtype.hasobject else like.dtype)
    with h5py.File(path, "w", libver=LIBVER) as file:
        file[like.name] = values
    path.with_suffix(".raw").write_bytes(values.tobytes())


def external_link(file: h5py.File, name: str, outside: Path) -> None:
    write_secret(outside, file[name])
    del file[name]
    file[name] = h5py.ExternalLink(outside, name)


def soft_link(file: h5py.File, name: str, _: Path) -> None:
    file.move(name, "other")
    file[name] = h5py.SoftLink("/other")


def virtual(file: h5py.File, name: str, outside: Path) -> None:
    write_secret(outside, file[name])
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(outside, name, shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def growing_virtual(file: h5py.File, name: str, outside: Path) -> None:
    """Its shape alone is asked of the file outside."""
    write_secret(outside, file[name])
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, dtype, maxshape=(None, *shape[1:]))
    source = h5py.VirtualSource(outside, name, shape, maxshape=(None, *shape[1:]))
    layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
    del file[name]
    file.create_virtual_dataset(name, layout)


def external_storage(file: h5py.File, name: str, outside: Path) -> None:
    write_secret(outside, file[name])
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(
        name, shape, dtype, external=[(str(outside.with_suffix(".raw")), 0, h5py.h5f.UNLIMITED)]
    )


def of_type(dtype: object) -> Fault:
    def fault(file: h5py.File, name: str, _: Path) -> None:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, dtype)

    return fault


def group(file: h5py.File, name: str, _: Path) -> None:
    del file[name]
    file.create_group(name)


def named_type(file: h5py.File, name: str, _: Path) -> None:
    dtype = np.dtype("f4")
    del file[name]
    file[name] = dtype


def committed(file: h5py.File, name: str, _: Path) -> None:
    shape, file["a type"] = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, file["a type"])


def absent(file: h5py.File, name: str, _: Path) -> None:
    del file[name]


def all_of(
    *, rows: int | None = None, image: tuple[int, int] | None = None, points: int | None = None
) -> Fault:
    """Declare other sizes, in all datasets alike; nothing is written."""

    def fault(file: h5py.File, name: str, _: Path) -> None:
        for other in list(file):
            shape, dtype = list(file[other].shape), file[other].dtype
            shape[0] = shape[0] if rows is None else rows
            if image is not None and other in ("rgb", "depth"):
                shape[1:3] = image
            if points is not None and other in ("points", "pixels"):
                shape[1] = points
            del file[other]
            chunks = tuple(min(8, size) or 1 for size in shape)
            file.create_dataset(other, shape, dtype, maxshape=[None] * len(shape), chunks=chunks)

    return fault


def chunk_of(content: bytes, filters: dict[str, object] | None = None) -> Fault:
    """Store something else as the dataset's first chunk."""

    def fault(file: h5py.File, name: str, _: Path) -> None:
        values = file[name][...]
        del file[name]
        many = {"compression": "gzip", "shuffle": True} if filters is None else filters
        chunks = (1, *values.shape[1:]) if values.ndim > 1 else (1024,)
        plain = values.dtype.hasobject and h5py.string_dtype()
        dataset = file.create_dataset(
            name,
            values.shape,
            plain or values.dtype,
            chunks=chunks,
            maxshape=(None, *values.shape[1:]),
            **many,
        )
        dataset[...] = values
        dataset.id.write_direct_chunk((0,) * values.ndim, content)

    return fault


def huge_chunk(file: h5py.File, name: str, _: Path) -> None:
    """A chunk of 2 GiB of which the shape takes a little."""
    values = file[name][...]
    del file[name]
    chunks = (2**31 // max(16, values.nbytes // len(values)), *values.shape[1:])
    dtype = h5py.string_dtype() if values.dtype.hasobject else values.dtype
    file.create_dataset(
        name, values.shape, dtype, chunks=chunks, maxshape=(None, *values.shape[1:]), compression=1
    )


def filtered(**filters: object) -> Fault:
    def fault(file: h5py.File, name: str, _: Path) -> None:
        values = file[name][...]
        dtype = h5py.string_dtype() if values.dtype.hasobject else values.dtype
        del file[name]
        if values.dtype.hasobject:  # texts have no checksum
            filters.pop("fletcher32", None)
            filters["compression"] = "lzf"
        file.create_dataset(
            name, data=values, dtype=dtype, chunks=(1, *values.shape[1:]), **filters
        )

    return fault


BOMB = zlib.compress(bytes(2**26), 1)
LEADS_OUT: dict[str, Fault] = {
    "external link": external_link,
    "virtual": virtual,
    "growing virtual": growing_virtual,
    "external storage": external_storage,
}
FAULTS: dict[str, Fault] = LEADS_OUT | {
    "soft link": soft_link,
    "object references": of_type(h5py.ref_dtype),
    "region references": of_type(h5py.regionref_dtype),
    "a compound": of_type(np.dtype([("a", "f4"), ("b", "i8")])),
    "arrays": of_type(np.dtype(("f4", (2,)))),
    "opaque": of_type(np.dtype("V4")),
    "lists": of_type(h5py.vlen_dtype(np.float32)),
    "big-endian": of_type(">f8"),
    "group": group,
    "named type": named_type,
    "committed type": committed,
    "absent": absent,
    "10^12 rows": all_of(rows=10**12),
    "no rows": all_of(rows=0),
    "images of 0 x 0": all_of(image=(0, 0)),
    "images of 40,000 x 40,000": all_of(image=(40_000, 40_000)),
    "short chunk": chunk_of(zlib.compress(b"short")),
    "cut chunk": chunk_of(zlib.compress(bytes(10**5), 0)[:50]),
    "bomb": chunk_of(BOMB),
    "huge chunk": huge_chunk,
    "lzf": filtered(compression="lzf"),
    "fletcher": filtered(fletcher32=True),
}
SHARD_FAULTS: dict[str, Fault] = FAULTS | {
    "no points": all_of(points=0),
    "10^12 points": all_of(points=10**12),
}

DEEP = "[" * 60_000 + "]" * 60_000


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def fault(file: h5py.File) -> None:
        file.attrs[name] = value(file) if callable(value) else value

    return fault


ODD: dict[str, object] = {
    "deep": DEEP,
    "no JSON": "{",
    "an array": np.zeros((64, 64)),
    "a reference": lambda file: file["rgb"].ref,
    "empty": h5py.Empty("f4"),
    "no UTF-8": np.bytes_(b"\xff\xfe"),
    "a list": json.dumps([1, 2]),
    "a number": 7,
}
"""Values that an attribute which holds JSON must not have."""
