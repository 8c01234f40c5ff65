"""Kills, stops and full disks: what is there is whole, and the journals know it."""

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
from pathlib import Path
from typing import Any

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN, Output, claim
from shapenet3d_cma.tests.core.outputs.claiming import write
from shapenet3d_cma.tests.layouts import assert_kept, make_files, snapshot


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
def test_after_a_kill_at_any_step_the_files_are_whole_and_the_next_run_goes_on(
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


def test_a_journal_on_a_full_disk_loses_no_earlier_entry(
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


def test_a_damaged_line_in_a_journal_costs_no_other_line(tmp_path: Path) -> None:
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


def test_only_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out, "kind", shared=True) as output:
        output.write_text("a.txt", "a")
        with output.write_folder("b") as partial:
            (partial / "b.txt").write_text("b")
            code = "import sys; from shapenet3d_cma.tests.core.outputs.test_journal import begins; begins(sys.argv[1])"
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


def test_many_journals_are_joined_without_loss(tmp_path: Path) -> None:
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
