"""The report on a dataset: one HTML file, charts, linked thumbnails."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...core.outputs import stamp_text
from ...core.schema import GENERATOR
from ...core.wording import visible
from ...render.shapenet.synsets import V2_NAMES
from ..reader import Shards
from .bundle import bundle
from .charts import bars, histogram, sphere
from .html import policy, style, web_file
from .survey import Survey

__all__ = ["REPORT", "report_html", "thumbnail"]

REPORT = "report"
"""Kind of the file, see `core/outputs`."""

_THUMBNAIL = 112  # pixels a side
_REASONS = 12  # reasons shown of each list


def report_html(
    shards: Shards,
    survey: Survey,
    pages: Mapping[int, str],
    thumbnails: Mapping[int, str],
    names: Mapping[int, tuple[str, str, int]],
) -> str:
    """Return the HTML of the report.

    Parameters
    ----------
    pages : row -> its inspection page, relative to the report
    thumbnails : row -> a data URI
    names : row -> synset, model id, view
    """
    script = bundle("report.js", web_file)
    manifest = shards.manifest
    size = sum(int(entry["bytes"]) for entry in manifest["shards"])
    height, width = survey.image
    tiles = {
        "rows": f"{survey.rows:,}",
        "models": f"{survey.models:,}",
        "categories": f"{len(survey.synsets):,}",
        "points a row": f"{survey.points:,}",
        "image": f"{width} × {height}",
        "on the disk": _bytes(size),
        "shards": f"{len(manifest['shards']):,}",
        "split": str(manifest.get("split", "–")),
    }
    labels = {synset: _label(synset) for synset in survey.synsets}
    values = {
        "policy": policy(script),
        "style": style("base.css", "report.css"),
        "script": script,
        "title": html.escape(visible(shards.folder.resolve().name)),
        "source": html.escape(visible(str(shards.folder))),
        "generator": html.escape(GENERATOR),
        "stamp": stamp_text(REPORT),
        "made_by": html.escape(str(manifest.get("generator", "–"))),
        "tiles": "".join(
            f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>"
            for name, value in tiles.items()
        ),
        "verdict": _verdict(survey),
        "synsets": bars(
            {labels[synset]: count for synset, count in survey.synsets.items()},
            label="Rows by category",
        ),
        "points": histogram(
            [("", survey.num_points)], unit="points in a view", label="Points in a view"
        ),
        "depths": histogram(
            [("nearest", survey.near), ("farthest", survey.far)],
            unit="planar depth, object units",
            label="Least and greatest depth of a view",
        ),
        "depths_of": _read_of(survey),
        "sphere": sphere(survey.directions, label="Directions from the object to the cameras"),
        "failures": _failures(manifest),
        "repairs": _repairs(manifest, survey),
        "thumbnails": _thumbnails(pages, thumbnails, names, survey.rows),
    }
    return Template(web_file("report.html")).substitute(values)


def thumbnail(rgb: NDArray[np.uint8]) -> str:
    """Return a small JPEG of an (H, W, 3) uint8 image as data URI."""
    image = Image.fromarray(rgb)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _label(synset: str) -> str:
    name = V2_NAMES.get(synset)
    return f"{name} {synset}" if name else synset


def _bytes(size: int) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} TB"


def _read_of(survey: Survey) -> str:
    read = len(survey.near)
    return "all rows" if read == survey.rows else f"{read:,} of {survey.rows:,} rows, evenly spread"


def _verdict(survey: Survey) -> str:
    state = "holds" if survey.right == survey.checked else "broken"
    return (
        f'<p id="verdict" data-verdict="{state}"><strong>'
        f"{survey.right:,} of {survey.checked:,} stored points "
        f"re-project to their pixel</strong><span>{_read_of(survey)}; "
        "<code>cma3d verify</code> checks every row against every law</span></p>"
    )


def _failures(manifest: Mapping[str, Any]) -> str:
    """Return the lists of failures and left-out views, by reason."""
    lists: list[tuple[str, Sequence[Mapping[str, Any]]]] = [
        ("could not be rendered", manifest.get("render_failures") or []),
        ("could not be packed", manifest.get("failures") or []),
        ("views were left out", manifest.get("left_out") or []),
    ]
    if not any(entries for _, entries in lists):
        return "<p>Nothing failed: every model that was rendered is in the shards.</p>"
    parts = []
    for outcome, entries in lists:
        if not entries:
            continue
        subject = "" if outcome.startswith("views") else "models "
        parts.append(f"<h3>{len(entries):,} {subject}{outcome}</h3><table>")
        reasons = Counter(str(entry.get("reason", "")) for entry in entries)
        for reason, count in reasons.most_common(_REASONS):
            example = next(entry for entry in entries if str(entry.get("reason", "")) == reason)
            model = example.get("file") or f"{example.get('synset')}/{example.get('model_id')}"
            parts.append(
                f'<tr><td class="count">{count:,}</td><td>{html.escape(reason)}<br>'
                f"<code>{html.escape(str(model))}</code></td></tr>"
            )
        if len(reasons) > _REASONS:
            parts.append(
                f"<tr><td></td><td>and {len(reasons) - _REASONS:,} other reasons</td></tr>"
            )
        parts.append("</table>")
    return "".join(parts)


def _repairs(manifest: Mapping[str, Any], survey: Survey) -> str:
    repairs = manifest.get("repairs")
    if not isinstance(repairs, Mapping) or not repairs:
        return "<p>No model was repaired.</p>"
    counts = {str(name): int(count) for name, count in repairs.items()}
    return (
        bars(counts, label="Models by repair") + f'<p class="note">models, of {survey.models:,}</p>'
    )


def _thumbnails(
    pages: Mapping[int, str],
    thumbnails: Mapping[int, str],
    names: Mapping[int, tuple[str, str, int]],
    rows: int,
) -> str:
    if not thumbnails:
        return "<p>No thumbnails.</p>"
    parts = []
    for row, picture in thumbnails.items():
        synset, model, view = names[row]
        name = V2_NAMES.get(synset, synset)
        label = html.escape(f"{name} {model} view {view}")
        parts.append(
            f'<li data-name="{label.lower()}"><a href="{html.escape(pages[row])}">'
            f'<img src="{picture}" alt="{label}">'
            f"<span>{html.escape(name)}</span><small>row {row}</small></a></li>"
        )
    shown = (
        "every row"
        if len(thumbnails) == rows
        else f"{len(thumbnails):,} of {rows:,} rows, evenly spread"
    )
    note = f'<p class="note">{shown}; each opens its inspection page.</p>'
    return f'{note}<ul class="grid-of">{"".join(parts)}</ul>'
