"""The laws of shards, each with its limit, and the verdict on a law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LAWS", "Law", "Verdict"]


@dataclass(frozen=True)
class Law:
    """A figure that every row must keep at or below a limit."""

    name: str
    limit: float
    unit: str
    meaning: str


LAWS = (
    Law("readable", 0, "errors", "the row's arrays can be read"),
    Law("finite", 0, "values", "depth, points and camera are finite, depth is not negative"),
    Law("camera", 0, "errors", "K is a calibration matrix, R a rotation with determinant +1"),
    Law("pixel", 0, "pixels", "every point projects into the very pixel stored with it"),
    Law("pixel centre", 1e-3, "pixels", "every point projects to the centre of its pixel"),
    Law(
        "point",
        1e-9,
        "object units",
        "every point is its pixel's depth, back-projected and rounded to float32",
    ),
    Law("distinct pixels", 0, "points", "no pixel is stored twice in a row"),
    Law("num_points", 0, "points", "num_points counts the pixels with depth"),
    Law(
        "farthest point order",
        1e-6,
        "object units",
        "each point is the farthest from those before it",
    ),
    Law(
        "image",
        0,
        "images",
        "the image has more than one colour (unless the background is black or transparent)",
    ),
    Law(
        "outline",
        0.01,
        "of the pixels",
        "away from the object's depth, the image shows nothing but its background",
    ),
    Law("view", 0, "views", "the view is one of those that were rendered"),
    Law("distinct rows", 0, "rows", "no other row is the same view of the same model"),
    Law("split", 0, "rows", "the row's model belongs to the split that the manifest states"),
    Law("distinct models", 0, "models", "no model is in two sets (if several are checked)"),
    Law(
        "attributes",
        0,
        "attributes",
        "every shard states this program's conventions and the manifest's settings",
    ),
    Law(
        "manifest",
        0,
        "statements",
        "the manifest states this program's conventions, and the shards' rows by synset",
    ),
    Law("surface", 1e-5, "object units", "every point lies on the source mesh (with --source)"),
    Law("sha256", 0, "files", "every shard has the SHA-256 checksum that the manifest lists"),
)


@dataclass
class Verdict:
    """The outcome of one law over all rows.

    Attributes
    ----------
    worst : the largest figure; inf if a figure could not be measured
    location : the row of the worst figure, as `shard row synset/model view`
    reason : why the worst figure is inf, or which row it duplicates; else empty
    broken : number of rows (or files) over the limit
    checked : number of rows (or files) that the law was applied to
    """

    law: Law
    worst: float = 0.0
    location: str = ""
    reason: str = ""
    broken: int = 0
    checked: int = 0

    def add(self, figure: float, location: str, reason: str = "") -> None:
        """Count one row's figure; NaN counts as inf."""
        figure = np.inf if np.isnan(figure) else figure
        self.checked += 1
        self.broken += figure > self.law.limit
        if not self.location or figure > self.worst:
            self.worst, self.location, self.reason = figure, location, reason

    def as_json(self) -> dict[str, Any]:
        """Return the entry that `--json` prints."""
        return {
            "law": self.law.name,
            "meaning": self.law.meaning,
            "worst": self.worst if np.isfinite(self.worst) else str(self.worst),
            "limit": self.law.limit,
            "unit": self.law.unit,
            "where": self.location,
            "reason": self.reason,
            "broken": self.broken,
            "checked": self.checked,
        }
