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
import pickle
import re
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..errors import InputError
from ..files import atomic_path, make_folder, sweep

__all__ = ["RunFolder", "first_line", "load_weights", "write_whole"]

# settings that do not make another run
_RUNNING = ("device", "compile", "threads", "data", "memory_gib", "workers", "checkpoint_seconds")
_WATCHING = ("probe_epochs", "picture_epochs", "tensorboard")
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError)


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
    """Give the first line of an error's message that says something, or its name where it has none.

    torch heads the names of weights that are missing or too many by a line that ends in a colon.
    """
    lines = (str(error) or type(error).__name__).splitlines()
    said = lines[1] if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return textwrap.shorten(said, 200, placeholder=" …")


def load_weights(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save` that holds tensors and plain values, and run nothing of it.

    Raises
    ------
    ValueError : the file holds code, or no dictionary; says which
    OSError, RuntimeError, EOFError, UnpicklingError : it cannot be read
    """
    plain: list[Any] = [
        np.float64(0).__reduce__()[0],
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
    ]
    try:
        with torch.serialization.safe_globals(plain):  # numbers of numpy, such as accuracies beside the weights
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code:
            raise ValueError(f"it holds code, {code[1]}, which is not run") from None
        raise
    if not isinstance(state, dict):
        raise ValueError("it holds no dictionary")
    return state


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
            old = json.loads(about.read_text(encoding="utf-8"))
            old_settings, old_shards = dict(old["config"]), old["fingerprint"]
        except _UNREADABLE as error:
            raise InputError(f"{about} cannot be read: {error!r}; give another folder as RUN") from None
        differing = self._differing(old_settings)
        if differing:
            raise InputError(
                f"{self.folder} is a run with {differing}: "
                f"give --config {self.folder / 'config.toml'} to go on with it, or another folder as RUN"
            )
        if old_shards != self.fingerprint:
            raise InputError(
                f"{self.folder} is a run on other shards (fingerprint {old_shards}, not {self.fingerprint}): "
                "give those, or another folder as RUN"
            )

    def _differing(self, old: dict[str, Any]) -> str:
        """Say in words which settings of a run differ from this one's; empty if none does."""
        new, defaults = dataclasses.asdict(self.settings), dataclasses.asdict(type(self.settings)())
        pairs = {name: (old.get(name, defaults[name]), value) for name, value in new.items()}
        return ", ".join(
            f"{name} = {was}, not {value}"
            for name, (was, value) in pairs.items()
            if was != value and name not in _RUNNING + _WATCHING
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

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint; None if there is none yet.

        Raises
        ------
        InputError : the file is damaged, holds code, or belongs to a run with other settings or shards
        """
        if not self.checkpoint.exists():
            return None
        try:
            with zipfile.ZipFile(self.checkpoint) as file:  # torch.load itself skips the checksums
                bad = file.testzip()
            if bad:
                raise ValueError(f"wrong checksum of {bad}")
            state = load_weights(self.checkpoint)
            int(state["step"])
            differing = self._differing(dict(state["config"]))
        except (*_UNREADABLE, zipfile.BadZipFile) as error:
            raise InputError(self._damaged(first_line(error))) from None
        if differing:
            raise InputError(f"{self.checkpoint} belongs to a run with {differing}: restore this run's own from a copy")
        if state.get("fingerprint") != self.fingerprint:
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
        except _UNREADABLE as error:
            raise InputError(self._damaged(first_line(error))) from None

    def cut(self, steps: int, steps_per_epoch: int) -> None:
        """Drop what was told of the steps behind the checkpoint, which are made again, and torn last lines."""
        for file in (self.log, self.probes):
            kept = "".join(json.dumps(line) + "\n" for line in self.read_lines(file) if line["step"] <= steps)
            if file.exists() or file == self.log:
                write_whole(file, functools.partial(Path.write_text, data=kept, encoding="utf-8"))
        for path in self.snapshots.glob("epoch-*.npz"):
            if not path.stem[6:].isdigit() or int(path.stem[6:]) * steps_per_epoch > steps:
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
        """Read a file's lines up to the first that is torn."""
        lines: list[dict[str, Any]] = []
        if file.exists():
            for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    line = json.loads(text)
                    line["step"]
                except (ValueError, KeyError, TypeError):
                    break
                lines.append(line)
        return lines
