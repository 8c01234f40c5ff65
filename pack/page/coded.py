"""Arrays as exact, compressed text inside a page; `web/decode.js` reads them."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["code", "decode"]


def code(array: NDArray[Any], *, steps: bool = False) -> dict[str, Any]:
    """Code an array.

    The bytes are put in planes (all first bytes, then all second ones, …) as HDF5's shuffle does,
    deflated, and written in base64. Truth values are packed, eight to a byte.

    Parameters
    ----------
    array : uint8, uint16, uint32, float32, float64 or bool, any shape
    steps : code the differences between the bit patterns of neighbours, for float32 that change
        slowly

    Returns
    -------
    coded : {dtype, shape, coding, data}, all of them JSON values
    """
    coding, flat = "planes", np.ascontiguousarray(array).ravel()
    if array.dtype == np.bool_:
        coding, flat = "bits", np.packbits(flat)
    elif steps:
        if array.dtype != np.float32:
            raise ValueError(f"steps are for float32, got {array.dtype}")
        # uint32 wraps round here, and the sum in `decode` wraps back
        coding, flat = "steps", np.diff(flat.view(np.uint32), prepend=np.uint32(0))
    # byte planes: (itemsize, length)
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    planes = little.view(np.uint8).reshape(-1, flat.itemsize).T.tobytes()
    return {
        "dtype": array.dtype.str.lstrip("<|=").replace("b1", "u1"),
        "shape": list(array.shape),
        "coding": coding,
        "data": base64.b64encode(zlib.compress(planes, 9)).decode("ascii"),
    }


def decode(coded: dict[str, Any]) -> NDArray[Any]:
    """Decode an array, truth values as uint8: the twin of `web/decode.js`."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(coded["data"])), np.uint8)
    if coded["coding"] == "bits":
        return np.unpackbits(raw, count=int(np.prod(coded["shape"]))).reshape(coded["shape"])
    dtype = np.dtype("<" + coded["dtype"])
    # byte planes (itemsize, length) back to numbers (length,)
    joined = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T).ravel()
    if coded["coding"] == "steps":
        joined = np.cumsum(joined.view("<u4"), dtype=np.uint32).view(np.uint8)
    return joined.view(dtype).reshape(coded["shape"])
