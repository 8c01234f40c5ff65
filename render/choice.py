"""The choice of rendered models by synset, id or split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import hash_to_fraction, sha256
from ..core.progress import say
from ..core.wording import one_line, shorten, visible
from .shapenet.listing import Model
from .shapenet.selection import Selection, select
from .shapenet.synsets import V2_NAMES

__all__ = ["SPLITS", "Choice", "choose_renders", "drawn_split", "lot"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Choice:
    """The selection of models from a folder of renders; all by default.

    Attributes
    ----------
    synsets : offsets or names; all where empty
    ids : file of ids, one a line: `id` or `synset/id`
    split_csv : ShapeNet's official table id,synsetId,subSynsetId,modelId,split
    split : its part to take, such as `train`; all of the table if None. Without a table: train,
        val or test
    shares : how much of the models train, val and test get when there is no table. All views of a
        model go together
    """

    synsets: tuple[str, ...] = ()
    ids: Path | None = None
    split_csv: Path | None = None
    split: str | None = None
    shares: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.split_csv and self.shares:
            raise InputError(
                "--split-csv and --split-shares: a split is either official or drawn, give one of "
                "the two"
            )
        if self.split and not (self.split_csv or self.shares):
            raise InputError(
                f"--split {shorten(self.split)} needs --split-csv FILE, ShapeNet's official table "
                "all.csv, or "
                "--split-shares TRAIN VAL TEST, by which it is drawn"
            )
        if self.shares and self.split not in SPLITS:
            raise InputError(
                f"--split-shares needs --split train, val or test, got {shorten(str(self.split))}"
            )
        if self.shares and not (min(self.shares) >= 0 and 0 < sum(self.shares) < float("inf")):
            raise InputError(
                f"--split-shares {' '.join(map(str, self.shares))}: three shares, none negative, "
                "not all 0"
            )

    def manifest_entry(self) -> dict[str, Any]:
        """Return the choice as a manifest records it.

        A list is named by its file's name and sha256.

        Raises
        ------
        InputError : a list cannot be read
        """
        lists = {
            name: None if path is None else {"file": one_line(path.name), "sha256": sha256(path)}
            for name, path in (("ids", self.ids), ("split_csv", self.split_csv))
        }
        shares = None if self.shares is None else list(self.shares)
        synsets = sorted(map(visible, self.synsets))
        return {
            "synsets": synsets,
            **lists,
            "split": visible(self.split or "all"),
            "split_shares": shares,
        }


def choose_renders(paths: Sequence[Path], choice: Choice, seed: int = 0) -> list[Path]:
    """Select render files `<synset>/<model>.h5`.

    Prints the listed models that are missing.

    Parameters
    ----------
    paths : sorted
    seed : of a drawn split

    Returns
    -------
    chosen : in the same order

    Raises
    ------
    InputError : a list cannot be read, a synset is not there, or nothing is left
    """
    # A render file stands for the model of its folder and name.
    models = [Model(path.parent.name, path.stem, path) for path in paths]
    if choice.synsets:
        offsets = _offsets(
            choice.synsets, {model.synset for model in models}, paths[0].parent.parent
        )
        models = [model for model in models if model.synset in offsets]
    split = choice.split if choice.split_csv else None
    # The selection of models is the one of `cma3d render`.
    models, notes = select(
        models,
        Selection(synsets=choice.synsets, ids=choice.ids, split_csv=choice.split_csv, split=split),
    )
    for note in notes:
        say(note)
    if choice.shares is not None:
        models = [
            model for model in models if drawn_split(model.key, choice.shares, seed) == choice.split
        ]
    if not models:
        raise InputError(
            f"{paths[0].parent.parent}: none of its {len(paths)} models is in the split "
            f"{choice.split}"
        )
    return [model.folder for model in models]


def lot(seed: int, purpose: str, key: str) -> float:
    """Draw a number in [0, 1) for a model.

    It depends on the three arguments alone, not on which other models there are.
    """
    return hash_to_fraction(f"{seed} {purpose} {key}")


def drawn_split(key: str, shares: tuple[float, float, float], seed: int) -> str:
    """Return the split, train, val or test, drawn for a model."""
    # The three shares lie side by side from 0 to their sum; the lot falls on one.
    position = lot(seed, "split", key) * sum(shares)
    return (
        SPLITS[0]
        if position < shares[0]
        else SPLITS[1]
        if position < shares[0] + shares[1]
        else SPLITS[2]
    )


def _offsets(synsets: tuple[str, ...], there: set[str], renders: Path) -> set[str]:
    """Return the offsets of synsets that are named by offset or name."""
    names = {name: synset for synset, name in V2_NAMES.items()}
    offsets = {name if name in there else names.get(name, name) for name in synsets}
    missing = sorted(offsets - there)
    if missing:
        listed = ", ".join(sorted(V2_NAMES.get(synset, synset) for synset in there))
        raise InputError(f"{renders} has no synset {shorten(repr(missing[0]))}; it has {listed}")
    return offsets
