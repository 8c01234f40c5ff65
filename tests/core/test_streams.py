"""Standard output and error that are full, closed, gone, or of a narrow encoding: the work is done all the same."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CMA3D = shlex.join([sys.executable, "-m", "shapenet3d_cma.cli"])
WORDS = "--per-category 1 --categories mug"


def shell(line: str, folder: Path, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        cwd=folder,
        env=os.environ | env,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (">/dev/full", "No space left on device"),
        (">&-", "it is closed"),
        ("<&- >&-", "it is closed"),
    ],
)
def test_output_that_cannot_be_written(tmp_path: Path, place: str, says: str) -> None:
    status, _, err = shell(f"{CMA3D} samples out {WORDS} {place}", tmp_path)
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith(
        f"cma3d: standard output cannot be written ({says}): the results are kept"
    )
    assert len(list((tmp_path / "out").glob("*/*/models/model_normalized.obj"))) == 1


def test_help_on_a_full_disk_fails_in_one_line(tmp_path: Path) -> None:
    status, _, err = shell(f"{CMA3D} --help >/dev/full", tmp_path)
    assert (status, len(err.splitlines())) == (2, 1)


def test_a_reader_that_stops_early_changes_nothing(tmp_path: Path) -> None:
    assert shell(f"{CMA3D} render --help | true", tmp_path) == (0, "", "")
    status, out, err = shell(f"(sleep 1; {CMA3D} samples out {WORDS}) | true", tmp_path)
    assert (status, out, err) == (0, "", "")
    assert (tmp_path / "out" / "taxonomy.json").is_file()


@pytest.mark.parametrize("place", ["2>/dev/full", "2>&-"])
def test_errors_that_cannot_be_written_keep_their_status(tmp_path: Path, place: str) -> None:
    assert shell(f"{CMA3D} doctor none {place}", tmp_path) == (2, "", "")


NARROW = [
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict"},
]


@pytest.mark.parametrize("env", NARROW, ids=" ".join)
def test_names_outside_of_ascii_in_any_locale(
    tmp_path: Path, shards: Path, env: dict[str, str]
) -> None:
    (tmp_path / "Möbel").symlink_to(shards)
    status, out, err = shell(
        f"{CMA3D} report Möbel -o Überblick.html --most 1 && {CMA3D} doctor Stühle", tmp_path, **env
    )
    ascii_only = "PYTHONIOENCODING" in env
    assert status == 2
    assert out.strip() == (r"\xdcberblick.html" if ascii_only else "Überblick.html")
    chairs = r"St\xfchle" if ascii_only else "Stühle"
    assert err.splitlines()[-1].startswith(f"cma3d: {chairs} does not exist")
    assert "Traceback" not in err
    assert "Möbel" in (tmp_path / "Überblick.html").read_text(encoding="utf-8")


def test_names_that_are_not_utf8(tmp_path: Path, shards: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff\x1b")).symlink_to(shards)
    status, out, err = shell(
        f"{CMA3D} report $'a\\xff\\x1b' -o out.html --most 1; {CMA3D} doctor $'b\\xff\\x1b'",
        tmp_path,
    )
    assert (status, out) == (2, "out.html\n")
    assert err.splitlines()[-1].startswith(r"cma3d: b\xff\x1b does not exist")
    assert "Traceback" not in err
