"""Selections of models: those that were requested, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.render.shapenet.selection import Selection, read_split, select

SYNSETS = ("02691156", "03001627", "04379243")
MODELS = [
    Model(synset, f"m{number:02}", Path(synset)) for synset in SYNSETS for number in range(20)
]


def keys(selection: Selection) -> list[str]:
    return [model.key for model in select(MODELS, selection)[0]]


@given(count=st.integers(1, 40), limit=st.none() | st.integers(1, 25))
def test_shards_are_disjoint_and_complete(count: int, limit: int | None) -> None:
    shares = [keys(Selection(shard=f"{index}/{count}", limit=limit)) for index in range(count)]
    together = [key for share in shares for key in share]
    assert len(together) == len(set(together))
    assert sorted(together) == sorted(keys(Selection(limit=limit)))


@given(fewer=st.sets(st.sampled_from(MODELS), min_size=1), count=st.integers(2, 9))
def test_a_models_shard_does_not_depend_on_the_others(fewer: set[Model], count: int) -> None:
    for index in range(count):
        part = select(sorted(fewer), Selection(shard=f"{index}/{count}"))[0]
        assert {model.key for model in part} == set(keys(Selection(shard=f"{index}/{count}"))) & {
            model.key for model in fewer
        }


@pytest.mark.parametrize("shard", ["1", "8/8", "-1/8", "a/b", "1/0", "0/0", "1/2/3", "", "1.0/2"])
def test_an_invalid_shard_is_refused(shard: str) -> None:
    with pytest.raises(InputError, match=r"expected i/n with 0 <= i < n, such as 0/8 to 7/8"):
        Selection(shard=shard)


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_a_shard_is_an_index_below_a_count(index: int, count: int) -> None:
    if index < count:
        assert Selection(shard=f"{index}/{count}").share() == (index, count)
    else:
        with pytest.raises(InputError, match="expected i/n"):
            Selection(shard=f"{index}/{count}")


some_models = st.sets(st.sampled_from(MODELS), min_size=1).map(sorted)


@given(some_models, st.integers(1, 25))
def test_a_limit_takes_the_first_models_of_each_synset(models: list[Model], limit: int) -> None:
    chosen, notes = select(models, Selection(limit=limit))
    by_synset = [[model for model in models if model.synset == synset] for synset in SYNSETS]
    assert chosen == [model for group in by_synset for model in group[:limit]]
    assert notes == []


missing_ids = st.sets(st.sampled_from(["x0", "x1", "09999999/m00"]))


@given(
    models=some_models,
    listed=st.sets(st.sampled_from(MODELS), min_size=1),
    ids_alone=st.sets(st.sampled_from(["m00", "m07", "m19"])),
    missing=missing_ids,
    comment=st.sampled_from(["", "  # a chair", "\n# mine\n\n"]),
)
def test_ids_choose_models_with_and_without_synset(
    tmp_path_factory: pytest.TempPathFactory,
    models: list[Model],
    listed: set[Model],
    ids_alone: set[str],
    missing: set[str],
    comment: str,
) -> None:
    names = {model.key for model in listed} | ids_alone | missing
    path = tmp_path_factory.getbasetemp() / "ids"
    path.write_text("".join(f"{name}{comment}\n" for name in sorted(names)))
    expected = [model for model in models if model in listed or model.model_id in ids_alone]
    if not expected:
        with pytest.raises(InputError, match="none of them is there"):
            select(models, Selection(ids=path))
        return
    chosen, notes = select(models, Selection(ids=path))
    assert chosen == expected
    there = {model.key for model in models} | {model.model_id for model in models}
    absent = sorted(names - there)
    assert len(notes) == bool(absent)
    assert all(
        note.startswith(f"{len(absent)} of the {len(names)} models that {path} names are not there")
        and absent[0] in note
        for note in notes
    )


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(MODELS), st.sampled_from(["train", "val", "test"])),
        min_size=1,
        unique_by=lambda row: row[0],
    ),
    zeros_lost=st.booleans(),
)
def test_the_parts_of_the_official_split_are_disjoint_and_complete(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Model, str]], zeros_lost: bool
) -> None:
    """Spreadsheet programs take the offset 03001627 for a number, and drop its zero."""
    path = tmp_path_factory.getbasetemp() / "all.csv"
    lines = ["id,synsetId,subSynsetId,modelId,split"]
    for number, (model, split) in enumerate(rows):
        synset = model.synset.lstrip("0") if zeros_lost else model.synset
        lines.append(f"{number},{synset},{synset},{model.model_id},{split}")
    path.write_text("\n".join(lines) + "\n")
    for part in {split for _, split in rows}:
        expected = sorted(model.key for model, split in rows if split == part)
        assert keys(Selection(split_csv=path, split=part)) == expected
    assert keys(Selection(split_csv=path)) == sorted(model.key for model, _ in rows)


def test_the_official_split_names_what_it_lacks(tmp_path: Path) -> None:
    table = tmp_path / "all.csv"
    table.write_text(
        "id,synsetId,subSynsetId,modelId,split\n1,02691156,02691156,m01,train\n"
        "4,04379243,04379243,gone,test\n5,04379243,04379243,m00,test\n"
    )
    assert "gone" in select(MODELS, Selection(split_csv=table, split="test"))[1][0]
    with pytest.raises(InputError, match="no split 'dev'; it has test, train"):
        read_split(table, "dev")
    with pytest.raises(InputError, match="--split train needs --split-csv"):
        Selection(split="train")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("ids", None, "No such file"),
        ("ids", b"", "names no model"),
        ("ids", b"\xff\xfe\xfa", "not UTF-8"),
        ("ids", b"zebra", "none of them is there"),
        ("split_csv", b"a,b\n1,2\n", "not ShapeNet's split table"),
        (
            "split_csv",
            b"id,synsetId,subSynsetId,modelId,split\n1,0,0,zebra,train\n",
            "none of them is there",
        ),
    ],
)
def test_unusable_lists_are_refused(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match=f"list .*{says}"):
        select(MODELS, Selection(**{name: tmp_path / "list"}))
