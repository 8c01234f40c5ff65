"""Folders and tables of results: what was run, on what, and what came out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import __version__, untrusted
from ...errors import InputError
from ...files import make_folder, write_text
from ..run import first_line
from .initial import Initial
from .shapes import Dataset

__all__ = [
    "COLUMNS",
    "averaged_over",
    "claim_folder",
    "code_version",
    "is_share",
    "markdown",
    "provenance",
    "read_result",
    "voted",
    "write_results",
]

COLUMNS = {
    "final": "final epoch",
    "best_on_test": "best epoch on test (chosen on the test set)",
    "chosen_on_held_out": "epoch chosen on held-out training shapes",
    "chosen_on_val": "epoch chosen on validation shapes",
}
"""Which weights are measured -> how a table calls them."""
_ABOUT = "task.json"
_MOST_RESULTS = 2**26  # bytes of results.json: that of many seeds has some thousand
Check = Callable[[object], bool]


def claim_folder(folder: Path, about: Mapping[str, Any]) -> None:
    """Make the folder of a task's runs, or go on in it.

    Raises
    ------
    InputError : it holds something else, or another task's runs
    """
    path = folder / _ABOUT
    if folder.exists() and not path.exists():
        others = [] if folder.is_dir() else [folder]
        others = others or [each for each in folder.iterdir() if not each.name.startswith(".")]
        if others:
            raise InputError(f"{folder} holds {others[0].name} but no results of a task: give a new or empty folder")
    make_folder(folder)
    if path.exists():
        was = read_json(path)
        for name, value in about.items():
            if was.get(name) != value:
                raise InputError(
                    f"{folder} holds runs with {name} = {untrusted.shown(was.get(name))}, not {value}: "
                    "give another folder, or the same again"
                )
        return
    write_text(path, json.dumps(about, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError : it cannot be read
    """
    try:
        content = untrusted.read_json(path, most_bytes=_MOST_RESULTS)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}; remove it, or give another folder") from None
    return content


def read_result(folder: Path, scores: Sequence[str], check: Check) -> dict[str, Any] | None:
    """Read a finished run's result; None where it is not finished.

    Parameters
    ----------
    scores : its tables, weights -> what they are worth
    check : tells whether that is a score

    Raises
    ------
    InputError : it is damaged, or no result of such a run
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    result = read_json(path)
    tables = [result.get(name) for name in ("epochs", *scores)]
    named = [set(table) if isinstance(table, dict) else set() for table in tables]
    whole = all(names == named[0] for names in named) and "final" in named[0] <= set(COLUMNS)
    if not whole or not all(type(result.get(name)) is int for name in ("seed", "parameters")):
        raise InputError(f"{path} is no result of this run: remove it, and the run is made again")
    epochs, *worth = (table.values() for table in tables if table is not None)
    if not all(type(epoch) is int for epoch in epochs) or not all(check(each) for table in worth for each in table):
        raise InputError(f"{path} tells no epochs or no scores: remove it, and the run is made again")
    return result


def is_share(value: object) -> bool:
    """Tell whether a value from a file is a share, in [0, 1]."""
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def code_version() -> str:
    """Name the version of this program, with the commit where it runs from a checkout."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({done.stdout.strip()})"


def provenance(initial: Initial, config: Any, dataset: Dataset | None = None) -> dict[str, Any]:
    """Tell where results come from: data, initial weights, settings (a dataclass), and the version of the code."""
    about: dict[str, Any] = {}
    if dataset is not None:
        about = {"layout": dataset.layout, "data": str(dataset.folder), "data_hash": dataset.fingerprint()}
    return {
        **about,
        "initial": initial.source,
        "initial_hash": initial.fingerprint,
        "code": code_version(),
        "config": dataclasses.asdict(config),
        "encoder": dataclasses.asdict(initial.config),
    }


def averaged_over(runs: int, name: str) -> str:
    """Say what the cells of a table are: "one seed", or "mean ± deviation over 3 seeds"."""
    return f"one {name}" if runs == 1 else f"mean ± deviation over {runs} {name}s"


def voted(votes: int) -> str:
    """Say how logits were averaged: "one vote", "10 votes"."""
    return "one vote" if votes == 1 else f"{votes} votes"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown, its columns aligned."""
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_results(folder: Path, name: str, text: str, content: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `name`.md and `name`.json."""
    paths = folder / f"{name}.md", folder / f"{name}.json"
    write_text(paths[0], text + "\n")
    write_text(paths[1], json.dumps(content, indent=1) + "\n")
    return paths
