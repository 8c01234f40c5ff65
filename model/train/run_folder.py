"""The folder of a training run.

Each file is whole or absent, never torn.

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
.cma3d/              which of these are ours, see `outputs`
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from ...core.errors import InputError
from ...core.outputs import Output, claim
from ...core.settings import as_toml, by_name, identity_names, setting_names
from ...core.untrusted import read_json, read_json_lines, shown
from ..weights.checkpoint import first_line, part, read_checkpoint
from ..weights.pickles import named
from ..weights.saved_run import MOST_ABOUT

__all__ = [
    "RunFolder",
    "naming_failures",
    "refuse_foreign",
    "write_to",
]

# written again and again
_GROWING = (
    "log.jsonl",
    "probe.jsonl",
    "checkpoint.pt",
    "curves.png",
    "reconstructions.png",
    "run.html",
)
# the other files of version 0.1, which kept no record, and how they begin
_OTHERS = re.compile(
    r"result\.json|predicted\.npy|epoch-\d+\.npz|(encoder|final|best_on_test|chosen_on_(held_out|val))\.safetensors"
)
_BEGIN = {
    ".json": b"{", ".jsonl": b"{", ".pt": b"PK", ".npz": b"PK", ".npy": b"\x93NUMPY", ".png": b"\x89PNG",
    ".html": b"<!doctype html>",
}  # fmt: skip
_MOST_NUMBER = 1e39  # of a log: float32 has no larger ones
_MOST_LINE = 2**16  # bytes of a line of the log; it has some hundred


def write_to(
    output: Output,
    name: str,
    content: str | bytes | Callable[[Path], object],
    *,
    live: bool = False,
) -> Path:
    """Write a file of a claimed folder, whole or not at all.

    Parameters
    ----------
    content : text, bytes, or what writes the path that it is given
    live : written again and again: known as ours by its name alone

    Raises
    ------
    InputError : the name is taken by what is not ours; the file cannot be written (a full disk,
        missing rights)
    """
    data = content.encode() if isinstance(content, str) else content
    with naming_failures(output.path / name):
        return output.write(
            name,
            data if callable(data) else functools.partial(Path.write_bytes, data=data),
            live=live,
        )


@contextlib.contextmanager
def naming_failures(path: Path) -> Iterator[None]:
    """Turn errors of writing a file into an InputError of one line.

    Raises
    ------
    InputError : a full disk, missing rights; torch and HDF5 raise RuntimeError on a full disk
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be written: {first_line(error)}; free some space, "
            f"or check the folder's permissions"
        ) from error


def refuse_foreign(output: Output, names: Iterable[str]) -> None:
    """Refuse names that somebody else's files take.

    ViewRequest before the work whose end would write there.

    Raises
    ------
    InputError : names the first
    """
    for name in names:
        path = output.path / name
        if os.path.lexists(path) and not output.owns(name):
            raise InputError(
                f"{path} is not as cma3d wrote it, or not of cma3d: move it away, "
                f"or choose another folder"
            )


def _is_earlier(path: Path, settings: Any) -> bool:
    """Check for a run of version 0.1 with settings of the same sort."""
    try:
        about = read_json(path / "run.json", most_bytes=MOST_ABOUT)
        recorded, names = (
            set(about["config"]),
            set(setting_names(type(settings))),
        )
        return isinstance(about["fingerprint"], str) and bool(recorded) and recorded <= names
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_known(path: Path) -> bool:
    """Check for a run's file of version 0.1, by name and first bytes."""
    if path.name not in _GROWING and not _OTHERS.fullmatch(path.name):
        return False
    with path.open("rb") as file:
        head = file.read(16)
    if path.suffix == ".safetensors":  # the length of the header, and the header
        return head[8:9] == b"{"
    return head == b"" or head.startswith(_BEGIN[path.suffix])


