"""Small procedural benchmarks in the layouts of the real ones.

Shapes are those of `cma3d samples`: points drawn uniformly from the area of their parts. Scans show
them from one side, with noise and, in some variants, a background. Results on miniatures say nothing
about the real benchmarks; they show that the commands work, and how fast.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import InputError
from ..core.outputs import HIDDEN, cannot_write, claim
from ..model.tasks.benchmarks.folds import FOLDS, SETTINGS, draw_fold, fold_shapes
from ..model.tasks.benchmarks.layouts import LAYOUTS
from ..model.tasks.benchmarks.modelnet import sample_surface
from ..model.tasks.benchmarks.scanobjectnn import FILES, SCANOBJECTNN
from ..model.tasks.benchmarks.shapenetpart import PARTS, SYNSETS
from ..model.tasks.benchmarks.shapes import FloatArray, IntArray
from ..reconstruct.sample import farthest_point_order
from .primitives import Mesh
from .shapenet_folder import build_parts, random_stream

__all__ = ["MINIATURES", "write_miniature"]

MODELNET = {
    "airplane": "airplane", "bed": "bed", "bookshelf": "bookshelf", "bottle": "bottle", "car": "car",
    "chair": "chair", "cup": "mug", "guitar": "guitar", "lamp": "lamp", "laptop": "laptop", "sofa": "sofa",
    "table": "table",
}  # fmt: skip
"""Twelve classes of ModelNet40 -> the procedural category that stands for each."""
SCANS = {
    "cabinet": "cabinet",
    "chair": "chair",
    "shelf": "bookshelf",
    "table": "table",
    "bed": "bed",
    "sofa": "sofa",
}
"""Six classes of ScanObjectNN -> the procedural category."""
PART_NAMES: dict[str, dict[int, str]] = {
    "Airplane": {
        0: "fuselage cockpit cabin canopy",
        1: "wings struts",
        2: "tailplanes fin",
        3: "nacelles fans spinner nozzles intakes",
    },
    "Car": {8: "roof pillars windows rails", 10: "tyres rims", 11: "body arches headlamps tail_lamps trim plates wing"},
    "Chair": {12: "back posts stay", 13: "seat", 14: "legs ring", 15: "arms"},
    "Guitar": {20: "neck fretboard frets", 21: "body hole rosette bridge pickups"},
    "Lamp": {24: "body base legs block", 25: "shade head domes dome", 27: "pole arms bow cords hub"},
    "Laptop": {28: "base touchpad keys", 29: "lid bezel screen"},
    "Mug": {36: "handle", 37: "body"},
    "Table": {47: "top", 48: "legs foot trestles", 49: "shelf apron body drawers handles"},
}  # fmt: skip
"""ShapeNetPart's category -> part label -> the procedural parts with this label; other parts are left out."""
CATEGORY = {name: name.lower() for name in PART_NAMES}
FOLD_POINTS = 1024
POINTS = 2048  # a shape; the pickled form of the real ModelNet40 has 8,192, its text 10,000


@dataclass(frozen=True)
class Counts:
    """Shapes a class in each split."""

    train: int
    test: int
    val: int
    seed: int


def triangles(mesh: Mesh) -> np.ndarray[Any, Any]:
    """Cut convex faces into fans: (f, 3, 3) float64 corners, metres."""
    fans = []
    for size in np.unique(mesh.sizes):
        starts = mesh.starts[mesh.sizes == size]
        for k in range(1, size - 1):
            # The k-th triangle of all faces of this size at once, (faces, 3).
            fans.append(mesh.corners[np.stack([starts, starts + k, starts + k + 1], axis=1)])
    faces: np.ndarray[Any, Any] = mesh.vertices[np.concatenate(fans)]
    return faces


