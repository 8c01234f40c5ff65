"""What is not ours is never replaced or removed, whatever happens when."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shapenet3d_cma.core import outputs
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import (
    HIDDEN,
    Output,
    check_file,
    claim,
    reading,
    refuse_overlap,
    stamp_text,
    write_file,
)
from shapenet3d_cma.tests.layouts import FILES, assert_kept, clear, make_files, snapshot


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power cut is tried here, and hundreds of files are written."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _: None)


def write(folder: Path, kind: str = "kind", /, **files: str) -> None:
    """Write files by a claim that has ended: name_txt="text" is name.txt."""
    with claim(folder, kind) as output:
        for name, text in files.items():
            output.write_text(name.replace("_", "."), text)


def refused(path: Path, kind: str = "kind", **words: Any) -> str:
    """Claim a folder in vain; give the words."""
    with pytest.raises(InputError) as caught, claim(path, kind, **words):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- claim ----


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


def test_dots_do_not_hide_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    before = snapshot(tmp_path)
    assert "is not empty" in refused(tmp_path / "new" / "..")
    assert "is not empty" in refused(tmp_path / "new" / "newer" / ".." / "..")
    with claim(tmp_path / "new" / ".." / "out", "kind") as output:
        output.write_text("a.txt", "a")
    assert_kept(before, tmp_path)
    assert not (tmp_path / "new").exists()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
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


def test_a_link_to_a_folder_is_followed_to_what_it_is(tmp_path: Path) -> None:
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


def test_a_folder_that_was_made_in_vain_vanishes_again(tmp_path: Path) -> None:
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


def test_what_came_between_the_check_and_the_lock_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = outputs._take

    def slow(path: Path, **words: Any) -> int:
        (path / "came.txt").write_text("mine")
        return take(path, **words)

    monkeypatch.setattr(outputs, "_take", slow)
    assert "is not empty" in refused(tmp_path / "out")
    assert (tmp_path / "out" / "came.txt").read_text() == "mine"

    def other(path: Path, **words: Any) -> int:
        monkeypatch.setattr(outputs, "_take", take)
        write(path, "other", a_txt="theirs")
        return take(path, **words)

    monkeypatch.setattr(outputs, "_take", other)
    assert "holds other of cma3d, not kind" in refused(tmp_path / "second")
    assert (tmp_path / "second" / "a.txt").read_text() == "theirs"


# ---- inputs ----


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


# ---- locks ----

HOLD = """
import sys, time
from pathlib import Path
from shapenet3d_cma.core.outputs import claim, reading
how, path = sys.argv[1:]
block = reading(Path(path)) if how == "reading" else claim(Path(path), "kind", shared=how == "shared")
with block:
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a folder in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, how, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        ("exclusive", "exclusive", False),
        ("exclusive", "shared", False),
        ("exclusive", "reading", False),
        ("shared", "exclusive", False),
        ("shared", "shared", True),
        ("shared", "reading", False),
        ("reading", "exclusive", False),
        ("reading", "shared", False),
        ("reading", "reading", True),
    ],
)
def test_two_processes_share_a_folder_or_one_is_refused(
    tmp_path: Path, first: str, second: str, goes: bool
) -> None:
    out = tmp_path / "out"
    write(out, a_txt="a")
    block = reading(out) if second == "reading" else claim(out, "kind", shared=second == "shared")
    with held(out, first) as process:
        if goes:
            with block:
                pass
        else:
            with (
                pytest.raises(
                    InputError, match=r"is being (written|read) by another .*: wait"
                ) as caught,
                block,
            ):
                pass
            assert first == "exclusive" or "(" not in str(caught.value)
            assert first != "exclusive" or f"({process.pid} on " in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        write(out, a_txt="b")  # a killed process holds nothing
    assert (out / "a.txt").read_text() == "b"


def test_what_is_read_without_a_record_needs_no_lock(tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    for path in (tmp_path, tmp_path / "absent"):
        with reading(path):
            assert snapshot(tmp_path) == before


def test_a_folder_that_its_holder_removed_is_made_anew(tmp_path: Path) -> None:
    """The lock that the second waits for is removed with the folder, as the first wrote nothing."""
    out = tmp_path / "out"
    with claim(out, "kind"):
        context = multiprocessing.get_context("spawn")
        second = context.Process(target=write, args=(out,), kwargs={"a_txt": "a"})
        second.start()
        time.sleep(0.5)
    second.join(60)
    assert (
        second.exitcode == 0 or not out.exists()
    )  # it came while the folder was held, or afterwards
    write(out, a_txt="b")
    assert (out / "a.txt").read_text() == "b"


def test_two_that_begin_to_read_and_to_write_do_not_both_give_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a_txt="a")
    lock = os.open(out / HIDDEN / "readers", os.O_RDWR)
    outputs.fcntl.flock(lock, outputs.fcntl.LOCK_SH)
    context = multiprocessing.get_context("fork")
    letting_go = context.Process(
        target=time.sleep, args=(1.2,)
    )  # has the lock, too: a reader that is about to refuse
    letting_go.start()
    os.close(lock)
    write(out, a_txt="b")
    letting_go.join()
    assert (out / "a.txt").read_text() == "b"


