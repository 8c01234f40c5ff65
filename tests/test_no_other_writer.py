"""Only one module writes: no other calls what opens a file for writing, renames, removes or makes folders."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from shapenet3d_cma.tests.test_imports import sources
from shapenet3d_cma.tests.waiting import PATIENCE

OF_PATHS = {
    "write_text",
    "write_bytes",
    "unlink",
    "rename",
    "rmdir",
    "mkdir",
    "touch",
    "symlink_to",
    "hardlink_to",
}
OF_MODULES = {
    "os": {
        "remove",
        "unlink",
        "rename",
        "replace",
        "renames",
        "removedirs",
        "rmdir",
        "mkdir",
        "makedirs",
        "truncate",
    }
    | {"link", "symlink", "mkfifo", "open", "utime"},
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "unpack_archive"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory"},
}
ALLOWED = {
    "samples.miniatures": "fills the folder that write_folder gives",
    "reconstruct.clouds": "fills the folder that write_folder gives",
    "pack.export.formats": "fills the folder that write_folder gives",
    "reconstruct.ply": "fills the folder that write_folder gives",
    "samples.model_folder": "fills the folder that write_folder gives",
    "samples.damages": "fills the folder that write_folder gives",
    "pack.writer": "HDF5 in memory",
    "render.render_file": "HDF5 in memory",
    "pack.surface": "scratch in the system's temporary folder",
    "core.scratch": "scratch in the system's temporary folder",
    "core.faults": "scratch in the system's temporary folder",
    "render.shapenet.archive": "scratch in the system's temporary folder",
    "render.blender.worker": "scratch in the system's temporary folder",
    "render.shapenet.doctor": "scratch in the system's temporary folder",
    "render.shapenet.listing": "scratch in the system's temporary folder",
    "render.workers": "scratch in the system's temporary folder",
}
"""Modules that may call what writes, and why nothing of the user's is within their reach."""


def writes(node: ast.AST) -> str | None:
    """Name what a call writes with; None where it writes nothing, or to a place that `outputs` gave."""
    if not isinstance(node, ast.Call):
        return None
    function, text = node.func, ast.unparse(node.func)
    if text == "open" or (
        isinstance(function, ast.Attribute) and function.attr in ("open", "File")
    ):
        modes = [
            word.value
            for word in [*node.args, *(k.value for k in node.keywords)]
            if isinstance(word, ast.Constant)
        ]
        wrong = [
            mode
            for mode in modes
            if isinstance(mode, str) and set(mode) & set("wax+") and len(mode) < 4
        ]
        return text if wrong else None
    if not isinstance(function, ast.Attribute):
        return None
    owner = ast.unparse(function.value)
    if function.attr in OF_MODULES.get(owner, ()) or function.attr in OF_PATHS:
        return None if "output" in owner.split(".") else text
    return None


def found() -> dict[str, set[str]]:
    """List what each module writes with, but for `outputs`."""
    listed = {}
    for name, path in sources().items():
        calls = {writes(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))} - {
            None
        }
        if calls and not name.startswith("core.outputs."):
            listed[name] = calls
    return listed


def test_no_module_writes_but_one() -> None:
    """Whoever comes to write, writes through `outputs`, or says here why not."""
    assert {name: calls for name, calls in found().items() if name not in ALLOWED} == {}


def test_calls_that_write_are_recognised() -> None:
    """The test above would see the writing that there was before."""
    for line in (
        "path.write_text(x)",
        "path.open('w')",
        "open(path, mode='ab')",
        "os.replace(a, b)",
        "path.unlink()",
    ):
        assert writes(ast.parse(line).body[0].value), line
    for line in (
        "path.open('rb')",
        "output.write_text(name, x)",
        "self.output.touch(name)",
        "path.read_text()",
    ):
        assert not writes(ast.parse(line).body[0].value), line


ONE_AFTER_THE_OTHER = """
import json, sys
from shapenet3d_cma.cli import run_command

for words in json.loads(sys.argv[1]):
    sys.argv = ["cma3d", *words]
    assert run_command() == 0, words
"""


def test_no_process_of_a_command_writes_but_by_it(
    renders: Path, shards: Path, shapenet: Path, tmp_path: Path
) -> None:
    """Every command that writes, its workers and Blenders among them: each event of writing has `outputs` behind it."""
    log, root = tmp_path / "log", tmp_path / "world"
    root.mkdir()
    more = {
        "CMA3D_AUDIT_LOG": str(log),
        "CMA3D_AUDIT_ROOT": f"{root}/",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment = os.environ | more | {"PYTHONPATH": str(Path(__file__).parent / "audit")}
    commands: list[list[str]] = []

    def run(*words: object) -> None:
        commands.append(list(map(str, words)))

    small = (
        "--views",
        2,
        "--size",
        32,
        "--samples",
        1,
        "--limit",
        1,
        "--synset",
        "chair",
        "--jobs",
        2,
    )
    run("samples", root / "samples", "--per-category", 1, "--categories", "mug")
    run("samples", root / "small", "--task", "modelnet40", "--train", 2, "--test", 2)
    run("render", shapenet, root / "renders", *small)
    run("build", shapenet, root / "built", *small, "--points", 64)
    for again in ((), ("--redo",)):
        more_points = ("--points", 128) if again else ()
        run("pack", renders, root / "shards", "--jobs", 2, *more_points, *again)
        run(
            "reconstruct",
            renders,
            root / "clouds",
            "--jobs",
            2,
            *(("--format", "npz") if again else ()),
            *again,
        )
        run(
            "export",
            shards,
            root / "export",
            "--format",
            "png" if again else "bop",
            "--jobs",
            2,
            *again,
        )
    run("inspect", shards, "--rows", "0:2", "-o", root / "pages")
    run("inspect", shards, "--row", 0, "-o", root / "page.html")
    run("inspect", shards, "--rows", "0:2", "--sheet", root / "sheet.png")
    run("report", shards, "-o", root / "report.html", "--most", 1)
    run("pretrain", shards, root / "run", "--config", "small", "--set", "epochs=1")
    run("export-encoder", root / "run", root / "encoder.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)],
        capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()
    with subprocess.Popen(
        [sys.executable, "-c", f"open({str(root / 'mine')!r}, 'w')"], env=environment
    ) as process:  # what is written around it is seen
        process.wait(timeout=PATIENCE)
    assert log.read_text().startswith("open ")
