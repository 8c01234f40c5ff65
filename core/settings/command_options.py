"""Options of a click command, one a setting.

pydantic-settings and jsonargparse bring command lines of their own, without click's help, types and
one-line errors; cattrs checks types, but makes no options.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from .declaration import declared
from .values import GivenPath, click_type

__all__ = ["given_options", "options"]

F = TypeVar("F", bound=Callable[..., Any])


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
        # backwards, since click lists the option that was added last first
        for entry in reversed(declared(settings).values()):
            field, hint = entry.field, entry.hint
            if field.name in leave_out or not field.metadata["given"]:
                continue
            flag = "--" + f"{prefix}{field.name}".replace("_", "-")
            default = (defaults or {}).get(field.name, field.default)
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            name: list[str] = [f"{prefix}{field.name}", flag]
            kind: Any = click_type(field, hint)
            # a switch has --flag and --no-flag, so that either can override the file
            if hint is bool:
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
