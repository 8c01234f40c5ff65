"""The folder of a training run: settings, log, checkpoint and pictures. Whole or absent, never torn.

run.json             what the run is: settings, shards, sizes
config.toml          the effective settings, to be given again with --config
log.jsonl            one JSON object a step
probe.jsonl          one JSON object a linear probe
reconstructions/     fixed samples, as reconstructed after some of the epochs
curves.png           the log as a picture
reconstructions.png  those samples as a picture
run.html             both pictures and the settings as one page
tensorboard/         the log once more, where that is asked for
checkpoint.pt        network and optimiser after a step
encoder.safetensors  the point encoder, at the end
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch

from ..errors import InputError
from ..files import atomic_path, make_folder, sweep
from ..untrusted import read_json, read_json_lines, shown
from .checkpoint import load_weights, part

__all__ = ["MOST_ABOUT", "RunFolder", "check_step", "first_line", "write_whole"]

# settings that do not make another run
_RUNNING = ("device", "compile", "threads", "data", "memory_gib", "workers", "checkpoint_seconds")
_WATCHING = ("probe_epochs", "picture_epochs", "tensorboard")
MOST_ABOUT = 2**22
"""Bytes of run.json and other files that tell of a run: they have some thousand."""
_MOST_NUMBER = 1e39  # of a log: float32 has no larger ones
_MOST_LINE = 2**16  # bytes of a line of the log; it has some hundred


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, bring it to the disk, and only then give it its name.

    Parameters
    ----------
    write : writes the path that it is given

    Raises
    ------
    InputError : the file cannot be written (a full disk, missing rights)
    """
    try:
        with atomic_path(path) as partial:
            write(partial)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
        raise InputError(_unwritable(path, error)) from error