# ---- write, replace, remove ----


def test_ours_is_replaced_and_removed(tmp_path: Path) -> None:
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
def test_what_is_not_ours_stays(tmp_path: Path, sort: str) -> None:
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
            with pytest.raises(InputError, match="no name within an output folder"):
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


# ---- kills, full disks ----


class Killed(BaseException):
    """In the place of a kill."""


EVENTS = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.truncate",
    "fcntl.flock",
)


def work(folder: Path, text: str) -> None:
    """Write, replace and remove, files and folders."""
    with claim(folder, "kind") as output:
        output.write_text("a.txt", text)
        with output.write_folder("folder", text) as made:
            make_files(made, {"b.txt": text.encode(), "sub/c.txt": text.encode()})
        output.write_text("sub/d.txt", text)
        output.write_text("gone.txt", text)
        output.remove("gone.txt")


def child(folder: Path, fault: str, step: int) -> int:
    """Work in a process in which a step on the disk ends it, or fails; give what became of it."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    left, here = step, str(folder)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in EVENTS or (
            event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        if event != "fcntl.flock" and here not in str(args[0]):
            return
        left -= 1
        if left < 0 and fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if left == -1 and fault == "stop":
            raise KeyboardInterrupt
        if left < 0 and fault == "full" and event in ("open", "os.mkdir", "os.link"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    code = 70
    try:
        sys.addaudithook(audit)
        work(folder, "new")
        code = 0
    except (OSError, InputError, KeyboardInterrupt):
        code = 2
    finally:
        os._exit(code)


@pytest.mark.parametrize("fault", ["kill", "stop", "full"])
@pytest.mark.parametrize("fresh", [True, False])
def test_wherever_it_ends_what_is_there_is_whole_and_the_next_goes_on(
    tmp_path: Path, fault: str, fresh: bool
) -> None:
    work(tmp_path / "unbroken", "old")
    work(tmp_path / "unbroken", "new")
    whole = visible(tmp_path / "unbroken")
    for step in range(fresh, 1000, 2):
        out = tmp_path / f"out{step}"
        if not fresh:
            work(out, "old")
            make_files(out, {"mine.txt": b"mine", "sub/mine.txt": b"mine"})
        status = child(out, fault, step)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in (0, 2)
        left = visible(out) if out.exists() else {}
        mine = {name: left.pop(name) for name in list(left) if "mine" in name}
        assert set(mine.values()) == (set() if fresh else {b"mine"})
        assert {name.partition("/")[0] for name in left} <= {"a.txt", "folder", "sub", "gone.txt"}
        assert set(left.values()) <= {b"new"} | (set() if fresh else {b"old"})
        if "folder/b.txt" in left or "folder/sub/c.txt" in left:
            assert left["folder/b.txt"] == left["folder/sub/c.txt"]
            with claim(out, "kind") as output:
                assert not output.is_made("folder", "new") or left["folder/b.txt"] == b"new"
        tmp = out / HIDDEN / "tmp"
        if fault == "full" and tmp.is_dir():
            assert list(tmp.iterdir()) == []
        work(out, "new")
        assert {name: text for name, text in visible(out).items() if "mine" not in name} == whole
        assert list(tmp.iterdir()) == []
        shutil.rmtree(out)
        if status == 0:
            break
    assert step > 30


def visible(folder: Path) -> dict[str, bytes]:
    """Read all files but the record's."""
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(HIDDEN)}


def test_a_journal_that_the_disk_has_no_room_for_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, system = tmp_path / "out", os.write
    work(out, "old")
    with claim(out, "kind") as output:
        output.write_text("b.txt", "b")
        before = snapshot(out)

        def full(descriptor: int, content: bytes) -> int:
            if len(content) > 12:
                return system(descriptor, content[:12])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            output.write_text("a.txt", "new")
        with pytest.raises(OSError, match="No space left"):
            output.live("log.txt")
        with (
            pytest.raises(OSError, match="No space left"),
            output.write_folder("folder", "new") as folder,
        ):
            make_files(folder, {"b.txt": b"new"})
        assert_kept(
            {name: what for name, what in before.items() if not name.startswith(HIDDEN)}, out
        )
        assert list((out / HIDDEN / "tmp").iterdir()) == []
        monkeypatch.setattr(os, "write", system)
        output.write_text("b.txt", "new")
    work(out, "new")
    with claim(out, "kind") as output:
        assert all(output.owns(name) for name in ("a.txt", "b.txt", "folder", "sub/d.txt"))


