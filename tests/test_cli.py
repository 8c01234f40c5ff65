"""The command line: what it prints, and one clear line and exit status 2 for wrong usage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

from shapenet3d_cma import __version__
from shapenet3d_cma.cli import cli
from shapenet3d_cma.tests.waiting import PATIENCE

Run = Callable[..., subprocess.CompletedProcess[str]]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a refusal consists of."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("cma3d: ")
    return line


def test_every_help_text_shows_examples(cma3d: Run) -> None:
    for name in cli.commands:
        text = CliRunner().invoke(cli, [name, "--help"]).output
        assert f"cma3d {name} " in text, name
        assert "Example" in text, name
    assert "cma3d demo OUT" in CliRunner().invoke(cli, ["--help"]).output
    assert cma3d("--version").stdout == f"cma3d, version {__version__}\n"


def test_without_arguments_the_help_is_shown(cma3d_inside: Run) -> None:
    done = cma3d_inside()
    assert done.returncode == 2
    assert "cma3d demo OUT" in done.stderr
    assert len(done.stderr.splitlines()) > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["paint"], "No such command 'paint'"),
        (["render"], "Missing argument 'SHAPENET'"),
        (["render", "a", "b", "--views", "0"], "'--views': 0 is not in the range"),
        (["render", "a", "b", "--colour", "some"], "'some' is not one of 'all', 'best'"),
        (["render", "a", "b", "--elevation", "40", "10"], "elevation must be two rising angles"),
        (
            ["render", "a", "b", "--background", "blue"],
            "background must be a colour #rrggbb or transparent, got 'blue'",
        ),
        (["render", "none", "b"], "none does not exist: expected ShapeNetCore.v2"),
        (["pack", "none", "b"], "none does not exist: `cma3d render SHAPENET RENDERS` makes"),
        (["verify", "none"], "none is not a folder of shards: `cma3d pack"),
        (["inspect", "none"], "give one of --row I, --model ID and --rows A:B"),
        (["inspect", "none", "--row", "0"], "none is not a folder of shards"),
        pytest.param(
            ["pretrain", "none", "run"],
            "none is not a folder of shards",
            marks=pytest.mark.needs("torch"),
        ),
        (["pretrain", "a", "b", "--set", "width=100"], "width = 100 is no multiple of heads = 6"),
        (["pretrain", "a", "b", "--set", "colour=red"], "unknown setting 'colour'"),
        pytest.param(
            ["export-encoder", "none", "out"],
            "none is no point encoder",
            marks=pytest.mark.needs("torch"),
        ),
        (["samples", "x", "--categories", "zebra"], "'zebra' is unknown"),
        (
            ["render", "a", "b", "--config", "none.toml"],
            "none.toml cannot be read: No such file or directory; give a TOML file of settings",
        ),
    ],
)
def test_wrong_usage_is_answered_in_one_line(
    cma3d_inside: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(tmp_path)
    try:
        assert message in refused(cma3d_inside(*words))
    finally:
        os.chdir(before)
    assert list(tmp_path.iterdir()) == [], "nothing may be left half-written"


@pytest.mark.needs("bpy", "torch")
def test_an_unwritable_output_is_refused_before_work_begins(
    cma3d_inside: Run, shapenet: Path, renders: Path, shards: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    for words in (
        ("samples", out),
        ("render", shapenet, out),
        ("pack", renders, out),
        ("inspect", shards, "--row", 0, "-o", out / "a.png"),
        ("pretrain", shards, out),
        ("demo", out),
    ):
        line = refused(cma3d_inside(*words))
        assert str(out) in line
        assert "cannot be written" in line


def test_no_output_is_accepted_among_the_models(cma3d_inside: Run, shapenet: Path) -> None:
    before = sorted(shapenet.rglob("*"))
    for words in (("render", shapenet, shapenet), ("build", shapenet, shapenet / "out")):
        line = refused(cma3d_inside(*words))
        assert "is what is read: choose" in line or "which is read: choose" in line
    assert sorted(shapenet.rglob("*")) == before


def test_an_unknown_model_is_refused(cma3d_inside: Run, shards: Path, tmp_path: Path) -> None:
    line = refused(cma3d_inside("inspect", shards, "--model", "zebra", "-o", tmp_path / "a.png"))
    assert "no row of the model 'zebra'; it has 8 rows" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("torch")
def test_a_shard_of_another_version(cma3d_inside: Run, shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shards, tmp_path / "shards")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["schema_version"] = 9
    (copy / "manifest.json").write_text(json.dumps(manifest))
    for words in (
        ("verify", copy),
        ("inspect", copy, "--row", 0),
        ("pretrain", copy, tmp_path / "run"),
    ):
        assert "schema version 9; this program reads version 1" in refused(cma3d_inside(*words))
    assert not (tmp_path / "run").exists()


def test_verify_prints_a_table_or_json(
    cma3d_inside: Run, shards: Path, shapenet: Path, tmp_path: Path
) -> None:
    table = cma3d_inside("verify", shards, "--source", shapenet)
    assert table.returncode == 0
    assert "every law holds" in table.stdout
    copy = shutil.copytree(shards, tmp_path / "shards")
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["pixels"][1, 0] += 1
    document = cma3d_inside("verify", copy, "--json")
    assert document.returncode in (1, 2)
    if document.returncode == 2:  # the file's length changed with its bytes
        assert "it was cut off or changed" in document.stderr
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
        (copy / "manifest.json").write_text(json.dumps(manifest))
        document = cma3d_inside("verify", copy, "--json")
    assert document.returncode == 1
    verdicts = {law["law"]: law for law in json.loads(document.stdout)["laws"]}
    assert verdicts["pixel"]["broken"] == 1
    assert verdicts["pixel"]["where"].startswith("shard-00000.h5 row 1 ")
    assert verdicts["sha256"]["broken"] == 1


@pytest.mark.needs("bpy")
def test_render_lists_its_failures_and_exits_1(
    cma3d_inside: Run, shapenet: Path, tmp_path: Path
) -> None:
    world = shutil.copytree(shapenet, tmp_path / "shapenet")
    (world / "03797390" / "hollow").mkdir()
    words = (
        "render",
        world,
        tmp_path / "renders",
        "--synset",
        "mug",
        "--size",
        32,
        "--views",
        2,
        "--samples",
        1,
    )
    done = cma3d_inside(*words)
    assert done.returncode == 1
    assert "2 models rendered, 0 there before, 1 failed" in done.stdout
    assert "03797390/hollow failed: it has no models/model_normalized.obj" in done.stderr
    failures = (tmp_path / "renders" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["model_id"] for line in failures] == ["hollow"]
    again = cma3d_inside(*words)
    assert "0 models rendered, 2 there before, 0 failed, 1 failed before" in again.stdout
    assert again.returncode == 1
    assert (
        "0 models rendered, 2 there before, 1 failed\n"
        in cma3d_inside(*words, "--retry-failed").stdout
    )


@pytest.mark.needs("bpy")
def test_settings_come_from_toml_and_the_command_line_wins(
    cma3d_inside: Run, shapenet: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text(
        'size = 40\nviews = 3\nsamples = 1\ncolour = "best"\nelevation = [0.0, 10.0]\n'
    )
    words = (
        "render",
        shapenet,
        tmp_path / "renders",
        "--limit",
        1,
        "--synset",
        "mug",
        "--config",
        tmp_path / "r.toml",
    )
    assert cma3d_inside(*words, "--views", 2).returncode == 0
    (path,) = (tmp_path / "renders").glob("*/*.h5")
    with h5py.File(path) as file:
        assert file["depth"].shape == (2, 40, 40)
        assert json.loads(file.attrs["config"])["elevation"] == [0.0, 10.0]


def test_inspect_names_what_it_wrote(cma3d_inside: Run, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "row.png"
    assert cma3d_inside("inspect", shards, "--row", 2, "-o", out).stdout.strip() == str(out)
    assert out.read_bytes().startswith(b"\x89PNG")


DEAF = """
import time
from shapenet3d_cma import cli

