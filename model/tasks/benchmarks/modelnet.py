"""ModelNet40 in the four forms that people have: pickled, text, HDF5, and the original meshes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....core.errors import InputError, ModelError
from ..config import Task
from .shapes import (
    ArrayShapes,
    Dataset,
    Layout,
    Shape,
    Shapes,
    check_labels,
    check_name,
    checked_points,
    label_numbers,
    read_h5,
    read_lines,
    read_table,
)
from .unpickle import read_pickle

__all__ = ["LAYOUTS", "MODELNET40", "sample_surface"]

_CLASSES = (
    "airplane bathtub bed bench bookshelf bottle bowl car chair cone cup curtain desk door "
    "dresser flower_pot "
    "glass_box guitar keyboard lamp laptop mantel monitor night_stand person piano plant radio "
    "range_hood sink sofa "
    "stairs stool table tent toilet tv_stand vase wardrobe xbox"
)
MODELNET40 = tuple(_CLASSES.split())
"""The forty classes, by label: alphabetical, in every form."""
SPLITS = ("train", "test")
_PICKLED = re.compile(
    r"modelnet(?P<classes>\d+)_(?P<split>train|test)_(?P<points>\d+)pts(_fps)?\.dat"
)
_LARGEST = 1e9  # of coordinates
_SURFACE_POINTS = 8192  # sampled on a mesh, as many as the pickled form has


def class_names(folder: Path, pattern: str) -> tuple[str, ...]:
    """Read the list of classes; without one, return ModelNet40's own."""
    lists = sorted(folder.glob(pattern))
    return (
        tuple(check_name(name, str(lists[0])) for name in read_lines(lists[0]))
        if lists
        else tuple(MODELNET40)
    )


# ---- pickled: [list of (n, 6), list of (1,) labels] ----


def pickled_files(folder: Path) -> dict[str, Path]:
    """Return the pickle of each split; of several numbers of points the largest."""
    files = [(int(match["points"]), match["split"], path) for path in sorted(folder.glob("modelnet*.dat"))
             if (match := _PICKLED.fullmatch(path.name))]  # fmt: skip
    # sorted by the number of points, so the largest comes last and stays
    return {split: path for _, split, path in sorted(files)}


def open_pickled(folder: Path, task: Task) -> Dataset:
    """Open `modelnet40_{train,test}_8192pts_fps.dat`."""
    files = pickled_files(folder)
    classes = class_names(folder, "modelnet*_shape_names.txt")
    splits = {}
    for split in SPLITS:
        if split not in files:
            raise InputError(
                f"{folder} has no modelnet40_{split}_8192pts_fps.dat beside "
                f"{next(iter(files.values())).name}"
            )
        content = read_pickle(files[split])
        if not (
            _are_lists(content)
            and len(content) == 2
            and _are_lists(*content)
            and len({*map(len, content)}) == 1
        ):
            raise InputError(
                f"{files[split]}: expected a list of clouds and a list of as many labels"
            )
        labels = check_labels(
            label_numbers(content[1], str(files[split])), len(classes), str(files[split])
        )
        names = [f"{split} {i}" for i in range(len(labels))]
        splits[split] = Shapes(labels, names, ArrayShapes(content[0], str(files[split])))
    return Dataset(task, "modelnet40-dat", folder, classes, splits)


def _are_lists(*values: Any) -> bool:
    """Check whether values from a pickle are lists, or arrays with a first axis."""
    return all(
        isinstance(each, list | tuple) or (isinstance(each, np.ndarray) and each.ndim > 0)
        for each in values
    )


# ---- text: <class>/<class>_0001.txt, x,y,z,nx,ny,nz ----


@dataclass(frozen=True)
class TextShapes:
    """Reads a file of comma-separated points with normals."""

    paths: tuple[Path, ...]
    files: bool = field(default=True, init=False)

    def __call__(self, number: int) -> Shape:
        """Read the shape of a number; see `shapes.Shapes`."""
        path = self.paths[number]
        return checked_points(read_table(path, ",", 3), str(path)), None


