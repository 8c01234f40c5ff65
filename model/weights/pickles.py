"""Safe reader of pickles.

Plain containers and numpy's arrays are read, and no other name.

A pickle is a program. Pickle's own reader, told to know few names, still can be made to fill memory
(a place in its memo, or a size, that is merely claimed), to hash what takes for ever, and to
overwrite what the names stand for. This one is built on Python's own implementation, whose every
instruction can be taken away or replaced.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, ClassVar

import numpy as np

from ...core.untrusted import shown

__all__ = ["PLAIN", "Ordered", "PlainUnpickler", "Refused", "named", "why"]

Instruction = Callable[["PlainUnpickler"], None]


class Refused(pickle.UnpicklingError):
    """A pickle needs more than plain data; the message names it."""


def why(error: Exception) -> str:
    """Return in plain words why a pickle cannot be read.

    A damaged one raises whatever its bytes happen to mean.
    """
    if isinstance(error, EOFError):
        return "it ends too early"
    if isinstance(error, pickle.UnpicklingError) and str(error):
        return shown(str(error).splitlines()[0])
    return "its instructions make no sense"


class Ordered(dict[Any, Any]):
    """Stand-in for collections.OrderedDict: a dictionary without attributes.

    Attributes might hide its methods.
    """

    __slots__ = ()

    def accept(self, _: object) -> None:
        """Leave out the attributes that torch gives to a network's weights."""


class Dtype:
    """Stand-in for numpy.dtype while a pickle is read.

    numpy's own takes any state, which can reach into memory.
    """

    def __init__(self, code: object, *_: object) -> None:
        known = isinstance(code, str) and re.fullmatch(r"[<>=|]?[a-zA-Z?]\d{0,9}", code)
        try:
            self.dtype = np.dtype(code) if known and isinstance(code, str) else np.dtype("O")
        except (TypeError, ValueError):
            raise Refused(f"numpy.dtype of {named(code)!r}") from None
        if self.dtype.kind not in _KINDS or self.dtype.names:
            raise Refused(
                f"numpy.dtype of {named(code)!r}, whose values are no numbers and no text"
            )

    def accept(self, state: Any) -> None:
        """Take over the byte order; nothing else of a plain type can differ."""
        if any(part is not None for part in state[2:5]):
            raise Refused("numpy.dtype with fields")
        if state[1] in ("<", b"<"):
            self.dtype = self.dtype.newbyteorder("<")
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class Array(np.ndarray[Any, Any]):
    """An array that is filled once, with the numbers of its shape."""

    def accept(self, state: Any) -> None:
        """Take over shape, type and content."""
        version, shape, dtype, fortran, data = state
        if not isinstance(dtype, Dtype) or not isinstance(data, str | bytes) or self.size:
            raise Refused("an array of no known type")
        _check_shape(shape, dtype.dtype, len(data))
        # bytes of Python 2 come as text; latin1 gives each byte back
        content = data.encode("latin1") if isinstance(data, str) else data
        self.__setstate__((version, shape, dtype.dtype, fortran, content))


def _check_shape(shape: Any, dtype: np.dtype[Any], size: int) -> None:
    """Check a shape against the bytes that are there for it."""
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if (
        len(sizes) > 32
        or not all(type(each) is int and 0 <= each < 2**62 for each in sizes)
        or not dtype.itemsize
    ):
        raise Refused(f"an array of shape {named(shape)}")
    if math.prod(sizes) * dtype.itemsize != size:
        raise pickle.UnpicklingError(
            f"an array claims {math.prod(sizes)} values, {size} bytes are there"
        )


