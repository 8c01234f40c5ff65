"""What may import what: floors, and nothing heavy where it is not needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import shapenet3d_cma
from shapenet3d_cma.tests.waiting import PATIENCE

ROOT = Path(shapenet3d_cma.__file__).parent
FLOORS = ["core", "render", "reconstruct", "pack", "model", "samples", ""]
"""From the ground up: the way that the data goes; "" are the modules at the top, cli, build and demo."""


def sources() -> dict[str, Path]:
    """Return every module of the package by its name below the top."""
    paths = [
        *ROOT.glob("*.py"),
        *(path for floor in FLOORS[:-1] for path in (ROOT / floor).rglob("*.py")),
    ]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imports(name: str, path: Path) -> set[str]:
    """Return the modules that a module imports: those of the package by their name below the top."""
    found = set()
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = [*base, *(node.module.split(".") if node.module else [])]
            found.add(".".join(module))
            found |= {".".join([*module, alias.name]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def floor(module: str) -> int:
    first = module.partition(".")[0]
    return FLOORS.index(first) if first in FLOORS else len(FLOORS) - 1


def test_nothing_imports_upwards() -> None:
    modules = sources()
    for name, path in modules.items():
        for other in imports(name, path) & set(modules):
            assert floor(other) <= floor(name), f"{name} imports {other}"


def test_only_the_worker_imports_blender() -> None:
    for name, path in sources().items():
        if not name.startswith("render.blender"):
            assert not {"bpy", "mathutils"} & {
                module.split(".")[0] for module in imports(name, path)
            }, name


def run_without(missing: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that lacks some packages."""
    block = f"import sys\nfor name in {sorted(missing)}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", block + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.needs("bpy", "torch", "open3d")
@pytest.mark.parametrize(
    ("missing", "but"),
    [
        ({"bpy", "mathutils", "cycles"}, "render.blender"),
        ({"torch", "safetensors"}, "model"),
        ({"open3d", "trimesh", "fpsample"}, "nothing"),
    ],
)
def test_a_missing_package_matters_only_where_it_is_used(missing: set[str], but: str) -> None:
    names = [
        name.removesuffix(".__init__")
        for name in sources()
        if not name.startswith(but) and name != "__init__"
    ]
    code = "".join(f"import shapenet3d_cma.{name}\n" for name in names)
    done = run_without(missing, code)
    assert done.returncode == 0, done.stderr


def test_the_parent_never_loads_blender_or_torch_by_itself() -> None:
    names = ("cli", "render.rendering", "pack.packing", "pack.verify")
    code = "".join(f"import shapenet3d_cma.{name}\n" for name in names)
    code += "import sys\nassert not {'bpy', 'torch', 'open3d'} & set(sys.modules), 'heavy'"
    assert run_without(set(), code).returncode == 0


@pytest.mark.needs("bpy", "torch", "open3d")
@pytest.mark.parametrize(
    ("missing", "words", "says"),
    [
        (
            "torch",
            ["pretrain", "SHARDS", "OUT"],
            "torch is not installed: pip install 'shapenet3d-cma[train]'",
        ),
        (
            "fpsample",
            ["pack", "RENDERS", "OUT"],
            "fpsample is not installed: pip install 'shapenet3d-cma[reconstruct]'",
        ),
        ("open3d", ["verify", "SHARDS", "--source", "SHAPENET"], "open3d is not installed"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    shapenet: Path,
    renders: Path,
    shards: Path,
    tmp_path: Path,
    missing: str,
    words: list[str],
    says: str,
) -> None:
    places = {"SHAPENET": shapenet, "RENDERS": renders, "SHARDS": shards, "OUT": tmp_path / "out"}
    line = [str(places.get(word, word)) for word in words]
    code = f"sys.argv = ['cma3d', *{line!r}]\nfrom shapenet3d_cma.cli import main\nmain()"
    done = run_without({missing}, code)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_python_is_refused_with_the_version_that_blender_needs() -> None:
    code = (
        "from shapenet3d_cma.render import workers\n"
        "workers.sys = type('sys', (), {'version_info': type('v', (tuple,), {'major': 3, 'minor': 13})((3, 13))})\n"
        "try: workers.check_blender()\n"
        "except workers.InputError as error: print(error)\n"
    )
    assert "rendering needs Python 3.11" in run_without(set(), code).stdout
