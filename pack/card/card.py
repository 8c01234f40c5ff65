"""The data card: README.md, LICENSE.txt, index.csv, croissant.json and a picture."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.camera import CONVENTIONS
from ...core.errors import InputError
from ...core.files import sha256
from ...core.outputs import Output, cannot_write
from ...core.progress import say
from ...core.schema import GENERATOR, SHARD_FIELDS
from ...core.wording import markdown, one_line
from ...render.shapenet.synsets import V2_NAMES
from ..reader import Shards
from .croissant import INDEX_FIELDS, croissant

__all__ = ["CARD", "write_card"]

CARD = ("README.md", "LICENSE.txt", "index.csv", "croissant.json", "overview.png")
"""The files of a card, beside the shards and their manifest."""

TERMS = "https://shapenet.org/terms"
_MARK = "<!-- Written by `cma3d pack`. A README without this line is yours and stays as it is. -->"
_PAPER = "https://doi.org/10.7717/peerj-cs.3194"

_LICENCE = f"""Licence of what is in this folder
=================================

The images, depth maps and point clouds here are made from 3D models, and the terms of those models apply to them.

  Made from: {{source}}

* Models of ShapeNet: ShapeNet's terms of use, {TERMS}, which everyone who gets ShapeNet agrees to.
  They allow research and education without commercial purpose. Read there whether, and to whom, you may hand on what
  you make from ShapeNet.
* Other models: the licence that they came with. The procedural samples that `cma3d samples` makes are CC0 1.0.

The program that made this folder, shapenet3d-cma, is under the Apache License 2.0. That licence covers the program
alone. It gives no right to the data here.
"""


def write_card(output: Output) -> None:
    """Write the data card, unless one of its files is the user's.

    A file that cma3d did not write stays, and then so does the rest of the card: its parts belong
    together.

    What is written is a function of the shards and their manifest.

    Raises
    ------
    InputError : no shards, or they cannot be read, or the folder cannot be written
    """
    from .sheet import overview_png  # matplotlib, which takes a moment to load

    folder = output.path
    # a card of version 0.1 has no record, but a mark in its README
    if output.earlier and _is_marked(folder / "README.md"):
        for name in CARD:
            output.adopt(name)
    taken = [name for name in CARD if os.path.lexists(folder / name) and not output.owns(name)]
    if taken:
        say(
            f"{folder / taken[0]} is not as cma3d wrote it and is left as it is, "
            "and the rest of the card with it"
        )
        return
    shards = Shards(folder, ["synset", "model_id", "view", "num_points"], most_open=1)
    try:
        source = one_line(str(shards.manifest.get("source", "not stated")))
        output.write_text("LICENSE.txt", _LICENCE.format(source=source))
        index = io.StringIO(newline="")
        writer = csv.writer(index, lineterminator="\n")
        writer.writerow(INDEX_FIELDS)
        writer.writerows(_index(shards))
        output.write_text("index.csv", index.getvalue())
        # sites that show descriptions may take them for HTML
        split = html.escape(one_line(str(shards.manifest["split"])))
        summary = _summary(shards.manifest, split)
        described = croissant(
            shards.manifest, summary, split, TERMS, "1.0.0", sha256(folder / "index.csv")
        )
        output.write_json("croissant.json", described)
        output.write_bytes("overview.png", overview_png(folder))
        output.write_text("README.md", _readme(shards))
    except OSError as error:
        raise InputError(cannot_write(folder, error)) from None


def _is_marked(readme: Path) -> bool:
    """Check whether a README has the mark of version 0.1."""
    return readme.is_file() and _MARK in readme.read_text(encoding="utf-8", errors="replace")


def _index(shards: Shards) -> Iterator[list[Any]]:
    """Return the rows of index.csv."""
    split = shards.manifest.get("split", "all")
    for file, path in enumerate(shards.files):
        first, last = int(shards.starts[file]), int(shards.starts[file + 1])
        batch = shards[first:last]
        for local in range(last - first):
            synset = str(batch["synset"][local])
            model = str(batch["model_id"][local])
            names = [f"{synset}/{model}", synset, V2_NAMES.get(synset, synset), model]
            numbers = [int(batch["view"][local]), int(batch["num_points"][local])]
            yield [first + local, path.name, local, *names, *numbers, split]


def _summary(manifest: dict[str, Any], split: str) -> str:
    """Return a summary of the set; `split` is escaped for its place."""
    render, points = manifest["render_config"], manifest["config"]["points"]
    height = render.get("size", "?")
    part = "" if manifest["split"] == "all" else f", the split {split}"
    return (
        f"{manifest['rows']:,} views of CAD models of {len(manifest['synsets'])} categories{part}: "
        f"image, depth and calibrated camera of {height} pixels height, and {points:,} points in "
        "farthest point order, each with the pixel that it came from. Made by shapenet3d-cma "
        "after the dataset ShapeNet3D-CMA of the CrossAlignNet paper."
    )


def _readme(shards: Shards) -> str:
    manifest = shards.manifest
    parts = [
        _front_matter(manifest),
        _MARK,
        f"# ShapeNet3D-CMA{'' if manifest['split'] == 'all' else ': ' + _cell(manifest['split'])}",
        _summary(manifest, _cell(manifest["split"]))
        + f" [{_PAPER.removeprefix('https://')}]({_PAPER})",
        "![images of some rows](overview.png)",
        _contents(manifest),
        _fields(),
        _READ,
        _made_with(manifest),
        _categories(manifest),
        _missing(manifest),
        "## Licence\n\n"
        f"What is made from ShapeNet stays under [ShapeNet's terms of use]({TERMS}); other models "
        "keep their own licence. The program's licence, Apache 2.0, does not extend to the data. "
        "[LICENSE.txt](LICENSE.txt) has the details.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: dict[str, Any]) -> str:
    """Return the header that dataset hubs read."""
    rows = manifest["rows"]
    sizes = (
        (1e3, "n<1K"),
        (1e4, "1K<n<10K"),
        (1e5, "10K<n<100K"),
        (1e6, "100K<n<1M"),
        (1e99, "1M<n<10M"),
    )
    size = next(name for most, name in sizes if rows < most)
    return (
        f"---\npretty_name: ShapeNet3D-CMA\nlicense: other\nlicense_name: terms-of-the-models\n"
        f"license_link: LICENSE.txt\nsize_categories:\n- {size}\n"
        "tags:\n- 3d\n- point-cloud\n- rgb-d\n- shapenet\n---"
    )


def _contents(manifest: dict[str, Any]) -> str:
    size = sum(entry["bytes"] for entry in manifest["shards"]) / 2**20
    return (
        f"| | |\n|---|---|\n| rows | {manifest['rows']:,} |\n"
        f"| categories | {len(manifest['synsets'])} |\n"
        f"| split | {_cell(manifest['split'])} |\n"
        f"| shards | {len(manifest['shards'])}, {size:,.1f} MiB |\n\n"
        "`manifest.json` lists the shards with their sha256, all settings, what was left out "
        "and why. `index.csv` has a line for each row. `cma3d verify` checks every row against the conventions below."
    )


_READ = """## Read it

