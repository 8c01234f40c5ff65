"""What is written, replaced and removed in a claimed folder, and what never is."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN, Output, claim, disk
from shapenet3d_cma.tests.core.outputs.claiming import write
from shapenet3d_cma.tests.layouts import assert_kept, make_files, snapshot


def test_our_files_are_replaced_and_removed(tmp_path: Path) -> None:
    for text in ("a", "b"):
        with claim(tmp_path / "out", "kind") as output:
            assert output.write_text("sub/a.txt", text).read_text() == text
            assert output.owns("sub/a.txt")
            output.write_text("sub/a.txt", text * 2)
    with claim(tmp_path / "out", "kind") as output:
        output.remove("sub/a.txt")
        output.remove("sub/a.txt")
        assert not output.owns("sub/a.txt")
    assert not (tmp_path / "out" / "sub" / "a.txt").exists()


def attempts(output: Output, name: str) -> list[Callable[[], object]]:
    """List all ways to replace or remove a file."""

    def folder() -> None:
        with output.write_folder(name):
            pass

    def append() -> None:
        with output.append(name) as file:
            file.write("ours")

    return [
        lambda: output.write_text(name, "ours"),
        lambda: output.write(name, lambda path: path.write_text("ours"), live=True),
        lambda: output.live(name),
        lambda: output.remove(name),
        append,
        folder,
    ]


@pytest.mark.parametrize(
    "sort", ["foreign", "changed", "link", "dangling", "way", "folder", "pipe", "file-on-the-way"]
)
def test_files_of_others_stay(tmp_path: Path, sort: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    make_files(elsewhere, {"a.txt": b"ours", "sub/a.txt": b"ours"})
    with claim(out, "kind") as output:
        output.write_text("kept.txt", "kept")
        output.write_text("sub/a.txt", "ours")
    path = out / "sub" / "a.txt"
    if sort == "way":  # the same content, but elsewhere
        shutil.rmtree(out / "sub")
        (out / "sub").symlink_to(elsewhere)
    elif sort == "file-on-the-way":
        shutil.rmtree(out / "sub")
        (out / "sub").write_text("mine")
    else:
        path.unlink()
    if sort in ("foreign", "changed"):
        path.write_text("mine")
    elif sort in ("link", "dangling"):
        path.symlink_to(elsewhere / ("a.txt" if sort == "link" else "nothing"))
    elif sort == "folder":
        make_files(path, {"mine.txt": b"mine"})
    elif sort == "pipe":
        os.mkfifo(path)
    if sort == "foreign":
        path.rename(out / "sub" / "b.txt")
    name = "sub/b.txt" if sort == "foreign" else "sub/a.txt"
    before = snapshot(tmp_path)
    before = {name: what for name, what in before.items() if not name.startswith(f"out/{HIDDEN}")}
    with claim(out, "kind") as output:
        assert not output.owns(name)
        for attempt in attempts(output, name):
            if sort == "file-on-the-way" and attempt is attempts and not path.exists():
                continue
            with pytest.raises((InputError, NotADirectoryError)) as caught:
                attempt()
            assert "\n" not in str(caught.value)
            assert_kept(before, tmp_path)
        output.write_text("kept.txt", "new")
    assert_kept(before, tmp_path, but=["out/kept.txt"])


def test_a_folder_is_replaced_whole_if_it_is_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out, "kind") as output:
        for number in range(3):
            with output.write_folder("a/b", f"made {number}") as folder:
                make_files(folder, {f"{number}.txt": b"ours", "sub/c.txt": bytes([number])})
            assert output.is_made("a/b", f"made {number}")
            assert not output.is_made("a/b", "other")
    assert {path.name for path in (out / "a" / "b").iterdir()} == {"2.txt", "sub"}
    with claim(out, "kind") as output:
        assert output.is_made("a/b", "made 2")
        output.remove("a/b")
        assert not output.is_made("a/b", "made 2")
    assert not (out / "a" / "b").exists()


@pytest.mark.parametrize("name", ["mine.txt", "deep/mine.txt", "c.txt", "link", "empty/"])
def test_a_folder_with_something_else_in_it_stays(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    with claim(out, "kind") as output, output.write_folder("a", "made") as folder:
        make_files(folder, {"c.txt": b"ours"})
    if name == "link":
        (out / "a" / "link").symlink_to(tmp_path)
    elif name.endswith("/"):
        (out / "a" / name).mkdir()
    else:
        make_files(out / "a", {name: b"mine"})
    before = snapshot(out / "a")
    with claim(out, "kind") as output:
        for attempt in attempts(output, "a"):
            with pytest.raises(InputError):
                attempt()
        with (
            pytest.raises(InputError, match="changed since cma3d wrote it"),
            output.write_folder("a", "new") as folder,
        ):
            make_files(folder, {"d.txt": b"ours"})
        assert snapshot(out / "a") == before


def test_a_new_name_never_replaces_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    path = out / "a.txt"

    def comes() -> None:
        path.write_text("mine")

    with claim(out, "kind") as output:
        with pytest.raises(InputError, match="by another process meanwhile: it is left as it is"):
            output.write_bytes("a.txt", b"ours", before=comes)
        assert path.read_text() == "mine"
        monkeypatch.setattr(os, "link", no_links)
        path.unlink()
        with pytest.raises(InputError, match="by another process meanwhile: it is left as it is"):
            output.write_bytes("a.txt", b"ours", before=comes)
        assert path.read_text() == "mine"
        path.unlink()
        output.write_text("a.txt", "ours")
        assert path.read_text() == "ours"
        assert list((out / HIDDEN / "tmp").iterdir()) == []


@pytest.mark.parametrize("exact", [True, False])
def test_a_new_name_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    partial, path = tmp_path / "partial", tmp_path / "a.txt"
    partial.write_text("ours")
    path.write_text("mine")
    monkeypatch.setattr(os, "link", no_links)
    if exact:  # as if the file came right after it was looked for
        monkeypatch.setattr(os.path, "lexists", lambda _: False)
    else:
        monkeypatch.setattr(disk.ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(disk.TakenError, match="it is left as it is"):
        disk.name_file(partial, path, replace=False)
    assert (path.read_text(), partial.read_text()) == ("mine", "ours")
    path.unlink()
    disk.name_file(partial, path, replace=False)
    assert path.read_text() == "ours"
    assert not partial.exists()


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_live_file_grows_and_stays_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        with claim(out, "kind") as output:
            with output.append("log.jsonl") as file:
                file.write("line\n")
            output.live("others.log").write_text("x")
            output.touch("log.jsonl")
            assert output.owns("log.jsonl")
    assert (out / "log.jsonl").read_text() == "line\n" * 2
    with claim(out, "kind") as output:
        output.write_text("log.jsonl", "", live=True)
        output.remove("others.log")
    assert (out / "log.jsonl").read_text() == ""


def test_a_damaged_shard_is_still_ours_but_another_file_is_not(tmp_path: Path) -> None:
    out, begin = tmp_path / "out", b"\x89HDF\r\n\x1a\n".ljust(512, b"a")
    for damaged, ours in (
        (begin + b"torn", True),
        (begin, True),
        (begin[:-1] + b"b", False),
        (b"mine", False),
    ):
        with claim(out, "kind") as output:
            output.write_bytes("a.h5", begin + bytes(20))
            (out / "a.h5").write_bytes(damaged)
            assert output.owns("a.h5") == ours
            if ours:
                output.write_bytes("a.h5", begin)
            else:
                with pytest.raises(InputError, match="changed since cma3d wrote it"):
                    output.write_bytes("a.h5", begin)
                (out / "a.h5").unlink()
    with claim(out, "kind") as output:
        (out / "b.h5").write_bytes(begin)
        assert not output.owns("b.h5")
        (out / "a.h5").write_bytes(b"")
        assert not output.owns("a.h5")


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "é" * 127, "a." + "y" * 253, "two\nlines", "\udcff\udc80", ' "\\', ".hidden"],
)
def test_any_name_that_the_system_has_is_written(tmp_path: Path, name: str) -> None:
    for text in ("a", "b"):
        with claim(tmp_path / "out", "kind") as output:
            output.write_text(name, text)
            with output.write_folder(f"folder/{name}", text) as folder:
                (folder / name).write_text(text)
            assert output.is_made(f"folder/{name}", text)
    assert (tmp_path / "out" / name).read_text() == "b"
    assert (tmp_path / "out" / "folder" / name / name).read_text() == "b"


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/../b", "/a", "a//b", "a/", ".", HIDDEN, f"a/{HIDDEN}/b", "a\0b"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    make_files(tmp_path, {"a": b"mine", "b": b"mine"})
    before = snapshot(tmp_path)
    with claim(tmp_path / "out", "kind") as output:
        for attempt in attempts(output, name):
            with pytest.raises(InputError, match="not a name within an output folder"):
                attempt()
        assert not output.owns(name)
    assert snapshot(tmp_path) == before


def test_version_0_1s_own_files_are_known_by_their_content(tmp_path: Path) -> None:
    make_files(
        tmp_path / "out",
        {"render.json": b"{}", "a.h5": b"of 0.1", "notes.h5": b"mine", "b.h5": b"of 0.1"},
    )
    words: dict[str, Any] = {"earlier": is_earlier, "known": is_of_01}
    with claim(tmp_path / "out", "kind", **words) as output:
        assert output.owns("a.h5")
        output.adopt("render.json")
        output.write_text("render.json", "[]")
        output.write_text("a.h5", "new")
        with pytest.raises(InputError, match="not written by cma3d"):
            output.write_text("notes.h5", "new")
    with claim(tmp_path / "out", "kind", **words) as output:
        output.remove("b.h5")
        with pytest.raises(InputError, match="not written by cma3d"):
            output.remove("notes.h5")
    assert (tmp_path / "out" / "notes.h5").read_bytes() == b"mine"
    write(tmp_path / "new", "kind", a_txt="a")
    (tmp_path / "new" / "a.h5").write_bytes(b"of 0.1")
    with claim(tmp_path / "new", "kind", **words) as output:
        assert not output.owns("a.h5")  # in a folder with a record, only what is recorded is ours


def is_earlier(folder: Path) -> bool:
    return (folder / "render.json").is_file()


def is_of_01(path: Path) -> bool:
    return path.read_bytes() == b"of 0.1"
