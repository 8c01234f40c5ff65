"""Only one module writes: no other calls what opens a file for writing, renames, removes or makes folders."""

from __future__ import annotations

import ast

from shapenet3d_cma.tests.test_imports import sources

OF_PATHS = {"write_text", "write_bytes", "unlink", "rename", "rmdir", "mkdir", "touch", "symlink_to", "hardlink_to"}
OF_MODULES = {
    "os": {"remove", "unlink", "rename", "replace", "renames", "removedirs", "rmdir", "mkdir", "makedirs", "truncate"}
    | {"link", "symlink", "mkfifo", "open", "utime"},
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "unpack_archive"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory"},
}
ALLOWED = {
    "model.tasks.miniatures": "fills the folder that write_folder gives",
    "pack.clouds": "fills the folder that write_folder gives",
    "pack.formats": "fills the folder that write_folder gives",
    "pack.ply": "fills the folder that write_folder gives",
    "render.samples.files": "fills the folder that write_folder gives",
    "render.samples.pathologies": "fills the folder that write_folder gives",
    "pack.writer": "HDF5 in memory",
    "render.file": "HDF5 in memory",
    "pack.source": "scratch in the system's temporary folder",
    "faults": "scratch in the system's temporary folder",
    "render.archive": "scratch in the system's temporary folder",
    "render.blender.worker": "scratch in the system's temporary folder",
    "render.doctor": "scratch in the system's temporary folder",
    "render.shapenet": "scratch in the system's temporary folder",
    "render.supervise": "scratch in the system's temporary folder",
}
"""Modules that may call what writes, and why nothing of the user's is within their reach."""


def writes(node: ast.AST) -> str | None:
    """Name what a call writes with; None where it writes nothing, or to a place that `outputs` gave."""
    if not isinstance(node, ast.Call):
        return None
    function, text = node.func, ast.unparse(node.func)
    if text == "open" or (isinstance(function, ast.Attribute) and function.attr in ("open", "File")):
        modes = [
            word.value for word in [*node.args, *(k.value for k in node.keywords)] if isinstance(word, ast.Constant)
        ]
        wrong = [mode for mode in modes if isinstance(mode, str) and set(mode) & set("wax+") and len(mode) < 4]
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
        calls = {writes(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))} - {None}
        if calls and name != "outputs":
            listed[name] = calls
    return listed


def test_no_module_writes_but_one() -> None:
    """Whoever comes to write, writes through `outputs`, or says here why not."""
    assert {name: calls for name, calls in found().items() if name not in ALLOWED} == {}


def test_what_writes_is_seen() -> None:
    """The test above would see the writing that there was before."""
    for line in ("path.write_text(x)", "path.open('w')", "open(path, mode='ab')", "os.replace(a, b)", "path.unlink()"):
        assert writes(ast.parse(line).body[0].value), line
    for line in ("path.open('rb')", "output.write_text(name, x)", "self.output.touch(name)", "path.read_text()"):
        assert not writes(ast.parse(line).body[0].value), line