@cli.cli.command()
def deaf():
    print("begun", flush=True)
    for _ in range(2):
        try:
            time.sleep(100)
        except BaseException:
            pass

class Deaf:
    def __del__(self):
        print("begun", flush=True)
        time.sleep(100)

@cli.cli.command()
def callback():
    held = Deaf()
    del held
    time.sleep(100)

@cli.cli.command()
def tidy():
    try:
        print("begun", flush=True)
        time.sleep(100)
    finally:
        time.sleep(3)
        print("tidied", flush=True)

cli.main()
"""


@pytest.mark.parametrize("word", ["deaf", "callback", "tidy"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_never_lost_and_lets_tidying_end(word: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DEAF, word],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        out, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ("tidied\n" if word == "tidy" else "")
    assert error.split() == STOPPED.split()


STOPPED = "cma3d: stopped; what was finished is kept, the same command goes on from there"


@pytest.mark.needs("torch")
def test_settings_come_from_shipped_files_assignments_and_options(cma3d_inside: Run) -> None:
    words = (
        "--config",
        "small",
        "--set",
        "width=48",
        "--set",
        "tasks=contrast",
        "--heads",
        6,
        "--json",
    )
    info = json.loads(cma3d_inside("model-info", *words).stdout)
    assert info["epochs"] == 32  # small.toml
    assert info["parameters"] < 1_000_000
    assert not any("reconstruction" in part["name"] for part in info["parts"])


@pytest.mark.needs("torch")
def test_the_size_of_the_papers_network(cma3d_inside: Run) -> None:
    table = cma3d_inside("model-info").stdout
    assert "57,694,432" in table
    assert "22,099,752" in table
