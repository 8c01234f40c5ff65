from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shapenet3d_cma.errors import InputError, needs
from shapenet3d_cma.files import PARTIAL, atomic_path, make_folder, sha256, sweep, write_text


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def interrupted() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    write_text(path, "whole")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_leaves_is_swept(tmp_path: Path) -> None:
    (tmp_path / "03001627").mkdir()
    for folder in (tmp_path, tmp_path / "03001627"):
        (folder / f"{PARTIAL}1-a.h5").touch()
        (folder / "b.h5").touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.h5")) == ["b.h5", "b.h5"]


def test_what_others_are_writing_is_not_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    mine, dead, far, lost = (
        tmp_path / f"{PARTIAL}{owner}-00-a.h5"
        for owner in (f"{here}@{os.getpid()}", f"{here}@{ended.pid}", "far-away@1", "long-gone@1")
    )
    for path in (mine, dead, far, lost):
        path.touch()
    os.utime(lost, (0, 0))
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, far}
    with atomic_path(tmp_path / "b.h5") as partial:
        partial.write_bytes(b"whole")
        sweep(tmp_path)
    assert (tmp_path / "b.h5").read_bytes() == b"whole"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "c"):
        with pytest.raises(InputError, match=f"{bad} cannot be written"):
            make_folder(bad)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_library_is_told_apart_from_a_missing_package() -> None:
    library = ImportError("libusb-1.0.so.0: cannot open shared object file: No such file or directory")
    assert "system library libusb-1.0.so.0 is missing or broken; `make libraries`" in str(
        needs("open3d", "reconstruct", library)
    )
    package = ImportError("No module named 'open3d'")
    assert "pip install 'shapenet3d-cma[reconstruct]'" in str(needs("open3d", "reconstruct", package))