def _unwritable(path: Path, error: Exception) -> str:
    return f"{path} cannot be written: {error}; free some space or give another RUN"


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message that says something, or its name where it has none."""
    if isinstance(error, OSError) and error.strerror:
        return shown(error.strerror)
    lines = (str(error) or type(error).__name__).splitlines()
    return shown(textwrap.shorten(lines[0], 200, placeholder=" …"))


def check_step(state: dict[str, Any], steps: int | None = None) -> int:
    """Give the number of steps after which a checkpoint was written.

    Parameters
    ----------
    steps : of the whole run, where it is known

    Raises
    ------
    ValueError : no whole number, or one that the run cannot have come to
    """
    step = state.get("step")
    if type(step) is not int or not 0 < step < 2**53:
        raise ValueError("it has no step" if step is None else f"its step is {_told(step)}, no number of steps done")
    if steps is not None and step > steps:
        raise ValueError(f"its step is {step}, of a run of {steps} steps")
    return step


def _told(value: object) -> str:
    """Show a value of a checkpoint; of what may be endless to print its type."""
    plain = isinstance(value, str | float) or (type(value) is int and abs(value) < 2**64)
    return shown(value) if plain else f"a {type(value).__name__}"


class RunFolder:
    """A run's folder, held by one process; use it in a `with` statement.

    Parameters
    ----------
    folder : made if it is missing
    settings : of the run, a dataclass
    fingerprint : stands for the data
    facts : further entries for run.json, not compared

    Raises
    ------
    InputError : the folder holds something else, a run with other settings or shards, or a run that is
        being trained by another process
    """

    def __init__(self, folder: Path, settings: Any, fingerprint: str, facts: dict[str, Any] | None = None) -> None:
        self.folder, self.settings, self.fingerprint, self.facts = folder, settings, fingerprint, facts or {}
        self.about = folder / "run.json"
        self.log, self.probes, self.snapshots = folder / "log.jsonl", folder / "probe.jsonl", folder / "reconstructions"
        self.picture, self.reconstructions = folder / "curves.png", folder / "reconstructions.png"
        self.page, self.board = folder / "run.html", folder / "tensorboard"
        self.checkpoint, self.encoder = folder / "checkpoint.pt", folder / "encoder.safetensors"

    def __enter__(self) -> Self:
        if not self.about.exists() and self.folder.exists():
            others = [] if self.folder.is_dir() else [self.folder]
            others = others or [path for path in self.folder.iterdir() if not path.name.startswith(".")]
            if others:
                raise InputError(f"{self.folder} holds {others[0].name} but no run: give a new or empty folder as RUN")
        make_folder(self.folder)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go when the process ends
            sweep(self.folder)
            self._describe(self.about)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"{self.folder} is being trained by another process: wait for it, or stop it") from None
        except InputError:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _describe(self, about: Path) -> None:
        """Write run.json and config.toml, or compare with what they say."""
        settings = dataclasses.asdict(self.settings)
        if not about.exists():
            toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
            write_whole(self.folder / "config.toml", lambda path: path.write_text(toml, encoding="utf-8"))
            text = json.dumps({"config": settings, "fingerprint": self.fingerprint, **self.facts}, indent=2) + "\n"
            write_whole(about, lambda path: path.write_text(text, encoding="utf-8"))
            return
        try:
            old = read_json(about, most_bytes=MOST_ABOUT)
            if not isinstance(old, dict) or not isinstance(old.get("fingerprint"), str):
                raise ValueError("it tells of no run")
            old_settings, old_shards = part(old, "config"), old["fingerprint"]
        except (OSError, ValueError) as error:
            raise InputError(
                f"{about} cannot be read: {first_line(error)}; restore it from a copy, or give another folder as RUN"
            ) from None
        differing = self._differing(old_settings)
        if differing:
            raise InputError(
                f"{self.folder} is a run with {differing}: "
                f"give --config {self.folder / 'config.toml'} to go on with it, or another folder as RUN"
            )
        if old_shards != self.fingerprint:
            raise InputError(
                f"{self.folder} is a run on other shards (fingerprint {shown(old_shards)}, not {self.fingerprint}): "
                "give those, or another folder as RUN"
            )

    def _differing(self, old: dict[str, Any]) -> str:
        """Say in words which settings of a run differ from this one's; empty if none does."""
        new, defaults = dataclasses.asdict(self.settings), dataclasses.asdict(type(self.settings)())
        pairs = {name: (old.get(name, defaults[name]), value) for name, value in new.items()}
        return ", ".join(
            f"{name} = {_told(was)}, not {value}"
            for name, (was, value) in pairs.items()
            if name not in _RUNNING + _WATCHING and not _same(was, value)
        )

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps; `state` holds tensors and plain values."""
        content = {
            "step": step,
            "fingerprint": self.fingerprint,
            "config": dataclasses.asdict(self.settings),
            **state,
        }
        write_whole(self.checkpoint, lambda path: torch.save(content, path))

    def load(self, steps: int) -> dict[str, Any] | None:
        """Read the checkpoint; None if there is none yet.

        Parameters
        ----------
        steps : of the whole run

        Raises
        ------
        InputError : the file is damaged, holds code, tells a step that the run cannot have come to, or belongs to a
            run with other settings or shards
        """
        if not self.checkpoint.exists():
            return None
        try:
            state = load_weights(self.checkpoint)
            check_step(state, steps)
            differing = self._differing(part(state, "config"))
        except (OSError, ValueError) as error:
            raise InputError(self._damaged(first_line(error))) from None
        if differing:
            raise InputError(f"{self.checkpoint} belongs to a run with {differing}: restore this run's own from a copy")
        if not _same(state.get("fingerprint"), self.fingerprint):
            raise InputError(f"{self.checkpoint} belongs to a run on other shards: restore this run's own from a copy")
        return state

    def _damaged(self, reason: str) -> str:
        return (
            f"{self.checkpoint} is damaged ({reason}): restore it from a copy, "
            "or remove it and the run starts from the beginning"
        )

    def restore(self, state: dict[str, Any], load: Callable[[dict[str, Any]], object]) -> None:
        """Hand a checkpoint's state to `load`; what does not fit is an InputError."""
        try:
            load(state)
        except ValueError as error:
            raise InputError(self._damaged(first_line(error))) from None

    def cut(self, steps: int, steps_per_epoch: int) -> None:
        """Drop what was told of the steps behind the checkpoint, which are made again, and torn last lines."""
        for file in (self.log, self.probes):
            kept = "".join(json.dumps(line) + "\n" for line in self.read_lines(file) if line["step"] <= steps)
            if file.exists() or file == self.log:
                write_whole(file, functools.partial(Path.write_text, data=kept, encoding="utf-8"))
        for path in self.snapshots.glob("epoch-*.npz"):
            if not path.stem[6:].isdecimal() or int(path.stem[6:]) * steps_per_epoch > steps:
                path.unlink()

    def append(self, file: Path, line: dict[str, Any]) -> None:
        """Add a line to a file of lines.

        Raises
        ------
        InputError : it cannot be written
        """
        try:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(_unwritable(file, error)) from error

    def read_lines(self, file: Path) -> list[dict[str, Any]]:
        """Read a file's lines; what is torn, or no line of a run, is left out.

        Raises
        ------
        InputError : it cannot be read
        """
        try:
            return [
                line for line in read_json_lines(file, most_bytes=_MOST_LINE) if _is_line(line, file == self.probes)
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{file} cannot be read: {first_line(error)}; move it away") from None


def _is_line(line: Any, probe: bool) -> bool:
    """Tell whether a line tells numbers of a step, and those that are drawn among them."""
    needed = ("step", "epoch", *(("accuracy", "chance") if probe else ("loss",)))
    if not isinstance(line, dict) or not all(name in line for name in needed):
        return False
    if not all(type(value) in (int, float) and abs(value) < _MOST_NUMBER for value in line.values()):  # nor NaN
        return False
    step, epoch = line["step"], line["epoch"]
    return type(step) is int and type(epoch) is int and (0 if probe else 1) <= epoch <= step


def _same(told: object, value: object) -> bool:
    """Tell whether a plain value is the same; anything else, such as a tensor, is another."""
    return isinstance(told, str | int | float) and bool(told == value)
