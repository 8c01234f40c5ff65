"""The scripts of the pages are modules: each imports what it uses, and joining them loses nothing."""

from __future__ import annotations

import re
from graphlib import CycleError
from pathlib import Path

import pytest

import shapenet3d_cma.pack.page
from shapenet3d_cma.pack.page.bundle import bundle, declarations, imports
from shapenet3d_cma.pack.page.html import web_file

WEB = Path(shapenet3d_cma.pack.page.__path__[0]) / "web"
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in WEB.glob("*.js")}
QUIET = re.compile(r"""/\*.*?\*/|(?<!:)//[^\n]*|"(?:[^"\\\n]|\\.)*"|^import [^;]*;""", re.S | re.M)


def code_of(script: str) -> str:
    """Return a script without comments, imports and texts; of template literals the values stay."""
    text = QUIET.sub(" ", script)
    return re.sub(r"`[^`]*`", lambda found: " ".join(re.findall(r"\$\{(.*?)\}", found[0])), text)


def test_the_pages_hold_every_script() -> None:
    joined = bundle("main.js", web_file) + bundle("report.js", web_file)
    for name, script in SCRIPTS.items():
        for declared in declarations(script):
            assert re.search(rf"^(async )?\w+ {declared}\b", joined, re.M), f"{declared} of {name}"


def test_a_bundle_has_no_import_and_no_export() -> None:
    for entry in ("main.js", "report.js"):
        assert not re.search(r"^\s*(import|export)\b", bundle(entry, web_file), re.M)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_uses_all_that_it_imports(name: str) -> None:
    code = code_of(SCRIPTS[name])
    for other, names in imports(SCRIPTS[name]).items():
        for used in names:
            assert re.search(rf"\b{used}\b", code), f"{name} imports {used} of {other} for nothing"


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_imports_the_functions_of_others_that_it_calls(name: str) -> None:
    own = declarations(SCRIPTS[name]).keys()
    imported = {used for names in imports(SCRIPTS[name]).values() for used in names}
    code = code_of(SCRIPTS[name])
    for other, script in SCRIPTS.items():
        for declared in declarations(script):
            local = re.search(
                rf"\b(?:const|let) {declared}\b|\[[^\]]*\b{declared}\b[^\]]*\] =", code
            )
            if declared in own | imported or local:
                continue
            called = re.search(
                rf"(?<!\w)(?<!(?<!\.\.)\.)(?<!function ){declared}\([^()]*\)(?! \{{)", code
            )
            assert not called, f"{name} calls {declared} of {other} without importing it"


def test_modules_come_after_their_imports() -> None:
    scripts = {
        "a.js": '// A.\n\nimport { b } from "./b.js";\nimport { c, d } from "./c.js";\n\nb(c, d);\n',
        "b.js": 'import { c } from "./c.js";\nexport function b() {\n  return c;\n}\n',
        "c.js": "export const c = 1;\nexport async function d() {}\n",
    }
    assert bundle("a.js", scripts.__getitem__) == (
        "const c = 1;\nasync function d() {}\n\nfunction b() {\n  return c;\n}\n\n// A.\n\n\nb(c, d);\n"
    )


def test_modules_that_cannot_be_joined_are_refused() -> None:
    scripts = {"a.js": 'import { b } from "./b.js";\n', "b.js": "const b = 1;\n"}
    with pytest.raises(ValueError, match=r"a\.js imports b, which b\.js does not export"):
        bundle("a.js", scripts.__getitem__)
    scripts = {"a.js": 'import { b } from "./b.js";\nlet b;\n', "b.js": "export const b = 1;\n"}
    with pytest.raises(ValueError, match=r"b is declared by a\.js and by b\.js"):
        bundle("a.js", scripts.__getitem__)
    scripts = {
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(CycleError):
        bundle("a.js", scripts.__getitem__)