def named(value: object) -> str:
    """Show a text or a number; anything else by its type alone.

    A container, for example, may be endless to print.
    """
    plain = isinstance(value, str | float) or (type(value) is int and abs(value) < 2**64)
    return shown(value) if plain else f"a {type(value).__name__}"


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for codecs.encode, by which old pickles write bytes.

    Other codecs would unpack and more.
    """
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"_codecs.encode to {named(encoding)!r}")
    return text.encode("latin1")


def _reconstruct(*_: object) -> Any:
    # without numbers at first: `accept` brings shape and content
    return np.empty(0).view(Array)


def _scalar(dtype: Dtype, data: str | bytes) -> Any:
    content = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(content, bytes):
        raise Refused("a number of no bytes")
    return np.ndarray((), dtype.dtype, content)[()]


def _frombuffer(data: Any, dtype: Dtype, shape: Any, order: str) -> Any:
    if not isinstance(data, bytes | bytearray):
        raise Refused("an array over something else than bytes")
    _check_shape(shape, dtype.dtype, len(data))
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _bytes(content: Any = b"", encoding: str = "latin1") -> bytes:
    """Stand in for bytes, of text or bytes alone.

    Of a number, bytes would make so many.
    """
    if not isinstance(content, str | bytes | bytearray):
        raise Refused("bytes of something else than text")
    return _encode(content, encoding) if isinstance(content, str) else bytes(content)


def _bytearray(content: Any = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_bytes(content, encoding))


def _members(arguments: Iterable[Any] = ()) -> Iterable[Any]:
    return (_key(each) for each in arguments)


def _complex(real: float, imaginary: float = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _ordered(arguments: Iterable[Any] = ()) -> Ordered:
    return Ordered((_key(name), value) for name, value in arguments)


def _key(value: Any) -> Any:
    """Return a key if it is safe to hash.

    Its hash must be quick, and not chosen by whoever wrote the file.
    """
    if (
        isinstance(value, str | bytes)
        or value is None
        or (isinstance(value, int) and abs(value) < 2**32)
    ):
        return value
    raise Refused(
        f"a dictionary or set of {type(value).__name__}, where only text and small numbers are keys"
    )


_MOST_COPIED = 16  # times its size: honest pickles hand over each of their bytes once or twice
_FREE_COPIES = 2**16
_KINDS = "biufcSU"  # numbers and text; objects would be pointers
_CONTAINERS: dict[str, Any] = {
    "set": lambda arguments=(): set(_members(arguments)),
    "frozenset": lambda arguments=(): frozenset(_members(arguments)),
    "bytes": _bytes,
    "bytearray": _bytearray,
    "complex": _complex,
}
_NUMPY = {
    "multiarray._reconstruct": _reconstruct,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _frombuffer,
}
PLAIN: dict[str, Any] = {
    # only named, as what _reconstruct shall make; nothing that could be called
    "numpy.ndarray": None,
    "numpy.dtype": Dtype,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered,
    **{
        f"{module}.{name}": kind
        for module in ("builtins", "__builtin__")
        for name, kind in _CONTAINERS.items()
    },
    **{
        f"numpy.{core}.{name}": stand
        for core in ("core", "_core")
        for name, stand in _NUMPY.items()
    },
}
"""Module and name, as pickles of numpy 1 and 2 write them -> what stands for it here."""


def _no_instruction(_: PlainUnpickler) -> None:
    raise pickle.UnpicklingError("an instruction that plain data do not need")


def _build(reader: PlainUnpickler) -> None:
    """Pass a state to a stand-in that takes one.

    Attributes of anything else are left alone.
    """
    state = reader.stack.pop()
    target = reader.stack[-1]
    if not isinstance(target, Ordered | Dtype | Array):
        raise Refused(f"a state of {type(target).__name__}")
    reader.charge(state)
    target.accept(state)


def _reduce(reader: PlainUnpickler) -> None:
    arguments = reader.stack.pop()
    call = reader.stack[-1]
    # by identity: only the stand-ins themselves can be called
    if (
        not any(call is known for known in reader.allowed.values())
        or not isinstance(arguments, tuple)
        or call is None
    ):
        raise Refused(f"a call of {type(call).__name__}")
    reader.charge(arguments)
    reader.stack[-1] = call(*arguments)


def _set_items(reader: PlainUnpickler) -> None:
    _fill(reader, reader.pop_mark())


def _set_item(reader: PlainUnpickler) -> None:
    value, name = reader.stack.pop(), reader.stack.pop()
    _fill(reader, [name, value])


def _fill(reader: PlainUnpickler, items: list[Any]) -> None:
    target = reader.stack[-1]
    if not isinstance(target, dict):
        raise Refused(f"entries of {type(target).__name__}")
    target.update({_key(items[i]): items[i + 1] for i in range(0, len(items), 2)})


def _dictionary(reader: PlainUnpickler) -> None:
    items = reader.pop_mark()
    reader.append({_key(items[i]): items[i + 1] for i in range(0, len(items), 2)})


def _add_items(reader: PlainUnpickler) -> None:
    items = reader.pop_mark()
    target = reader.stack[-1]
    if not isinstance(target, set):
        raise Refused(f"members of {type(target).__name__}")
    target.update(_members(items))


def _frozen(reader: PlainUnpickler) -> None:
    reader.append(frozenset(_members(reader.pop_mark())))


def _appends(reader: PlainUnpickler) -> None:
    _extend(reader, reader.pop_mark())


def _append(reader: PlainUnpickler) -> None:
    _extend(reader, [reader.stack.pop()])


def _extend(reader: PlainUnpickler, items: list[Any]) -> None:
    target = reader.stack[-1]
    if not isinstance(target, list):
        raise Refused(f"members of {type(target).__name__}")
    target.extend(items)


def _byte_array(reader: PlainUnpickler) -> None:
    size = int.from_bytes(reader.read(8), "little")
    # a size that is merely claimed must take no memory
    reader.append(bytearray(reader.read(min(size, reader.size))))


_REPLACED: dict[bytes, Instruction] = {
    pickle.BUILD: _build,
    pickle.REDUCE: _reduce,
    pickle.SETITEMS: _set_items,
    pickle.SETITEM: _set_item,
    pickle.DICT: _dictionary,
    pickle.ADDITEMS: _add_items,
    pickle.FROZENSET: _frozen,
    pickle.APPENDS: _appends,
    pickle.APPEND: _append,
    pickle.BYTEARRAY8: _byte_array,
}
_REMOVED = (
    pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4,
    pickle.PERSID, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER,
)  # fmt: skip


class PlainUnpickler(pickle._Unpickler):
    """An unpickler of plain data.

    Parameters
    ----------
    content : a whole pickle; the memory that is taken is bounded by its length
    """

    allowed: Mapping[str, Any] = PLAIN
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(range(256), _no_instruction),
        **pickle._Unpickler.dispatch,
        **{code[0]: _no_instruction for code in _REMOVED},
        **{code[0]: instruction for code, instruction in _REPLACED.items()},
    }
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.size = len(content)
        self.copied = 0

    def charge(self, arguments: Any) -> None:
        """Count the bytes that are copied.

        A few bytes of a pickle can ask for a copy of a large value again and again.

        Raises
        ------
        UnpicklingError : it is much more than the pickle has bytes
        """
        parts = arguments if isinstance(arguments, tuple) else ()
        self.copied += sum(len(part) for part in parts if isinstance(part, Sized))
        if self.copied > _MOST_COPIED * self.size + _FREE_COPIES:
            raise pickle.UnpicklingError("it asks for more copies than plain data need")

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name.

        Raises
        ------
        Refused : nothing does
        """
        full_name = f"{module}.{name}"
        if full_name not in self.allowed:
            raise Refused(full_name)
        return self.allowed[full_name]
