"""Folders and tables of results."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ... import __version__
from ...core import untrusted
from ...core.errors import InputError
from ...core.outputs import Output, claim
from ...core.settings import by_name
from ..train.run_folder import refuse_foreign, write_to
from ..weights.checkpoint import first_line
from ..weights.initial import InitialEncoder
from .benchmarks.shapes import Dataset

__all__ = [
    "COLUMNS",
    "averaged_over",
    "claim_results",
    "code_version",
    "describe",
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
"""Name of the measured weights -> their name in a table."""
_ABOUT = "task.json"
_EARLIER = {
    r"(results|evaluation|folds|table-\d)\.json": b"{",
    r"(results|evaluation|table-\d)\.md": b"",
    r"page\.html": b"<!doctype html>",
    r".*-(true|predicted)\.ply": b"ply\n",
    r"logits\.csv": b"shape,true,predicted,",
    r"confusion\.csv": b"true \\ predicted,",
    r"confusion\.png": b"\x89PNG",
}
"""Names of the files that version 0.1 wrote, which kept no record -> how such a file begins."""
_MOST_RESULTS = 2**26  # bytes of results.json: that of many seeds has some thousand
Check = Callable[[object], bool]


@contextmanager
def claim_results(
    folder: Path, verb: str, inputs: Sequence[Path | None], names: Sequence[str]
) -> Iterator[Output]:
    """Claim the folder of a task's results while the block lasts.

    It is a new folder, or one of the same verb.

    Parameters
    ----------
    verb : the command whose results they are
    inputs : folders and files that it reads
    names : of the files that it writes at its end

    Raises
    ------
    InputError : it holds something else, or what it writes would replace what is not ours; it is an
        input, lies in one or holds one; another process writes to it
    """
    earlier = partial(_is_earlier, verb=verb)
    with claim(
        folder, f"{verb} results", inputs=inputs, earlier=earlier, known=_is_known
    ) as output:
        refuse_foreign(output, names)
        yield output


def _is_earlier(folder: Path, verb: str) -> bool:
    """Check for results of version 0.1: those of `evaluate` have no task.json."""
    try:
        if verb == "evaluate":
            return "confused" in read_json(folder / "evaluation.json")
        return read_json(folder / _ABOUT).get("verb") == verb
    except InputError:
        return False


def _is_known(path: Path) -> bool:
    """Check for a file that version 0.1 wrote in such a folder, by its name and its first bytes."""
    for name, begin in _EARLIER.items():
        if re.fullmatch(name, path.name):
            with path.open("rb") as file:
                return file.read(len(begin)) == begin
    return False


def describe(output: Output, about: Mapping[str, Any]) -> None:
    """Write the provenance of a folder of results, or compare with it.

    Raises
    ------
    InputError : it holds another task's runs
    """
    path = output.path / _ABOUT
    if not path.exists():
        write_to(output, _ABOUT, json.dumps(about, indent=1) + "\n")
        return
    was = read_json(path)
    for name, value in about.items():
        if was.get(name) != value:
            raise InputError(
                f"{output.path} holds runs with {name} = {untrusted.shown(was.get(name))}, "
                f"not {value}: "
                "give another folder, or the same again"
            )


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
        raise InputError(
            f"{path} cannot be read: {first_line(error)}; remove it, or give another folder"
        ) from None
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
    if not all(type(epoch) is int for epoch in epochs) or not all(
        check(each) for table in worth for each in table
    ):
        raise InputError(
            f"{path} tells no epochs or no scores: remove it, and the run is made again"
        )
    return result


def is_share(value: object) -> bool:
    """Check whether a value from a file is a share, in [0, 1]."""
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def code_version() -> str:
    """Name the version of this program, with the commit where it runs from a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({described.stdout.strip()})"


def provenance(
    initial: InitialEncoder, config: Any, dataset: Dataset | None = None
) -> dict[str, Any]:
    """Return the provenance of results.

    Data, initial weights, settings (a dataclass), and the version of the code.
    """
    about: dict[str, Any] = {}
    if dataset is not None:
        about = {
            "layout": dataset.layout,
            "data": str(dataset.folder),
            "data_hash": dataset.fingerprint(),
        }
    return {
        **about,
        "initial": initial.source,
        "initial_hash": initial.fingerprint,
        "code": code_version(),
        "config": by_name(config),
        "encoder": by_name(initial.config),
    }


def averaged_over(runs: int, name: str) -> str:
    """Describe the cells: "one seed", or "mean ± deviation over 3 seeds"."""
    return f"one {name}" if runs == 1 else f"mean ± deviation over {runs} {name}s"


def voted(votes: int) -> str:
    """Describe the averaging of logits: "one vote", "10 votes"."""
    return "one vote" if votes == 1 else f"{votes} votes"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown, its columns aligned.

    rich, which prints the other tables, would fit it to the width of the terminal.
    """
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_results(output: Output, name: str, text: str, content: Mapping[str, Any]) -> None:
    """Write `name`.md and `name`.json."""
    write_to(output, f"{name}.md", text + "\n")
    write_to(output, f"{name}.json", json.dumps(content, indent=1) + "\n")
