"""Verification of shards: every law on every row, with the worst figures."""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from ..core.camera import CONVENTIONS
from ..core.errors import InputError, needs
from ..core.files import sha256
from ..core.processes import results_in_order, workers
from ..core.progress import track
from ..core.schema import Opened, WrongFileError
from ..render.choice import drawn_split
from ..render.shapenet.listing import list_models
from ..render.shapenet.selection import Layout, Selection
from .laws import LAWS, Verdict
from .manifest import MANIFEST
from .reader import Shards
from .row_checks import check_row, surface_distance

__all__ = ["verdict_table", "verify_shards"]


def verify_shards(
    folders: Path | Sequence[Path],
    *,
    source: Path | None = None,
    layout: Layout = "auto",
    jobs: int | None = None,
) -> list[Verdict]:
    """Check every law on every row.

    Parameters
    ----------
    folders : shards; of several, such as the splits of a dataset, also that no two share a model
    source : the ShapeNet that was rendered, to measure every point's distance to its mesh
    layout : how `source` is laid out
    jobs : processes; the number of cores if None

    Returns
    -------
    verdicts : one for each law that was applied, in the order of LAWS

    Raises
    ------
    InputError : a folder is not a readable set of shards, `source` is not a ShapeNet, or a package
        is missing
    """
    sets = [
        Shards(folder, most_open=1)
        for folder in ([folders] if isinstance(folders, Path) else folders)
    ]
    for shards in sets:
        if not len(shards):
            raise InputError(f"{shards.folder} is empty: pack again")
    _check_packages(source, layout)
    verdicts = {law.name: Verdict(law) for law in LAWS}
    indexes = [_RowIndex(shards, f"{shards.folder}/" if len(sets) > 1 else "") for shards in sets]
    with workers(jobs, batch_size=8) as parallel:
        for index in indexes:
            _verify_set(index, verdicts, parallel, source, layout)
    for one, two in itertools.combinations(indexes, 2):
        _compare_sets(one, two, verdicts["distinct models"])
    return [verdict for verdict in verdicts.values() if verdict.checked]


def _verify_set(
    index: _RowIndex,
    verdicts: Mapping[str, Verdict],
    parallel: Parallel,
    source: Path | None,
    layout: Layout,
) -> None:
    """Check the laws of one set: its files, its rows, the whole."""
    shards, prefix = index.shards, index.prefix
    call = secrets.token_hex(4)  # another call may find other files under the same names
    # files
    tasks = (delayed(_check_file)(shards.folder, call, file) for file in range(len(shards.files)))
    with results_in_order(parallel, tasks) as reports:
        for file, (other, same) in enumerate(track(reports, len(shards.files), "shards")):
            name = f"{prefix}{shards.files[file].name}"
            if other is not None:
                reason = f"other than expected: {', '.join(other)}" if other else ""
                verdicts["attributes"].add(len(other), name, reason)
            verdicts["sha256"].add(0.0 if same else 1.0, name)
    # rows
    tasks = (
        delayed(_check_row)(shards.folder, call, row, source, layout) for row in range(len(shards))
    )
    with results_in_order(parallel, tasks) as results:
        for row, report in enumerate(track(results, len(shards), "rows")):
            for law, figure in report.figures.items():
                reason = report.reasons.get(law, "")
                verdicts[law].add(figure, f"{prefix}{report.location}", reason)
            if report.key is not None:
                index.note(row, report.key)
    # the set
    index.find_twins(verdicts["distinct rows"])
    wrong = _wrong_statements(index)
    verdicts["manifest"].add(
        len(wrong), f"{prefix}{MANIFEST}", f"differs from the shards: {', '.join(wrong)}"
    )


def _wrong_statements(index: _RowIndex) -> list[str]:
    """Return the names of the manifest's entries that the shards contradict.

    Rows by synset are compared only if every row could be read; the law `readable` covers the rest.
    """
    manifest = index.shards.manifest
    expected: dict[str, Any] = {"conventions": CONVENTIONS, "rows": len(index.shards)}
    if index.known.all():
        expected["synsets"] = dict(index.synsets)
    return [name for name, value in expected.items() if manifest.get(name) != value]


