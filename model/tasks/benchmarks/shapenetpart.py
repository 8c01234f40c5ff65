"""ShapeNetPart, as text with its split lists and as HDF5."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ....core.errors import InputError
from ....core.untrusted import read_json, shown
from ..config import Task
from .shapes import (
    ArrayShapes,
    Dataset,
    IntArray,
    Layout,
    Shape,
    Shapes,
    check_labels,
    check_name,
    checked_points,
    read_h5,
    read_lines,
    read_table,
    whole_numbers,
)

__all__ = ["LAYOUTS", "NUM_PARTS", "PARTS", "SYNSETS"]

PARTS: dict[str, tuple[int, ...]] = {
    "Airplane": (0, 1, 2, 3),
    "Bag": (4, 5),
    "Cap": (6, 7),
    "Car": (8, 9, 10, 11),
    "Chair": (12, 13, 14, 15),
    "Earphone": (16, 17, 18),
    "Guitar": (19, 20, 21),
    "Knife": (22, 23),
    "Lamp": (24, 25, 26, 27),
    "Laptop": (28, 29),
    "Motorbike": (30, 31, 32, 33, 34, 35),
    "Mug": (36, 37),
    "Pistol": (38, 39, 40),
    "Rocket": (41, 42, 43),
    "Skateboard": (44, 45, 46),
    "Table": (47, 48, 49),
}
"""Category -> labels of its parts, the same in both forms."""
NUM_PARTS = 50
SYNSETS = {
    "Airplane": "02691156", "Bag": "02773838", "Cap": "02954340", "Car": "02958343", "Chair": "03001627",
    "Earphone": "03261776", "Guitar": "03467517", "Knife": "03624134", "Lamp": "03636649", "Laptop": "03642806",
    "Motorbike": "03790512", "Mug": "03797390", "Pistol": "03948459", "Rocket": "04099429", "Skateboard": "04225987",
    "Table": "04379243",
}  # fmt: skip
SPLITS = ("train", "val", "test")


def check_parts(parts: IntArray, category: str, where: str) -> IntArray:
    """Check part labels against those of their category.

    Raises
    ------
    InputError : a label of another category; names it
    """
    bad = parts[~np.isin(parts, PARTS[category])]
    if len(bad):
        known = ", ".join(map(str, PARTS[category]))
        raise InputError(
            f"{where}: part label {bad[0]} is none of {category}'s ({known}): get this file again"
        )
    return parts


def known_categories(path: Path) -> tuple[str, ...]:
    """Read the names of the categories, in their order, from lines of name and synset."""
    names = tuple(line.split()[0] for line in read_lines(path))
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        raise InputError(
            f"{path} names {shown(unknown[0]) if unknown else 'no category'}; "
            f"known are {', '.join(PARTS)}"
        )
    return names


# ---- text: <synset>/<id>.txt, x y z nx ny nz part ----


@dataclass(frozen=True)
class PartFiles:
    """Reads a file of points with normals and part labels."""

    paths: tuple[Path, ...]
    categories: tuple[str, ...]
    files: bool = field(default=True, init=False)

    def __call__(self, number: int) -> Shape:
        """Read the shape of a number; see `shapes.Shapes`."""
        path = self.paths[number]
        table = read_table(path, None, 4)
        # the part stands in the last column: (n,)
        parts = whole_numbers(table[:, -1], str(path))
        return checked_points(table, str(path)), check_parts(
            parts, self.categories[number], str(path)
        )


def open_text(folder: Path, task: Task) -> Dataset:
    """Open `shapenetcore_partanno_segmentation_benchmark_v0_normal`."""
    table = folder / "synsetoffset2category.txt"
    classes = known_categories(table)
    pairs = [line.split() for line in read_lines(table)]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{table}: expected lines of a name and a synset: get it again")
    folders = {check_name(synset, str(table)): name for name, synset in pairs}
    splits = {}
    for split in SPLITS:
        listed = folder / "train_test_split" / f"shuffled_{split}_file_list.json"
        keys = [entry.split("/")[-2:] for entry in read_split(listed)]
        unknown = [key for key in keys if len(key) != 2 or key[0] not in folders]
        if unknown:
            raise InputError(
                f"{listed} lists {shown('/'.join(unknown[0]))}, "
                f"whose synset synsetoffset2category.txt does not name"
            )
        for _, name in keys:
            check_name(name, str(listed))
        # by category and id, whatever the order of the list
        keys.sort(key=lambda key: (classes.index(folders[key[0]]), key[1]))
        paths = tuple(folder / synset / f"{name}.txt" for synset, name in keys)
        absent = [path for path in paths if not path.is_file()]
        if absent:
            raise InputError(
                f"{folder} lacks {len(absent)} of the {len(paths)} files that {listed.name} "
                f"lists, such as "
                f"{absent[0].relative_to(folder)}: unpack the archive again"
            )
        of = tuple(folders[synset] for synset, _ in keys)
        labels = np.array([classes.index(name) for name in of], dtype=np.int64)
        splits[split] = Shapes(
            labels, [f"{synset}/{name}" for synset, name in keys], PartFiles(paths, of)
        )
    return Dataset(task, "shapenetpart-text", folder, classes, splits)


def read_split(path: Path) -> list[str]:
    """Read a split's list, `shape_data/<synset>/<id>` each."""
    try:
        listed = read_json(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): it belongs to this layout; get it again"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is no list ({error}): get it again") from None
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise InputError(f"{path}: expected a list of shape_data/<synset>/<id>")
    return listed