def open_text(folder: Path, task: Task) -> Dataset:
    """Open `modelnet40_normal_resampled`: a list a split, a text file a shape."""
    lists = {split: sorted(folder.glob(f"modelnet*_{split}.txt")) for split in SPLITS}
    missing = [split for split in SPLITS if not lists[split]]
    if missing:
        raise InputError(
            f"{folder} has no modelnet40_{missing[0]}.txt: it lists the {missing[0]} shapes"
        )
    classes = class_names(folder, "modelnet*_shape_names.txt")
    splits = {}
    for split in SPLITS:
        listed = lists[split][-1]  # of modelnet10 and modelnet40 the latter
        names = [check_name(name, str(listed)) for name in read_lines(listed)]
        of = [name.rpartition("_")[0] for name in names]
        unknown = [name for name, known in zip(names, of, strict=True) if known not in classes]
        if unknown:
            raise InputError(
                f"{listed} lists {unknown[0]}, whose class is not among the {len(classes)} of "
                f"its folder"
            )
        paths = tuple(folder / known / f"{name}.txt" for name, known in zip(names, of, strict=True))
        absent = [path for path in paths if not path.is_file()]
        if absent:
            raise InputError(
                f"{folder} lacks {len(absent)} of the {len(paths)} files that {listed.name} "
                f"lists, such as "
                f"{absent[0].relative_to(folder)}: unpack modelnet40_normal_resampled.zip again"
            )
        labels = np.array([classes.index(known) for known in of], dtype=np.int64)
        splits[split] = Shapes(labels, names, TextShapes(paths))
    return Dataset(task, "modelnet40-text", folder, classes, splits)


# ---- HDF5: ply_data_train0.h5 … ----


def open_h5(folder: Path, task: Task) -> Dataset:
    """Open `modelnet40_ply_hdf5_2048`."""
    classes = class_names(folder, "shape_names.txt")
    splits = {}
    for split in SPLITS:
        paths = sorted(folder.glob(f"ply_data_{split}*.h5"))
        if not paths:
            raise InputError(
                f"{folder} has no ply_data_{split}0.h5: unpack modelnet40_ply_hdf5_2048.zip again"
            )
        read = [read_h5(path, ("data", "label")) for path in paths]
        labels = [
            check_labels(each["label"], len(classes), str(path))
            for each, path in zip(read, paths, strict=True)
        ]
        names = [
            f"{path.stem} {i}"
            for path, each in zip(paths, labels, strict=True)
            for i in range(len(each))
        ]
        points: list[Any] = [cloud for each in read for cloud in each["data"]]
        splits[split] = Shapes(
            np.concatenate(labels),
            names,
            ArrayShapes(points, str(folder / f"ply_data_{split}*.h5")),
        )
    return Dataset(task, "modelnet40-h5", folder, classes, splits)


# ---- the original meshes: <class>/{train,test}/<class>_0001.off ----


@dataclass(frozen=True)
class MeshShapes:
    """Samples points on an OFF mesh; the same points each time."""

    paths: tuple[Path, ...]
    files: bool = field(default=True, init=False)

    def __call__(self, number: int) -> Shape:
        """Read the shape of a number; see `shapes.Shapes`."""
        from ....render.mesh.load import load_geometries

        path = self.paths[number]
        try:
            meshes = load_geometries(path.parent, path.name)
        except ModelError as error:
            raise InputError(f"{path.parent}: {error}; get this file again") from None
        try:
            # (f, 3, 3) of each mesh
            corners = [
                np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
                for mesh in meshes
                if len(mesh.faces)
            ]
            # the empty array serves a file without faces
            triangles = np.concatenate([*corners, np.zeros((0, 3, 3))])
        except (IndexError, ValueError):
            raise InputError(
                f"{path} has faces of vertices that it does not have: get this file again"
            ) from None
        if not (np.abs(triangles) <= _LARGEST).all():  # nor NaN
            raise InputError(
                f"{path} has vertices that are not finite, or above {_LARGEST:.0e}: "
                f"get this file again"
            )
        # the number of the shape is the seed, so every run gets the same points
        points, _ = sample_surface(triangles, _SURFACE_POINTS, np.random.default_rng(number))
        return checked_points(points, str(path)), None


