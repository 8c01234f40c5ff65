"""What may be claimed, and what is refused and stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN, claim, claims, refuse_overlap
from shapenet3d_cma.tests.core.outputs.claiming import refused, write
from shapenet3d_cma.tests.layouts import FILES, assert_kept, clear, make_files, snapshot


def test_a_folder_that_is_absent_empty_or_of_the_same_kind_is_claimed(tmp_path: Path) -> None:
    absent, empty = tmp_path / "a" / "b" / "c", tmp_path / "empty"
    empty.mkdir()
    for folder in (absent, empty, empty, absent):
        with claim(folder, "kind") as output:
            output.write_text("a.txt", "a")
        assert (folder / "a.txt").read_text() == "a"
    assert (absent / HIDDEN).is_dir()


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "out", "renders", a_txt="a")
    before = snapshot(tmp_path)
    assert "holds renders of cma3d, not shards: choose another output folder" in refused(
        tmp_path / "out", "shards"
    )
    assert snapshot(tmp_path) == before


@hypothesis.given(FILES)
def test_a_folder_with_files_of_the_users_is_refused_untouched(
    tmp_path_factory: Any, files: dict[str, bytes]
) -> None:
    folder = clear(tmp_path_factory.getbasetemp() / "foreign")
    make_files(folder, files)
    before = snapshot(folder)
    for path in (folder, folder / "new" / ".."):
        assert f"{folder} is not empty" in refused(path)
    assert snapshot(folder) == before


def test_a_path_with_dots_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    before = snapshot(tmp_path)
    assert "is not empty" in refused(tmp_path / "new" / "..")
    assert "is not empty" in refused(tmp_path / "new" / "newer" / ".." / "..")
    with claim(tmp_path / "new" / ".." / "out", "kind") as output:
        output.write_text("a.txt", "a")
    assert_kept(before, tmp_path)
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe")
    before = snapshot(tmp_path)
    assert "is a file" in refused(tmp_path / "file")
    assert "is a file" in refused(tmp_path / "pipe")
    assert "a link to nothing" in refused(tmp_path / "dangling")
    assert "link" in refused(tmp_path / "circle")
    for name in (
        "file/out",
        "dangling/out",
        "circle/out",
        "dangling/out/deep",
        "x" * 256,
        f"deep/{'x' * 256}/a",
    ):
        assert "cannot be written" in refused(tmp_path / name)
    assert "cannot be followed" in refused(tmp_path / "a\0b")
    assert snapshot(tmp_path) == before


def test_a_link_to_a_folder_counts_as_the_folder(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours", tmp_path / "foreign"
    write(ours, a_txt="a")
    make_files(foreign, {"a.txt": b"mine"})
    (tmp_path / "to-ours").symlink_to(ours)
    (tmp_path / "to-foreign").symlink_to(foreign)
    before = snapshot(foreign)
    write(tmp_path / "to-ours", a_txt="b")
    assert (ours / "a.txt").read_text() == "b"
    assert "is not empty" in refused(tmp_path / "to-foreign")
    assert snapshot(foreign) == before


@pytest.mark.parametrize(
    "sort", ["file", "link", "dangling", "folder", "stamp", "broken", "stamp-link"]
)
def test_a_record_that_is_not_ours_is_refused(tmp_path: Path, sort: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    write(elsewhere, a_txt="a")
    hidden = out / HIDDEN
    if sort == "file":
        hidden.write_text("mine")
    elif sort in ("link", "dangling"):
        hidden.symlink_to(elsewhere / HIDDEN if sort == "link" else tmp_path / "nothing")
    else:
        hidden.mkdir()
        (hidden / ("mine.txt" if sort == "folder" else "stamp.json")).write_text(
            '{"format": "mine", "kind": "kind"}'
        )
    if sort == "broken":
        (hidden / "stamp.json").write_text("[" * 4000)
    if sort == "stamp-link":
        (hidden / "stamp.json").unlink()
        (hidden / "stamp.json").symlink_to(elsewhere / HIDDEN / "stamp.json")
    before = snapshot(tmp_path)
    assert f"{hidden} is not of cma3d" in refused(out)
    assert snapshot(tmp_path) == before


def test_a_tmp_that_is_a_link_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "out", a_txt="a")
    token = next((tmp_path / "out" / HIDDEN).glob("journal-*")).name.rpartition("-")[2]
    make_files(tmp_path / "mine", {f"{token}-1": b"mine"})
    shutil.rmtree(tmp_path / "out" / HIDDEN / "tmp")
    (tmp_path / "out" / HIDDEN / "tmp").symlink_to(tmp_path / "mine")
    before = snapshot(tmp_path / "mine")
    assert "is a link" in refused(tmp_path / "out")
    assert snapshot(tmp_path / "mine") == before


def test_a_record_that_a_kill_left_bare_is_taken_up(tmp_path: Path) -> None:
    for names in ((), ("lock",), ("lock", "readers", "stamp-00")):
        out = tmp_path / f"out{len(names)}"
        make_files(out / HIDDEN, dict.fromkeys(names, b""))
        write(out, a_txt="a")
        assert (out / "a.txt").read_text() == "a"


def test_a_read_only_folder_is_named() -> None:
    """Root may write anywhere, so where the tests are root's, a child that is nobody asks."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        top = Path(name)
        top.chmod(0o755)
        (top / "out").mkdir(mode=0o555)
        for path in (top / "out", top / "out" / "deep"):
            assert f"{path} cannot be written: Permission denied" in as_nobody(
                lambda path=path: refused(path)
            )


