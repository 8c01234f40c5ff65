from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import assignments, config_hash, options, read_settings, setting


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings with a field of every type."""

    count: int = setting(3, "A count.", low=1, high=9)
    rate: float = setting(0.5, "A rate.", low=0)
    name: str = setting("a", "A name.")
    kind: Literal["x", "y"] = setting("x", "A kind.")
    flag: bool = setting(False, "A flag.")
    span: tuple[float, float] = setting((0.0, 1.0), "A span.")

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("name must not be bad")


@click.command()
@options(Settings)
def command(config_file: Path | None, **values: object) -> None:
    click.echo(repr(dataclasses.astuple(read_settings(Settings, config_file, values))))


def output(*words: object) -> str:
    return CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False).output.strip()


def test_defaults_then_toml_then_the_command_line(tmp_path: Path) -> None:
    toml = tmp_path / "s.toml"
    toml.write_text('count = 5\nrate = 2\nkind = "y"\nflag = true\nspan = [2, 3]\n')
    assert output() == "(3, 0.5, 'a', 'x', False, (0.0, 1.0))"
    assert output("--config", toml) == "(5, 2.0, 'a', 'y', True, (2.0, 3.0))"
    assert output("--config", toml, "--count", 6, "--no-flag", "--span", 4, 5, "--name", "b") == (
        "(6, 2.0, 'b', 'y', False, (4.0, 5.0))"
    )


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(1, 9),
        "rate": st.floats(0, 1e300),
        "name": st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1),
        "kind": st.sampled_from(["x", "y"]),
        "flag": st.booleans(),
        "span": st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)),
    },
).filter(lambda values: values.get("name") != "bad")


def as_options(values: dict[str, object]) -> list[object]:
    """Return settings as words of the command line."""
    words: list[object] = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", *(value if isinstance(value, tuple) else (value,))]
    return words


@given(in_file=VALUES, on_line=VALUES)
def test_options_win_over_the_file_and_the_file_over_defaults(
    tmp_path_factory: pytest.TempPathFactory, in_file: dict[str, Any], on_line: dict[str, Any]
) -> None:
    toml = tmp_path_factory.getbasetemp() / "drawn.toml"
    lines = (
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in in_file.items()
    )
    toml.write_text("".join(lines), encoding="utf-8")
    expected = dataclasses.astuple(Settings(**in_file | on_line))
    assert output("--config", toml, *as_options(on_line)) == repr(expected)
    assert read_settings(Settings, toml, on_line) == Settings(**in_file | on_line)


@given(VALUES, VALUES)
def test_two_settings_have_one_hash_if_and_only_if_they_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = Settings(**one), Settings(**other)
    equal = dataclasses.asdict(first) == dataclasses.asdict(second)
    assert (config_hash(first) == config_hash(second)) == equal
    assert config_hash(first) == config_hash(Settings(**dataclasses.asdict(first)))
    assert len(config_hash(first)) == 16


@given(VALUES)
def test_assignments_give_the_same_settings_as_the_values(values: dict[str, Any]) -> None:
    words = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    assert read_settings(Settings, None, assignments(words)) == Settings(**values)


def test_help_shows_every_field_with_its_default() -> None:
    text = output("--help")
    for shown in (
        "--count",
        "A count.",
        "[default: 3]",
        "1<=x<=9",
        "--flag / --no-flag",
        "[default: 0.0 1.0]",
        "[x|y]",
    ):
        assert shown in text


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("count = 0", "count = 0: 0 is not in the range 1<=x<=9"),
        ("count = true", "count = True: expected a whole number"),
        ('count = "3"', "count = '3': expected a whole number"),
        ("count = 2.7", "count = 2.7: expected a whole number"),
        ("rate = nan", "nan is not a finite number"),
        ("rate = inf", "inf is not a finite number"),
        ("name = 3", "name = 3: expected a text"),
        ("flag = 1", "flag = 1: expected true or false"),
        ('kind = "z"', "'z' is not one of 'x', 'y'"),
        ("span = [1]", "span = [1]: expected a list of 2 numbers"),
        ("span = 3", "span = 3: expected a list of 2 numbers"),
        ("colour = 1", "unknown setting 'colour'; the settings are count, rate"),
        ('name = "bad"', "name must not be bad"),
        ("count = ", "cannot be read as TOML"),
    ],
)
def test_bad_toml_is_refused_with_file_and_value(tmp_path: Path, toml: str, says: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(toml)
    with pytest.raises(InputError) as caught:
        read_settings(Settings, path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_assignment_needs_no_quotes_and_may_have_blanks() -> None:
    values = assignments(
        ["count=5", "rate = 0.25", "kind=y", "flag=true", "span=[1, 2.5]", "name=some text"]
    )
    expected = Settings(count=5, rate=0.25, kind="y", flag=True, span=(1.0, 2.5), name="some text")
    assert read_settings(Settings, None, values) == expected


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("count", "--set count: give name=value"),
        ("=3", "--set =3: give name=value"),
        ("colour=3", "unknown setting 'colour'; the settings are count, rate"),
        ("count=many", "count = 'many': expected a whole number"),
        ("count=99", "count = 99: 99 is not in the range"),
        ("flag=1", "flag = 1: expected true or false"),
    ],
)
def test_invalid_assignments_are_refused_by_name(word: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_settings(Settings, None, assignments([word]))


def test_the_message_on_an_invalid_assignment_is_one_line() -> None:
    with pytest.raises(InputError) as caught:
        assignments(['="""\n\n"""'])
    assert "\n" not in str(caught.value)