```python
import h5py

with h5py.File("shard-00000.h5") as shard:
    image, points, pixels = shard["rgb"][0], shard["points"][0], shard["pixels"][0]
    colours = image[pixels[:, 1], pixels[:, 0]]
```"""


def _fields() -> str:
    lines = [
        f"| `{field.name}` | {field.dtype} ({', '.join(map(str, ('N', *field.shape)))}) "
        f"| {field.meaning} |"
        for field in SHARD_FIELDS
    ]
    return "## A row\n\n| field | dtype, shape | meaning |\n|---|---|---|\n" + "\n".join(lines)


def _made_with(manifest: dict[str, Any]) -> str:
    """Lay out conventions and settings."""
    conventions = "\n".join(
        f"- **{name.replace('_', ' ')}**: {text}" for name, text in CONVENTIONS.items()
    )
    settings = [
        f"| {part} | {f'`{name}`' if name.isidentifier() else _cell(name)} | {_cell(value)} |"
        for part, values in (
            ("pack", manifest["config"]),
            ("choice", manifest.get("selection", {})),
            ("render", manifest["render_config"]),
        )
        for name, value in values.items()
        if value not in ("", None, [])
    ]
    table = "| | setting | value |\n|---|---|---|\n" + "\n".join(settings)
    return f"## Conventions\n\n{conventions}\n\n## Made with\n\n{GENERATOR}\n\n{table}"


def _cell(value: Any) -> str:
    """Return a value as Markdown that shows it as plain text."""
    if isinstance(value, dict) and "sha256" in value:
        value = f"{value['file']}, sha256 {value['sha256'][:16]}…"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return markdown(text if len(text) <= 100 else text[:99] + "…")


def _categories(manifest: dict[str, Any]) -> str:
    lines = [
        f"| {_cell(synset)} | {_cell(V2_NAMES.get(synset, synset))} | {rows:,} |"
        for synset, rows in manifest["synsets"].items()
    ]
    return "## Rows by category\n\n| synset | | rows |\n|---|---|---|\n" + "\n".join(lines)


def _missing(manifest: dict[str, Any]) -> str:
    counts = (
        (len(manifest["left_out"]), "views left out, since they have fewer points than a row"),
        (len(manifest["failures"]), "render files that could not be used"),
        (len(manifest["render_failures"]), "models that could not be rendered"),
    )
    lines = "\n".join(f"- {count:,} {what}" for count, what in counts)
    return f"## Left out\n\n{lines}\n\nThe manifest lists each with its reason."
