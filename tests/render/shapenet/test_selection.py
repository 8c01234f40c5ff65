"""Filters: what is asked for, no more and no less."""

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
def test_a_shard_that_is_none(shard: str) -> None:
    with pytest.raises(InputError, match=r"expected i/n with 0 <= i < n, such as 0/8 to 7/8"):
        Selection(shard=shard)


def test_limit_takes_the_first_of_each_synset() -> None:
    assert keys(Selection(limit=2)) == [
        f"{synset}/m0{number}" for synset in SYNSETS for number in (0, 1)
    ]


def test_ids_with_and_without_synset_and_comments(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("# mine\n03001627/m03  # a chair\n\nm07\nm99\n")
    chosen, notes = select(MODELS, Selection(ids=tmp_path / "ids"))
    assert {model.key for model in chosen} == {
        "03001627/m03",
        *(f"{synset}/m07" for synset in SYNSETS),
    }
    assert notes == [f"1 of the 3 models that {tmp_path / 'ids'} names are not there: m99"]


def test_the_official_split(tmp_path: Path) -> None:
    table = tmp_path / "all.csv"
    table.write_text(
        "id,synsetId,subSynsetId,modelId,split\n1,02691156,02691156,m01,train\n2,2691156,2691156,m02,train\n"
        "3,03001627,03001627,m01,val\n4,04379243,04379243,gone,test\n5,04379243,04379243,m00,test\n"
    )
    assert keys(Selection(split_csv=table, split="train")) == ["02691156/m01", "02691156/m02"]
    assert keys(Selection(split_csv=table, split="val")) == ["03001627/m01"]
    assert len(keys(Selection(split_csv=table))) == 4
    assert "gone" in select(MODELS, Selection(split_csv=table, split="test"))[1][0]
    with pytest.raises(InputError, match="no split 'dev'; it has test, train, val"):
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
def test_lists_that_are_of_no_use(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match=f"list .*{says}"):
        select(MODELS, Selection(**{name: tmp_path / "list"}))
