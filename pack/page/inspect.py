"""`cma3d inspect` and `cma3d report`: the choice of views, and their pages.

Masks and reconstructions come from the network, which this folder does not import: the caller
passes an `Annotator` that adds them to a view.
"""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np

from ...core.arrays import spread_indices
from ...core.camera import Camera
from ...core.errors import InputError
from ...core.outputs import check_file, claim, write_file
from ...core.progress import track
from ...core.schema import SHARD_FIELDS, Row
from ...render.render_file import find_renders
from ..manifest import MANIFEST
from ..reader import Shards
from .html import PAGE, page_html
from .view import View, render_views, shard_views

__all__ = [
    "Annotator",
    "ViewRequest",
    "draw_contact_sheet",
    "inspect_data",
    "open_in_browser",
    "report_dataset",
]

MOST = 64  # rows in one file: beyond this, a folder of pages loads faster
SHEET_MOST = 1024  # rows on one sheet, which is made in memory


class Annotator(Protocol):
    """Adds the layers of a network to views.

    Attributes
    ----------
    run : folder of the run whose network it shows, or None
    missing : layer -> why no view has it
    """

    run: Path | None
    missing: dict[str, str]

    def add(self, view: View) -> View:
        """Return the view with its layers, or with why it has none."""


@dataclass(frozen=True)
class ViewRequest:
    """The views requested: exactly one of row, rows and model.

    Attributes
    ----------
    row : index of a row; of renders, of a model's file
    rows : the first, and the one after the last
    model : id, or synset/id
    view : of the model; if None the row's own, of renders the one with the most points
    every : all views of the model
    run : folder of a run whose network reconstructs the row
    """

    row: int | None = None
    rows: tuple[int, int] | None = None
    model: str | None = None
    view: int | None = None
    every: bool = False
    run: Path | None = None

    def __post_init__(self) -> None:
        if [self.row, self.rows, self.model].count(None) != 2:
            raise InputError("give one of --row I, --model ID and --rows A:B")
        if self.rows is not None and not 0 <= self.rows[0] < self.rows[1]:
            raise InputError(
                f"--rows {self.rows[0]}:{self.rows[1]} is empty: A:B are the rows from A to B - 1"
            )
        if self.every and self.rows is not None:
            raise InputError("--views all shows one model: give --row I or --model ID")
        if self.view is not None and (self.rows is not None or self.every):
            raise InputError(
                "--view V chooses one view of a model: give it with --row I or --model ID alone"
            )


class ViewSource:
    """The data of a page: rows of shards, or models of renders.

    Parameters
    ----------
    path : folder of shards, folder of renders, a render file, or the output of `cma3d build`, whose
        shards are shown

    Raises
    ------
    InputError : `path` is something else
    """

    def __init__(self, path: Path) -> None:
        if (path / "shards" / MANIFEST).is_file():  # what `cma3d build` or `cma3d demo` made
            path = path / "shards"
        self.path = path
        self.shards = (
            Shards(path) if (path / MANIFEST).is_file() or not _holds_renders(path) else None
        )
        self.files: list[Path] = []
        if self.shards is None:
            self.files = [path] if path.is_file() else find_renders(path)
        self.total = len(self.shards) if self.shards is not None else len(self.files)
        self.unit = "row" if self.shards is not None else "model"
        if not self.total:
            raise InputError(f"{path} is empty: pack again")

    def check(self, row: int) -> int:
        """Check that a row exists, and return its index."""
        if not 0 <= row < self.total:
            raise InputError(
                f"{self.path} has no {self.unit} {row}: it has {self.unit}s 0 to {self.total - 1}"
            )
        return row

    def find(self, model: str) -> list[int]:
        """Return the rows of a model by its id or synset/id."""
        if self.shards is not None:
            return self.shards.find(model)
        rows = [
            row
            for row, file in enumerate(self.files)
            if model in (file.stem, f"{file.parent.name}/{file.stem}")
        ]
        if not rows:
            raise InputError(
                f"{self.path} has no render of the model {model!r}; it has {self.total} models"
            )
        return rows

    def read(self, row: int, *, view: int | None = None, every: bool = False) -> list[View]:
        """Read the views of a row.

        Of renders these are the best view of a model, a chosen one, or all.
        """
        self.check(row)
        if self.shards is not None:
            return shard_views(
                self.shards, self._siblings(row, view) if every or view is not None else [row]
            )
        return render_views(
            self.files[row], row, views=None if view is None else [view], every=every
        )

    def _siblings(self, row: int, view: int | None) -> list[int]:
        """Return the rows of the row's model, or the row of one view."""
        assert self.shards is not None
        names = self.shards.read([row], ["synset", "model_id"])
        rows = self.shards.find(f"{names['synset'][0]}/{names['model_id'][0]}")
        views = [int(number) for number in self.shards.read(rows, ["view"])["view"]]
        if view is None:
            return rows
        if view not in views:
            known = ", ".join(map(str, sorted(views)))
            raise InputError(
                f"{self.path} holds no view {view} of the model {names['model_id'][0]!r}; "
                f"packed: {known}"
            )
        return [rows[views.index(view)]]


