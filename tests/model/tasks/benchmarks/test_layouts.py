import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.benchmarks.check import diagnose_task, diagnosis_text
from shapenet3d_cma.model.tasks.benchmarks.folds import draw_fold, open_fold
from shapenet3d_cma.model.tasks.benchmarks.layouts import LAYOUTS, find_layout, open_dataset
from shapenet3d_cma.model.tasks.benchmarks.prepared import prepare
from shapenet3d_cma.model.tasks.benchmarks.shapenetpart import NUM_PARTS, PARTS, SYNSETS
from shapenet3d_cma.samples import miniatures
from shapenet3d_cma.samples.miniatures import write_miniature

CASES = [(layout.name, task) for layout in LAYOUTS for task in layout.tasks if task != "fewshot"]
CLASSES = {"modelnet40": 3, "scanobjectnn-bg": 15, "scanobjectnn-only": 15, "scanobjectnn-pb": 15}


@pytest.mark.parametrize(("layout", "task"), CASES)
def test_every_layout_is_found_by_itself_and_read(
    benchmarks: dict[str, Path], layout: str, task: str
) -> None:
    place = next(each.folder for each in LAYOUTS if each.name == layout)
    for given in (benchmarks[layout].parent / layout, benchmarks[layout] / place):
        dataset = open_dataset(given, task)
        assert (dataset.layout, dataset.folder) == (layout, benchmarks[layout] / place)
    kinds = 2 if task.startswith("scan") or task == "shapenetpart" else 3
    each = {"train": 4, "test": 2, "val": 1}
    scans = 2 if task == "scanobjectnn-pb" else 1
    for split, shapes in dataset.splits.items():
        assert len(shapes) == each[split] * kinds * scans
        clouds = prepare(dataset, split, 96, normalise=True)
        assert clouds.points.shape == (len(shapes), 96, 3)
        assert clouds.points.dtype == np.float32
        assert np.linalg.norm(clouds.points, axis=2).max() <= 1 + 1e-6
        present = np.bincount(clouds.labels, minlength=len(dataset.classes))
        assert set(present[present > 0]) == {each[split] * scans}
        if task == "shapenetpart":
            for label, parts in zip(clouds.labels, clouds.parts, strict=True):
                assert set(parts) <= set(PARTS[dataset.classes[label]])
    if task in CLASSES:
        assert len(dataset.classes) == CLASSES[task]


def test_forms_of_the_same_data_hold_the_same_shapes(benchmarks: dict[str, Path]) -> None:
    text, h5, dat = (
        open_dataset(benchmarks[f"modelnet40-{form}"], "modelnet40")
        for form in ("text", "h5", "dat")
    )
    assert text.classes == h5.classes == dat.classes == ("bottle", "cup", "laptop")
    clouds = {
        key: prepare(each, "test", 64, normalise=True)
        for key, each in {"text": text, "h5": h5, "dat": dat}.items()
    }

    def means(key: str) -> np.ndarray:
        return np.sort([np.abs(cloud).sum() for cloud in clouds[key].points])

    np.testing.assert_allclose(
        means("text"), means("dat"), rtol=0.02
    )  # text has six digits, so ties fall otherwise
    np.testing.assert_allclose(means("h5"), means("dat"), rtol=0.02)
    part, other = (
        open_dataset(benchmarks[f"shapenetpart-{form}"], "shapenetpart") for form in ("text", "h5")
    )
    for split in ("train", "val", "test"):
        counts = [np.bincount(np.concatenate([each.splits[split].read(i)[1] for i in range(len(each.splits[split]))]),
                              minlength=NUM_PARTS) for each in (part, other)]  # fmt: skip
        assert (counts[0] == counts[1]).all()


def test_the_part_table_is_the_benchmark_s() -> None:
    assert sorted(label for labels in PARTS.values() for label in labels) == list(range(NUM_PARTS))
    assert list(PARTS) == sorted(PARTS) == list(SYNSETS)


