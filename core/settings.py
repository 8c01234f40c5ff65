"""Settings of a stage: one dataclass, from command line and TOML.

A stage declares its fields once with `setting`; `options` turns them into click options,
`read_settings` merges defaults, a TOML file and the options given, and checks every value with the
same types.

pydantic-settings and jsonargparse bring command lines of their own, without click's help, types and
one-line errors; cattrs checks types, but makes no options. So this module builds click's options.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import stat
import tomllib
import types
import typing
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from .errors import InputError
from .untrusted import kind_of, read_plain_text
from .wording import one_line, shorten

__all__ = [
    "FOLDER",
    "JOBS",
    "JSON",
    "FiniteRange",
    "GivenPath",
    "WholeRange",
    "assignments",
    "config_hash",
    "given_options",
    "identity_names",
    "options",
    "read_settings",
    "read_toml",
    "setting",
]

_MOST_TOML = 256 << 10  # bytes: settings are a page of text
_LONGEST_TOML = 4096  # characters of a line: tomllib takes the square of the dots in a name
_LEVELS_TOML = 16

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    given: bool = True,
    identity: bool = True,
) -> Any:
    """Declare a dataclass field: default, help and inclusive range.

    Parameters
    ----------
    given : False of what the program itself sets: no option, and refused in a file of settings
    identity : whether another value makes another result; False if a stopped run may go on with
        another value, such as a number of threads
    """
    return dataclasses.field(
        default=default,
        metadata={"help": text, "low": low, "high": high, "given": given, "identity": identity},
    )


def identity_names(settings: Any) -> list[str]:
    """Return the names of the settings that decide a result, see `setting`."""
    return [
        field.name for field in dataclasses.fields(settings) if field.metadata.get("identity", True)
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
            self.fail(f"{shorten(_repr(value))} is not a finite number.", param, ctx)
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
            self.fail(f"{shorten(_repr(value))} has more than 64 bits.", param, ctx)
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


def given_options(names: Container[str]) -> list[str]:
    """List those options of the running command that were given, as `--limit`.

    Parameters
    ----------
    names : parameters that count, as the command's function names them
    """
    context = click.get_current_context()
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]


def options(
    settings: type[Any],
    *,
    leave_out: tuple[str, ...] = (),
    prefix: str = "",
    defaults: Mapping[str, Any] | None = None,
    config: bool = True,
) -> Callable[[F], F]:
    """Decorate a click command with an option per setting, and `--config`.

    The command gets the options that were given as keyword arguments, None for the others:
    hand them to `read_settings`.

    Parameters
    ----------
    prefix : put before the names of all options, and of the keyword arguments
    defaults : shown in the help in place of those of the dataclass
    config : whether `--config` is among them
    """

    def decorate(command: F) -> F:
        hints = typing.get_type_hints(settings)
        # backwards, since click lists the option that was added last first
        for field in reversed(dataclasses.fields(settings)):
            if field.name in leave_out or not field.metadata["given"]:
                continue
            flag = "--" + f"{prefix}{field.name}".replace("_", "-")
            default = (defaults or {}).get(field.name, field.default)
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            name: list[str] = [f"{prefix}{field.name}", flag]
            kind: Any = click_type(field, hints[field.name])
            # a switch has --flag and --no-flag, so that either can override the file
            if hints[field.name] is bool:
                name, kind = [name[0], f"{flag}/--no-{flag[2:]}"], None
                shown = "on" if default else "off"
            help_text = field.metadata["help"] + (
                "" if default is None else f"  [default: {shown}]"
            )
            # None means "not given", so that a value of the file counts
            command = click.option(*name, type=kind, default=None, help=help_text)(command)
        if not config:
            return command
        return click.option(
            "--config",
            "config_file",
            type=GivenPath(),
            help="TOML file with any of these settings; options on the command line win.",
        )(command)

    return decorate


def read_settings(
    settings: type[T],
    config_file: Path | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    table: str | None = None,
) -> T:
    """Merge defaults, a TOML file and given values into settings.

    Parameters
    ----------
    table : of the TOML file that holds these settings; None is the top of the file

    Raises
    ------
    InputError : a file that cannot be read, an unknown name, a value of the wrong type or out of
        range
    """
    values: dict[str, Any] = {}
    where = f"{config_file}: " if config_file else ""
    if config_file is not None:
        values.update(read_toml(config_file))
    if table is not None:
        values = values.get(table, {})
        where = f"{where}[{table}] " if config_file else ""
        if not isinstance(values, dict):
            raise InputError(f"{where}is not a table of settings")
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise InputError(
            f"{where}unknown setting {shorten(repr(unknown[0]))}; "
            f"the settings are {', '.join(fields)}"
        )
    own = sorted(name for name in values if not fields[name].metadata["given"])
    if own:
        raise InputError(f"{where}{own[0]} is set by the program alone: leave it out")
    strange = sorted(set(given or {}) - set(fields))
    if strange:
        raise InputError(
            f"unknown setting {shorten(repr(strange[0]))}; the settings are {', '.join(fields)}"
        )
    # options replace what the file says
    values.update({name: value for name, value in (given or {}).items() if value is not None})
    hints = typing.get_type_hints(settings)
    for name, value in values.items():
        try:
            # click would take the text "3" for a number: wrong types are refused before it converts
            if not _fits(value, hints[name]):
                raise click.BadParameter(f"expected {_in_words(hints[name])}")
            values[name] = click_type(fields[name], hints[name]).convert(value, None, None)
        except (click.BadParameter, TypeError) as error:
            message = error.message if isinstance(error, click.BadParameter) else str(error)
            raise InputError(
                f"{where}{name} = {shorten(_repr(value))}: {one_line(message, 300)}"
            ) from None
    try:
        return settings(**values)
    except ValueError as error:
        raise InputError(f"{where}{one_line(str(error), 500)}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    InputError : it cannot be read, is no TOML, or is larger or nested more deeply than settings are
    """
    text = read_plain_text(path, _MOST_TOML, "give a TOML file of settings")
    if max(map(len, text.split("\n"))) > _LONGEST_TOML:
        raise InputError(
            f"{path} cannot be read as TOML: "
            f"it has a line of more than {_LONGEST_TOML:,} characters"
        )
    try:
        values = tomllib.loads(text)
    # besides its own error tomllib raises ValueError for what it takes for a number or a date, and
    # is none
    except (ValueError, RecursionError) as error:
        reason = (
            "it is nested too deeply"
            if isinstance(error, RecursionError)
            else one_line(str(error), 300)
        )
        raise InputError(f"{path} cannot be read as TOML: {reason}") from None
    if _levels(values) > _LEVELS_TOML:
        raise InputError(f"{path} cannot be read as TOML: it is nested too deeply")
    return values


