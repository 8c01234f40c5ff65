"""Text and JSON of others: bounded in length, depth and time, and harmless in a message."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.untrusted import (
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_json_lines,
    shown,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def depth(value: object) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES, st.integers(0, 4))
def test_documents_are_refused_by_their_true_depth(value: object, most: int) -> None:
    """Whatever stands in strings, brackets and quotes among it."""
    text = json.dumps(value, ensure_ascii=False)
    if depth(value) > most:
        with pytest.raises(ValueError, match=f"deeper than {most} levels"):
            parse_json(text, most_depth=most)
    else:
        assert (
            parse_json(text, most_depth=most) == parse_json(text.encode(), most_depth=most) == value
        )


@given(st.text('[]{}":,\\1ea \n\x00é') | st.binary())
def test_any_text_is_parsed_or_refused_in_one_line(text: str | bytes) -> None:
    said = "it is fine"
    try:
        parse_json(text, most_depth=8)
    except ValueError as error:
        said = str(error)
    assert said.startswith("it is ")
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6,
        "[" * 10**6 + "]" * 10**6,
        '{"a":' * 10**6,
        "[[" + '"\\"' * 10**6,
        '["' + "\\" * (10**6 + 1),
        "[]" * 10**6,
    ],
)
def test_hostile_json_is_refused_at_once(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(ValueError, match="it is "):
        parse_json("[" * 70 + text)
    with pytest.raises(ValueError, match="it is "):
        parse_json(text)
    assert time.process_time() - begin < 5


def test_length_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('"abcdef"')
    assert read_json(tmp_path / "x", most_bytes=8) == "abcdef"
    assert read_bytes(tmp_path / "x", 8) == b'"abcdef"'
    for refused in (
        lambda: read_json(tmp_path / "x", most_bytes=7),
        lambda: parse_json('"abcdef"', most_bytes=7),
    ):
        with pytest.raises(ValueError, match="longer than 7 bytes"):
            refused()
    os.truncate(tmp_path / "x", 2**40)  # a hole of 1 TiB
    with pytest.raises(ValueError, match="longer than"):
        read_json(tmp_path / "x")


def test_pipes_devices_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path / "pipe", r"a pipe \(FIFO\), not a file"),
        (Path("/dev/zero"), "a device, not a file"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(OSError, match=says):
            open_regular(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent")


def test_lines_that_are_not_json_are_left_out(tmp_path: Path) -> None:
    good = b'{"a": 1}\n'
    bad = [b"\xff\xfe\n", b"[" * 10**5 + b"\n", b'"' + b"x" * 99_999 + b'"\n', b"\n", b'{"a": \n']
    (tmp_path / "x").write_bytes(good.join([b"", *bad, b'{"cut"']))
    assert list(read_json_lines(tmp_path / "x", most_bytes=1000)) == [{"a": 1}] * 6
    (tmp_path / "x").write_bytes(b"[1]")  # a last line without its end
    assert list(read_json_lines(tmp_path / "x")) == [[1]]


def test_texts_in_messages_are_escaped_and_shortened() -> None:
    assert shown("Stuhl é 椅子") == "Stuhl é 椅子"
    assert shown("a\nb\x1b[31m\udcff\x00\u202e") == "a\\nb\\x1b[31m\\xff\\x00\\u202e"
    assert shown("x" * 500) == "x" * 200 + " …"
    assert shown(["a\n", 1]) == "['a\\n', 1]"
    assert shown(10**5000) == "a int"
