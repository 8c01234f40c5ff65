"""Safe reader of files of `torch.save`.

What a file holds is known to be there before it is read.

torch's own reader runs no code either where it is told so, but it takes a storage to be as large as
the file claims, whatever its bytes are, and unpacks what others packed.
"""

from __future__ import annotations

import os
import pickle
import textwrap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.untrusted import open_regular, shown
from .pickles import PLAIN, PlainUnpickler, Refused, named, why
from .tensors import check_weights

__all__ = ["check_step", "first_line", "load_weights", "part", "read_checkpoint", "restore"]

_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
}  # fmt: skip
_UNREADABLE = (
    zipfile.BadZipFile,  # no archive, one that is cut short, a wrong checksum
    # an entry with a password, or (NotImplementedError) of a later version of the format
    RuntimeError,
)


@dataclass(frozen=True)
class _Storage:
    """The numbers of one or several tensors."""

    values: Tensor


def load_weights(path: Path) -> dict[str, Any]:
    """Read tensors and plain values of a file of `torch.save`.

    Nothing in it is run.

    Memory is bounded by the file's size.

    Raises
    ------
    ValueError : it is damaged, holds code, or no dictionary; one line says which
    OSError : it cannot be read
    """
    with os.fdopen(open_regular(path), "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_archive(archive, os.fstat(file.fileno()).st_size)
                return _read(archive)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"it is cut short, or no file of torch 1.6 or later: {shown(str(error))}"
            ) from None
        except _UNREADABLE as error:
            raise ValueError(f"it is damaged: {shown(str(error))}") from None


def read_checkpoint(path: Path, steps: int | None = None) -> tuple[int, dict[str, Any]]:
    """Read a run's checkpoint and its number of steps done.

    Parameters
    ----------
    steps : of the whole run, if known

    Raises
    ------
    ValueError : it is damaged, holds code, or a step that the run cannot have come to
    OSError : it cannot be read
    """
    state = load_weights(path)
    return check_step(state, steps), state