def test_another_task_s_data_are_named(benchmarks: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"is shapenetpart-h5, data of shapenetpart; modelnet40 needs .*ply_data_train0",
    ):
        find_layout(benchmarks["shapenetpart-h5"], "modelnet40")
    with pytest.raises(
        InputError, match=r"is modelnet40-h5, data of modelnet40; shapenetpart needs"
    ):
        find_layout(benchmarks["modelnet40-h5"], "shapenetpart")
    with pytest.raises(
        InputError, match=r"holds no data of scanobjectnn-pb: expected .*main_split"
    ):
        find_layout(tmp_path, "scanobjectnn-pb")
    with pytest.raises(InputError, match="is no folder"):
        find_layout(tmp_path / "missing", "modelnet40")


def test_a_miniature_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "hdf5_data").mkdir()
    with pytest.raises(InputError, match="hdf5_data exists already"):
        write_miniature(tmp_path, "shapenetpart", layout="shapenetpart-h5")
    with pytest.raises(InputError, match="has no layout 'off': the layouts are modelnet40-dat"):
        write_miniature(tmp_path, "modelnet40", layout="off")


# ---- what may be wrong ----


def spoil_h5(
    name: str, dataset: str, change: Callable[[np.ndarray], np.ndarray | None]
) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = next(folder.rglob(name))
        with h5py.File(path, "a") as file:
            values = change(file[dataset][()])
            del file[dataset]
            if values is not None:
                file[dataset] = values

    return spoil


def truncate(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = next(folder.rglob(name))
        path.write_bytes(path.read_bytes()[:-4000])

    return spoil


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.rglob(name)).unlink()


