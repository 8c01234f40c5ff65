"""Lists that choose models: ShapeNet's split table and files of ids, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.render.shapenet.selection import Selection, read_ids, read_split, select
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz

HEAD = b"id,synsetId,subSynsetId,modelId,split"
FIELDS = [
    b"1",
    b"02691156",
    b"2691156",
    b"m01",
    b"train",
    b"val",
    b"",
    b" ",
    b'"a,b"',
    b'"',
    b'""',
    b'"""' * 40,
]
FIELDS += [
    b"\0",
    b"\xff",
    b"\x1b[31m",
    b"\xe2\x80\xae",
    b"x" * 140_000,
    b'"' + b"x" * 2000,
    b'"\n',
    b"\r",
    b"\xef\xbb\xbf",
]
FIELDS += [b"=cmd()", b"../../etc", b"<b>", b"|", "é".encode(), "\u2028".encode(), b"9" * 5000]
MODELS = [Model("02691156", "m01", Path("02691156/m01"))]

rows = st.lists(st.sampled_from(FIELDS), max_size=8).map(b",".join)
files = st.tuples(
    st.sampled_from(
        [HEAD, HEAD, HEAD, b"\xef\xbb\xbf" + HEAD, HEAD[:20], b"", HEAD + b"," + HEAD, b'"' + HEAD]
    ),
    st.lists(rows, max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\0\n"]),
).map(lambda parts: parts[2].join([parts[0], *parts[1]]))


@fuzz
@given(files, st.sampled_from([None, "train", "", "\x1b", "x" * 9000]))
def test_split_tables(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, split: str | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "all.csv"
    path.write_bytes(content)
    with bounded("csv", content, inside=path.parent, seconds=5, mib=256):
        read_split(path, split)
    with bounded("csv", content, inside=path.parent, seconds=5, mib=256):
        select(MODELS, Selection(split_csv=path, split=split))


@fuzz
@given(
    st.lists(st.sampled_from([*FIELDS, b"#", b"02691156/m01"]), max_size=8),
    st.sampled_from([b"\n", b"\r", b"#"]),
)
def test_ids(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], between: bytes) -> None:
    path, content = tmp_path_factory.getbasetemp() / "ids", between.join(lines)
    path.write_bytes(content)
    with bounded("ids", content, inside=path.parent, seconds=5, mib=256):
        read_ids(path)
    with bounded("ids", content, inside=path.parent, seconds=5, mib=256):
        select(MODELS, Selection(ids=path))


LONG = {
    "field": HEAD + b"\n1,2,3," + b"x" * 2**24,
    "quoted": HEAD + b'\n1,2,3,"' + b"x\n" * 2**21,
    "quotes": HEAD + b"\n" + b'"' * 2**22,
    "columns": HEAD + b"\n" + b"," * 2**22,
    "head": b"id," * 2**20,
    "parts": HEAD
    + b"\n"
    + b"".join(b"1,2,3,m%d,s%d\n" % (number, number) for number in range(50_000)),
    "empty": b"\n" * 2**20,
}


@pytest.mark.parametrize("name", LONG)
def test_long_lists_take_no_long_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "long.csv").write_bytes(LONG[name])
    for split in (None, "none"):
        with bounded("csv", inside=tmp_path, seconds=30, mib=1024):
            read_split(tmp_path / "long.csv", split)
    with bounded("ids", inside=tmp_path, seconds=30, mib=1024):
        read_ids(tmp_path / "long.csv")


@pytest.mark.parametrize("path", corpus("csv"), ids=lambda path: path.name)
def test_past_failures(path: Path) -> None:
    with bounded("csv", inside=path.parent, seconds=10, mib=256):
        read_split(path, "train")