def as_nobody(act: Callable[[], str]) -> str:
    """Do it in a fork without the rights of root, and return what it said."""
    if os.geteuid():
        return act()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, act().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_a_disk_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def mkdir(path: Path, **words: Any) -> None:
        if path.name in (HIDDEN, "inner", "c"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        make(path, **words)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    for path in (tmp_path / "out", tmp_path / "outer" / "inner", tmp_path / "a" / "b" / "c"):
        assert f"{path} cannot be written: Read-only file system" in refused(path)
    assert list(tmp_path.iterdir()) == []


def test_an_unused_new_folder_is_removed(tmp_path: Path) -> None:
    with claim(tmp_path / "a" / "b", "kind"):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), claim(tmp_path / "a" / "b", "kind"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with claim(tmp_path / "mine", "kind"):
        pass
    assert (tmp_path / "mine").is_dir()
    with claim(tmp_path / "a" / "b", "kind"):
        (tmp_path / "a" / "came.txt").write_text("mine")
    assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "came.txt").read_text() == "mine"


def test_a_file_that_came_between_check_and_lock_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = claims.take_lock

    def slow(path: Path, **words: Any) -> int:
        (path / "came.txt").write_text("mine")
        return take(path, **words)

    monkeypatch.setattr(claims, "take_lock", slow)
    assert "is not empty" in refused(tmp_path / "out")
    assert (tmp_path / "out" / "came.txt").read_text() == "mine"

    def other(path: Path, **words: Any) -> int:
        monkeypatch.setattr(claims, "take_lock", take)
        write(path, "other", a_txt="theirs")
        return take(path, **words)

    monkeypatch.setattr(claims, "take_lock", other)
    assert "holds other of cma3d, not kind" in refused(tmp_path / "second")
    assert (tmp_path / "second" / "a.txt").read_text() == "theirs"


@pytest.mark.parametrize(
    ("out", "given", "says"),
    [
        ("in", "in", "is what is read"),
        ("in/", "in", "is what is read"),
        ("in/sub/..", "in", "is what is read"),
        ("in/new/..", "in", "is what is read"),
        ("link", "in", "is what is read"),
        ("in", "link", "is what is read"),
        ("link2", "link", "is what is read"),
        ("in/out", "in", "which is read: choose a place outside"),
        ("link/out", "in", "which is read: choose a place outside"),
        ("in/a/b/../../../in/out", "link2", "which is read: choose a place outside"),
        ("to-sub/x", "in", "which is read: choose a place outside"),
        ("around", "around/in", "which is read, lies in"),
        (".", "in", "which is read, lies in"),
        ("in/..", "in", "which is read, lies in"),
        ("in", "link/sub", "which is read, lies in"),
        ("in", "to-sub", "which is read, lies in"),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_an_output_never_overlaps_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, given: str, says: str, relative: bool
) -> None:
    make_files(tmp_path, {"in/a.txt": b"mine", "in/sub/b.txt": b"mine", "around/in/c.txt": b"mine"})
    for name, to in (("link", "in"), ("link2", "link"), ("to-sub", "in/sub")):
        (tmp_path / name).symlink_to(to)
    monkeypatch.chdir(tmp_path)
    place = Path() if relative else tmp_path
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=says):
        refuse_overlap(Path(f"{place}/{out}"), [None, Path(f"{place}/{given}")])
    assert says in refused(Path(f"{place}/{out}"), inputs=[Path(f"{place}/{given}")])
    assert snapshot(tmp_path) == before


def test_neighbours_are_no_overlap(tmp_path: Path) -> None:
    for name in ("input", "in2", "in-out", "IN"):
        refuse_overlap(tmp_path / name, [tmp_path / "in", None])
