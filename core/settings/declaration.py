"""Declarations of settings: a frozen dataclass whose fields are made by `setting`.

Settings may be grouped: a field that is a settings dataclass itself is a part. Names are unique
over all parts, so options, `--set` and JSON need no part's name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = [
    "Declared",
    "as_toml",
    "by_name",
    "config_hash",
    "declared",
    "from_names",
    "identity_names",
    "parts",
    "setting",
    "setting_names",
]

T = TypeVar("T")


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


@dataclass(frozen=True)
class Declared:
    """A setting as its dataclass declares it.

    Attributes
    ----------
    field : name, default, and the metadata of `setting`
    hint : type of its values
    part : name of the part that holds it; None of settings without parts
    """

    field: dataclasses.Field[Any]
    hint: Any
    part: str | None


def parts(settings: type[Any]) -> dict[str, type[Any]]:
    """Return the parts of a settings dataclass by name: its fields that are dataclasses."""
    hints = typing.get_type_hints(settings)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(settings)
        if dataclasses.is_dataclass(hints[field.name])
    }


def declared(settings: type[Any]) -> dict[str, Declared]:
    """Return the settings of a dataclass by name, in the order of declaration, parts opened.

    Raises
    ------
    TypeError : two parts declare one name
    """
    hints, found = typing.get_type_hints(settings), parts(settings)
    listed: list[Declared] = []
    for field in dataclasses.fields(settings):
        if field.name in found:
            inner = declared(found[field.name]).values()
            listed += [dataclasses.replace(entry, part=field.name) for entry in inner]
        else:
            listed.append(Declared(field, hints[field.name], None))
    names = {entry.field.name: entry for entry in listed}
    if len(names) < len(listed):
        raise TypeError(f"{settings.__name__} declares a setting twice")
    return names


def setting_names(settings: type[Any]) -> list[str]:
    """List the names of a dataclass's settings, those of its parts included."""
    return list(declared(settings))


def by_name(settings: Any) -> dict[str, Any]:
    """Return every setting's value by its name, as JSON files hold them: without parts."""
    return {
        name: getattr(getattr(settings, entry.part) if entry.part else settings, name)
        for name, entry in declared(type(settings)).items()
    }


def from_names(settings: type[T], values: Mapping[str, Any]) -> T:
    """Make settings from values by name, see `by_name`; the others are the defaults.

    Raises
    ------
    TypeError : an unknown name
    ValueError : values that do not fit together
    """
    known = declared(settings)
    grouped: dict[str, dict[str, Any]] = {name: {} for name in parts(settings)}
    own: dict[str, Any] = {}
    for name, value in values.items():
        part = known[name].part if name in known else None
        (grouped[part] if part else own)[name] = value
    made = {name: part(**grouped[name]) for name, part in parts(settings).items()}
    return settings(**own, **made)


def as_toml(settings: Any) -> str:
    """Write settings as TOML that `read_settings` reads; each part is a table."""
    table: str | None = None
    lines: list[str] = []
    known = declared(type(settings))
    for name, value in by_name(settings).items():
        if known[name].part != table:
            table = known[name].part
            lines.append(f"\n[{table}]" if lines else f"[{table}]")
        lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def identity_names(settings: Any) -> list[str]:
    """Return the names of the settings that decide a result, see `setting`."""
    return [
        name
        for name, entry in declared(type(settings)).items()
        if entry.field.metadata.get("identity", True)
    ]


def config_hash(settings: Any) -> str:
    """Compute 16 hexadecimal digits of a settings dataclass: equal settings, equal digits."""
    text = json.dumps(by_name(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
