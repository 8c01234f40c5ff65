"""One model as a folder: its text files and pictures."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from .obj_writer import ModelFiles

__all__ = ["write_model", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, line ends as they are, the same on every system."""
    path.write_text(text, encoding="utf-8", newline="")


def write_model(folder: Path, files: ModelFiles) -> None:
    """Write a model's files as ShapeNet lays them out.

    Parameters
    ----------
    folder : named by the model's id; must not hold a model yet
    """
    models = folder / "models"
    models.mkdir(parents=True)
    write_text(models / "model_normalized.obj", files.obj)
    write_text(models / "model_normalized.mtl", files.mtl)
    record = {"id": folder.name, **files.json}
    write_text(
        models / "model_normalized.json",
        json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n",
    )
    for name, picture in files.textures.items():
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / "images" / name, format="PNG")
