"""Render files: all views of a model in one HDF5 file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera
from ..core.errors import InputError
from ..core.hdf5 import Rows, fault_text, is_of_kind, read_attribute
from ..core.outputs import write_new
from ..core.schema import (
    FORMAT,
    LIBVER,
    RENDER_EXTRAS,
    RENDER_FIELDS,
    RENDER_LEVEL,
    SHADED,
    Opened,
    create_field,
    file_stamp,
    open_checked,
    shuffle,
)
from ..core.untrusted import open_regular

__all__ = ["Render", "find_renders", "is_render", "open_render", "read_config_hash", "write_render"]

SOURCE = "CAD models by synset and id; their licence applies to what is made from them (ShapeNet: terms of use)"


def write_render(
    path: Path,
    cameras: Sequence[Camera],
    geometry: Mapping[str, NDArray[Any]],
    colour: Mapping[int, Mapping[str, NDArray[np.uint8]]],
    attributes: dict[str, Any],
    *,
    write: Callable[[Path, bytes], object] = write_new,
) -> None:
    """Write a render file.

    Parameters
    ----------
    cameras : V of them
    geometry : depth (V, H, W) float32, planar z, object units, 0 = background; and those of
        RENDER_EXTRAS that each view has
    colour : view -> rgb (H, W, 3) uint8, sRGB, and perhaps alpha (H, W) uint8; views left out have
        no colour
    attributes : `synset`, `model_id`, `config`, `config_hash`, `repairs`, `notes`, `materials`;
        stored as text or JSON
    write : writes a path's content, whole or not at all

    Raises
    ------
    OSError : it cannot be written; `path` stays as it was
    """
    from isal import (
        isal_zlib,
    )  # an Intel library, for all machines: renders are read where it need not be

    views, height, width = geometry["depth"].shape
    arrays = {
        **geometry,
        "intrinsics": np.stack([camera.intrinsics for camera in cameras]),
        "cam_from_obj": np.stack([camera.cam_from_obj for camera in cameras]),
    }
    rows: dict[str, dict[int, NDArray[Any]]] = {
        name: dict(enumerate(array)) for name, array in arrays.items()
    }
    rows["rgb"] = {}
    for view, fields in colour.items():
        for name, image in fields.items():
            rows.setdefault(name, {})[view] = image
    # HDF5 may end the process when a disk is full: it builds the file in memory, and Python's own
    # write can fail
    with h5py.File(path.name, "w", driver="core", backing_store=False, libver=LIBVER) as file:
        create_field(file, SHADED, views)[...] = [view in colour for view in range(views)]
        for field in (*RENDER_FIELDS, *RENDER_EXTRAS):
            if field.name in rows and field.shape:
                dataset = create_field(file, field, views, H=height, W=width)
                for view, row in rows[field.name].items():
                    # Compressed here, so the chunk goes in past HDF5's own filters.
                    chunk = isal_zlib.compress(shuffle(row, field), RENDER_LEVEL)
                    dataset.id.write_direct_chunk((view,) + (0,) * row.ndim, chunk)
        common = {**file_stamp("render"), "source": SOURCE}
        for name, value in (common | attributes).items():
            file.attrs[name] = (
                value if isinstance(value, str | int) else json.dumps(value, sort_keys=True)
            )
        file.flush()
        image = file.id.get_file_image()
    write(path, image)


@dataclass(frozen=True)
class Render:
    """An open render file: arrays are read on access."""

    path: Path
    opened: Opened

    @property
    def rows(self) -> dict[str, Rows]:
        """The views of each field: RENDER_FIELDS, and the RENDER_EXTRAS of this file."""
        return self.opened.rows

    @property
    def synset(self) -> str:
        """Category, WordNet offset."""
        return self._text("synset")

    @property
    def model_id(self) -> str:
        """Model within its category."""
        return self._text("model_id")

    @property
    def config_hash(self) -> str:
        """Hash of the settings that the file was made with."""
        return self._text("config_hash")

    def _text(self, name: str) -> str:
        text = self.opened.attribute(name)
        if not isinstance(text, str):
            raise InputError(f"{self.path} does not state its {name}: delete it and render again")
        return text

    def json(self, name: str) -> Any:
        """Read an attribute that is stored as JSON: `config`, `repairs`, `notes`.

        Raises
        ------
        InputError : it is missing, or no JSON
        """
        return self.opened.json(name)

    @property
    def shaded(self) -> NDArray[np.bool_]:
        """(V,) whether each view has colour."""
        return self.rows["shaded"][...]

    @property
    def depth(self) -> NDArray[np.float32]:
        """(V, H, W) float32, planar z, object units, 0 = background."""
        return self.rows["depth"][...]

    def view_depth(self, view: int) -> NDArray[np.float32]:
        """(H, W) float32, the depth of one view: all of them together may be large."""
        return self.rows["depth"][view]

    def view_depths(self) -> Iterator[NDArray[np.float32]]:
        """Return the depth of one view after the other."""
        return (self.view_depth(view) for view in range(len(self.rows["depth"])))

    def rgb(self, view: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, sRGB; all zero where the view is not shaded."""
        return self.rows["rgb"][view]

    def camera(self, view: int) -> Camera:
        """Return the camera of a view.

        Raises
        ------
        ValueError : the file holds no valid camera
        """
        height, width = self.rows["depth"].shape[1:]
        return Camera(self.rows["intrinsics"][view], self.rows["cam_from_obj"][view], width, height)


def is_render(path: Path) -> bool:
    """Recognise a render file by its content."""
    return is_of_kind(path, FORMAT, "render")


def read_config_hash(path: Path) -> str:
    """Read the hash of a file's settings.

    Through HDF5's low level, which is five times as fast as `open_render`: a run that is resumed
    reads 52,000 files.

    Raises
    ------
    OSError, KeyError : the file cannot be read, or does not say it
    """
    os.close(open_regular(path))
    file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY)
    try:
        text = read_attribute(file, "config_hash")
    except (ValueError, RuntimeError, TypeError) as error:
        raise OSError(fault_text(error)) from None
    finally:
        file.close()
    if not isinstance(text, str):
        raise KeyError("config_hash")
    return text


@contextmanager
def open_render(path: Path) -> Iterator[Render]:
    """Open a render file for reading.

    Raises
    ------
    InputError : it cannot be read, or is no render file of this schema version
    """
    with open_checked(path, RENDER_FIELDS, "render", extras=RENDER_EXTRAS) as opened:
        yield Render(path, opened)


def find_renders(folder: Path) -> list[Path]:
    """List the render files `<synset>/<model>.h5` of a folder, sorted.

    Raises
    ------
    InputError : no folder, or no render file in it
    """
    paths = sorted(folder.glob("[!.]*/[!.]*.h5"))
    if not paths:
        what = (
            "does not exist"
            if not folder.exists()
            else "is a file"
            if folder.is_file()
            else "holds no render files"
        )
        raise InputError(
            f"{folder} {what}: `cma3d render SHAPENET RENDERS` makes RENDERS/<synset>/<model>.h5"
        )
    return paths
