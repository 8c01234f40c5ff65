"""One model of a listing: its name and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["V1_FILE", "V2_FILE", "Model"]

V2_FILE, V1_FILE = "models/model_normalized.obj", "model.obj"
"""Path of the mesh in a model's folder, by version of ShapeNetCore."""


@dataclass(frozen=True, order=True, slots=True)
class Model:
    """One model.

    Attributes
    ----------
    synset, model_id : plain text that files, pages and terminals can carry; see `shapenet.safe_id`
    folder : what its references may not leave: `<root>/<synset>/<model_id>`; the root where the
        layout is flat; within `archive` where there is one
    file : the mesh, relative to `folder`
    archive : zip that holds the folder; "" where it lies on disk
    """

    synset: str
    model_id: str
    folder: Path
    file: str = V2_FILE
    archive: str = ""

    @property
    def obj(self) -> Path:
        """The path of its mesh on disk."""
        return self.folder / self.file

    @property
    def key(self) -> str:
        """`synset/model_id`."""
        return f"{self.synset}/{self.model_id}"

    def job(self) -> dict[str, str]:
        """Return its fields as plain text, for JSON; `from_job` takes them back."""
        return {
            "synset": self.synset,
            "model_id": self.model_id,
            "folder": str(self.folder),
            "file": self.file,
            "archive": self.archive,
        }

    @classmethod
    def from_job(cls, job: dict[str, Any]) -> Model:
        """Make it from `job()`, whatever else is in there."""
        return cls(
            job["synset"],
            job["model_id"],
            Path(job["folder"]),
            job.get("file", V2_FILE),
            job.get("archive", ""),
        )