def draw_shape(
    category: str, seed: int, number: int, labels: dict[str, int] | None = None
) -> tuple[FloatArray, IntArray]:
    """Draw points from the surface of a procedural model.

    Parameters
    ----------
    category, seed, number : identify the model
    labels : part name -> label; parts without a label are left out. If None, all parts are kept

    Returns
    -------
    points : (POINTS, 6) float32, coordinates and normals, centred, largest norm 1
    parts : (POINTS,) int64
    """
    parts, _ = build_parts(category, seed, number)
    chosen = [part for part in parts if labels is None or part.name in labels]
    faces = [triangles(part.mesh) for part in chosen]
    # (f,) label of the part that each triangle belongs to.
    owner = np.concatenate([np.full(len(each), labels[part.name] if labels else 0)
                            for part, each in zip(chosen, faces, strict=True)])  # fmt: skip
    every = np.concatenate(faces)
    points, index = sample_surface(every, POINTS, random_stream("points", seed, category, number))
    normals = np.cross(every[index, 1] - every[index, 0], every[index, 2] - every[index, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    points = points - points.mean(axis=0)
    points /= np.linalg.norm(points, axis=1).max()
    return np.concatenate([points, normals], axis=1).astype(np.float32), owner[index].astype(
        np.int64
    )


def numbered(split: str, counts: Counts) -> range:
    """Return the numbers of a split's models; splits are disjoint."""
    first = {"train": 0, "test": counts.train, "val": counts.train + counts.test}[split]
    return range(first, first + getattr(counts, split))


# ---- ModelNet40 ----


def modelnet_shapes(split: str, counts: Counts) -> Iterator[tuple[int, str, FloatArray]]:
    """Yield label, name and points of each shape."""
    for label, (name, category) in enumerate(MODELNET.items()):
        for number in numbered(split, counts):
            yield label, f"{name}_{number + 1:04}", draw_shape(category, counts.seed, number)[0]


def write_lists(folder: Path, counts: Counts) -> None:
    """Write the list of classes and of each split's shapes."""
    write_lines(folder / "modelnet40_shape_names.txt", MODELNET)
    for split in ("train", "test"):
        names = [
            f"{name}_{number + 1:04}" for name in MODELNET for number in numbered(split, counts)
        ]
        write_lines(folder / f"modelnet40_{split}.txt", names)


def write_lines(path: Path, lines: Any) -> None:
    """Write lines of text."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def modelnet_dat(folder: Path, counts: Counts) -> None:
    """Write the pickled form, points in farthest point order."""
    write_lists(folder, counts)
    for split in ("train", "test"):
        points, labels = [], []
        for label, _, cloud in modelnet_shapes(split, counts):
            points.append(cloud[farthest_point_order(np.ascontiguousarray(cloud[:, :3]), POINTS)])
            labels.append(np.array([label], dtype=np.int32))
        (folder / f"modelnet40_{split}_{POINTS}pts_fps.dat").write_bytes(
            pickle.dumps([points, labels], protocol=4)
        )


def modelnet_text(folder: Path, counts: Counts) -> None:
    """Write the text form."""
    write_lists(folder, counts)
    for split in ("train", "test"):
        for label, name, cloud in modelnet_shapes(split, counts):
            path = folder / list(MODELNET)[label] / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            np.savetxt(path, cloud, fmt="%.6f", delimiter=",")


def modelnet_h5(folder: Path, counts: Counts) -> None:
    """Write the HDF5 form, the training shapes in two files."""
    write_lines(folder / "shape_names.txt", MODELNET)
    for split, files in (("train", 2), ("test", 1)):
        shapes = list(modelnet_shapes(split, counts))
        # Shuffled: until here the shapes are sorted by class.
        order = np.random.default_rng(counts.seed).permutation(len(shapes))
        listed = []
        for number, part in enumerate(np.array_split(order, files)):
            name = f"ply_data_{split}{number}.h5"
            listed.append(f"data/modelnet40_ply_hdf5_2048/{name}")
            with h5py.File(folder / name, "w") as file:
                file["data"] = np.stack([shapes[i][2][:, :3] for i in part])
                file["normal"] = np.stack([shapes[i][2][:, 3:] for i in part])
                file["label"] = np.array([[shapes[i][0]] for i in part], dtype=np.uint8)
        write_lines(folder / f"{split}_files.txt", listed)


def modelnet_off(folder: Path, counts: Counts) -> None:
    """Write the original meshes of ModelNet40.

    Some headers run into the counts, as in the real files.
    """
    for name, category in MODELNET.items():
        for split in ("train", "test"):
            (folder / name / split).mkdir(parents=True)
            for number in numbered(split, counts):
                corners = np.concatenate(
                    [triangles(p.mesh) for p in build_parts(category, counts.seed, number)[0]]
                )
                # Equal corners become one vertex; faces are (f, 3) indices of vertices.
                vertices, faces = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
                faces = faces.reshape(-1, 3)
                head = f"OFF{'' if number % 4 == 3 else chr(10)}{len(vertices)} {len(faces)} 0\n"
                rows = "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices)
                rows += "".join(f"3 {a} {b} {c}\n" for a, b, c in faces)
                (folder / name / split / f"{name}_{number + 1:04}.off").write_text(
                    head + rows, encoding="utf-8"
                )


def fewshot_pickles(folder: Path, counts: Counts) -> None:
    """Write ten folds of each setting, drawn from the small ModelNet40."""
    drawn = {split: list(modelnet_shapes(split, counts)) for split in ("train", "test")}
    labels = {split: np.array([label for label, _, _ in each]) for split, each in drawn.items()}
    shapes = {
        split: [cloud[:FOLD_POINTS, :3].copy() for *_, cloud in each]
        for split, each in drawn.items()
    }
    for way, shot in SETTINGS:
        (folder / f"{way}way_{shot}shot").mkdir()
        for number in range(FOLDS):
            fold = draw_fold(labels["train"], labels["test"], way, shot, number)
            train, test = fold_shapes(fold, labels["train"], labels["test"])
            of = {"train": (fold.train, train), "test": (fold.test, test)}
            content = {
                split: [
                    (shapes[split][i], int(label), int(labels[split][i]))
                    for i, label in zip(*each, strict=True)
                ]
                for split, each in of.items()
            }
            (folder / f"{way}way_{shot}shot" / f"{number}.pkl").write_bytes(
                pickle.dumps(content, protocol=4)
            )


# ---- ScanObjectNN ----


def scan(
    cloud: FloatArray, rng: np.random.Generator, *, background: bool, perturbed: bool
) -> tuple[FloatArray, IntArray]:
    """Turn a model's surface into a scan by a depth camera.

    Parameters
    ----------
    cloud : (n, 6) float32, points and normals
    background : add a floor
    perturbed : turned about the vertical, shifted, stretched and cut off, as in PB-T50-RS

    Returns
    -------
    points : (POINTS, 3) float32
    mask : (POINTS,) int64, -1 on the background
    """
    side = rng.uniform(0, 2 * np.pi)
    # The camera stands on any side, above the object.
    towards = np.array([np.cos(side), 0.5, np.sin(side)])
    # (n, 3) points that face the camera, with some slack at the outline.
    points = cloud[(cloud[:, 3:] @ towards) > -0.2, :3].astype(np.float64)
    mask = np.zeros(len(points), dtype=np.int64)
    if background:
        low, count = points.min(axis=0), POINTS // 5
        floor = np.stack(
            [rng.uniform(-1, 1, count), np.full(count, low[1]), rng.uniform(-1, 1, count)], axis=1
        )
        points, mask = np.concatenate([points, floor]), np.concatenate([mask, np.full(count, -1)])
    if perturbed:
        turn = rng.uniform(-np.pi, np.pi)
        cos, sin = np.cos(turn), np.sin(turn)
        points = (
            points
            @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
            * rng.uniform(0.75, 1.25, 3)
        )
        # Up to a fifth of the points, those of the largest x, are cut off.
        inside = (points @ np.array([1.0, 0, 0])) < np.quantile(points[:, 0], rng.uniform(0.8, 1))
        points, mask = points[inside] + rng.uniform(-0.25, 0.25, 3), mask[inside]
    index = rng.choice(len(points), POINTS, replace=len(points) < POINTS)
    return (points[index] + rng.normal(0, 0.004, (POINTS, 3))).astype(np.float32), mask[index]


def scanobjectnn_h5(folder: Path, counts: Counts) -> None:
    """Write all three variants; of the perturbed one two scans a shape."""
    for task, (within, name) in FILES.items():
        (folder / within).mkdir(exist_ok=True)
        perturbed = task == "scanobjectnn-pb"
        for split, prefix in (("train", "training"), ("test", "test")):
            rng = random_stream("scan", counts.seed, task, split)
            scans, labels = [], []
            for class_name, category in SCANS.items():
                for number in numbered(split, counts):
                    cloud, _ = draw_shape(category, counts.seed, number)
                    for _ in range(2 if perturbed else 1):
                        scans.append(
                            scan(cloud, rng, background=within == "main_split", perturbed=perturbed)
                        )
                        labels.append(SCANOBJECTNN.index(class_name))
            order = rng.permutation(len(scans))
            with h5py.File(folder / within / f"{prefix}_{name}", "w") as file:
                file["data"] = np.stack([scans[i][0] for i in order])
                file["mask"] = np.stack([scans[i][1] for i in order]).astype(np.int32)
                file["label"] = np.array(labels, dtype=np.int32)[order]


# ---- ShapeNetPart ----


@cache
def labels_of(name: str) -> dict[str, int]:
    """Return the label of each procedural part of a category."""
    return {part: label for label, parts in PART_NAMES[name].items() for part in parts.split()}


def part_shapes(split: str, counts: Counts) -> Iterator[tuple[str, str, FloatArray, IntArray]]:
    """Yield category, id, points with normals, and parts of each shape."""
    for name, category in CATEGORY.items():
        for number in numbered(split, counts):
            cloud, parts = draw_shape(category, counts.seed, number, labels_of(name))
            yield name, f"{number:032x}", cloud, parts


def shapenetpart_text(folder: Path, counts: Counts) -> None:
    """Write the text form with its split lists."""
    write_lines(
        folder / "synsetoffset2category.txt", (f"{name}\t{SYNSETS[name]}" for name in CATEGORY)
    )
    (folder / "train_test_split").mkdir()
    for split in ("train", "val", "test"):
        listed = []
        for name, model, cloud, parts in part_shapes(split, counts):
            (folder / SYNSETS[name]).mkdir(exist_ok=True)
            # (POINTS, 7): point, normal, part.
            rows = np.concatenate([cloud, parts[:, None]], axis=1)
            np.savetxt(folder / SYNSETS[name] / f"{model}.txt", rows, fmt="%.6f")
            listed.append(f"shape_data/{SYNSETS[name]}/{model}")
        text = json.dumps(listed)
        (folder / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(
            text, encoding="utf-8"
        )


def shapenetpart_h5(folder: Path, counts: Counts) -> None:
    """Write the HDF5 form; its categories are numbered among all sixteen."""
    write_lines(
        folder / "all_object_categories.txt", (f"{name}\t{SYNSETS[name]}" for name in PARTS)
    )
    for split in ("train", "val", "test"):
        shapes = list(part_shapes(split, counts))
        write_lines(folder / f"{split}_hdf5_file_list.txt", [f"ply_data_{split}0.h5"])
        with h5py.File(folder / f"ply_data_{split}0.h5", "w") as file:
            file["data"] = np.stack([cloud[:, :3] for _, _, cloud, _ in shapes])
            file["label"] = np.array(
                [[list(PARTS).index(name)] for name, _, _, _ in shapes], dtype=np.uint8
            )
            file["pid"] = np.stack([parts for *_, parts in shapes]).astype(np.uint8)


MINIATURES: dict[str, dict[str, Callable[[Path, Counts], None]]] = {
    "modelnet40": {
        "modelnet40-dat": modelnet_dat,
        "modelnet40-text": modelnet_text,
        "modelnet40-h5": modelnet_h5,
        "modelnet40-off": modelnet_off,
    },
    "fewshot": {"fewshot-pickle": fewshot_pickles},
    "scanobjectnn": {"scanobjectnn-h5": scanobjectnn_h5},
    "shapenetpart": {"shapenetpart-text": shapenetpart_text, "shapenetpart-h5": shapenetpart_h5},
}
"""Benchmark -> layout -> its writer; the first layout is the default."""
MARK = "MINIATURE.txt"
ABOUT = """A procedural miniature of {task} ({layout}), made by `cma3d samples --task`. It holds nothing of the real
benchmark; results on it cannot be compared with anything. CC0 1.0.
"""


def write_miniature(
    out: Path,
    task: str,
    *,
    layout: str | None = None,
    train: int = 24,
    test: int = 20,
    val: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a small benchmark to its usual folder in OUT.

    The folder is complete or absent.

    Parameters
    ----------
    out : created if missing
    task : modelnet40, fewshot, scanobjectnn or shapenetpart
    layout : one of its layouts; the first if None
    train, test, val : shapes a class; few-shot folds need 20 of each
    seed : another seed gives other shapes

    Returns
    -------
    summary : "folder", "layout", and the counts

    Raises
    ------
    InputError : an unknown layout, a folder that exists already, or cannot be written
    """
    writers = MINIATURES[task]
    layout = layout or next(iter(writers))
    if layout not in writers:
        raise InputError(f"{task} has no layout {layout!r}: the layouts are {', '.join(writers)}")
    folder = out / next(each.folder for each in LAYOUTS if each.name == layout)
    if folder.exists():
        raise InputError(f"{folder} exists already: remove it, or give another OUT")
    counts = Counts(train, test, val, seed)
    with claim(out, "benchmarks", earlier=_is_earlier) as output:
        try:
            with output.write_folder(folder.name) as tree:
                writers[layout](tree, counts)
                (tree / MARK).write_text(ABOUT.format(task=task, layout=layout), encoding="utf-8")
        except (OSError, RuntimeError) as error:  # HDF5 raises RuntimeError on a full disk
            raise InputError(cannot_write(folder, error)) from error
    return {
        "folder": str(folder),
        "layout": layout,
        "train": train,
        "test": test,
        "val": val,
        "seed": seed,
    }


def _is_earlier(out: Path) -> bool:
    """Recognise a folder of miniatures that version 0.1 wrote."""
    inner = [path for path in out.iterdir() if path.name != HIDDEN]
    return bool(inner) and all((path / MARK).is_file() for path in inner)