# ---- HDF5: data, label, pid ----


def open_h5(folder: Path, task: Task) -> Dataset:
    """Open `hdf5_data`."""
    listed = folder / "all_object_categories.txt"
    classes = known_categories(listed) if listed.exists() else tuple(PARTS)
    splits = {}
    for split in SPLITS:
        paths = sorted(folder.glob(f"ply_data_{split}*.h5"))
        if not paths:
            raise InputError(
                f"{folder} has no ply_data_{split}0.h5: unpack shapenet_part_seg_hdf5_data.zip "
                f"again"
            )
        points, labels, parts = [], [], []
        for path in paths:
            values = read_h5(path, ("data", "label", "pid"))
            labels.append(check_labels(values["label"], len(classes), str(path)))
            if values["pid"].shape != values["data"].shape[:2]:
                raise InputError(
                    f"{path}: part labels of shape {values['pid'].shape}, "
                    f"points {values['data'].shape}"
                )
            for i, label in enumerate(labels[-1]):
                where = f"{path}, shape {i}"
                parts.append(
                    check_parts(whole_numbers(values["pid"][i], where), classes[label], where)
                )
                points.append(values["data"][i])
            # all parts become one (N, P) array, so P must be the same
            if len({each.shape for each in parts}) > 1:
                raise InputError(
                    f"{path} has shapes of another number of points than the files before: "
                    f"get it again"
                )
        all_labels = np.concatenate(labels)
        names = [f"{split} {i}" for i in range(len(all_labels))]
        read = ArrayShapes(points, str(folder / f"ply_data_{split}*.h5"), np.array(parts))
        splits[split] = Shapes(all_labels, names, read)
    return Dataset(task, "shapenetpart-h5", folder, classes, splits)


def has_h5(folder: Path) -> bool:
    """Check whether a folder has ShapeNetPart's HDF5 files; ModelNet40's have the same names."""
    listed = (
        any(folder.glob("*_hdf5_file_list.txt")) or (folder / "all_object_categories.txt").exists()
    )
    return listed and any(folder.glob("ply_data_*.h5"))


LAYOUTS = (
    Layout(
        "shapenetpart-text", ("shapenetpart",), "shapenetcore_partanno_segmentation_benchmark_v0_normal",
        "synsetoffset2category.txt, train_test_split/shuffled_{train,val,test}_file_list.json, "
        "<synset>/<id>.txt …",
        "https://shapenet.cs.stanford.edu/media/shapenetcore_partanno_segmentation_benchmark_v0_normal.zip",
        lambda folder: (folder / "synsetoffset2category.txt").exists() or (folder / "train_test_split").is_dir(),
        open_text,
    ),
    Layout(
        "shapenetpart-h5", ("shapenetpart",), "hdf5_data",
        "ply_data_{train,val,test}0.h5 …, all_object_categories.txt, train_hdf5_file_list.txt",
        "https://shapenet.cs.stanford.edu/media/shapenet_part_seg_hdf5_data.zip",
        has_h5, open_h5,
    ),
)  # fmt: skip