def test_a_torn_or_foreign_line_in_a_journal_spoils_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a_txt="a", b_txt="b")
    journal = next((out / HIDDEN).glob("journal-*"))
    lines = journal.read_bytes()
    junk = [
        b'{"name": "c.txt", "dig',
        b"\xff\xfe",
        b"[" * 5000,
        b"[]",
        b"{}",
        b"7",
        b'{"name": 1, "digest": [], "digests": 7}',
    ]
    with journal.open("ab") as file:
        file.write(b"\n".join(junk) + lines)
    make_files(out / HIDDEN, {"journal-": b"", "journal-x-y": b"", "journal-9-folder/x": b""})
    (out / HIDDEN / "journal-000001-00").symlink_to(out / "nothing")
    os.mkfifo(out / HIDDEN / "journal-000002-00")
    with claim(out, "kind") as output:
        assert output.owns("a.txt")
        assert output.owns("b.txt")
        assert not output.owns("c.txt")
        output.write_text("a.txt", "new")


def test_only_what_the_dead_left_is_tidied(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out, "kind", shared=True) as output:
        output.write_text("a.txt", "a")
        with output.write_folder("b") as partial:
            (partial / "b.txt").write_text("b")
            code = "import sys; from shapenet3d_cma.tests.core.test_outputs import begins; begins(sys.argv[1])"
            died = subprocess.run([sys.executable, "-c", code, str(out)], check=False, timeout=60)
            assert died.returncode == -signal.SIGKILL
            make_files(out / HIDDEN / "tmp", {"mine.txt": b"mine"})
            assert len(list((out / HIDDEN / "tmp").iterdir())) == 3
            with claim(out, "kind", shared=True):
                left = {path.name for path in (out / HIDDEN / "tmp").iterdir()}
            assert left == {partial.parent.name, "mine.txt"}
    assert (out / "b" / "b.txt").read_text() == "b"


def begins(folder: str) -> None:
    """Begin to write, and be killed."""
    with claim(Path(folder), "kind", shared=True) as output, output.write_folder("c") as partial:
        make_files(partial, {"c.txt": b"c"})
        os.kill(os.getpid(), signal.SIGKILL)


def test_many_journals_are_joined_and_nothing_is_forgotten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(30):
        with claim(out, "kind") as output:
            output.write_text(f"{number}.txt", str(number))
            with output.write_folder("folder", f"made {number}") as folder:
                (folder / "a.txt").write_text(str(number))
            output.live("log.txt")
    assert len(list((out / HIDDEN).glob("journal-*"))) < 12
    (out / "7.txt").write_text("mine")
    with claim(out, "kind") as output:
        assert output.is_made("folder", "made 29")
        assert [number for number in range(30) if not output.owns(f"{number}.txt")] == [7]
        (out / "log.txt").write_text("lines")
        assert output.owns("log.txt")


# ---- several processes ----