def _compare_sets(one: _RowIndex, two: _RowIndex, verdict: Verdict) -> None:
    """Find the models that both sets hold."""
    # the distinct models of each set, with the first row of each
    models = [np.unique(index.models[index.known], return_index=True) for index in (one, two)]
    # (S,) each: the shared models, and their indices in the two lists
    shared, first, second = np.intersect1d(
        models[0][0], models[1][0], assume_unique=True, return_indices=True
    )
    verdict.checked += len(models[0][0]) + len(models[1][0])
    for left, right in zip(models[0][1][first], models[1][1][second], strict=True):
        # indices among the readable rows become row numbers of the set
        row_of_one = one.name(np.flatnonzero(one.known)[left])
        row_of_two = two.name(np.flatnonzero(two.known)[right])
        verdict.add(1.0, row_of_two, f"the model of {row_of_one}")
        verdict.checked -= 1  # the model is in the count of models already
    if not len(shared) and not verdict.location:
        verdict.location = str(two.shards.folder)


class _RowIndex:
    """The identities of a set's rows.

    A row takes 16 bytes, since there may be millions.

    Parameters
    ----------
    prefix : put before the names of files

    Attributes
    ----------
    known : (N,) bool, True for each row that could be read
    keys, models : (N,) uint64, hashes of the row's view of its model, and of its model
    synsets : number of rows by synset
    """

    def __init__(self, shards: Shards, prefix: str = "") -> None:
        self.shards, self.prefix = shards, prefix
        self.known = np.zeros(len(shards), dtype=bool)
        self.keys, self.models = (np.zeros(len(shards), dtype=np.uint64) for _ in range(2))
        self.synsets: Counter[str] = Counter()

    def note(self, row: int, key: tuple[str, str, int]) -> None:
        """Record a row by synset, model and view."""
        self.known[row] = True
        self.synsets[key[0]] += 1
        self.models[row], self.keys[row] = _hash64(key[:2]), _hash64(key)

    def name(self, row: int) -> str:
        """Return the name of a readable row: `shard row synset/model view`."""
        fields = self.shards.read([row], ["synset", "model_id", "view"])
        key = (str(fields["synset"][0]), str(fields["model_id"][0]), int(fields["view"][0]))
        return f"{self.prefix}{_row_location(self.shards, row)} {_key_text(key)}"

    def find_twins(self, verdict: Verdict) -> None:
        """Count the rows whose model and view an earlier row has."""
        rows = np.flatnonzero(self.known)
        # first[which[i]] is the first row with the key of row i; a twin is any later one
        _, first, which = np.unique(self.keys[rows], return_index=True, return_inverse=True)
        twins = np.flatnonzero(first[which] != np.arange(len(rows)))
        # every row but the twins counts as sound; the verdict names the first one
        if len(rows):
            verdict.add(0.0, self.name(int(rows[0])))
            verdict.checked += len(rows) - len(twins) - 1
        for twin in twins:
            earlier = self.name(int(rows[first[which[twin]]]))
            verdict.add(1.0, self.name(int(rows[twin])), f"the same as {earlier}")


def _hash64(key: tuple[str | int, ...]) -> np.uint64:
    # with 64 bits, two of a million rows agree by chance in one of about 4e7 sets
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def _row_location(shards: Shards, row: int) -> str:
    # the last file that starts at or before this row
    file = int(np.searchsorted(shards.starts, row, side="right") - 1)
    return f"{shards.files[file].name} row {row - shards.starts[file]}"


def _key_text(key: tuple[str, str, int]) -> str:
    return f"{key[0]}/{key[1]} view {key[2]}"


def verdict_table(verdicts: list[Verdict]) -> str:
    """Format verdicts as a table, and the broken laws with their rows."""
    lines = [f"{'law':<22}{'worst':>10} {'limit':>8}  unit"]
    for verdict in verdicts:
        law = verdict.law
        lines.append(f"{law.name:<22}{verdict.worst:>10.2g} {law.limit:>8.2g}  {law.unit}")
    for verdict in verdicts:
        if verdict.broken:
            reason = f": {verdict.reason}" if verdict.reason else ""
            lines.append(
                f"BROKEN {verdict.law.name}: {verdict.broken} of {verdict.checked}, "
                f"worst in {verdict.location}{reason}"
            )
    # models are counted in pairs of sets, not in rows
    rows = max(verdict.checked for verdict in verdicts if verdict.law.unit != "models")
    broken = sum(1 for verdict in verdicts if verdict.broken)
    lines.append(f"{rows} rows: " + (f"{broken} laws are broken" if broken else "every law holds"))
    return "\n".join(lines)