def _levels(values: Any) -> int:
    """Count how deep tables and lists are nested, without going deep itself."""
    depth, level = 0, [values]
    while level and depth <= _LEVELS_TOML:
        inner = [
            value.values() if isinstance(value, dict) else value
            for value in level
            if isinstance(value, dict | list)
        ]
        level, depth = [value for values in inner for value in values], depth + bool(inner)
    return depth


def _repr(value: Any) -> str:
    """Return the repr of a value, even of one without repr."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return (
            f"a number of {value.bit_length():,} bits"
            if isinstance(value, int)
            else "a value that is too long"
        )


def assignments(words: Sequence[str]) -> dict[str, Any]:
    """Parse words such as `epochs=30`: TOML values, or bare text.

    Raises
    ------
    InputError : a word without `=`
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name.strip():
            raise InputError(
                f"--set {one_line(word, 80)}: give name=value, such as --set epochs=30"
            )
        try:
            settings[name.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):  # text needs no quotes here
            settings[name.strip().replace("-", "_")] = value.strip()
    return settings


def _fits(value: Any, hint: Any) -> bool:
    """Check whether a value of TOML has a field's type.

    TOML has types, so "3" and 2.7 are not counts.
    """
    if typing.get_origin(hint) is tuple:
        arms = typing.get_args(hint)
        return (
            isinstance(value, list | tuple)
            and len(value) == len(arms)
            and all(map(_fits, value, arms))
        )
    if hint in (int, float) and isinstance(
        value, bool
    ):  # bool is an int to Python, not to a reader
        return False
    # a whole number is a valid float: 3 in TOML may mean 3.0
    python_type = {int: int, float: (int, float), bool: bool}.get(hint, str)
    return isinstance(value, python_type)  # type: ignore[arg-type]


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a list of {len(typing.get_args(hint))} numbers"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "a text")


def config_hash(settings: Any) -> str:
    """Compute 16 hexadecimal digits of a settings dataclass: equal settings, equal digits."""
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