def write_some(output: Output, part: int) -> list[str]:
    names = [f"{part}/{number}.txt" for number in range(20)]
    for name in names:
        output.write_text(name, f"{part} of {os.getpid()}")
    with output.write_folder(f"folder-{part}", "made") as folder:
        (folder / "a.txt").write_text("a")
    return names


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_copies_in_other_processes_write_under_the_same_claim(tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        with claim(out, "kind") as output:
            output.write_text("a.txt", "a")
            with multiprocessing.get_context(how).Pool(2) as pool:
                written = pool.starmap(write_some, [(output, part) for part in range(4)])
                names = [name for part in written for name in part]
            output.write_text("b.txt", "b")
            assert all(pickle.loads(pickle.dumps(output)).owns(name) for name in names)
            assert Output.joined(json.loads(json.dumps(output.as_json()))).owns(names[0])
    with claim(out, "kind") as output:
        assert all(output.owns(name) for name in [*names, "a.txt", "b.txt"])
        assert all(output.is_made(f"folder-{part}", "made") for part in range(4))
    assert list((out / HIDDEN / "tmp").iterdir()) == []


def write_shared(folder: Path, part: int) -> None:
    for round_ in range(12):
        with claim(folder, "kind", shared=True) as output:
            write_some(output, part)
            assert output.owns(f"{part}/{round_}.txt")


def test_several_commands_that_share_a_folder_lose_no_record(tmp_path: Path) -> None:
    out, context = tmp_path / "out", multiprocessing.get_context("fork")
    processes = [context.Process(target=write_shared, args=(out, part)) for part in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    with claim(out, "kind") as output:
        assert all(output.owns(f"{part}/{number}.txt") for part in range(4) for number in range(20))


# ---- single files ----

PAGE = f"<!doctype html><!-- {stamp_text('page')} -->".encode()


def test_a_single_file_replaces_only_its_own_kind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    for _ in range(2):
        assert write_file(path, "page", PAGE) == path
        assert path.read_bytes() == PAGE
    assert path.stat().st_mode & 0o777 == 0o666 & ~outputs._umask()
    report = PAGE.replace(b"page", b"report")
    with pytest.raises(InputError, match="is there and is no report that cma3d wrote"):
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
    path, umask = tmp_path / "page.html", outputs._umask

    def comes() -> int:
        path.write_text("mine")
        return umask()

    monkeypatch.setattr(outputs, "_umask", comes)
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


# ---- the law ----

OURS = (
    "a.txt",
    "b.txt",
    "folder",
    "folder/x.txt",
    "folder/sub/a.txt",
    "sub/a.txt",
    "sub",
    "a.txt/b.txt",
)


class Folder(RuleBasedStateMachine):
    """Two write to one folder, this project and its user: whatever the user wrote last is there as it was written."""

    places: ClassVar[list[Path]] = []

    @initialize()
    def begin(self) -> None:
        self.root = clear(self.places[0])
        self.out, self.mine, self.count = self.root / "out", {}, 0
        (self.root / "elsewhere").mkdir()

    def ours(self, attempt: Callable[[Output], object]) -> None:
        with suppress(InputError, OSError), claim(self.out, "kind") as output:
            attempt(output)

    @rule(name=st.sampled_from(OURS), text=st.sampled_from(["x", "y"]))
    def write(self, name: str, text: str) -> None:
        self.ours(lambda output: output.write_text(name, text))

    @rule(
        name=st.sampled_from(OURS),
        files=st.dictionaries(st.sampled_from(["x.txt", "sub/a.txt"]), st.just(b"x")),
    )
    def write_folder(self, name: str, files: dict[str, bytes]) -> None:
        def attempt(output: Output) -> None:
            with output.write_folder(name, "made") as folder:
                make_files(folder, files)

        self.ours(attempt)

    @rule(name=st.sampled_from(OURS))
    def remove(self, name: str) -> None:
        self.ours(lambda output: output.remove(name))

    @rule(name=st.sampled_from(OURS))
    def make_folder(self, name: str) -> None:
        self.ours(lambda output: output.folder(name))

    @rule(name=st.sampled_from(OURS))
    def put(self, name: str) -> None:
        path = self.out / name
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.count += 1
        path.write_text(f"mine {self.count}")
        self.mine[os.path.realpath(path)] = (path.read_text(), path.stat().st_mtime_ns)

    @rule(name=st.sampled_from(OURS))
    def take_away(self, name: str) -> None:
        path = self.out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        for known in list(self.mine):
            if not os.path.lexists(known):
                del self.mine[known]

    @rule(name=st.sampled_from(["folder", "sub", "a.txt"]))
    def move_away_and_link(self, name: str) -> None:
        path, there = self.out / name, self.root / "elsewhere" / name
        if os.path.lexists(there) or not os.path.lexists(path) or path.is_symlink():
            return
        moved = {
            known: what
            for known, what in self.mine.items()
            if Path(known).is_relative_to(os.path.realpath(path))
        }
        place = os.path.realpath(path)
        path.rename(there)
        path.symlink_to(there)
        for known, what in moved.items():
            del self.mine[known]
            self.mine[os.path.realpath(there) + known[len(place) :]] = what
        for left in [there, *there.rglob("*")]:  # what is elsewhere is the user's, whoever wrote it
            if left.is_file():
                self.mine[os.path.realpath(left)] = (left.read_text(), left.stat().st_mtime_ns)

    @invariant()
    def nothing_is_lost(self) -> None:
        for name, what in getattr(self, "mine", {}).items():
            assert (Path(name).read_text(), Path(name).stat().st_mtime_ns) == what

    @precondition(lambda self: hasattr(self, "out") and self.out.is_dir())
    @invariant()
    def nothing_is_left_over(self) -> None:
        tmp = self.out / HIDDEN / "tmp"
        assert not tmp.is_dir() or list(tmp.iterdir()) == []


def test_whatever_the_user_wrote_stays(tmp_path: Path) -> None:
    Folder.places = [tmp_path / "law"]
    settings = hypothesis.settings(
        max_examples=30, stateful_step_count=25, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.stateful.run_state_machine_as_test(Folder, settings=settings)