def rewrite(name: str, text: str | bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        next(folder.rglob(name)).write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def to_nan(values: np.ndarray) -> np.ndarray:
    values[1, 5] = np.nan
    return values


H5, DAT, TEXT = (
    ("modelnet40-h5", "modelnet40"),
    ("modelnet40-dat", "modelnet40"),
    ("modelnet40-text", "modelnet40"),
)
PARTS_TEXT, PARTS_H5 = ("shapenetpart-text", "shapenetpart"), ("shapenetpart-h5", "shapenetpart")
TEST, PICKLED, CUP, VAL = (
    "ply_data_test0.h5",
    "modelnet40_test_*.dat",
    "cup_0005.txt",
    "shuffled_val_file_list.json",
)
MUG, PERTURBED = f"03797390/{4:032x}.txt", "test_objectdataset_augmentedrot_scale75.h5"
BAD = [
    (H5, truncate(TEST), r"ply_data_test0\.h5 cannot be read as HDF5"),
    (
        H5,
        spoil_h5(TEST, "label", lambda v: v + 2),
        r"ply_data_test0\.h5: label 3 of shape \d is outside 0 to 2",
    ),
    (H5, spoil_h5(TEST, "label", lambda v: v.astype("f4")), "whole numbers"),
    (H5, spoil_h5(TEST, "label", lambda _: None), "has no dataset 'label'"),
    (H5, spoil_h5(TEST, "label", lambda v: v[1:]), "6 shapes, but 5 rows of"),
    (H5, spoil_h5(TEST, "data", lambda v: v[..., :2]), r"expected \(shapes, points, 3\)"),
    (H5, spoil_h5(TEST, "data", to_nan), "shape 1 has coordinates that are not finite"),
    (H5, remove(TEST), r"has no ply_data_test0\.h5"),
    (DAT, remove(PICKLED), r"has no modelnet40_test_8192pts_fps\.dat beside"),
    (DAT, truncate(PICKLED), "is damaged or no pickle"),
    (DAT, rewrite(PICKLED, pickle.dumps([1])), "expected a list of clouds"),
    (DAT, rewrite(PICKLED, b"cos\nsystem\n(Vecho\ntR."), r"refused: it asks for os\.system"),
    (TEXT, remove(CUP), r"lacks 1 of the 6 files .* such as cup/cup_0005\.txt"),
    (TEXT, remove("modelnet40_test.txt"), r"has no modelnet40_test\.txt"),
    (TEXT, rewrite("modelnet40_test.txt", "vase_0001\n"), "lists vase_0001, whose class"),
    (TEXT, rewrite(CUP, "a,b,c\n"), r"cup_0005\.txt cannot be read as points"),
    (TEXT, rewrite(CUP, "1,2\n"), "expected lines of 3 numbers, found 1 of 2"),
    (
        ("modelnet40-off", "modelnet40"),
        rewrite("cup_0005.off", "OFF\nnothing\n"),
        r"cup_0005\.off cannot be read",
    ),
    (
        ("scanobjectnn-h5", "scanobjectnn-pb"),
        remove(PERTURBED),
        "which scanobjectnn-pb consists of",
    ),
    (
        ("scanobjectnn-h5", "scanobjectnn-only"),
        spoil_h5("main_split_nobg/test_objectdataset.h5", "label", lambda v: v - 5),
        "outside 0 to 14",
    ),
    (PARTS_TEXT, remove(VAL), r"shuffled_val_file_list\.json cannot be read"),
    (PARTS_TEXT, rewrite(VAL, "{"), "is not JSON"),
    (PARTS_TEXT, rewrite(VAL, '["shape_data/1/a"]'), "lists 1/a, whose synset"),
    (PARTS_TEXT, remove(MUG), "lacks 1 of the 4 files"),
    (PARTS_TEXT, rewrite(MUG, "0 0 0 1 0 0 12\n"), r"part label 12 is none of Mug's \(36, 37\)"),
    (PARTS_TEXT, rewrite("synsetoffset2category.txt", "Cow 1\n"), "names Cow; known are Airplane"),
    (PARTS_H5, spoil_h5(TEST, "pid", lambda v: v * 0), "part label 0 is none of Laptop's"),
    (PARTS_H5, spoil_h5(TEST, "pid", lambda v: v[:, 1:]), "part labels of shape"),
]


@pytest.mark.parametrize(
    ("of", "spoil", "says"), BAD, ids=[f"{each[0][0]}-{i}" for i, each in enumerate(BAD)]
)
def test_what_is_wrong_is_named(
    benchmarks: dict[str, Path],
    tmp_path: Path,
    of: tuple[str, str],
    spoil: Callable[[Path], None],
    says: str,
) -> None:
    layout, task = of
    shutil.copytree(benchmarks[layout], tmp_path / "data")
    spoil(tmp_path / "data")
    with pytest.raises(InputError, match=says) as caught:  # noqa: PT012 - a file may be found wrong when it is opened or read
        dataset = open_dataset(tmp_path / "data", task)
        prepare(dataset, "test", 32, normalise=True, jobs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("layout", "task"), CASES)
def test_the_doctor_finds_a_sound_miniature_sound_and_incomplete(
    benchmarks: dict[str, Path], layout: str, task: str
) -> None:
    found = diagnose_task(benchmarks[layout], task)
    assert found.layout == layout
    assert found.faults == []
    text = diagnosis_text(found)
    assert "no result compares with the paper's" in text
    assert "from http" in text
    assert json.loads(json.dumps(found.as_json()))["complete"] is False
    assert sum(each["test"] for each in found.classes.values()) == found.counts["test"]


def test_the_doctor_names_faults_and_the_remedy(
    benchmarks: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(benchmarks["modelnet40-text"], tmp_path / "data")
    next((tmp_path / "data").rglob("cup_0001.txt")).unlink()
    found = diagnose_task(tmp_path / "data", "modelnet40")
    assert found.layout == "modelnet40-text"
    assert "lacks 1 of the 12 files" in found.faults[0]
    nothing = diagnosis_text(diagnose_task(tmp_path / "missing", "shapenetpart"))
    assert "nothing in" in nothing
    assert "shapenet_part_seg_hdf5_data.zip" in nothing


# ---- folds ----


def test_folds_follow_from_their_numbers_and_hold_what_they_say() -> None:
    train, test = np.repeat(np.arange(12), 24), np.repeat(np.arange(12), 20)
    seen = set()
    for way, shot, number in ((5, 10, 0), (5, 10, 1), (10, 20, 0), (10, 20, 9)):
        fold = draw_fold(train, test, way, shot, number)
        assert fold == draw_fold(train, test, way, shot, number)
        assert len(set(fold.classes)) == way
        for index, labels, count in ((fold.train, train, shot), (fold.test, test, 20)):
            assert len(set(index)) == way * count
            assert {k: (labels[index] == k).sum() for k in fold.classes} == dict.fromkeys(
                fold.classes, count
            )
        seen.add(tuple(fold.train))
    assert len(seen) == 4
    assert draw_fold(train, test, 5, 10, 0).classes == [0, 3, 8, 9, 10]  # the same on every machine


def test_too_few_shapes_for_a_fold_are_told() -> None:
    labels = np.repeat(np.arange(6), 15)
    with pytest.raises(
        InputError,
        match="5 way, 20 shot needs 5 classes with 20 training and 10 test shapes; 0 of 6",
    ):
        draw_fold(labels, labels, 5, 20, 0, queries=10)
    with pytest.raises(
        InputError, match=r"10 way, 10 shot needs 10 classes .*; 6 of 6 classes have them"
    ):
        draw_fold(labels, labels, 10, 10, 0, queries=10)


def write_fold(path: Path, way: int, shot: int, points: int = 16) -> None:
    rng = np.random.default_rng(0)

    def shapes(count: int) -> list:
        return [
            (rng.normal(size=(points, 6)).astype("f4"), k, 7)
            for k in range(way)
            for _ in range(count)
        ]

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"train": shapes(shot), "test": shapes(3)}))


