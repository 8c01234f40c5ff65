"""The selection of models: by synset, id or split, with limits and shares."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.errors import InputError
from ...core.untrusted import read_plain_text
from ...core.wording import shorten
from .model import Model

__all__ = ["Layout", "Selection", "read_ids", "read_split", "select"]

MOST_BYTES = 256 << 20  # of a list; ShapeNet's own table of 51,209 models has 5 MB

Layout = Literal["auto", "v2", "v1", "zip", "flat"]


@dataclass(frozen=True)
class Selection:
    """The selection of models from a folder; all by default.

    Attributes
    ----------
    layout : how the folder is laid out; `auto` tells v2, v1 and zip apart
    synsets : offsets or names; all where empty
    ids : file of ids, one a line: `id` or `synset/id`; `#` begins a comment
    split_csv : ShapeNet's official table id,synsetId,subSynsetId,modelId,split
    split : its part to take, such as `train`; all of the table if None
    limit : the first so many of each synset
    shard : `i/n`, 0 <= i < n: one of n shares, applied last. A model's share depends on its synset
        and id alone
    """

    layout: Layout = "auto"
    synsets: tuple[str, ...] = ()
    ids: Path | None = None
    split_csv: Path | None = None
    split: str | None = None
    limit: int | None = None
    shard: str | None = None

    def __post_init__(self) -> None:
        if self.split and not self.split_csv:
            raise InputError(
                f"--split {shorten(self.split)} needs --split-csv FILE: ShapeNet's official table "
                "all.csv"
            )
        self.share()

    def share(self) -> tuple[int, int]:
        """Return (i, n) of `shard`; (0, 1) takes all.

        Raises
        ------
        InputError : it is not i/n with 0 <= i < n
        """
        if self.shard is None:
            return 0, 1
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", self.shard)
        if not match or int(match[1]) >= int(match[2]):
            raise InputError(
                f"--shard {shorten(self.shard)}: expected i/n with 0 <= i < n, such as 0/8 to 7/8 "
                "for eight jobs"
            )
        return int(match[1]), int(match[2])


def select(models: Sequence[Model], selection: Selection) -> tuple[list[Model], list[str]]:
    """Apply ids, split, limit and share, in this order.

    Parameters
    ----------
    models : sorted by synset and id

    Returns
    -------
    models : the selected ones, in the same order
    notes : requested models that are missing, one line each

    Raises
    ------
    InputError : a list cannot be read, or none of its models is there
    """
    chosen = list(models)
    notes: list[str] = []
    if selection.ids is not None:
        chosen = _among(chosen, read_ids(selection.ids), selection, selection.ids, notes)
    if selection.split_csv is not None:
        keys = read_split(selection.split_csv, selection.split)
        chosen = _among(chosen, keys, selection, selection.split_csv, notes)
    if selection.limit is not None:
        chosen = _first_of_each(chosen, selection.limit)
    index, count = selection.share()
    if count > 1:
        chosen = [model for model in chosen if zlib.crc32(model.key.encode()) % count == index]
    return chosen, notes


def _first_of_each(models: list[Model], limit: int) -> list[Model]:
    counts: dict[str, int] = {}
    first = []
    for model in models:
        counts[model.synset] = counts.get(model.synset, 0) + 1
        if counts[model.synset] <= limit:
            first.append(model)
    return first


def _among(
    models: list[Model], names: set[str], selection: Selection, file: Path, notes: list[str]
) -> list[Model]:
    """Return the models whose id or key is listed; report missing ones."""
    chosen = [model for model in models if model.key in names or model.model_id in names]
    if not chosen:
        raise InputError(
            f"{file} names {len(names)} models, and none of them is there: is it for this ShapeNet?"
        )
    names_there = {model.key for model in chosen} | {model.model_id for model in chosen}
    missing = sorted(names - names_there)
    if (
        missing and not selection.synsets
    ):  # with --synset, those of other synsets are meant to be left out
        examples = ", ".join(map(shorten, missing[:3])) + (", …" if len(missing) > 3 else "")
        notes.append(
            f"{len(missing)} of the {len(names)} models that {file} names are not there: {examples}"
        )
    return chosen


def read_ids(path: Path) -> set[str]:
    """Read ids, one a line: `id` or `synset/id`; `#` begins a comment.

    Raises
    ------
    InputError : it cannot be read, or names none
    """
    lines = (line.partition("#")[0].strip() for line in _text(path).splitlines())
    ids = {line for line in lines if line}
    if not ids:
        raise InputError(f"{path} names no model: expected one id or synset/id a line")
    return ids


def read_split(path: Path, split: str | None) -> set[str]:
    """Read the keys `synset/id` of one part of ShapeNet's split table.

    All parts if `split` is None.

    Raises
    ------
    InputError : it cannot be read, is no such table, or has no such part
    """
    table = csv.DictReader(_text(path).splitlines(), skipinitialspace=True)
    needed = {"synsetId", "modelId", "split"}
    parts: dict[str, set[str]] = {}
    try:
        if not needed <= set(table.fieldnames or ()):
            raise InputError(
                f"{path} is not ShapeNet's split table: expected "
                "id,synsetId,subSynsetId,modelId,split"
            )
        for row in table:
            if row["modelId"] and row["synsetId"]:
                # programs that take offsets for numbers lose their leading zero
                key = f"{row['synsetId'].strip().zfill(8)}/{row['modelId'].strip()}"
                parts.setdefault((row["split"] or "").strip(), set()).add(key)
    except csv.Error as error:
        where = f"line {table.line_num + 1}: {error}"
        raise InputError(
            f"{path} is not ShapeNet's split table, {where}: correct the line, or download it again"
        ) from None
    if split is not None and split not in parts:
        known = ", ".join(map(shorten, sorted(parts)[:10])) + (", …" if len(parts) > 10 else "")
        raise InputError(f"{path} has no split {shorten(repr(split))}; it has {known or 'no row'}")
    return parts[split] if split is not None else set().union(*parts.values())


def _text(path: Path) -> str:
    text = read_plain_text(path, MOST_BYTES, "give a text file")
    if "\0" in text:
        raise InputError(f"{path} cannot be read: it holds zero bytes; give a text file")
    return text
