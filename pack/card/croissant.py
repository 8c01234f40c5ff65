"""croissant.json: the description of a dataset in MLCommons' Croissant 1.0."""

from __future__ import annotations

from typing import Any

__all__ = ["INDEX_FIELDS", "croissant"]

INDEX_FIELDS = {
    "row": ("sc:Integer", "index of the row over all shards, from 0"),
    "shard": ("sc:Text", "file that holds the row"),
    "shard_row": ("sc:Integer", "index of the row within that file"),
    "model": ("sc:Text", "synset/model_id: names the model; views of one model share it"),
    "synset": (
        "sc:Text",
        "category, WordNet offset of eight digits; read as a number it loses its leading zero",
    ),
    "category": ("sc:Text", "name of the category"),
    "model_id": ("sc:Text", "model within its category"),
    "view": ("sc:Integer", "index of the view in the model's render"),
    "num_points": ("sc:Integer", "points reconstructed from this view before sampling"),
    "split": ("sc:Text", "part of a split that the shards hold, or all"),
}
"""Columns of index.csv: Croissant's type and the meaning."""
_FROM_MODEL = {"synset": "^([^/]*)/", "model_id": "^[^/]*/(.*)$"}
"""Columns that may be digits alone: loaders would read numbers and lose the leading zeros."""

_TERMS = (
    *(
        "citeAs",
        "column",
        "equivalentProperty",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
    ),
    *(
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
    ),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in _TERMS},
}


def croissant(
    manifest: dict[str, Any],
    description: str,
    split: str,
    licence: str,
    version: str,
    index_sha256: str,
) -> dict[str, Any]:
    """Describe a set of shards.

    The arrays are described in words, since Croissant extracts nothing from HDF5. index.csv is a
    record set that its loaders read.

    Parameters
    ----------
    description, split : texts, escaped for HTML, which some show them as
    licence : address of the terms
    index_sha256 : of index.csv
    """
    index = _file(
        "index.csv", "text/csv", index_sha256, "a row of this table for each row of the shards"
    )
    shards = [
        _file(
            entry["file"],
            "application/x-hdf5",
            entry["sha256"],
            f"{entry['rows']} rows",
            entry["bytes"],
        )
        for entry in manifest["shards"]
    ]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{name}",
            "name": name,
            "description": meaning,
            "dataType": kind,
            "source": _source(name),
        }
        for name, (kind, meaning) in INDEX_FIELDS.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "ShapeNet3D-CMA" if manifest["split"] == "all" else f"ShapeNet3D-CMA {split}",
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence,
        "url": "https://doi.org/10.7717/peerj-cs.3194",
        "citeAs": "https://doi.org/10.7717/peerj-cs.3194",
        "version": version,
        "isLiveDataset": False,
        "distribution": [index, *shards],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "description": (
                    "one view of one model each; its arrays are row `shard_row` of the file `shard`"
                ),
                "key": {"@id": "rows/row"},
                "field": fields,
            }
        ],
    }


def _source(name: str) -> dict[str, Any]:
    """Return the source from which loaders read a field of the rows."""
    source: dict[str, Any] = {"fileObject": {"@id": "index.csv"}}
    if name in _FROM_MODEL:
        return source | {"extract": {"column": "model"}, "transform": {"regex": _FROM_MODEL[name]}}
    return source | {"extract": {"column": name}}


def _file(
    name: str, kind: str, digest: str, description: str, size: int | None = None
) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": description,
        "contentUrl": name,
        "encodingFormat": kind,
        "sha256": digest,
        **({} if size is None else {"contentSize": f"{size} B"}),
    }
