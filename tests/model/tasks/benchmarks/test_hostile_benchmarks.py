"""Benchmarks and results that are not what they say: refused in one line, nothing read outside, no memory claimed."""

import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.benchmarks.folds import open_fold
from shapenet3d_cma.model.tasks.benchmarks.layouts import open_dataset
from shapenet3d_cma.model.tasks.benchmarks.prepared import prepare
from shapenet3d_cma.model.tasks.benchmarks.shapes import read_h5, read_table
from shapenet3d_cma.model.tasks.benchmarks.unpickle import read_pickle
from shapenet3d_cma.tests.fuzz.bounds import bounded

HUGE = 10**12


# ---- HDF5 ----


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    """A sound file, beside a secret one."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"], file["label"] = np.ones((2, 4, 3), "f4"), np.zeros(2, "u1")
    (tmp_path / "secret.bin").write_bytes(bytes(range(96)))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((2, 4, 3), "f4"), np.zeros(2, "u1")
    return tmp_path / "a.h5"


def external_link(file: h5py.File) -> None:
    file["data"] = h5py.ExternalLink("secret.h5", "data")


def soft_link(file: h5py.File) -> None:
    file["other"] = np.zeros((2, 4, 3), "f4")
    file["data"] = h5py.SoftLink("/other")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2, 4, 3), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "data", (2, 4, 3))
    file.create_virtual_dataset("data", layout)


def external_storage(file: h5py.File) -> None:
    secret = str(Path(file.filename).parent / "secret.bin")
    file.create_dataset("data", (2, 4, 3), "f4", external=[(secret, 0, 96)])


def group(file: h5py.File) -> None:
    file.create_group("data")


def named_type(file: h5py.File) -> None:
    file["data"] = np.dtype("f4")


def declared(file: h5py.File) -> None:
    file.create_dataset("data", (HUGE, 4, 3), "f4", chunks=(1, 4, 3))


def declared_whole(file: h5py.File) -> None:
    file.create_dataset(
        "data", (40_000, 40_000, 3), "f4", chunks=(1, 100, 3), compression="gzip", fillvalue=1
    )


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset(
        "data", (2, 4, 3), "f4", chunks=(2, 2**26, 3), maxshape=(2, None, 3), compression="gzip"
    )


def references(file: h5py.File) -> None:
    file.create_dataset("data", (2, 4, 3), h5py.ref_dtype)


def texts(file: h5py.File) -> None:
    file.create_dataset("data", (2, 4, 3), h5py.string_dtype())


def compound(file: h5py.File) -> None:
    file.create_dataset("data", (2, 4, 3), [("a", "f4")])


H5 = [
    external_link,
    soft_link,
    virtual,
    external_storage,
    group,
    named_type,
    declared,
    declared_whole,
    huge_chunk,
]
H5 += [references, texts, compound]


@pytest.mark.parametrize("spoil", H5, ids=lambda spoil: spoil.__name__)
def test_a_dataset_is_the_file_s_own_and_no_larger(h5: Path, spoil: Callable) -> None:
    with h5py.File(h5, "a") as file:
        del file["data"]
        spoil(file)
    with pytest.raises(
        InputError, match=r"a\.h5 cannot be read as HDF5 \(data (is|takes|declares)"
    ) as caught:
        read_h5(h5, ("label", "data"))
    assert "\n" not in str(caught.value)


def test_a_pipe_or_a_text_is_no_hdf5(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_text("text")
    (tmp_path / "c.h5").mkdir()
    for name in "abcd":
        with pytest.raises(
            InputError, match=rf"{name}\.h5 cannot be read as HDF5 \((it is|there is no)"
        ):
            read_h5(tmp_path / f"{name}.h5", ("data",))


# ---- pickles ----

CLOUD = np.zeros((8, 6), "f4") + np.arange(8, dtype="f4")[:, None]
CLOUDS, LABELS = [CLOUD, CLOUD], [np.array([0]), np.array([1])]
DAT: dict[str, tuple[Any, str]] = {
    "number": (3, "expected a list of clouds"),
    "dictionary": ({"a": 1}, "expected a list of clouds"),
    "set": ([{1, 2}, {1, 2}], "expected a list of clouds"),
    "numbers": ([3, 3], "expected a list of clouds"),
    "text": (["ab", "ab"], "expected a list of clouds"),
    "scalar-arrays": ([np.array(3), np.array(3)], "expected a list of clouds"),
    "lists-in-lists": ([[[[0.0] * 3] * 4] * 2, LABELS], "expected an array of points, found list"),
    "one-column": ([[CLOUD[:, :1]] * 2, LABELS], "expected .n, 3 or more. numbers"),
    "no-points": ([[CLOUD[:0]] * 2, LABELS], "expected .n, 3 or more. numbers"),
    "texts": ([[np.array([["a"] * 3])] * 2, LABELS], "expected .n, 3 or more. numbers"),
    "nan": ([[CLOUD * np.nan] * 2, LABELS], "not finite"),
    "infinity": ([[CLOUD + np.inf] * 2, LABELS], "not finite"),
    "double": ([[CLOUD.astype("f8") * 1e300] * 2, LABELS], "not finite"),
    "large": ([[CLOUD * 1e30] * 2, LABELS], r"coordinates above 1e\+09"),
    "no-label": ([CLOUDS, [np.zeros(0, "i8")] * 2], "the label of shape 0 is no whole number"),
    "label-text": ([CLOUDS, ["a", "b"]], "the label of shape 0 is no whole number"),
    "label-float": ([CLOUDS, [0.0, np.nan]], "the label of shape 0 is no whole number"),
    "label-huge": ([CLOUDS, [0, 10**40]], "the label of shape 1 is no whole number"),
    "label-list": ([CLOUDS, [[0], [0]]], "the label of shape 0 is no whole number"),
    "label-outside": ([CLOUDS, [0, 40]], "label 40 of shape 1 is outside"),
    "label-negative": ([CLOUDS, [np.int8(-1), 0]], "label -1 of shape 0 is outside"),
}


@pytest.mark.parametrize("case", DAT)
def test_pickled_clouds_are_clouds(benchmarks: dict[str, Path], tmp_path: Path, case: str) -> None:
    content, says = DAT[case]
    shutil.copytree(benchmarks["modelnet40-dat"], tmp_path / "data")
    next((tmp_path / "data").rglob("modelnet40_test_*.dat")).write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"modelnet40_test_.*{says}") as caught:  # noqa: PT012 - opened or read
        dataset = open_dataset(tmp_path / "data", "modelnet40")
        prepare(dataset, "test", 8, normalise=True, jobs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"train": "abc", "test": "abc"},
        {"train": [3], "test": [3]},
        {"train": [(CLOUD,)], "test": [(CLOUD,)]},
        {"train": [(CLOUD, "a", 0)], "test": [(CLOUD, 0, 0)]},
        {"train": [(CLOUD, [], 0)], "test": [(CLOUD, 0, 0)]},
        {"train": [(CLOUD, 10**30, 0)], "test": [(CLOUD, 0, 0)]},
        {"train": {0: 1}, "test": {0: 1}},
        [],
        None,
    ],
)
def test_pickled_folds_are_folds(tmp_path: Path, content: object) -> None:
    (tmp_path / "2way_1shot").mkdir()
    (tmp_path / "2way_1shot" / "0.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(
        InputError,
        match=r"0\.pkl: (expected lists named train and test|the label of shape 0 is no)",
    ):
        open_fold(tmp_path, 2, 1, 0)


def shared(depth: int) -> bytes:
    """() and then pairs of the last with itself: as few bytes as it is deep, and a hash that takes 2^depth steps."""
    return b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * depth


LETTERS = "".join(map(chr, range(0x4E00, 0x9000))).encode()
TRICKS = {
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f" + b"0",
    "bytes-of-a-number": b"\x80\x02c__builtin__\nbytes\n\x8a\x06" + bytes(5) + b"\x10\x85R.",
    "bytearray-of-a-number": b"\x80\x02c__builtin__\nbytearray\n\x8a\x06"
    + bytes(5)
    + b"\x10\x85R.",
    "bytes-of-a-slow-codec": b"\x80\x02c__builtin__\nbytes\nX"
    + struct.pack("<I", len(LETTERS))
    + LETTERS
    + b"X\x08\x00\x00\x00punycode\x86R.",
    "copies": b"\x80\x02c__builtin__\nbytearray\nq\x00B"
    + struct.pack("<I", 10**6)
    + bytes(10**6)
    + b"q\x01]"
    + b"h\x00h\x01\x85Ra" * 1000
    + b".",
    "byte-array": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"a.",
    "hash": shared(60) + b"}h\x00Ns.",
    "hash-in-a-set": b"\x80\x04\x8f(" + shared(60)[2:] + b"h\x00\x90.",
    "attribute-of-a-class": b"\x80\x02cnumpy\ndtype\nN}X\x01\x00\x00\x00aNs\x86b.",
    "attribute-of-a-function": b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
    "attribute-of-a-dictionary": b"\x80\x02ccollections\nOrderedDict\n)RN}X\x05\x00\x00\x00itemsNs\x86b0(.",
    "new-object": b"\x80\x02c__builtin__\nset\n)\x81.",
    "instance": b"(i__builtin__\nset\n.",
    "call-of-a-list": b"\x80\x02])R.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"Pabc\n.",
    "array-of-nothing": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    b"\x8a\x06" + bytes(5) + b"\x10\x85cnumpy\ndtype\nU\x02S0\x85R\x89U\x00tb.",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_pickle_s_tricks_are_refused_at_once(tmp_path: Path, trick: str) -> None:
    path, said = tmp_path / "a.pkl", []
    path.write_bytes(TRICKS[trick])
    with bounded("self", inside=tmp_path, seconds=5, mib=64):
        try:
            read_pickle(path)
        except InputError as error:
            said.append(str(error))
    assert len(said) == 1
    assert re.search(r"a\.pkl is (refused|damaged)", said[0])


# ---- text ----


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "found 0 of"),
        (b"\n\n", "found 0 of"),
        (b"1\n2\n", "found 1 of 1"),
        (b"1,2,3\n1,2\n", "line 2 is no 3 numbers"),
        (b"1,2,3\n" * 5 + b"1,2,x\n", "line 6 is no 3 numbers"),
        (b"1," * 10**6, "found 1 of"),
        (b"1,2,3\n" + b"1," * 10**6, "line 2 is no 3 numbers"),
        (b"1,2,3\n\xff\xfe,1,2\n", "line 2 is no 3 numbers"),
        (b"\x00" * 10**6, "found 1 of 1"),
    ],
)
def test_a_table_of_points_is_one(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text)
    with pytest.raises(InputError, match=rf"a\.txt.*{says}"):
        read_table(path, ",", 3)


def test_a_table_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"a\.txt cannot be read as points: it is a pipe"):
        read_table(tmp_path / "a.txt", ",", 3)


TEXT, PARTS = ("modelnet40-text", "modelnet40"), ("shapenetpart-text", "shapenetpart")
MUG = "03797390"
NAMED = [
    (TEXT, "cup_0005.txt", b"nan,0,0\n1,1,1\n", "not finite"),
    (TEXT, "cup_0005.txt", b"1e308,0,0\n1,1,1\n", "not finite"),
    (TEXT, "cup_0005.txt", b"1e30,0,0\n1,1,1\n", r"coordinates above 1e\+09"),
    (TEXT, "modelnet40_test.txt", b"../cup_0005\n", "which is no name"),
    (TEXT, "modelnet40_test.txt", b"cup_\x1b[2J\n", "which is no name"),
    (TEXT, "modelnet40_shape_names.txt", b"cup\n..\n", "which is no name"),
    (TEXT, "modelnet40_shape_names.txt", b"cup\n/etc\n", "which is no name"),
    (TEXT, "modelnet40_shape_names.txt", b"\xff\xfe\n", "it is no text"),
    (PARTS, "synsetoffset2category.txt", b"Mug\n", "expected lines of a name and a synset"),
    (PARTS, "synsetoffset2category.txt", b"Mug ..\n", "which is no name"),
    (PARTS, "synsetoffset2category.txt", b"\x1b[2J 1\n", r"names \\x1b\[2J"),
    (PARTS, "shuffled_val_file_list.json", b"[" * 10**6, "nested deeper than 64 levels"),
    (PARTS, "shuffled_val_file_list.json", b'{"a": 1}', "expected a list of shape_data"),
    (PARTS, "shuffled_val_file_list.json", b"[3]", "expected a list of shape_data"),
    (PARTS, "shuffled_val_file_list.json", b'["shape_data/03797390/.."]', "which is no name"),
    (
        PARTS,
        "shuffled_val_file_list.json",
        b'["a/\\u001b[2J/b"]',
        r"lists \\x1b\[2J/b, whose synset",
    ),
]


@pytest.mark.parametrize(("of", "name", "content", "says"), NAMED)
def test_lists_and_clouds_of_text_are_what_they_are(
    benchmarks: dict[str, Path],
    tmp_path: Path,
    of: tuple[str, str],
    name: str,
    content: bytes,
    says: str,
) -> None:
    shutil.copytree(benchmarks[of[0]], tmp_path / "data")
    next((tmp_path / "data").rglob(name)).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:  # noqa: PT012 - opened or read
        dataset = open_dataset(tmp_path / "data", of[1])
        prepare(dataset, "test", 8, normalise=True, jobs=1)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("label", ["nan", "inf", "1e300", "36.5", "-1", "99"])
def test_labels_of_parts_are_whole_and_their_category_s(
    benchmarks: dict[str, Path], tmp_path: Path, label: str
) -> None:
    shutil.copytree(benchmarks["shapenetpart-text"], tmp_path / "data")
    dataset = open_dataset(tmp_path / "data", "shapenetpart")
    path = dataset.splits["test"].read.paths[0]
    path.write_text(f"0 0 0 1 0 0 {label}\n")
    with pytest.raises(
        InputError, match=rf"{path.name}: (.* is no label of a part|part label .* is none of)"
    ):
        prepare(dataset, "test", 8, normalise=True, jobs=1)


def test_a_mesh_of_huge_coordinates_is_told(benchmarks: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(benchmarks["modelnet40-off"], tmp_path / "data")
    path = next((tmp_path / "data").rglob("cup_0005.off"))
    path.write_text("OFF\n3 1 0\n0 0 0\n1e308 0 0\n0 1e308 0\n3 0 1 2\n")
    dataset = open_dataset(tmp_path / "data", "modelnet40")
    with pytest.raises(
        InputError, match=r"cup_0005\.off has vertices that are not finite, or above"
    ):
        prepare(dataset, "test", 8, normalise=True, jobs=1)
