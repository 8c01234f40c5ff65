"""An annotator without a network, for tests of pages that are not about its layers."""

from __future__ import annotations

from pathlib import Path

from shapenet3d_cma.pack.page.view import View


class PlainAnnotator:
    """Adds no layer, so that a page needs neither torch nor the time to draw masks."""

    def __init__(self, run: Path | None = None) -> None:
        self.run = run
        self.missing = dict.fromkeys(("patches", "mask"), "No network in this test.")

    def add(self, view: View) -> View:
        return view