def check_step(state: dict[str, Any], steps: int | None = None) -> int:
    """Return the number of steps after which a checkpoint was written.

    Parameters
    ----------
    steps : of the whole run, where it is known

    Raises
    ------
    ValueError : no whole number, or one that the run cannot have come to
    """
    step = state.get("step")
    if type(step) is not int or not 0 < step < 2**53:
        raise ValueError(
            "it has no step"
            if step is None
            else f"its step is {named(step)}, no number of steps done"
        )
    if steps is not None and step > steps:
        raise ValueError(f"its step is {step}, of a run of {steps} steps")
    return step


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that holds more than it has bytes."""
    entries = archive.infolist()
    # an entry that is not compressed cannot unpack to more than the file has
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its content is compressed, which torch never does")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("it claims to hold more than it has bytes")


def _read(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read the dictionary of an archive."""
    pickles = [
        name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1
    ]
    if not pickles:
        raise ValueError("it is an archive, but none of torch: it has no data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    try:
        order = (
            archive.read(f"{root}byteorder")
            if f"{root}byteorder" in archive.namelist()
            else b"little"
        )
        state = _TorchUnpickler(archive, root, archive.read(pickles[0])).load()
    except Refused as error:
        raise ValueError(f"it holds code, {shown(str(error))}, which is not run") from None
    except _UNREADABLE:
        raise
    except Exception as error:  # also EOFError, of an entry that reaches beyond the end of the file
        raise ValueError(f"it is damaged: {why(error)}") from None
    if order != b"little":
        raise ValueError("its numbers are not in the order that this machine has")
    if not isinstance(state, dict):
        raise ValueError("it holds no dictionary")
    return state


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> Tensor:
    """Stand in for torch's function that makes a tensor of a storage.

    It checks the sizes against the numbers that are there.
    """
    sizes, strides = tuple(size), tuple(stride)
    numbers = (offset, *sizes, *strides)
    # `type` instead of `isinstance`, for which a bool is an int
    if not isinstance(storage, _Storage) or not all(
        type(each) is int and 0 <= each < 2**48 for each in numbers
    ):
        raise pickle.UnpicklingError("a tensor of no known shape")
    # the number of values, and the place of the last one
    count, last = 1, offset
    for length, step in zip(sizes, strides, strict=True):
        count, last = count * length, last + max(length - 1, 0) * step
    there = len(storage.values)
    if len(sizes) > 16 or count > there or (count and last >= there):
        raise pickle.UnpicklingError(
            f"a tensor of shape {shown(list(sizes))}, of which {there} numbers are there"
        )
    if not count:
        return torch.empty(sizes if max(sizes) < 2**24 else (0,), dtype=storage.values.dtype)
    return storage.values.as_strided(sizes, strides, offset)


def _rebuild_parameter(value: Any, *_: object) -> Any:
    return value


class _TorchUnpickler(PlainUnpickler):
    """Reads plain data and tensors, whose numbers lie in the archive's other entries."""

    allowed: Mapping[str, Any] = {
        **PLAIN,
        **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
        "torch._utils._rebuild_tensor_v2": _rebuild,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
    }

    def __init__(self, archive: zipfile.ZipFile, root: str, content: bytes) -> None:
        super().__init__(content)
        self.archive, self.root, self.storages = archive, root, dict[str, _Storage]()

    def persistent_load(self, reference: Any) -> _Storage:
        """Read a storage; its claimed size must be that of its entry."""
        if not isinstance(reference, tuple) or len(reference) != 5 or reference[0] != "storage":
            raise pickle.UnpicklingError("a reference to something else than numbers")
        dtype, name, count = reference[1], reference[2], reference[4]
        if not isinstance(dtype, torch.dtype) or not isinstance(name, str):
            raise pickle.UnpicklingError("numbers of no known type")
        # tensors may share their numbers, which are read once
        if name not in self.storages:
            self.storages[name] = self._read_storage(name, dtype, count)
        if self.storages[name].values.dtype != dtype:
            raise pickle.UnpicklingError("numbers of two types in one place")
        return self.storages[name]

    def _read_storage(self, name: str, dtype: torch.dtype, count: Any) -> _Storage:
        try:
            entry = self.archive.getinfo(f"{self.root}data/{name}")
        except KeyError:
            raise pickle.UnpicklingError(f"no entry data/{name}") from None
        # the claimed size must be the size that is there
        if type(count) is not int or count * dtype.itemsize != entry.file_size:
            raise pickle.UnpicklingError(
                f"data/{name} claims {named(count)} numbers, {entry.file_size} bytes are there"
            )
        if not count:
            return _Storage(torch.empty(0, dtype=dtype))
        # a bytearray, because torch wants memory that can be written
        return _Storage(torch.frombuffer(bytearray(self.archive.read(entry)), dtype=dtype))


def restore(network: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load network and optimiser from a checkpoint, whole or not at all.

    The optimiser's settings stay as this run's are.

    Parameters
    ----------
    state : `network` and `optimizer`, and `step`, which the optimiser's moments must have seen

    Raises
    ------
    ValueError : something is missing, has another shape or type, or is not finite; names it
    """
    # all checks come before the first change
    own_state, moments = optimizer.state_dict(), part(state, "optimizer")
    # the optimiser numbers its parameters in this order
    shapes = dict(enumerate(value for group in optimizer.param_groups for value in group["params"]))
    check_weights(network.state_dict(), part(state, "network"))
    groups = moments.get("param_groups")
    if not isinstance(groups, list) or list(map(_members, groups)) != list(
        map(_members, own_state["param_groups"])
    ):
        raise ValueError("its optimiser is one of other parameters")
    by_parameter = part(moments, "state")
    for number, each in by_parameter.items():
        if number not in shapes or not isinstance(each, dict):
            raise ValueError(f"its optimiser has moments of no parameter: {shown(number)}")
        like = {"step": torch.zeros(()), "exp_avg": shapes[number], "exp_avg_sq": shapes[number]}
        check_weights(like, each, f"moments of parameter {number}: ")
    steps = {int(each["step"]) for each in by_parameter.values()}
    if max(steps, default=0) != min(state["step"], 2**24):  # float32 counts no further
        raise ValueError(
            f"its step is {state['step']}, that of its optimiser {max(steps, default=0)}"
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict({"state": by_parameter, "param_groups": own_state["param_groups"]})


def _members(group: Any) -> Any:
    return group.get("params") if isinstance(group, dict) else None


def part(state: Mapping[str, Any], name: str) -> dict[Any, Any]:
    """Return the dictionary that stands under a name of another.

    Raises
    ------
    ValueError : there is none
    """
    inner = state.get(name)
    if not isinstance(inner, dict):
        raise ValueError(f"it has no {name}" if inner is None else f"its {name} is no table")
    return inner


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name."""
    # an OSError's own text repeats the path, which the message has already
    if isinstance(error, OSError) and error.strerror:
        return shown(error.strerror)
    lines = (str(error) or type(error).__name__).splitlines()
    return shown(textwrap.shorten(lines[0], 200, placeholder=" …"))
