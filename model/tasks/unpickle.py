"""Read the pickles that benchmarks are handed out as, without running what they may hold.

A pickle is a program. This reader knows numpy's arrays and plain containers and refuses every other name, so that
a file from somewhere can be opened at all. Pickles of numpy 1 (`numpy.core`) and of numpy 2 (`numpy._core`) are read
alike, whichever of the two is installed.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError

__all__ = ["read_pickle"]


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something else than arrays and plain containers."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for codecs.encode, by which old pickles write bytes; other codecs would unpack and more."""
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _dtype(*arguments: Any) -> np.dtype[Any]:
    """Make a dtype as numpy pickles it: from a code such as "f4"."""
    if not arguments or not isinstance(arguments[0], str):
        raise _Refused("numpy.dtype of something that is no type code")
    return np.dtype(*arguments)


def _reconstruct(_: type, shape: tuple[int, ...], code: bytes) -> Any:
    return _RECONSTRUCT(np.ndarray, shape, code)


# numpy's own, wherever this numpy keeps them
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(1).__reduce__()[0]
_FROM_BUFFER: Any = np.empty(1).__reduce_ex__(5)[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{(module, name): kind for module in ("builtins", "__builtin__") for name, kind in
       {"set": set, "frozenset": frozenset, "bytes": bytes, "bytearray": bytearray, "complex": complex}.items()},
    **{(f"numpy.{core}.{module}", name): function for core in ("core", "_core") for module, name, function in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _SCALAR),
        ("numeric", "_frombuffer", _FROM_BUFFER),
    )},
}  # fmt: skip
"""Module and name, as pickles write them -> what stands for it here."""


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows no code."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise _Refused(f"{module}.{name}")
        return found


def read_pickle(path: Path) -> Any:
    """Read a pickle of arrays and plain containers.

    Parameters
    ----------
    path : the file; pickled by Python 2 or 3, with numpy 1 or 2

    Returns
    -------
    content : numbers, text, bytes, None, tuples, lists, dictionaries, sets, numpy arrays and scalars

    Raises
    ------
    InputError : the file cannot be read, is damaged, or asks for anything else; names what it asks for
    """
    try:
        return _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except _Refused as error:
        raise InputError(
            f"{path} is refused: it asks for {error}, and only arrays and plain containers are read, since a pickle "
            "can run any code; get the file from its authors again, or convert it with a program that you trust"
        ) from None
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is damaged or no pickle ({reason}): download it again") from None