def test_the_folds_of_the_miniature_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(miniatures, "SETTINGS", ((2, 3),))
    monkeypatch.setattr(
        miniatures, "MODELNET", {"bottle": "bottle", "cup": "mug", "laptop": "laptop"}
    )
    monkeypatch.setattr(miniatures, "POINTS", 64)
    miniatures.write_miniature(tmp_path, "fewshot", train=4, test=20)
    layout, place = find_layout(tmp_path, "fewshot")
    assert layout.name == "fewshot-pickle"
    for fold in range(10):
        dataset = open_fold(place, 2, 3, fold)
        assert np.bincount(dataset.splits["train"].labels).tolist() == [3, 3]
        assert np.bincount(dataset.splits["test"].labels).tolist() == [20, 20]


@pytest.mark.parametrize("name", ["5way_2shot", "5way2shot"])
def test_pickled_folds_are_read(tmp_path: Path, name: str) -> None:
    write_fold(tmp_path / "ModelNetFewshot" / name / "0.pkl", 5, 2)
    layout, place = find_layout(tmp_path, "fewshot")
    assert layout.name == "fewshot-pickle"
    dataset = open_fold(place, 5, 2, 0)
    assert np.bincount(dataset.splits["train"].labels).tolist() == [2] * 5
    assert prepare(dataset, "test", 16, normalise=True).points.shape == (15, 16, 3)
    with pytest.raises(InputError, match=r"has no 5way_2shot/1\.pkl"):
        open_fold(place, 5, 2, 1)


def test_a_fold_that_is_too_small_or_carries_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "5way_10shot" / "0.pkl"
    write_fold(path, 5, 9)
    with pytest.raises(InputError, match="class 0 has 9 training shapes, 10 shot needs 10"):
        open_fold(tmp_path, 5, 10, 0)
    write_fold(path, 6, 10)
    with pytest.raises(InputError, match="label 5 of shape 50 is outside 0 to 4"):
        open_fold(tmp_path, 5, 10, 0)
    path.write_bytes(b"cposix\nsystem\n(Vecho\ntR.")
    with pytest.raises(InputError, match=r"0\.pkl is refused: it asks for posix\.system"):
        open_fold(tmp_path, 5, 10, 0)
    assert "cma3d fewshot --data MODELNET40" in diagnosis_text(
        diagnose_task(tmp_path / "none", "fewshot")
    )
    found = diagnose_task(tmp_path, "fewshot")
    assert any("refused" in fault for fault in found.faults)
    assert any("lacks 1.pkl, 2.pkl" in fault for fault in found.faults)
    assert found.counts["5 way 10 shot"] == 1