@dataclass(frozen=True)
class _RowReport:
    """The measurements of one row.

    Attributes
    ----------
    location : name of the row
    figures, reasons : by law
    key : synset, model and view; None if the row cannot be read
    """

    location: str
    figures: dict[str, float]
    reasons: dict[str, str] = field(default_factory=dict)
    key: tuple[str, str, int] | None = None


def _check_file(folder: Path, call: str, index: int) -> tuple[list[str] | None, bool]:
    """Check a file's attributes and its checksum.

    Returns
    -------
    other : names of attributes with another value than the manifest's; None if the file cannot be
        opened, which the laws `readable` and `sha256` report
    same : True if the file has the checksum that the manifest lists

    Raises
    ------
    WrongFileError : a file of another format, kind or version, to which no law applies
    """
    shards = _open_shards(folder, call)
    same = sha256(shards.files[index]) == shards.manifest["shards"][index]["sha256"]
    names = ["conventions", "config", "render_config", "seed"]
    # sets of older releases lack some of these
    names += [name for name in ("selection", "split", "source") if name in shards.manifest]
    try:
        with shards.check(index) as opened:
            stated = {name: _read_attribute(opened, name) for name in names}
    except WrongFileError:
        raise
    except InputError:
        return None, same
    expected = {name: shards.manifest.get(name, "missing") for name in stated}
    expected["conventions"] = CONVENTIONS
    return [name for name, value in expected.items() if stated[name] != value], same


def _read_attribute(opened: Opened, name: str) -> Any:
    """Read an attribute: a number, a text or JSON; None if unreadable."""
    try:
        stored = opened.attribute(name)
        plain = name in ("split", "source") or not isinstance(stored, str)
        return stored if plain else opened.json(name)
    except InputError:
        return None


@lru_cache(maxsize=1)
def _open_shards(folder: Path, call: str) -> Shards:
    """Open shards once per process and call, since files may change between."""
    return Shards(folder, most_open=1)


def _check_row(
    folder: Path, call: str, index: int, source: Path | None, layout: Layout
) -> _RowReport:
    """Measure the laws of a row."""
    shards = _open_shards(folder, call)
    location = _row_location(shards, index)
    try:
        row = shards[index]
    except InputError as error:
        return _RowReport(location, {"readable": 1.0}, {"readable": str(error)})
    key = (str(row["synset"]), str(row["model_id"]), int(row["view"]))
    location += f" {_key_text(key)}"
    figures = {"readable": 0.0} | check_row(row)
    split = _stated_split(shards.manifest)
    if split is not None:
        figures["split"] = float(drawn_split("/".join(key[:2]), *split[1:]) != split[0])
    render = shards.manifest.get("render_config")
    render = render if isinstance(render, dict) else {}
    views = render.get("views")  # if it is missing or no number, the law `attributes` reports it
    figures["view"] = float(max(0, key[2] + 1 - views)) if isinstance(views, int) else np.inf
    # before such a background a black object is an image of one colour
    if render.get("background") in ("transparent", "#000000"):
        del figures["image"]
    reasons: dict[str, str] = {}
    if source is not None:
        figures["surface"], reasons["surface"] = surface_distance(row, source, layout)
    return _RowReport(location, figures, reasons, key)


def _stated_split(
    manifest: Mapping[str, Any],
) -> tuple[str, tuple[float, float, float], int] | None:
    """Return the split, shares and seed that the manifest states, or None."""
    try:
        train, val, test = map(float, manifest["selection"]["split_shares"])
        return (
            str(manifest["selection"]["split"]),
            (train, val, test),
            int(manifest["config"]["seed"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _check_packages(source: Path | None, layout: Layout) -> None:
    """Check `source`, and that the required packages can be imported."""
    if source is not None:
        try:
            list_models(source, Selection(layout=layout))
        except InputError as error:
            raise InputError(f"--source is the ShapeNet that was rendered, but {error}") from None
    for package in ("fpsample", *(("open3d", "trimesh") if source else ())):
        try:
            __import__(package)
        except (ImportError, OSError) as error:  # OSError: a library that the package itself loads
            raise needs(package, "reconstruct", error) from None
