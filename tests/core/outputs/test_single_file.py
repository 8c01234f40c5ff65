"""Single files replace only their own kind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import check_file, single_file, stamp_text, write_file
from shapenet3d_cma.tests.layouts import make_files, snapshot

PAGE = f"<!doctype html><!-- {stamp_text('page')} -->".encode()


def test_a_single_file_replaces_only_its_own_kind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    for _ in range(2):
        assert write_file(path, "page", PAGE) == path
        assert path.read_bytes() == PAGE
    assert path.stat().st_mode & 0o777 == 0o666 & ~single_file.current_umask()
    report = PAGE.replace(b"page", b"report")
    with pytest.raises(InputError, match="is there and is not a report that cma3d wrote"):
        write_file(path, "report", report)
    assert path.read_bytes() == PAGE
    with pytest.raises(AssertionError):
        write_file(tmp_path / "new.html", "page", b"no stamp")
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    "sort",
    ["file", "empty", "link", "dangling", "folder", "empty-folder", "pipe", "inside", "dots"],
)
def test_a_single_file_never_takes_the_place_of_what_is_not_ours(tmp_path: Path, sort: str) -> None:
    folder = tmp_path / "folder"
    make_files(folder, {"page.html": PAGE, "mine.txt": b"mine"})
    path = tmp_path / "out.html"
    if sort in ("file", "empty"):
        path.write_bytes(b"mine" if sort == "file" else b"")
    elif sort in ("link", "dangling"):
        path.symlink_to(folder / ("page.html" if sort == "link" else "nothing"))
    elif sort in ("folder", "empty-folder"):
        make_files(path, {"a.txt": b"mine"} if sort == "folder" else {})
    elif sort == "pipe":
        os.mkfifo(path)
    path = {
        "inside": folder / "mine.txt" / "out.html",
        "dots": tmp_path / "new" / ".." / "folder" / "mine.txt",
    }.get(sort, path)
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        write_file(path, "page", PAGE)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before
    if sort != "inside":
        with pytest.raises(InputError):
            check_file(path, "page")
    for name in ("new/..", "..", "new/../folder", "", "x" * 256, "new/" + "x" * 256):
        with pytest.raises(InputError):
            write_file(tmp_path / name, "page", PAGE)
    assert snapshot(tmp_path) == before


def test_a_single_file_in_an_input_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path / "shards", {"page.html": PAGE})
    (tmp_path / "link").symlink_to("shards")
    before = snapshot(tmp_path)
    for path in (
        tmp_path / "shards" / "page.html",
        tmp_path / "link" / "new.html",
        tmp_path / "shards",
    ):
        with pytest.raises(InputError, match="is read"):
            write_file(path, "page", PAGE, inputs=[tmp_path / "shards"])
    assert snapshot(tmp_path) == before


def test_a_single_file_that_came_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, umask = tmp_path / "page.html", single_file.current_umask

    def comes() -> int:
        path.write_text("mine")
        return umask()

    monkeypatch.setattr(single_file, "current_umask", comes)
    with pytest.raises(InputError, match="was written by another process meanwhile"):
        write_file(path, "page", PAGE)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "mine")]


def test_a_single_file_on_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_file(tmp_path / "page.html", "page", PAGE)
    before = snapshot(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    for path in (tmp_path / "page.html", tmp_path / "new" / "deep" / "page.html"):
        with pytest.raises(InputError, match="No space left on device; free some space"):
            write_file(path, "page", PAGE + b"new")
        assert snapshot(tmp_path) == before
