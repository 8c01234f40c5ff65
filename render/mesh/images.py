"""Pictures of a model's materials, checked by their headers before decoding."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.untrusted import open_regular

__all__ = ["MOST_IN_MODEL", "MOST_PIXELS", "Picture", "bounded_pictures", "examine_picture"]

MOST_PIXELS = 2**27
"""Of one picture, twice 8192 x 8192. Blender takes four bytes a pixel, Cycles as many again."""
MOST_IN_MODEL = 2**28
"""Pixels of all pictures of one model."""
_MOST_BYTES = 2**29
_MOST_PATH = 1000  # bytes: Blender cuts longer ones
_NO_PICTURE = "it is not a readable picture"
_READ = ("BMP", "DDS", "JPEG", "JPEG2000", "PNG", "PSD", "SGI", "TGA", "TIFF", "WEBP")
"""Formats, by Pillow's names, that Blender reads as a still picture; it takes a GIF for a film."""


@dataclass(frozen=True)
class Picture:
    """The header of a picture, with its fault or ""."""

    pixels: int = 0
    has_alpha: bool = False
    fault: str = ""


def examine_picture(path: Path) -> Picture:
    """Read the header of a picture; decode nothing.

    A pipe or a device is not waited for.
    """
    try:
        pixels, has_alpha = _read_header(path)
    except OSError as error:
        return Picture(fault=error.strerror or _NO_PICTURE)
    except ValueError as error:
        return Picture(fault=str(error))
    return Picture(pixels, has_alpha)


def _read_header(path: Path) -> tuple[int, bool]:
    """Read a picture's number of pixels and whether it has alpha.

    Raises
    ------
    OSError, ValueError : it cannot be read, or may not be shown
    """
    from PIL import Image

    # All formats, not the common ones alone
    Image.init()
    if len(str(path).encode(errors="replace")) > _MOST_PATH:
        raise ValueError("its path is too long")
    # Blender takes UTF-8 alone
    if not str(path).isprintable():
        raise ValueError("its name cannot be shown as text")
    with os.fdopen(open_regular(path), "rb") as file, bounded_pictures():
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        try:
            with Image.open(file, formats=_READ) as image:
                pixels, has_alpha = image.width * image.height, image.has_transparency_data
        except Image.DecompressionBombError:
            raise ValueError(f"it has more than {MOST_PIXELS:,} pixels") from None
        except Exception:  # pillow raises whatever its parsers meet
            raise ValueError(_NO_PICTURE) from None
    if pixels <= 0:
        raise ValueError("it has no pixels")
    return pixels, has_alpha


@contextmanager
def bounded_pictures() -> Iterator[None]:
    """Make Pillow refuse pictures with more than MOST_PIXELS.

    It raises DecompressionBombError when such a picture is opened.
    """
    from PIL import Image

    before: Any = Image.MAX_IMAGE_PIXELS
    # It warns from there on, and refuses twice as many
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
