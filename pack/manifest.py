"""manifest.json: content of a folder of shards, with checksums."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.schema import FORMAT, SCHEMA_VERSION
from ..core.untrusted import read_json, shown
from ..render.status import SETTINGS

__all__ = ["MANIFEST", "SHARD_NAME", "UNFINISHED", "read_manifest", "read_record"]

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"
"""Replaces the manifest while shards are written: the settings, and the names of our files."""
SHARD_NAME = re.compile(r"shard-\d{5,9}(_\d{2,9})?\.h5")
"""Names of shards: a number of five digits or more; from the second part on, the part's number."""

_ENTRY = {"file": str, "rows": int, "bytes": int, "sha256": str}
_LEAST_ROW = (
    32  # bytes: six arrays, each at least a compressed chunk and its entry in the file's index
)
_KINDS = {str: "a text", int: "a count"}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a shards folder's manifest.

    Returns
    -------
    manifest : its `shards` is a list of {file, rows, bytes, sha256}; each file is known to exist in
        full length

    Raises
    ------
    InputError : no folder, no manifest, another version, a shard that is missing or of another
        length
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
    except FileNotFoundError:
        remedy = "`cma3d pack RENDERS SHARDS` makes shards"
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder of shards: {remedy}") from None
        if (folder / SETTINGS).exists():
            raise InputError(f"{folder} holds renders, not shards: {remedy}") from None
        raise InputError(
            f"{folder} has no {MANIFEST}: packing was not finished, run it again ({remedy})"
        ) from None
    except NotADirectoryError:
        raise InputError(
            f"{folder} is a file: give the folder of shards that holds {MANIFEST}"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}; copy it again, or pack again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is not a {FORMAT} manifest")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {shown(manifest.get('schema_version'))}; "
            f"this program reads version {SCHEMA_VERSION}: pack the renders again, or use the release that wrote it"
        )
    entries = manifest.get("shards")
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"{path} lists no shards: it is empty, or was changed; copy it again, or pack again"
        )
    names = set()
    for number, entry in enumerate(entries):
        _check_entry(path, number, entry)
        if entry["file"] in names:
            raise InputError(
                f"{path} lists {shown(entry['file'])} twice: it was changed; "
                "copy it again, or pack again"
            )
        names.add(entry["file"])
    return manifest


def read_record(folder: Path) -> tuple[dict[str, Any], set[str]]:
    """Read the settings and file names that earlier calls recorded.

    The record is {config, render_config} and, if it was recorded, selection.

    A missing or unreadable file is skipped; if both are, the record is empty.
    """
    settings: dict[str, Any] = {}
    files: set[str] = set()
    for name in (MANIFEST, UNFINISHED):  # if a kill left both, the later one decides
        try:
            record = read_json(folder / name)
            files |= {entry["file"] for entry in record["shards"]}
            settings = {table: dict(record[table]) for table in ("config", "render_config")}
            if "selection" in record:
                settings["selection"] = dict(record["selection"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return settings, {
        file for file in files if isinstance(file, str) and SHARD_NAME.fullmatch(file)
    }


def _check_entry(path: Path, number: int, entry: Any) -> None:
    for name, kind in _ENTRY.items():
        value = entry.get(name) if isinstance(entry, dict) else None
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or (isinstance(value, int) and value < 0)
        ):
            raise InputError(
                f"{path}: {name} of entry {number} of shards is {shown(repr(value))}, "
                f"not {_KINDS[kind]}: "
                "it was changed; copy it again, or pack again"
            )
    name = entry["file"]
    if name in ("", ".", "..") or "\0" in name or Path(name).name != name:
        raise InputError(f"{path} names a shard outside its folder: {shown(name)}")
    file = path.with_name(entry["file"])
    # no disk has longer names
    shard = f"{shown(path.parent, 4096)}/{shown(file.name, 255)}"
    try:
        size = file.stat().st_size if file.is_file() else None
    except OSError as error:
        raise InputError(
            f"{shard} cannot be read: {error.strerror}; check its permissions"
        ) from None
    if size is None:
        raise InputError(
            f"{shard} is missing, though the manifest lists it: copy it again, or pack again"
        )
    if size != entry["bytes"]:
        raise InputError(
            f"{shard} has {size} bytes, the manifest says {shown(entry['bytes'])}: "
            "it was cut off or changed; copy it again, or pack again"
        )
    if entry["rows"] * _LEAST_ROW > size:
        raise InputError(
            f"{path}: {shown(file.name)} of {size} bytes cannot hold {shown(entry['rows'])} rows: "
            "it was changed; copy it again, or pack again"
        )