def _holds_renders(path: Path) -> bool:
    return path.is_file() or (path / "render.json").is_file() or any(path.glob("*/*.h5"))


def inspect_data(
    path: Path, out: Path, request: ViewRequest, annotate: Callable[[Path | None], Annotator]
) -> Path:
    """Write a page, a folder of pages, or a picture.

    Parameters
    ----------
    path : shards or renders, see `ViewSource`
    out : name.html; name.png for a picture; a folder, which gets a page for each row
    annotate : returns the annotator for the folder of a run, or for None

    Returns
    -------
    path : the file that was written; of a folder of pages the first

    Raises
    ------
    InputError : the requested row or view does not exist, or `out` cannot be written
    """
    source = ViewSource(path)
    kind = out.suffix.lower()
    if kind not in (".html", ".htm", ".png", ""):
        raise InputError(
            f"{out}: give a name that ends in .html, or in .png for a picture, or a folder of pages"
        )
    rows, start = _rows(source, request)
    inputs = [source.path, request.run]
    if kind in (".html", ".htm") and not out.is_dir():
        check_file(out, PAGE, inputs)
    if kind == ".png":
        return _draw_picture(source, rows[start], request, out)
    annotator = annotate(request.run)
    if kind == "" or out.is_dir():
        return write_pages(
            source, rows if request.rows else [rows[start]], out, annotator, request=request
        )[rows[start]]
    if len(rows) > MOST:
        raise InputError(
            f"{len(rows)} rows are too many for one page: give -o FOLDER, or at most {MOST} rows"
        )
    views = [
        view for row in rows for view in source.read(row, view=request.view, every=request.every)
    ]
    first = next(i for i, view in enumerate(views) if view.row == rows[start])
    if request.every:  # begin with the requested row; of renders, with the view that packing keeps
        counts = [view.num_points for view in views]
        stored = [i for i, view in enumerate(views) if view.row == request.row and view.stored]
        first = stored[0] if stored else counts.index(max(counts))
    text = _page(source, [annotator.add(view) for view in views], first, annotator)
    return write_file(out, PAGE, text.encode(), inputs=inputs)


def _draw_picture(source: ViewSource, row: int, request: ViewRequest, out: Path) -> Path:
    """Draw a row to a PNG."""
    from ..card.sheet import write_row

    if request.rows is not None or request.every or request.run is not None:
        raise InputError(
            f"{out}: a picture shows one view; "
            "give a name that ends in .html, or --sheet for many rows"
        )
    (view,) = source.read(row, view=request.view)
    return write_row(as_row(view), f"{source.unit} {view.row}", out, inputs=[source.path])


def draw_contact_sheet(
    path: Path, out: Path, *, rows: tuple[int, int] | None = None, shows: Sequence[str] = ("rgb",)
) -> Path:
    """Draw a contact sheet of rows; by default of 64, evenly spread.

    Parameters
    ----------
    path : shards or renders, see `ViewSource`; of renders the best view of each model is drawn
    rows : the first and the one after the last
    shows : see `card.sheet.contact_png`

    Raises
    ------
    InputError : the rows do not exist, or `out` is not a PNG or cannot be written
    """
    from ..card.sheet import PICTURE, contact_png

    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the sheet is a picture, give a name that ends in .png")
    source = ViewSource(path)
    chosen = (
        spread_indices(source.total, MOST)
        if rows is None
        else _rows(source, ViewRequest(rows=rows))[0]
    )
    if len(chosen) > SHEET_MOST:
        raise InputError(
            f"--rows asks for {len(chosen)} rows on one sheet; give at most {SHEET_MOST}"
        )
    check_file(out, PICTURE, [source.path])
    picture = contact_png((as_row(source.read(row)[0]) for row in chosen), shows)
    return write_file(out, PICTURE, picture, inputs=[source.path])


