"""Values of settings: their click types, which check and convert them.

Options, TOML files and `--set` are all checked here.
"""

from __future__ import annotations

import dataclasses
import math
import os
import stat
import types
import typing
from pathlib import Path
from typing import Any

import click

from ..untrusted import kind_of
from ..wording import shorten

__all__ = [
    "FOLDER",
    "JOBS",
    "JSON",
    "FiniteRange",
    "GivenPath",
    "WholeRange",
    "click_type",
    "fits",
    "in_words",
    "written",
]


class FiniteRange(click.FloatRange):
    """A range of finite floats: no NaN, no infinity.

    click's own range would let NaN pass, since no comparison with it is true.
    """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert a value, or fail."""
        try:
            number = float(super().convert(value, param, ctx))
        except OverflowError:  # a whole number with hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            self.fail(f"{shorten(written(value))} is not a finite number.", param, ctx)
        return number


class WholeRange(click.IntRange):
    """A range of whole numbers of at most 64 bits."""

    def __init__(self, least: int | None = None, most: int | None = None) -> None:
        super().__init__(-(2**63) if least is None else least, 2**63 - 1 if most is None else most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert a value, or fail."""
        if (
            isinstance(value, int) and value.bit_length() > 64
        ):  # may have more digits than Python writes
            self.fail(f"{shorten(written(value))} has more than 64 bits.", param, ctx)
        return int(super().convert(value, param, ctx))

    def _describe_range(self) -> str:
        """Describe the range in the help, without the 64-bit bounds."""
        low, high = self.min != -(2**63), self.max != 2**63 - 1
        if low and high:
            return f"{self.min}<=x<={self.max}"
        return f"x>={self.min}" if low else f"x<={self.max}" if high else "64 bits"


class GivenPath(click.Path):
    """A file or folder, existing or not; no pipe, device or socket.

    Reading from one of those may never end.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Convert a value, or fail."""
        name = os.fsdecode(value)
        # Path takes an empty name for the current folder, and no system call takes a NUL
        if not name or "\0" in name:
            self.fail(f"{name!r} is not the name of a file or folder.", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return path
        except OSError as error:
            self.fail(f"{name!r}: {error.strerror}.", param, ctx)
        if kind_of(mode) and not stat.S_ISDIR(mode):
            self.fail(f"{name!r} is {kind_of(mode)}: give a file or a folder.", param, ctx)
        return path


FOLDER = GivenPath()
"""The type of every argument and option that names a file or a folder."""
JOBS = click.option(
    "--jobs", type=WholeRange(1, 4096), help="Side by side; the number of cores where left out."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def click_type(field: dataclasses.Field[Any], hint: Any) -> click.ParamType[Any]:
    """Return the click type that converts and checks a field's values."""
    low, high = field.metadata["low"], field.metadata["high"]
    if typing.get_origin(hint) is types.UnionType:  # `int | None`: None means "not given"
        (hint,) = (arm for arm in typing.get_args(hint) if arm is not types.NoneType)
    if typing.get_origin(hint) is typing.Literal:
        return click.Choice(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return click.Tuple([click_type(field, arm) for arm in typing.get_args(hint)])
    if hint is bool:
        return click.BOOL
    if hint is int:
        return WholeRange(None if low is None else int(low), None if high is None else int(high))
    if hint is float:
        return FiniteRange(low, high)
    if hint is str:
        return click.STRING
    raise TypeError(f"{field.name}: no click type for {hint}")


def fits(value: Any, hint: Any) -> bool:
    """Check whether a value of TOML has a field's type.

    TOML has types, so "3" and 2.7 are not counts.
    """
    if typing.get_origin(hint) is tuple:
        arms = typing.get_args(hint)
        return (
            isinstance(value, list | tuple)
            and len(value) == len(arms)
            and all(map(fits, value, arms))
        )
    if hint in (int, float) and isinstance(
        value, bool
    ):  # bool is an int to Python, not to a reader
        return False
    # a whole number is a valid float: 3 in TOML may mean 3.0
    python_type = {int: int, float: (int, float), bool: bool}.get(hint, str)
    return isinstance(value, python_type)  # type: ignore[arg-type]


def in_words(hint: Any) -> str:
    """Name the type of a field's values in words."""
    if typing.get_origin(hint) is tuple:
        return f"a list of {len(typing.get_args(hint))} numbers"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "a text")


def written(value: Any) -> str:
    """Return the repr of a value, even of one without repr."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return (
            f"a number of {value.bit_length():,} bits"
            if isinstance(value, int)
            else "a value that is too long"
        )
