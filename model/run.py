"""The folder of a training run: settings, log, checkpoint and pictures. Whole or absent, never torn.

run.json             what the run is: settings, shards, sizes
config.toml          the effective settings, to be given again with --config
log.jsonl            one JSON object a step
loss.png             the log as a picture
checkpoint.pt        network and optimiser after a step
encoder.safetensors  the point encoder, at the end
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch

from ..errors import InputError
from ..files import atomic_path, make_folder, sweep

__all__ = ["RunFolder", "write_whole"]

_RUNNING = ("device", "threads", "workers", "memory_gib", "checkpoint_seconds")  # settings that do not make another run
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
        raise InputError(f"{path} cannot be written: {error}; free some space or give another RUN") from error


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
        self.log, self.picture = folder / "log.jsonl", folder / "loss.png"
        self.checkpoint, self.encoder = folder / "checkpoint.pt", folder / "encoder.safetensors"

    def __enter__(self) -> Self:
        about = self.folder / "run.json"
        if not about.exists() and self.folder.exists():
            others = [] if self.folder.is_dir() else [self.folder]
            others = others or [path for path in self.folder.iterdir() if not path.name.startswith(".")]
            if others:
                raise InputError(f"{self.folder} holds {others[0].name} but no run: give a new or empty folder as RUN")
        make_folder(self.folder)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go when the process ends
            sweep(self.folder)
            self._describe(about)
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
        for name, value in settings.items():
            was = old_settings.get(name)
            if was != value and name not in _RUNNING:
                raise InputError(
                    f"{self.folder} is a run with {name} = {was}, not {value}: "
                    f"give --config {self.folder / 'config.toml'} to go on with it, or another folder as RUN"
                )
        if old_shards != self.fingerprint:
            raise InputError(
                f"{self.folder} is a run on other shards (fingerprint {old_shards}, not {self.fingerprint}): "
                "give those, or another folder as RUN"
            )

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps; `state` holds tensors and plain values."""
        content = {"step": step, "fingerprint": self.fingerprint, **state}
        write_whole(self.checkpoint, lambda path: torch.save(content, path))

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint; None if there is none yet.

        Raises
        ------
        InputError : the file is damaged
        """
        if not self.checkpoint.exists():
            return None
        try:
            with zipfile.ZipFile(self.checkpoint) as file:  # torch.load itself skips the checksums
                bad = file.testzip()
            if bad:
                raise ValueError(f"wrong checksum of {bad}")
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            int(state["step"])
        except (*_UNREADABLE, zipfile.BadZipFile) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(self._damaged(reason)) from None
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
            raise InputError(self._damaged(str(error).splitlines()[0])) from None

    def cut_log(self, steps: int) -> None:
        """Drop the lines behind the checkpoint's step, whose steps are made again, and a torn last line."""
        lines = self.read_log()
        text = "".join(json.dumps(line) + "\n" for line in lines if line["step"] <= steps)
        write_whole(self.log, lambda path: path.write_text(text, encoding="utf-8"))

    def read_log(self) -> list[dict[str, Any]]:
        """Read the log's lines up to the first that is torn."""
        lines: list[dict[str, Any]] = []
        if self.log.exists():
            for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    line = json.loads(text)
                    line["step"]
                except (ValueError, KeyError, TypeError):
                    break
                lines.append(line)
        return lines
