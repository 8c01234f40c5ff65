"""Every option of every command, against words that no one should give: one line, exit status 2, nothing written."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from shapenet3d_cma import cli as module
from shapenet3d_cma.cli import cli
from shapenet3d_cma.core.settings import FiniteRange, GivenPath, WholeRange
from shapenet3d_cma.render.config import Limits

Answer = tuple[int, str, str]
FLOATS = ("nan", "inf", "-inf", "NaN", "1e999", "-1e999", "9" * 400, "", "x", "1,5", "\x1b[31m")
WHOLES = ("nan", "inf", "1e3", "9" * 30, "-" + "9" * 30, "9" * 5000, "", "1.5", "\x1b[31m")
HOSTILE = "\x1b[2J\x1b]0;x\x07\u202e\r\n\udcff" + "é" * 5000


def parameters() -> list[tuple[str, click.Parameter]]:
    return [
        (name, parameter) for name, command in cli.commands.items() for parameter in command.params
    ]


def kinds(kind: Any) -> Iterator[Any]:
    """Yield a parameter's type, or of several values those of each."""
    if isinstance(kind, click.Tuple):
        for one in kind.types:
            yield from kinds(one)
    else:
        yield kind


def test_every_option_has_a_type_that_refuses_hostile_values() -> None:
    """The law by construction: click's own numbers take NaN, infinity and any size, its own paths any pipe."""
    counts = {FiniteRange: 0, WholeRange: 0, GivenPath: 0}
    for name, parameter in parameters():
        for kind in kinds(parameter.type):
            where = f"{name} {parameter.name}: {kind}"
            assert not isinstance(kind, click.types.FloatParamType) or isinstance(
                kind, FiniteRange
            ), where
            assert not isinstance(kind, click.types.IntParamType) or isinstance(kind, WholeRange), (
                where
            )
            assert not isinstance(kind, click.Path | click.File) or isinstance(kind, GivenPath), (
                where
            )
            for known in counts:
                counts[known] += isinstance(kind, known)
    assert min(counts.values()) > 20, counts


def test_the_limits_of_a_render_have_one_default() -> None:
    """The command line once said 500 models where the code said 2,000."""
    for name in ("render", "build"):
        options = {parameter.name: parameter for parameter in cli.commands[name].params}
        for field in dataclasses.fields(Limits):
            assert f"[default: {field.default}]" in options[field.name].help


@pytest.mark.parametrize(("family", "values"), [(FiniteRange, FLOATS), (WholeRange, WHOLES)])
def test_every_numeric_option_refuses_other_words(
    family: type[Any], values: tuple[str, ...]
) -> None:
    for name, parameter in parameters():
        for kind in kinds(parameter.type):
            if isinstance(kind, family):
                for value in values:
                    with pytest.raises(click.BadParameter):
                        raise AssertionError(
                            f"{name} {parameter.name} took {kind.convert(value, None, None)}"
                        )


@pytest.fixture
def answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Any]:
    """Run the command in this process, in an empty folder; give its exit status, output and errors."""
    before = {
        name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(module, "speak_utf8", lambda: None)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["cma3d", *words])
        with pytest.raises(SystemExit) as caught:
            module.main()
        captured = capsys.readouterr()
        return int(caught.value.code), captured.out, captured.err

    yield run
    for name, handler in before.items():
        signal.signal(name, handler)


def base(command: click.Command) -> dict[str, list[str]]:
    """Choose words for what a command requires: inputs that are not there."""
    words: dict[str, list[str]] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words[parameter.name] = [f"no-{parameter.name}"]
        elif parameter.required:
            value = (
                parameter.type.choices[0]
                if isinstance(parameter.type, click.Choice)
                else f"no-{parameter.name}"
            )
            words[parameter.name] = [parameter.opts[-1], value]
    if command.name == "samples":  # has no input that could be missing
        words["task"] = ["--task", "nothing"]
    return words


def one_of_each() -> list[Any]:
    """Choose of each command an option of each type, and all that are paths or text."""
    chosen = {}
    for name, parameter in parameters():
        for kind in kinds(parameter.type):
            if isinstance(parameter, click.Option) and parameter.is_flag:
                continue
            if (
                name == "model-info" and kind is click.STRING
            ):  # has no input that could be missing: computes
                continue
            plain = isinstance(kind, FiniteRange | WholeRange | click.Choice)
            chosen.setdefault(
                (name, type(kind).__name__, "" if plain else parameter.name),
                (name, parameter, kind),
            )
    return [pytest.param(*case, id=f"{case[0]}-{case[1].name}") for case in chosen.values()]


def strange_files(folder: Path) -> list[str]:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "to-pipe").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    return ["pipe", "loop", "to-pipe", "socket", "/dev/zero", "x" * 300, "x/" * 3000, "a\0b", ""]


@pytest.mark.parametrize(("name", "parameter", "kind"), one_of_each())
def test_hostile_values_are_refused_in_one_line(
    answer: Callable[..., Answer], tmp_path: Path, name: str, parameter: click.Parameter, kind: Any
) -> None:
    command = cli.commands[name]
    values = [HOSTILE, ""]
    if isinstance(kind, FiniteRange):
        values = list(FLOATS)
    elif isinstance(kind, WholeRange):
        values = list(WHOLES)
    elif isinstance(kind, GivenPath):
        values = strange_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    for value in values:
        words = base(command)
        words_of = [value] * parameter.nargs if parameter.nargs > 1 else [value]
        words[parameter.name] = (
            words_of if isinstance(parameter, click.Argument) else [parameter.opts[-1], *words_of]
        )
        line = [word for part, case in words.items() for word in case]
        status, out, err = answer(name, *line)
        assert status == 2, (value, err)
        assert out == "", value
        assert len(err.splitlines()) == 1, (value, err)
        assert err.removesuffix("\n").isprintable(), value
        assert len(err) < 2000, value
        assert sorted(tmp_path.iterdir()) == before, value


def test_a_pipe_for_a_file_of_views_or_inside_of_a_folder_of_zips(
    answer: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "zips").mkdir()
    for pipe in ("views.json", "zips/03001627.zip", "zips/taxonomy.json"):
        os.mkfifo(tmp_path / pipe)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.obj").write_text("v 0 0 0\n")
    for words, message in (
        (("render", "zips", "out"), "03001627.zip is not a plain file: give a zip archive"),
        (("doctor", "zips/03001627.zip"), "is a pipe (FIFO): give a file or a folder"),
        (
            ("render", "flat", "out", "--layout", "flat", "--cameras", "views.json"),
            "views.json cannot be read: it is a pipe",
        ),
    ):
        status, out, err = answer(*words)
        assert (status, out) == (2, "")
        assert message in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ids", "split-csv", "config", "cameras"])
@pytest.mark.parametrize("what", ["folder.json", "none.json", "latin.json"])
def test_a_folder_or_another_encoding_for_a_file(
    answer: Callable[..., Answer], tmp_path: Path, name: str, what: str
) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "latin.json").write_bytes('["é"]'.encode("latin-1"))
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.obj").write_text("v 0 0 0\n")
    status, _, err = answer("render", "flat", "out", "--layout", "flat", f"--{name}", what)
    assert status == 2
    assert f"{what} " in err.splitlines()[-1]
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
