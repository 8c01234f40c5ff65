"""Which models become rows: official and drawn splits, synsets, ids, so many samples."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.files import sha256
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.verify import verify_shards
from shapenet3d_cma.render.choice import SPLITS, Choice, choose_renders, drawn_split
from shapenet3d_cma.render.render_file import find_renders

Run = Callable[..., subprocess.CompletedProcess[str]]
PACK = PackConfig(points=256, shard_rows=3)
SHARES = (50.0, 25.0, 25.0)


def keys(folder: Path) -> list[str]:
    rows = Shards(folder, ["synset", "model_id"])
    return [f"{row['synset']}/{row['model_id']}" for row in rows]


def table(path: Path, renders: Path, **changes: str) -> Path:
    """Write a split table of all models: by turns train, val, test, train, …"""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "synsetId", "subSynsetId", "modelId", "split"])
        for number, render in enumerate(find_renders(renders)):
            writer.writerow([number, render.parent.name, "", render.stem, SPLITS[number % 3]])
    return path


@given(
    st.integers(0, 2**63 - 1),
    st.tuples(*[st.floats(0, 1)] * 3).filter(lambda shares: sum(shares) > 0.01),
)
def test_a_drawn_split_cuts_the_models_in_its_shares_and_each_goes_its_own_way(
    seed: int, shares: tuple[float, float, float]
) -> None:
    names = [f"0{number % 7}/{number:x}" for number in range(2000)]
    parts = [drawn_split(name, shares, seed) for name in names]
    for part, share in zip(SPLITS, shares, strict=True):
        assert abs(parts.count(part) / 2000 - share / sum(shares)) < 0.06
    assert parts[77] == drawn_split(names[77], shares, seed), "whatever else there is"
    assert parts != [drawn_split(name, shares, seed + 1) for name in names] or max(
        shares
    ) > 0.97 * sum(shares)


def test_drawn_splits_have_no_model_in_common_and_miss_none(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    everyone, packed = keys(shards), dict[str, list[str]]()
    seeds = (
        seed
        for seed in range(99)
        if {drawn_split(key, SHARES, seed) for key in everyone} == set(SPLITS)
    )
    config = dataclasses.replace(PACK, seed=next(seeds))  # eight models may well leave a part empty
    for split in SPLITS:
        choice = Choice(split=split, shares=SHARES)
        pack_renders(renders, tmp_path / split, config, choice, jobs=1)
        packed[split] = keys(tmp_path / split)
        manifest = json.loads((tmp_path / split / "manifest.json").read_text())
        assert manifest["split"] == split
        assert manifest["selection"]["split_shares"] == [50, 25, 25]
    assert sorted(key for part in packed.values() for key in part) == sorted(everyone)
    verdicts = {
        verdict.law.name: verdict
        for verdict in verify_shards([tmp_path / split for split in packed], jobs=1)
    }
    assert not [verdict for verdict in verdicts.values() if verdict.broken]
    assert (verdicts["split"].checked, verdicts["distinct models"].checked > 0) == (8, True)


def test_a_model_in_two_sets_or_in_the_wrong_split_is_found(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    pack_renders(renders, tmp_path / "one", PACK, Choice(synsets=("mug",)), jobs=1)
    broken = [
        verdict for verdict in verify_shards([shards, tmp_path / "one"], jobs=1) if verdict.broken
    ]
    (verdict,) = broken
    assert (verdict.law.name, verdict.broken, verdict.checked) == ("distinct models", 2, 10)
    assert verdict.location.startswith(f"{tmp_path / 'one'}/shard-00000.h5 row ")
    assert verdict.reason.startswith(f"the model of {shards}/shard-0000")
    path = tmp_path / "one" / "manifest.json"
    manifest = json.loads(path.read_text())
    parts = {drawn_split(key, SHARES, 0) for key in keys(tmp_path / "one")}
    other = next(split for split in SPLITS if split not in parts)
    manifest["selection"] |= {"split": other, "split_shares": [50, 25, 25]}
    path.write_text(json.dumps(manifest))
    broken = {
        verdict.law.name: verdict
        for verdict in verify_shards(path.parent, jobs=1)
        if verdict.broken
    }
    assert set(broken) == {"split", "attributes"}
    assert broken["split"].broken == 2


def test_the_official_split_is_taken_from_its_table(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "all.csv", renders)
    everyone = keys(shards)
    for place, split in enumerate(SPLITS):
        pack_renders(renders, tmp_path / split, PACK, Choice(split_csv=path, split=split), jobs=1)
        assert keys(tmp_path / split) == everyone[place::3]
        manifest = json.loads((tmp_path / split / "manifest.json").read_text())
        assert manifest["selection"]["split_csv"] == {"file": "all.csv", "sha256": sha256(path)}
        assert manifest["split"] == split
    verdicts = verify_shards([tmp_path / split for split in SPLITS], jobs=1)
    assert not [verdict for verdict in verdicts if verdict.broken]


def test_another_choice_is_refused(renders: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "all.csv", renders)
    out = tmp_path / "shards"
    choice = Choice(split_csv=path, split="train")
    pack_renders(renders, out, PACK, choice, jobs=1)
    for other, says in (
        (Choice(split_csv=path, split="val"), r"was packed with split = train, not val: .* --redo"),
        (Choice(), "was packed with split = train, not all"),
        (
            Choice(split_csv=path, split="train", synsets=("mug",)),
            r"with synsets = \[\], not \['mug'\]",
        ),
    ):
        with pytest.raises(InputError, match=says):
            pack_renders(renders, out, PACK, other, jobs=1)
    shutil.move(path, tmp_path / "renamed.csv")
    stamp = (out / "shard-00000.h5").stat().st_mtime_ns
    pack_renders(
        renders, out, PACK, Choice(split_csv=tmp_path / "renamed.csv", split="train"), jobs=1
    )
    assert (out / "shard-00000.h5").stat().st_mtime_ns == stamp
    with (tmp_path / "renamed.csv").open("a") as file:
        file.write("9,03001627,,more,train\n")
    with pytest.raises(
        InputError, match=r"was packed with split_csv = renamed.csv \(\w{8}\), not renamed.csv"
    ):
        pack_renders(
            renders, out, PACK, Choice(split_csv=tmp_path / "renamed.csv", split="train"), jobs=1
        )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "modelId,split\na,train\n",
            "is not ShapeNet's split table: expected id,synsetId,subSynsetId,modelId,split",
        ),
        ("", "is not ShapeNet's split table"),
        (
            "id,synsetId,subSynsetId,modelId,split\n0,03001627,,unknown,train\n",
            "none of them is there",
        ),
        (
            "id,synsetId,subSynsetId,modelId,split\n0,03001627,,unknown,tset\n",
            "has no split 'train'; it has tset",
        ),
    ],
)
def test_unusable_tables_are_refused_in_one_line(
    cma3d_inside: Run, renders: Path, tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "all.csv").write_text(content)
    words = ("--split-csv", tmp_path / "all.csv", "--split", "train")
    done = cma3d_inside("pack", renders, tmp_path / "shards", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
    assert not (tmp_path / "shards").exists()


def test_missing_ids_are_printed_and_the_rest_is_packed(
    cma3d_inside: Run, renders: Path, tmp_path: Path
) -> None:
    first = find_renders(renders)[0]
    (tmp_path / "ids").write_text(
        f"{first.parent.name}/{first.stem}\n03001627/zebra  # not there\n"
    )
    done = cma3d_inside(
        "pack",
        renders,
        tmp_path / "shards",
        "--ids",
        tmp_path / "ids",
        "--points",
        100,
        "--jobs",
        1,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of the 2 models" in done.stderr
    assert "are not there: 03001627/zebra" in done.stderr
    assert keys(tmp_path / "shards") == [f"{first.parent.name}/{first.stem}"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"split": "train"}, "--split train needs --split-csv FILE"),
        ({"shares": (1, 1, 1)}, "--split-shares needs --split train, val or test, got None"),
        (
            {"shares": (1, 1, 1), "split": "dev"},
            "--split-shares needs --split train, val or test, got dev",
        ),
        ({"shares": (0, 0, 0), "split": "val"}, "three shares, none negative, not all"),
        ({"shares": (2, -1, 0), "split": "val"}, "three shares, none negative"),
        ({"shares": (1, float("nan"), 0), "split": "val"}, "three shares, none negative"),
        (
            {"shares": (1, 1, 1), "split": "val", "split_csv": Path("all.csv")},
            "give one of the two",
        ),
    ],
)
def test_a_contradictory_choice_is_refused(given: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Choice(**given)


OFFSETS = {"car": "02958343", "chair": "03001627", "lamp": "03636649", "mug": "03797390"}
PATHS = sorted(
    Path("renders", offset, f"m{number}.h5") for offset in OFFSETS.values() for number in range(5)
)


@given(st.dictionaries(st.sampled_from(sorted(OFFSETS)), st.booleans(), min_size=1))
def test_synsets_are_chosen_by_name_or_offset(by_name: dict[str, bool]) -> None:
    words = tuple(name if named else OFFSETS[name] for name, named in by_name.items())
    offsets = {OFFSETS[name] for name in by_name}
    assert choose_renders(PATHS, Choice(synsets=words)) == [
        path for path in PATHS if path.parent.name in offsets
    ]
    with pytest.raises(InputError, match="has no synset 'zebra'; it has car, chair, lamp, mug"):
        choose_renders(PATHS, Choice(synsets=(*words, "zebra")))


@given(
    st.tuples(*[st.floats(0, 1)] * 3).filter(lambda shares: sum(shares) > 0.01),
    st.integers(0, 10**6),
    st.sets(st.sampled_from(PATHS), min_size=1).map(sorted),
)
def test_a_drawn_split_of_renders_is_disjoint_complete_and_the_same_for_fewer_models(
    shares: tuple[float, float, float], seed: int, fewer: list[Path]
) -> None:
    def parts(paths: list[Path]) -> dict[str, list[Path]]:
        result: dict[str, list[Path]] = {split: [] for split in SPLITS}
        for split in SPLITS:
            with contextlib.suppress(InputError):  # no model is drawn into this part
                result[split] = choose_renders(paths, Choice(split=split, shares=shares), seed)
        return result

    everything = parts(PATHS)
    assert sorted(path for part in everything.values() for path in part) == PATHS
    for split, part in parts(fewer).items():
        assert part == [path for path in everything[split] if path in fewer]


@pytest.mark.parametrize("keep", ["best", "all"])
def test_samples_are_drawn_by_the_seed_alone(renders: Path, tmp_path: Path, keep: str) -> None:
    def rows(name: str, count: int, seed: int, jobs: int) -> list[tuple[str, int]]:
        config = PackConfig(points=256, shard_rows=100, keep=keep, num_samples=count, seed=seed)
        assert pack_renders(renders, tmp_path / name, config, jobs=jobs).rows == count
        return [
            (str(row["model_id"]), int(row["view"]))
            for row in Shards(tmp_path / name, ["model_id", "view"])
        ]

    count = 3 if keep == "best" else 15
    one = rows("one", count, 1, 1)
    assert len(set(one)) == count
    assert rows("again", count, 1, 2) == one
    assert set(rows("more", count + 2, 1, 1)) > set(one), "more samples are the same and some"
    assert set(rows("other", count, 2, 1)) != set(one)
    if keep == "all":
        views = np.unique([model for model, _ in one], return_counts=True)[1]
        assert (views < 6).sum() <= 2, (
            "of each model all views that hold enough points, but for the last"
        )
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert (manifest["config"]["num_samples"], manifest["config"]["seed"], manifest["rows"]) == (
        count,
        1,
        count,
    )


def test_more_samples_than_there_are_is_refused(renders: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"gives 8 rows of 256 points, 9 were requested: lower --num-samples"
    ):
        pack_renders(renders, tmp_path, PackConfig(points=256, num_samples=9), jobs=1)
    assert not list(tmp_path.glob("*.h5"))
    first = find_renders(renders)[0]
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    (world / first.parent.name / first.name).write_bytes(b"no HDF5")
    packed = pack_renders(world, tmp_path / "shards", PackConfig(points=256, num_samples=7), jobs=1)
    assert packed.rows == 7, "what cannot be read is passed over"


@pytest.mark.needs("bpy")
def test_a_build_packs_the_split_that_it_renders(
    cma3d: Run, cma3d_inside: Run, shapenet: Path, renders: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "all.csv", renders)
    words = (
        "build",
        shapenet,
        tmp_path / "out",
        "--views",
        2,
        "--size",
        48,
        "--samples",
        1,
        "--points",
        64,
    )
    done = cma3d(
        *words,
        "--split-csv",
        path,
        "--split",
        "val",
        "--num-samples",
        2,
        "--pack-seed",
        5,
        "--jobs",
        1,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "shards" / "manifest.json").read_text())
    assert (manifest["split"], manifest["rows"]) == ("val", 2)
    assert (manifest["config"]["seed"], manifest["render_config"]["seed"]) == (5, 0)
    other = cma3d_inside(
        *words, "--split-csv", path, "--split", "test", "--num-samples", 2, "--pack-seed", 5
    )
    assert other.returncode == 2
    assert "was packed with split = val, not test" in other.stderr
    assert len(list((tmp_path / "out" / "renders").glob("*/*.h5"))) == 3, (
        "refused before anything is rendered"
    )


def test_a_refused_packing_leaves_no_folder(renders: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower --num-samples"):
        pack_renders(
            renders, tmp_path / "a" / "b", PackConfig(points=16, num_samples=10**6), jobs=1
        )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="lower --num-samples"):
        pack_renders(renders, tmp_path / "mine", PackConfig(points=16, num_samples=10**6), jobs=1)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"], "what was there before stays"
