"""manifest.json: what a folder of shards holds, and the checksums that prove it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError
from .schema import FORMAT, SCHEMA_VERSION

__all__ = ["MANIFEST", "read_manifest"]

MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a shards folder's manifest.

    Returns
    -------
    manifest : its `shards` is a list of {file, rows, bytes, sha256}; each file is known to exist in full length

    Raises
    ------
    InputError : no folder, no manifest, another version, a shard that is missing or of another length
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "`cma3d pack RENDERS SHARDS` makes shards"
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder of shards: {remedy}") from None
        raise InputError(f"{folder} has no {MANIFEST}: packing was not finished, run it again ({remedy})") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; pack the renders again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is no {FORMAT} manifest")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {manifest.get('schema_version')}; this program reads version "
            f"{SCHEMA_VERSION}: pack the renders again, or use the release that wrote it"
        )
    for shard in manifest["shards"]:
        file = folder / shard["file"]
        if Path(shard["file"]).name != shard["file"]:
            raise InputError(f"{path} names a shard outside its folder: {shard['file']}")
        if not file.is_file():
            raise InputError(f"{file} is missing, though the manifest lists it: copy it again, or pack again")
        if file.stat().st_size != shard["bytes"]:
            raise InputError(
                f"{file} has {file.stat().st_size} bytes, the manifest says {shard['bytes']}: "
                "it was cut off or changed; copy it again, or pack again"
            )
    return manifest
