"""Settings of a stage: one frozen dataclass, read alike from the command line and from TOML.

A stage declares its fields once with `setting`; `options` turns them into click options, `read_settings`
merges defaults, a TOML file and the options given, and checks every value with the same types.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import InputError

__all__ = ["assignments", "config_hash", "options", "read_settings", "setting"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def setting(default: Any, text: str, *, low: float | None = None, high: float | None = None) -> Any:
    """Declare a dataclass field with its default, one line of help and an inclusive range."""
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high})


class _FiniteRange(click.FloatRange):
    """A range of floats that holds neither NaN, which passes any comparison, nor infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def click_type(field: dataclasses.Field[Any], hint: Any) -> click.ParamType[Any]:
    """Give the click type that converts and checks a field's values."""
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
        return click.IntRange(None if low is None else int(low), None if high is None else int(high))
    if hint is float:
        return _FiniteRange(low, high)
    if hint is str:
        return click.STRING
    raise TypeError(f"{field.name}: no click type for {hint}")


def options(
    settings: type[Any],
    *,
    leave_out: tuple[str, ...] = (),
    prefix: str = "",
    defaults: Mapping[str, Any] | None = None,
    config: bool = True,
) -> Callable[[F], F]:
    """Decorate a click command with `--config` and one option per field of a settings dataclass.

    The command gets the options that were given as keyword arguments, None for the others:
    hand them to `read_settings`.

    Parameters
    ----------
    prefix : put before the names of all options, and of the keyword arguments
    defaults : told in the help in place of the dataclass's own
    config : whether `--config` is among them
    """

    def decorate(command: F) -> F:
        hints = typing.get_type_hints(settings)
        for field in reversed(dataclasses.fields(settings)):
            if field.name in leave_out:
                continue
            flag = "--" + f"{prefix}{field.name}".replace("_", "-")
            default = (defaults or {}).get(field.name, field.default)
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            name: list[str] = [f"{prefix}{field.name}", flag]
            kind: Any = click_type(field, hints[field.name])
            if hints[field.name] is bool:
                name, kind = [name[0], f"{flag}/--no-{flag[2:]}"], None
                shown = "on" if default else "off"
            help_text = field.metadata["help"] + ("" if default is None else f"  [default: {shown}]")
            command = click.option(*name, type=kind, default=None, help=help_text)(command)
        if not config:
            return command
        return click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
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
    """Merge defaults, a TOML file and given values (None: not given) into a settings dataclass.

    Parameters
    ----------
    table : of the TOML file that holds these settings; where None they stand at its top

    Raises
    ------
    InputError : a file that cannot be read, an unknown name, a value of the wrong type or out of range
    """
    values: dict[str, Any] = {}
    where = f"{config_file}: " if config_file else ""
    if config_file is not None:
        try:
            values.update(tomllib.loads(config_file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{config_file} cannot be read as TOML: {error}") from None
    if table is not None:
        values = values.get(table, {})
        where = f"{where}[{table}] " if config_file else ""
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise InputError(f"{where}unknown setting {unknown[0]!r}; the settings are {', '.join(fields)}")
    strange = sorted(set(given or {}) - set(fields))
    if strange:
        raise InputError(f"unknown setting {strange[0]!r}; the settings are {', '.join(fields)}")
    values.update({name: value for name, value in (given or {}).items() if value is not None})
    hints = typing.get_type_hints(settings)
    for name, value in values.items():
        try:
            if not _fits(value, hints[name]):
                raise click.BadParameter(f"expected {_in_words(hints[name])}")
            values[name] = click_type(fields[name], hints[name]).convert(value, None, None)
        except (click.BadParameter, TypeError) as error:
            message = error.message if isinstance(error, click.BadParameter) else str(error)
            raise InputError(f"{where}{name} = {value!r}: {message}") from None
    try:
        return settings(**values)
    except ValueError as error:
        raise InputError(f"{where}{error}") from None


def assignments(words: Sequence[str]) -> dict[str, Any]:
    """Read words such as `epochs=30` or `tasks=contrast` as settings by name; values are TOML's, or bare text.

    Raises
    ------
    InputError : a word without `=`
    """
    given: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name.strip():
            raise InputError(f"--set {word}: give name=value, such as --set epochs=30")
        try:
            given[name.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:  # text needs no quotes here
            given[name.strip().replace("-", "_")] = value.strip()
    return given


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value has the type of a field: TOML knows types, so "3" and 2.7 are no counts."""
    if typing.get_origin(hint) is tuple:
        arms = typing.get_args(hint)
        return isinstance(value, list | tuple) and len(value) == len(arms) and all(map(_fits, value, arms))
    if hint in (int, float) and isinstance(value, bool):  # bool is an int to Python, not to a reader
        return False
    wanted = {int: int, float: (int, float), bool: bool}.get(hint, str)
    return isinstance(value, wanted)  # type: ignore[arg-type]


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a list of {len(typing.get_args(hint))} numbers"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "a text")


def config_hash(settings: Any) -> str:
    """Give 16 hexadecimal digits that stand for a settings dataclass: equal settings, equal digits."""
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
