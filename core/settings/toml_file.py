"""Settings from a TOML file, options and words such as `epochs=30`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import InputError
from ..untrusted import read_plain_text
from ..wording import one_line, shorten
from .declaration import Declared, declared, from_names, parts
from .values import click_type, fits, in_words, written

__all__ = ["assignments", "read_settings", "read_toml"]

_MOST_TOML = 256 << 10  # bytes: settings are a page of text
_LONGEST_TOML = 4096  # characters of a line: tomllib takes the square of the dots in a name
_LEVELS_TOML = 16

T = TypeVar("T")


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
    known = declared(settings)
    values, where = _read_file(settings, config_file, table)
    _check_names(values, known, where)
    own = sorted(name for name in values if not known[name].field.metadata["given"])
    if own:
        raise InputError(f"{where}{own[0]} is set by the program alone: leave it out")
    _check_names(given or {}, known)
    # options replace what the file says
    values.update({name: value for name, value in (given or {}).items() if value is not None})
    for name, value in values.items():
        field, hint = known[name].field, known[name].hint
        try:
            # click would take the text "3" for a number: wrong types are refused before it converts
            if not fits(value, hint):
                raise click.BadParameter(f"expected {in_words(hint)}")
            values[name] = click_type(field, hint).convert(value, None, None)
        except (click.BadParameter, TypeError) as error:
            message = error.message if isinstance(error, click.BadParameter) else str(error)
            raise InputError(
                f"{where}{name} = {shorten(written(value))}: {one_line(message, 300)}"
            ) from None
    try:
        return from_names(settings, values)
    except ValueError as error:
        raise InputError(f"{where}{one_line(str(error), 500)}") from None


def _read_file(
    settings: type[Any], config_file: Path | None, table: str | None
) -> tuple[dict[str, Any], str]:
    """Read the values of a file by name, parts opened; and how errors name their place."""
    if config_file is None:
        return {}, ""
    values, where = read_toml(config_file), f"{config_file}: "
    if table is not None:
        values, where = values.get(table, {}), f"{where}[{table}] "
        if not isinstance(values, dict):
            raise InputError(f"{where}is not a table of settings")
    # a part may be a table, or its settings may stand at the top, as in older files
    known, opened = declared(settings), dict(values)
    for part in parts(settings):
        inner = opened.pop(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"{where}{part} is a table of settings: write [{part}]")
        _check_names(inner, known, f"{where}[{part}] ")
        for name, value in inner.items():
            if known[name].part != part:
                raise InputError(f"{where}{name} belongs in [{known[name].part}], not in [{part}]")
            if name in opened:
                raise InputError(f"{where}{name} stands at the top and in [{part}]: leave one out")
            opened[name] = value
    return opened, where


def _check_names(values: Mapping[str, Any], known: Mapping[str, Declared], where: str = "") -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(
            f"{where}unknown setting {shorten(repr(unknown[0]))}; "
            f"the settings are {', '.join(known)}"
        )


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