class RunFolder:
    """A run's folder, held by one process; use it in a `with` statement.

    Parameters
    ----------
    folder : made if it is missing
    settings : of the run, a dataclass
    fingerprint : stands for the data
    facts : further entries for run.json, not compared
    kind : of run
    inputs : folders and files that the run reads

    Raises
    ------
    InputError : the folder holds something else, a run with other settings or shards, or a run that
        another process trains; it is an input, lies in one or holds one
    """

    def __init__(
        self,
        folder: Path,
        settings: Any,
        fingerprint: str,
        facts: dict[str, Any] | None = None,
        *,
        kind: str = "pretraining",
        inputs: Sequence[Path | None] = (),
    ) -> None:
        self.folder, self.settings, self.fingerprint, self.facts = (
            folder,
            settings,
            fingerprint,
            facts or {},
        )
        self.kind, self.inputs = kind, inputs
        self.about = folder / "run.json"
        self.log, self.probes, self.snapshots = (
            folder / "log.jsonl",
            folder / "probe.jsonl",
            folder / "reconstructions",
        )
        self.picture, self.reconstructions = folder / "curves.png", folder / "reconstructions.png"
        self.page, self.board = folder / "run.html", folder / "tensorboard"
        self.checkpoint, self.encoder = folder / "checkpoint.pt", folder / "encoder.safetensors"

    def __enter__(self) -> Self:
        earlier = functools.partial(_is_earlier, settings=self.settings)
        with contextlib.ExitStack() as stack:
            claimed = claim(
                self.folder, self.kind, inputs=self.inputs, earlier=earlier, known=_is_known
            )
            self.output = stack.enter_context(claimed)
            # the folder is ours: compare the settings before anything is written
            self._describe(self.about)
            refuse_foreign(
                self.output, [name for name in _GROWING if name != self.checkpoint.name]
            )  # `load` reads it
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def write(
        self, name: str, content: str | bytes | Callable[[Path], object], *, live: bool = False
    ) -> Path:
        """Write a file, see `write_to`."""
        return write_to(self.output, name, content, live=live)

    def remove(self, name: str) -> None:
        """Remove a file of the run, if it is there.

        Raises
        ------
        InputError : it is not the run's, or cannot be removed
        """
        with naming_failures(self.folder / name):
            self.output.remove(name)

    def _describe(self, about: Path) -> None:
        """Write run.json and config.toml, or compare with what they say."""
        settings = by_name(self.settings)
        if not about.exists():
            self.write("config.toml", as_toml(self.settings))
            text = (
                json.dumps(
                    {"config": settings, "fingerprint": self.fingerprint, **self.facts}, indent=2
                )
                + "\n"
            )
            self.write(about.name, text)
            return
        try:
            old = read_json(about, most_bytes=MOST_ABOUT)
            if not isinstance(old, dict) or not isinstance(old.get("fingerprint"), str):
                raise ValueError("it tells of no run")
            old_settings, old_shards = part(old, "config"), old["fingerprint"]
        except (OSError, ValueError) as error:
            raise InputError(
                f"{about} cannot be read: {first_line(error)}; restore it from a copy, "
                f"or give another folder as RUN"
            ) from None
        # another setting makes another run
        differing = self._differing(old_settings)
        if differing:
            raise InputError(
                f"{self.folder} is a run with {differing}: "
                f"give --config {self.folder / 'config.toml'} to go on with it, "
                f"or another folder as RUN"
            )
        if old_shards != self.fingerprint:
            raise InputError(
                f"{self.folder} is a run on other shards (fingerprint {shown(old_shards)}, "
                f"not {self.fingerprint}): "
                "give those, or another folder as RUN"
            )

    def _differing(self, old: dict[str, Any]) -> str:
        """Return the settings that differ from this run's, in words.

        Empty if none differs.
        """
        new, defaults = by_name(self.settings), by_name(type(self.settings)())
        deciding = identity_names(self.settings)
        # a setting that an older run does not tell counts as its default
        pairs = {name: (old.get(name, defaults[name]), new[name]) for name in deciding}
        return ", ".join(
            f"{name} = {named(was)}, not {value}"
            for name, (was, value) in pairs.items()
            if not _same(was, value)
        )

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps; `state` holds tensors and plain values."""
        content = {
            "step": step,
            "fingerprint": self.fingerprint,
            "config": by_name(self.settings),
            **state,
        }
        self.write(self.checkpoint.name, lambda path: torch.save(content, path))

    def load(self, steps: int) -> dict[str, Any] | None:
        """Read the checkpoint; None if there is none yet.

        Parameters
        ----------
        steps : of the whole run

        Raises
        ------
        InputError : the file is damaged, holds code, tells a step that the run cannot have come to,
            or belongs to a run with other settings or shards
        """
        if not self.checkpoint.exists():
            return None
        try:
            _, state = read_checkpoint(self.checkpoint, steps)
            differing = self._differing(part(state, "config"))
        except (OSError, ValueError) as error:
            raise InputError(self._damaged(first_line(error))) from None
        if differing:
            raise InputError(
                f"{self.checkpoint} belongs to a run with {differing}: "
                f"restore this run's own from a copy"
            )
        if not _same(state.get("fingerprint"), self.fingerprint):
            raise InputError(
                f"{self.checkpoint} belongs to a run on other shards: "
                f"restore this run's own from a copy"
            )
        self.output.adopt(self.checkpoint.name)  # also one that was restored from a copy
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

    def truncate(self, steps: int, steps_per_epoch: int) -> None:
        """Drop log lines and pictures of steps after the checkpoint, and torn last lines.

        Those steps are made again.
        """
        for file in (self.log, self.probes):
            if file.is_file() and file.read_bytes()[:1] not in (b"", b"{"):
                raise InputError(
                    f"{file} is no log of a run: move it away, or give another folder as RUN"
                )
            kept = "".join(
                json.dumps(line) + "\n" for line in self.read_lines(file) if line["step"] <= steps
            )
            # a run always has a log; it has probes only once there is one
            if file.exists() or file == self.log:
                self.write(file.name, kept, live=True)
        for path in self.snapshots.glob("epoch-*.npz"):
            if path.stem[6:].isdecimal() and int(path.stem[6:]) * steps_per_epoch > steps:
                self.remove(f"{self.snapshots.name}/{path.name}")

    def append(self, file: Path, *lines: dict[str, Any]) -> None:
        """Add lines to a file of lines.

        Raises
        ------
        InputError : it cannot be written
        """
        with naming_failures(file), self.output.append(file.name) as opened:
            opened.write("".join(json.dumps(line) + "\n" for line in lines))

    def read_lines(self, file: Path) -> list[dict[str, Any]]:
        """Read a file's lines, without torn or foreign ones.

        Raises
        ------
        InputError : it cannot be read
        """
        try:
            return [
                line
                for line in read_json_lines(file, most_bytes=_MOST_LINE)
                if _is_line(line, file == self.probes)
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{file} cannot be read: {first_line(error)}; move it away") from None


def _is_line(line: Any, probe: bool) -> bool:
    """Check whether a line holds the numbers of a step.

    Also those that are drawn.
    """
    needed = ("step", "epoch", *(("accuracy", "chance") if probe else ("loss",)))
    if not isinstance(line, dict) or not all(name in line for name in needed):
        return False
    if not all(
        type(value) in (int, float) and abs(value) < _MOST_NUMBER for value in line.values()
    ):  # nor NaN
        return False
    # an epoch has at least one step; only a probe can stand before the first one
    step, epoch = line["step"], line["epoch"]
    return type(step) is int and type(epoch) is int and (0 if probe else 1) <= epoch <= step


def _same(recorded: object, value: object) -> bool:
    """Check whether a plain value is the same.

    Anything else, such as a tensor, is another.
    """
    return isinstance(recorded, str | int | float) and bool(recorded == value)