def as_row(view: View) -> Row:
    """Return a view as a row of shards, for pictures.

    Raises
    ------
    InputError : it was not shaded, or holds values that cannot be drawn
    """
    height, width = view.depth.shape
    name, fault = f"view {view.view} of {view.synset}/{view.model_id}", ""
    if view.rgb is None:
        raise InputError(f"{name} has no colour: choose another --view")
    # pixels are (u, v), so the order is (width, height)
    if (view.pixels >= (width, height)).any():
        fault = "pixels outside its image"
    elif not np.isfinite(view.points).all():
        fault = "points that are not finite"
    else:
        try:
            Camera(view.intrinsics, view.cam_from_obj, width, height)
        except ValueError as error:
            fault = f"no valid camera ({error})"
    if fault:
        raise InputError(
            f"{name} has {fault}: it cannot be drawn, but its page (-o page.html) shows what it holds"
        )
    return {field.name: np.asarray(getattr(view, field.name)) for field in SHARD_FIELDS}


def _rows(source: ViewSource, request: ViewRequest) -> tuple[list[int], int]:
    """Choose the rows of a page and the first one shown.

    A single row comes with its neighbours.
    """
    if request.rows is not None:
        first, end = request.rows
        source.check(first)
        return list(range(first, min(end, source.total))), 0
    row = (
        source.find(request.model)[0]
        if request.model is not None
        else source.check(request.row or 0)
    )
    if request.every or request.view is not None:
        return [row], 0
    rows = [near for near in (row - 1, row, row + 1) if 0 <= near < source.total]
    return rows, rows.index(row)


def write_pages(
    source: ViewSource,
    rows: Sequence[int],
    folder: Path,
    annotator: Annotator,
    *,
    request: ViewRequest | None = None,
    home: str | None = None,
) -> dict[int, Path]:
    """Write a folder of pages, one per row, linked with their neighbours.

    Returns
    -------
    pages : row -> its page
    """
    names = {row: f"{source.unit}-{row:06d}.html" for row in rows}
    every, view = (request.every, request.view) if request else (False, None)
    with claim(folder, "pages", inputs=[source.path, annotator.run]) as output:
        for index, row in enumerate(track(rows, len(rows), "pages")):
            views = [annotator.add(each) for each in source.read(row, view=view, every=every)]
            before = names[rows[index - 1]] if index else None
            after = names[rows[index + 1]] if index + 1 < len(rows) else None
            start = next((i for i, each in enumerate(views) if each.row == row), 0)
            text = _page(source, views, start, annotator, neighbours=(before, after), home=home)
            try:
                output.write_text(names[row], text)
            except OSError as error:
                raise InputError(
                    f"{folder} cannot be written: {error.strerror}; choose another folder"
                ) from None
    return {row: folder / name for row, name in names.items()}


def _page(
    source: ViewSource,
    views: Sequence[View],
    start: int,
    annotator: Annotator,
    *,
    neighbours: tuple[str | None, str | None] = (None, None),
    home: str | None = None,
) -> str:
    return page_html(
        views,
        start=start,
        total=source.total,
        unit=source.unit,
        source=str(source.path),
        missing=annotator.missing,
        neighbours=neighbours,
        home=home,
    )


def open_in_browser(page: Path) -> bool:
    """Open a page in the user's browser; return False without a browser."""
    return webbrowser.open(page.resolve().as_uri())


def report_dataset(path: Path, out: Path, annotator: Annotator, *, most: int = MOST) -> Path:
    """Write a report on shards, and beside it its inspection pages.

    Parameters
    ----------
    path : shards
    out : name.html; the pages lie in name-rows/
    annotator : adds the layers of a network to the pages
    most : thumbnails; of more rows, this many evenly spread ones are shown

    Raises
    ------
    InputError : no shards, a shard that cannot be read, or `out` cannot be written
    """
    from .report import REPORT, report_html, thumbnail
    from .survey import survey_shards

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: the report is a page, give a name that ends in .html")
    source = ViewSource(path)
    check_file(out, REPORT, [source.path])
    if source.shards is None:
        raise InputError(f"{path} holds renders: a report is on shards, `cma3d pack` makes them")
    survey = survey_shards(source.shards)
    rows = spread_indices(len(source.shards), most)
    folder = out.with_name(f"{out.stem}-rows")
    written = {}
    if rows:
        written = write_pages(source, rows, folder, annotator, home=f"../{out.name}")
    fields = source.shards.read(rows, ["rgb", "synset", "model_id", "view"]) if rows else {}
    text = report_html(
        source.shards,
        survey,
        pages={row: quote(f"{folder.name}/{page.name}") for row, page in written.items()},
        thumbnails={row: thumbnail(fields["rgb"][index]) for index, row in enumerate(rows)},
        names={
            row: (
                str(fields["synset"][index]),
                str(fields["model_id"][index]),
                int(fields["view"][index]),
            )
            for index, row in enumerate(rows)
        },
    )
    return write_file(out, REPORT, text.encode(), inputs=[source.path])
