"""The check of a ShapeNet before days are spent on it.

Meshes are read and repaired, materials read, pictures judged by their headers; all models in
parallel.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ...core.errors import ModelError
from ...core.processes import count_cores, results_in_order, workers
from ...core.progress import track
from ...core.scratch import Scratch
from ..mesh.bounds import MOST_LOOKUPS, in_reach, mesh_path, read_mesh_bytes
from ..mesh.load import check_mesh
from ..mesh.mtl import (
    METALLIC,
    Pictures,
    find_inside,
    library_lines,
    map_file,
    read_alpha,
    read_library,
)
from ..mesh.obj import Mesh, parse_obj
from ..mesh.repair import repair
from .listing import V2_FILE, Listing, Model, category_names, fetch
from .stored_normals import FaceText, share_of_stray_normals
from .synsets import TOTAL, V2_COUNTS, V2_NAMES

__all__ = ["FINDINGS", "Diagnosis", "ModelReport", "diagnose", "diagnosis_text", "examine"]

Weight = Literal["fatal", "lost", "mended", "note"]

LARGE = 250_000
"""Faces; twenty-five times the median of ShapeNet."""
_BATCH = 32  # models a process takes at a time
_LISTED = 20  # models that cannot be rendered, in the table
_SMOOTH = 0.1  # share of stray stored normals that is worth a word


@dataclass(frozen=True)
class Finding:
    """A kind of fault.

    Its weight is `fatal` where the model cannot be rendered, `lost` where something is left out or
    replaced, `mended` where the render is as if the fault were not there, and `note` for what is
    good to know.
    """

    weight: Weight
    meaning: str


FINDINGS: dict[str, Finding] = {
    "no OBJ": Finding("fatal", "the folder holds no mesh"),
    "empty OBJ": Finding("fatal", "the mesh file holds no vertex"),
    "no usable face": Finding("fatal", "vertices or lines, and no face with an area"),
    "unreadable": Finding(
        "fatal", "it or its archive is damaged, too large, or leads outside the model's folder"
    ),
    "missing texture": Finding("lost", "a picture is not there: the material's colour is shown"),
    "unreadable texture": Finding(
        "lost", "no picture, too large, or a GIF: the material's colour is shown"
    ),
    "refused reference": Finding("lost", "a path leads outside the model's folder: not read"),
    "missing MTL": Finding("lost", "no material library: grey"),
    "undefined material": Finding("lost", "a material that no library defines: grey"),
    "bad index": Finding("lost", "faces that use a vertex that does not exist: left out"),
    "NaN": Finding("lost", "faces with a vertex that is not finite, or beyond 1e9: left out"),
    "face of two corners": Finding("lost", "faces with less than three corners: left out"),
    "alpha zero": Finding("mended", "invisible materials (d 0): shown opaque"),
    "Tr": Finding("mended", "transparency by Tr, whose sense is disputed: not read, opaque"),
    "metallic illum": Finding("mended", "illum 3 and above, a mirror to some: not read"),
    "doubled faces": Finding(
        "mended", "faces there twice with opposite winding: merged to one of two sides"
    ),
    "duplicate faces": Finding("mended", "faces there more than once: one stays"),
    "degenerate faces": Finding("mended", "faces without an area: left out"),
    "lines or points": Finding("mended", "line and point elements: left out"),
    "wrong normals": Finding(
        "mended", "over a tenth of the stored normals are far off their face: not read"
    ),
    "backslash in path": Finding("mended", "read as a slash"),
    "letter case of path": Finding("mended", "found under other letter case"),
    "alpha below one": Finding(
        "note", "materials with d below 1: depth takes them as they were opaque"
    ),
    "alpha map": Finding("note", "holes or glass by map_d: depth takes the surface as whole"),
    "space in path": Finding("note", "a picture's name holds spaces"),
    "negative index": Finding("note", "indices count backwards"),
    "CRLF": Finding("note", "lines end as on Windows"),
    "non-ASCII name": Finding("note", "ids, materials, groups or pictures"),
    "very large mesh": Finding("note", f"{LARGE:,} faces or more: slow"),
    "not unit size": Finding("note", "the box's diagonal is not 1, as ShapeNetCore.v2 has it"),
    "flat": Finding("note", "no thickness: views along it are empty"),
    "missing JSON": Finding("note", "no model_normalized.json: not needed"),
    "same OBJ": Finding("note", "byte for byte the mesh of another model"),
}
"""All findings of the doctor, the gravest first."""

_OF_REPAIR = {
    "faces with an index out of range": "bad index",
    "faces with a vertex that is not finite": "NaN",
    "faces with less than three corners": "face of two corners",
    "opposite pairs merged": "doubled faces",
    "duplicate faces dropped": "duplicate faces",
    "faces without area dropped": "degenerate faces",
    "lines and points": "lines or points",
}
_OF_FACES = [name for name in _OF_REPAIR.values() if name != "lines or points"]


@dataclass
class ModelReport:
    """One model's findings: counts by name of `FINDINGS`, size, digest.

    Faces and bytes are those of its mesh; the digest is of these bytes.
    """

    key: str
    counts: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    size: int = 0
    digest: bytes = b""

    @property
    def fatal(self) -> bool:
        """Whether it cannot be rendered."""
        return any(FINDINGS[name].weight == "fatal" for name in self.counts)


def examine(model: Model, scratch: Path) -> ModelReport:
    """Check one model: its mesh, its material libraries, its pictures' headers.

    Parameters
    ----------
    scratch : an empty folder for what comes out of an archive
    """
    counts: Counter[str] = Counter()
    result = ModelReport(model.key)
    try:
        folder, refused = fetch(model, scratch)
        counts["refused reference"] += len(refused)
        if not (folder / model.file).is_file():
            counts["no OBJ"] = 1
        else:
            _examine_mesh(mesh_path(folder, model.file), folder, model.file, counts, result)
    except (
        Exception
    ):  # whatever it is, the render of this model would be recorded as failed, and the rest goes on
        counts["unreadable"] = 1
    counts["non-ASCII name"] += not model.key.isascii()
    result.counts = {name: counts[name] for name in FINDINGS if counts[name]}
    return result


def _examine_mesh(
    path: Path, folder: Path, file: str, counts: Counter[str], result: ModelReport
) -> None:
    data = read_mesh_bytes(path)
    result.size, result.digest = len(data), hashlib.blake2b(data, digest_size=8).digest()
    if not data and path.suffix.lower() != ".obj":
        counts["empty OBJ"] = 1
        return
    check_mesh(folder, file, data)
    if path.suffix.lower() != ".obj":
        return
    # The parser and the repair of the render: the same faults, the same counts.
    mesh = parse_obj(data)
    extent = _examine_geometry(mesh, counts, result)
    text = FaceText.find(data)
    counts["wrong normals"] += share_of_stray_normals(text, mesh.vertices) > _SMOOTH
    counts["negative index"] += text.counts_backwards
    counts["CRLF"] += b"\r\n" in data
    counts["non-ASCII name"] += not data.isascii()
    if file == V2_FILE:
        counts["missing JSON"] += not path.with_suffix(".json").is_file()
        counts["not unit size"] += bool(extent.any() and abs(np.linalg.norm(extent) - 1) > 0.05)
    _examine_libraries(mesh, folder, os.path.dirname(file), counts)  # noqa: PTH120


def _examine_geometry(mesh: Mesh, counts: Counter[str], result: ModelReport) -> NDArray[np.float64]:
    """Count the faults of a mesh by reading and repairing it.

    Returns
    -------
    extent : (3,) float64, object units, of the box around all finite vertices; 0 without a face
    """
    surface = repair(mesh)
    counts.update({_OF_REPAIR[name]: count for name, count in surface.repairs.items()})
    # Faces of the file: those that were read and those left out in reading.
    dropped = sum(count for name, count in mesh.faults.items() if name != "lines and points")
    result.faces = len(mesh.sizes) + dropped
    usable = len(surface.front) > 0
    counts["empty OBJ"] += not len(mesh.vertices)
    counts["no usable face"] += bool(len(mesh.vertices) and not usable)
    counts["very large mesh"] += result.faces >= LARGE
    if not usable:
        return np.zeros(3)
    extent: NDArray[np.float64] = np.ptp(mesh.vertices[in_reach(mesh.vertices)], axis=0)
    counts["flat"] += bool(extent.min() <= 1e-6 * extent.max())
    return extent


def _examine_libraries(mesh: Mesh, folder: Path, base: str, counts: Counter[str]) -> None:
    """Check the MTL files: their materials, and whether their pictures exist."""
    defined: set[str] = set()
    references: set[str] = set()
    for name in [name for name in mesh.libraries if name][:MOST_LOOKUPS]:
        path, note = find_inside(folder, name, base)
        if path is None:
            counts["refused reference" if "refused" in note else "missing MTL"] += 1
            continue
        try:
            text = read_library(path)
        except ModelError:
            counts["missing MTL"] += 1
            continue
        counts["non-ASCII name"] += not text.isascii()
        _examine_library(text, defined, references, counts)
    # Without a library all its materials would be undefined: one finding is enough.
    if not counts["missing MTL"]:
        counts["undefined material"] += len(set(mesh.material_names) - {""} - defined)
    pictures = Pictures(folder, base)
    for reference in sorted(references)[:MOST_LOOKUPS]:
        _examine_reference(reference, pictures, counts)


def _examine_library(
    text: bytes, defined: set[str], references: set[str], counts: Counter[str]
) -> None:
    for key, rest in library_lines(text):
        if key == "newmtl":
            defined.add(rest)
        elif key == "d":
            alpha = read_alpha(rest, 1.0)
            counts["alpha zero"] += alpha == 0
            counts["alpha below one"] += 0 < alpha < 1
        elif key == "tr":
            counts["Tr"] += 1
        elif key == "illum":
            counts["metallic illum"] += rest in METALLIC
        elif key in ("map_kd", "map_d") and rest:
            counts["alpha map"] += key == "map_d"
            references.add(map_file(rest))


def _examine_reference(reference: str, pictures: Pictures, counts: Counter[str]) -> None:
    with_slashes = reference.replace("\\", "/")
    counts["backslash in path"] += "\\" in reference
    counts["space in path"] += " " in reference
    counts["non-ASCII name"] += not reference.isascii()
    path, note = pictures.locate(reference)
    if path is None:
        counts["refused reference" if "refused" in note else "missing texture"] += 1
        return
    named, real = (
        os.path.normpath(f"{pictures.base}/{with_slashes}"),
        path.relative_to(pictures.folder.resolve()).as_posix(),
    )
    counts["letter case of path"] += named != real and named.casefold() == real.casefold()
    counts["unreadable texture"] += pictures.fault(path) != ""


@dataclass(frozen=True)
class Diagnosis:
    """The findings of all models, in the order of the listing."""

    listing: Listing
    models: list[ModelReport]

    @property
    def fatal(self) -> list[ModelReport]:
        """Models that cannot be rendered."""
        return [model for model in self.models if model.fatal]

    def findings(self) -> list[dict[str, Any]]:
        """Return for each finding its models, its count, and up to five examples.

        Faults of faces have a `share`, of the faces of all models.
        """
        rows = []
        faces = sum(model.faces for model in self.models)
        for name, finding in FINDINGS.items():
            having = [model for model in self.models if name in model.counts]
            if having:
                row = {
                    "finding": name,
                    "weight": finding.weight,
                    "meaning": finding.meaning,
                    "models": len(having),
                }
                row["count"] = count = sum(model.counts[name] for model in having)
                # a doubled face is two of the file's
                if name in _OF_FACES and faces:
                    row["share"] = round((2 if name == "doubled faces" else 1) * count / faces, 6)
                rows.append(row | {"examples": [model.key for model in having[:5]]})
        return rows

    def synsets(self) -> list[dict[str, Any]]:
        """Count models by synset.

        `expected` is None if it is unknown, or if only a part was checked.
        """
        names = V2_NAMES | category_names(self.listing.root)
        known = self.listing.whole and all(model.file == V2_FILE for model in self.listing.models)
        total = Counter(model.synset for model in self.listing.models)
        there = Counter(
            model.key.split("/")[0]
            for model in self.models
            if not {"no OBJ", "empty OBJ"} & set(model.counts)
        )
        return [
            {
                "synset": synset,
                "name": names.get(synset, ""),
                "folders": total[synset],
                "models": there[synset],
                "expected": V2_COUNTS.get(synset) if known else None,
            }
            for synset in sorted(total)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as one document."""
        return {
            "root": str(self.listing.root),
            "layout": self.listing.layout,
            "folders": len(self.models),
            "renderable": len(self.models) - len(self.fatal),
            "expected_total": TOTAL,
            "faces": sum(model.faces for model in self.models),
            "bytes": sum(model.size for model in self.models),
            "notes": self.listing.notes,
            "synsets": self.synsets(),
            "findings": self.findings(),
            "fatal": [model.key for model in self.fatal],
            "models": {model.key: model.counts for model in self.models if model.counts},
        }


