"""The scripts of the pages: ES modules of `web`, joined to one.

A page is opened from a disk, where a module cannot import another by its path. So the modules that
a page needs are written one after the other, each behind those that it imports, and the words
`import` and `export` are taken out. The joined script has one scope: two modules may not declare
the same name, and a circle of imports has no order. Both are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter

__all__ = ["bundle", "declarations", "imports"]

_IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_DECLARED = re.compile(r"^(export )?(?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)


def imports(script: str) -> dict[str, list[str]]:
    """Return the imports of a module: other module -> imported names."""
    return {match[2]: match[1].split(", ") for match in _IMPORT.finditer(script)}


def declarations(script: str) -> dict[str, bool]:
    """Return the top-level names of a module, and whether each is exported."""
    return {match[2]: bool(match[1]) for match in _DECLARED.finditer(script)}


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """Join a module and all modules that it imports to one.

    Parameters
    ----------
    entry : name of the module that the page begins with
    read : returns the text of a module by its name

    Raises
    ------
    CycleError : modules import each other in a circle
    ValueError : a name is imported that is not exported, or declared by two modules
    """
    # every module that is reached from the entry
    scripts, ahead = {}, [entry]
    while ahead:
        name = ahead.pop()
        if name not in scripts:
            scripts[name] = read(name)
            ahead += imports(scripts[name])
    _check_names(scripts)
    # each module behind those that it imports
    graph = {name: sorted(imports(script)) for name, script in sorted(scripts.items())}
    order = TopologicalSorter(graph).static_order()
    return "\n".join(_plain(scripts[name]) for name in order)


def _check_names(scripts: Mapping[str, str]) -> None:
    """Refuse imports of unexported names, and names declared by two modules."""
    declared = {name: declarations(script) for name, script in scripts.items()}
    homes: dict[str, str] = {}
    for module, own in declared.items():
        for name in own:
            if homes.setdefault(name, module) != module:
                raise ValueError(f"{name} is declared by {homes[name]} and by {module}")
    for module, script in scripts.items():
        for other, names in imports(script).items():
            missing = [name for name in names if not declared[other].get(name)]
            if missing:
                raise ValueError(f"{module} imports {missing[0]}, which {other} does not export")


def _plain(script: str) -> str:
    """Take the words `import` and `export` out of a module."""
    return re.sub(r"^export ", "", _IMPORT.sub("", script), flags=re.MULTILINE)
