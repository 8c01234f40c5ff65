"""Text of unknown origin, read within bounds."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["parse_json"]

_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def parse_json(text: str | bytes, *, most_depth: int = 64, most_bytes: int = 64 << 20) -> Any:
    """Parse JSON of bounded size and depth.

    Raises
    ------
    ValueError : it is no JSON, not UTF-8, too large or nested too deeply
    """
    if len(text) > most_bytes:
        raise ValueError(f"it has {len(text):,} bytes, more than {most_bytes:,}")
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    depth = 0
    for found in _NESTING.finditer(text):
        sign = found[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > most_depth:
            raise ValueError(f"it is nested more than {most_depth} levels deep")
    return json.loads(text)