def diagnose(listing: Listing, *, jobs: int | None = None) -> Diagnosis:
    """Look over all models of a listing.

    Parameters
    ----------
    jobs : processes; the number of cores if None
    """
    models = listing.models
    # Batches, so that little time goes into handing models over.
    batches = [models[begin : begin + _BATCH] for begin in range(0, len(models), _BATCH)]
    jobs = max(1, min(jobs or count_cores(), len(batches)))
    with results_in_order(
        workers(jobs), (delayed(_examine_batch)(batch) for batch in batches)
    ) as results:
        examined = list(track(chain.from_iterable(results), len(models), "models"))
    # Models with the same bytes are named, whichever came first.
    times = Counter(model.digest for model in examined if model.size)
    for model in examined:
        if times[model.digest] > 1:
            model.counts["same OBJ"] = 1
    return Diagnosis(listing, examined)


def _examine_batch(models: list[Model]) -> list[ModelReport]:
    examined = []
    for model in models:
        with Scratch() as scratch:
            examined.append(examine(model, scratch.path))
    return examined


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Format a diagnosis: counts by category, findings, models that cannot be rendered."""
    synsets = Table(
        "synset", "name", "models", "expected", title="Models with a mesh", title_justify="left"
    )
    for row in diagnosis.synsets():
        expected = "not known" if row["expected"] is None else f"{row['expected']:,}"
        synsets.add_row(row["synset"], row["name"], f"{row['models']:,}", expected)
    findings = Table(
        "weight",
        "finding",
        "models",
        "count",
        "of all faces",
        "what it is",
        title="Findings",
        title_justify="left",
    )
    for row in diagnosis.findings():
        share = f"{row['share']:.1%}" if "share" in row else ""
        findings.add_row(
            row["weight"],
            row["finding"],
            f"{row['models']:,}",
            f"{row['count']:,}",
            share,
            row["meaning"],
        )
    for table in (synsets, findings):
        for column in table.columns:
            column.justify = (
                "right"
                if column.header in ("models", "expected", "count", "of all faces")
                else "left"
            )
    console = Console(file=io.StringIO(), width=120, markup=False, highlight=False)
    console.print(synsets)
    console.print(findings)
    fatal = diagnosis.fatal
    for model in fatal[:_LISTED]:
        console.print(f"cannot be rendered: {model.key}: {', '.join(model.counts)}", soft_wrap=True)
    if len(fatal) > _LISTED:
        console.print(f"… and {len(fatal) - _LISTED:,} more: --json lists all")
    faces = np.array([model.faces for model in diagnosis.models if model.faces] or [0])
    console.print(
        f"{len(diagnosis.models) - len(fatal):,} of {len(diagnosis.models):,} models can be "
        "rendered; "
        f"faces: median {int(np.median(faces)):,}, most {faces.max():,}, together {faces.sum():,}",
        soft_wrap=True,
    )
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip("\n")
