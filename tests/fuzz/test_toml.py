"""Files of settings: of every stage, with faults of grammar, of type, of size and of depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.build import read_build_settings
from shapenet3d_cma.core.settings import assignments, read_settings, setting_names
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.tasks.config import (
    FewShotConfig,
    FinetuneConfig,
    ProbeConfig,
    SegmentConfig,
)
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.reconstruct.config import CloudConfig
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz

SETTINGS = (
    *(RenderConfig, PackConfig, CloudConfig, SamplesConfig),
    *(PretrainConfig, FinetuneConfig, FewShotConfig, SegmentConfig, ProbeConfig),
)
NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e999",
    "5e-324",
    "0.5",
    "1_000",
    "01",
)
BIG = (
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 5000,
    "0x" + "f" * 20_000,
    "0b" + "1" * 90,
    f"{2**63}",
    f"{2**63 - 1}",
)
WORDS = (
    "true",
    '""',
    '"a"',
    '"\\u0000"',
    '"\\ud800"',
    "'\x1b[31m'",
    '"""\n\n"""',
    "{}",
    "[]",
    "{a = {b = 1}}",
    "[[], [[]]]",
)
OTHERS = (
    "1979-05-27T07:32:00Z",
    "9999-99-99",
    "07:32:00",
    "[1, 2]",
    "[nan, inf]",
    "[1, 'a']",
    "[1e400, 0]",
    "",
    "x",
    "=",
)
DEEP = (
    "[" * 5000,
    "[" * 400 + "]" * 400,
    "[" * 40 + "]" * 40,
    "{a=" * 300 + "1" + "}" * 300,
    "{a=" * 9000,
)

values = (
    st.sampled_from([*NUMBERS, *BIG, *WORDS, *OTHERS, *DEEP])
    | st.integers().map(str)
    | st.floats().map(str)
)


@st.composite
def toml(draw: st.DrawFn, *, tables: bool = False) -> tuple[type[Any], bytes]:
    """Settings of a stage, right and wrong ones, then some bytes of it changed."""
    kind = RenderConfig if tables else draw(st.sampled_from(SETTINGS))
    known = setting_names(kind)
    names = st.sampled_from(known) | st.sampled_from(
        [
            "a.b",
            '"\x1b"',
            "'é'",
            "[render]",
            "[network]",
            "[masks]",
            "run",
            ".".join("x" * 3000),
            "[[pack]]",
        ]
    )
    lines = [f"{draw(names)} = {draw(values)}" for _ in range(draw(st.integers(0, 5)))]
    if tables:
        for table in draw(
            st.lists(
                st.sampled_from(
                    [
                        "[render]",
                        "[network]",
                        "[masks]",
                        "run",
                        "[pack]",
                        "[[render]]",
                        "pack = 3",
                        "[x]",
                        "[render.a]",
                    ]
                )
            )
        ):
            lines.insert(draw(st.integers(0, len(lines))), table)
    text = bytearray("\n".join(lines).encode())
    for _ in range(draw(st.integers(0, 2))):
        if text:
            place = draw(st.integers(0, len(text) - 1))
            text[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=2))
    return kind, bytes(text)


@fuzz
@given(toml())
def test_settings(tmp_path_factory: pytest.TempPathFactory, case: tuple[type[Any], bytes]) -> None:
    kind, content = case
    path = tmp_path_factory.getbasetemp() / "settings.toml"
    path.write_bytes(content)
    with bounded("toml", content, inside=path.parent, seconds=5, mib=256):
        read_settings(kind, path)


@fuzz
@given(toml(tables=True))
def test_settings_of_a_build(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[type[Any], bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "build.toml"
    path.write_bytes(case[1])
    given_none = {"colour": None}
    with bounded("toml", case[1], inside=path.parent, seconds=5, mib=256):
        read_build_settings(path, given_none)


@fuzz
@given(
    st.lists(st.tuples(st.sampled_from(["width", "init", "=", "a\x1b", ""]), values), max_size=3)
)
def test_assignments(
    tmp_path_factory: pytest.TempPathFactory, words: list[tuple[str, str]]
) -> None:
    content = repr(words).encode()
    with bounded("assignments", content, inside=tmp_path_factory.getbasetemp(), seconds=5, mib=256):
        read_settings(
            PretrainConfig, None, assignments([f"{name}={value}" for name, value in words])
        )


LONG = {
    "dotted": b"a." * 120_000 + b"a = 1",
    "headers": b"".join(b"[a%d.b]\n" % number for number in range(20_000)),
    "one_header": b"[" + b"a." * 120_000 + b"a]",
    "keys": b"".join(b"a%d=1\n" % number for number in range(20_000)),
    "dotted_keys": b"".join(b"a.a.a.a.a.a.a.a.a.b%d=1\n" % number for number in range(8_000)),
    "quotes": b'a = "' + b"\\" * 200_000,
    "comment": b"#" * 250_000,
    "number": b"a = 1" + b"_1" * 120_000,
    "float": b"a = 1." + b"1" * 200_000,
    "list": b"a = [" + b"1," * 100_000 + b"]",
    "arrays": b"[[a]]\n" * 40_000,
    "large": b"#" * 2**20,
    "zero": b"\0" * 1000,
    "deep": b"x = " + b"[" * 200_000,
}


@pytest.mark.parametrize("name", LONG)
def test_long_files_take_no_long_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "long.toml").write_bytes(LONG[name])
    with bounded("toml", LONG[name], inside=tmp_path, seconds=10, mib=512):
        read_settings(RenderConfig, tmp_path / "long.toml")


@pytest.mark.parametrize("path", corpus("toml"), ids=lambda path: path.name)
def test_past_failures(path: Path) -> None:
    for kind in SETTINGS:
        with bounded("toml", inside=path.parent, seconds=10, mib=256):
            read_settings(kind, path)
