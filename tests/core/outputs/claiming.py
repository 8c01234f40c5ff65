"""Claims that succeed, and claims that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import claim


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