def sample_surface(
    triangles: np.ndarray[Any, Any], count: int, rng: np.random.Generator
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Draw points uniformly from the area of triangles.

    trimesh's sampler would draw others: clouds prepared by earlier versions would not come again.

    Parameters
    ----------
    triangles : (f, 3, 3) float, corners
    count : points to draw

    Returns
    -------
    points : (count, 3) float64; no points where the triangles have no area
    faces : (count,) int64, the triangle of each
    """
    edges = triangles[:, 1:] - triangles[:, :1]  # (f, 2, 3)
    # twice the area, (f,): only the ratios matter
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    if not areas.sum() > 0:
        return np.zeros((0, 3)), np.zeros(0, np.int64)
    # a triangle is drawn as often as its area demands: (count,)
    faces = rng.choice(len(triangles), count, p=areas / areas.sum())
    # (count, 1) each
    u, v = rng.random((2, count, 1))
    u, v = (
        np.where(u + v > 1, 1 - u, u),
        np.where(u + v > 1, 1 - v, v),
    )  # folds the square onto the triangle
    return triangles[faces, 0] + u * edges[faces, 0] + v * edges[faces, 1], faces


def open_meshes(folder: Path, task: Task) -> Dataset:
    """Open the original ModelNet40: OFF meshes, sampled here."""
    classes = tuple(
        sorted(
            {
                check_name(path.parent.parent.name, str(folder))
                for path in folder.glob("*/train/*.off")
            }
        )
    )
    splits = {}
    for split in SPLITS:
        paths = tuple(sorted(folder.glob(f"*/{split}/*.off")))
        if not paths:
            raise InputError(f"{folder} has no <class>/{split}/*.off: unpack ModelNet40.zip again")
        of = [path.parent.parent.name for path in paths]
        unknown = sorted(set(of) - set(classes))
        if unknown:
            raise InputError(
                f"{folder / unknown[0]} has no train/*.off: unpack ModelNet40.zip again"
            )
        labels = np.array([classes.index(name) for name in of], dtype=np.int64)
        splits[split] = Shapes(labels, [path.stem for path in paths], MeshShapes(paths))
    note = f"{_SURFACE_POINTS} points are drawn from each mesh, uniformly over its area"
    return Dataset(task, "modelnet40-off", folder, classes, splits, (note,))


def has_lists(folder: Path) -> bool:
    """Check whether a folder has ModelNet40's HDF5 files.

    ShapeNetPart's have the same names beside others.
    """
    return any(folder.glob("modelnet*_train.txt")) or any(folder.glob("modelnet*_test.txt"))


def has_h5(folder: Path) -> bool:
    """Check whether a folder has ModelNet40's HDF5 files; ShapeNetPart's have the same names beside others."""
    part = (
        any(folder.glob("*_hdf5_file_list.txt")) or (folder / "all_object_categories.txt").exists()
    )
    return any(folder.glob("ply_data_t*.h5")) and not part


LAYOUTS = (
    Layout(
        "modelnet40-dat", ("modelnet40",), "modelnet40_normal_resampled",
        "modelnet40_train_8192pts_fps.dat, modelnet40_test_8192pts_fps.dat, "
        "modelnet40_shape_names.txt",
        "https://github.com/Julie-tang00/Point-BERT/blob/master/DATASET.md",
        lambda folder: bool(pickled_files(folder)), open_pickled,
    ),
    Layout(
        "modelnet40-text", ("modelnet40",), "modelnet40_normal_resampled",
        "modelnet40_shape_names.txt, modelnet40_train.txt, modelnet40_test.txt, "
        "<class>/<class>_0001.txt …",
        "https://shapenet.cs.stanford.edu/media/modelnet40_normal_resampled.zip",
        has_lists, open_text,
    ),
    Layout(
        "modelnet40-h5", ("modelnet40",), "modelnet40_ply_hdf5_2048",
        "ply_data_train0.h5 …, ply_data_test0.h5 …, shape_names.txt",
        "https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip",
        has_h5, open_h5,
    ),
    Layout(
        "modelnet40-off", ("modelnet40",), "ModelNet40",
        "<class>/train/<class>_0001.off …, <class>/test/…",
        "http://modelnet.cs.princeton.edu/ModelNet40.zip",
        lambda folder: any(folder.glob("*/train/*.off")) or any(folder.glob("*/test/*.off")), open_meshes,
    ),
)  # fmt: skip
