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


class _Dtype:
    """Stands for numpy.dtype while a pickle is read: numpy's own takes any state, which can reach into memory."""

    def __init__(self, code: object, *_: object) -> None:
        try:
            self.dtype = np.dtype(code) if isinstance(code, str) else np.dtype("O")
        except TypeError:
            raise _Refused(f"numpy.dtype of {code!r}") from None
        if self.dtype.kind not in _KINDS or self.dtype.names:
            raise _Refused(f"numpy.dtype of {code!r}, whose values are no numbers and no text")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take over the byte order; nothing else of a plain type can differ."""
        if any(part is not None for part in state[2:5]):
            raise _Refused("numpy.dtype with fields")
        if state[1] in ("<", b"<"):
            self.dtype = self.dtype.newbyteorder("<")
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _Array(np.ndarray[Any, Any]):
    """An array that takes no other type than such."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise _Refused("an array of no known type")
        super().__setstate__((version, shape, dtype.dtype, fortran, data))


def _reconstruct(*_: object) -> Any:
    return np.empty(0).view(_Array)


def _scalar(dtype: _Dtype, data: str | bytes) -> Any:
    content = data.encode("latin1") if isinstance(data, str) else data
    return np.ndarray((), dtype.dtype, content)[()]


def _frombuffer(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Any:
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


_KINDS = "biufcSU"  # numbers and text; objects would be pointers
_PLAIN = {"set": set, "frozenset": frozenset, "bytes": bytes, "bytearray": bytearray, "complex": complex}
_NUMPY = {"multiarray._reconstruct": _reconstruct, "multiarray.scalar": _scalar, "numeric._frombuffer": _frombuffer}
_ALLOWED: dict[str, Any] = {
    "numpy.ndarray": None,  # only named, as what _reconstruct shall make; nothing that could be called
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "collections.OrderedDict": collections.OrderedDict,
    **{f"{module}.{name}": kind for module in ("builtins", "__builtin__") for name, kind in _PLAIN.items()},
    **{f"numpy.{core}.{name}": stand for core in ("core", "_core") for name, stand in _NUMPY.items()},
}
"""Module and name, as pickles write them -> what stands for it here."""


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows no code."""

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}"
        if asked not in _ALLOWED:
            raise _Refused(asked)
        return _ALLOWED[asked]


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
