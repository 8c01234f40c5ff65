"""Write the samples: a folder in ShapeNet V2's own layout, the same bytes for the same settings.

Everything is made in a hidden folder beside the target and renamed into place, so a broken run leaves nothing behind.
A target that is there already must be an earlier one of the same seed: then its models are replaced by equal ones,
new ones are added, and whatever else lies in the folder stays.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from .categories import BUILDERS, CATEGORIES, NAMES, PARENTS
from .config import SamplesConfig
from .files import write_model, write_text
from .materials import Part, Rng
from .obj import Style, draw_style, model_files
from .pathologies import PATHOLOGIES, Pathology

__all__ = ["build_parts", "model_id", "random_stream", "write_samples"]

README = """Procedural samples made by `cma3d samples`

A small collection of models in the layout of ShapeNetCore.v2: made by a program, from nothing of ShapeNet's own.
They are dedicated to the public domain (CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/).
The synset ids are ShapeNet's (WordNet's); the models are not.

seed            {seed}
per category    {per_category}
categories      {categories}
pathologies     {pathologies}

Model k of a category depends on the seed, the category and k alone. Object frame: +Y up, -Z front,
bounding-box diagonal 1, mostly off the origin. Made again by:

    cma3d samples OUT --seed {seed} --per-category {per_category}{options}
"""
MARK = README.splitlines()[0]


def digest(*words: object) -> bytes:
    """Hash words to 32 bytes, the same on every machine."""
    return hashlib.sha256("/".join(map(str, words)).encode()).digest()


def random_stream(*words: object) -> Rng:
    """Give a generator that depends on the words alone."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest(*words), "big")))


def model_id(seed: int, synset: str, number: int) -> str:
    """Give the 32 hexadecimal digits that name a model."""
    return digest("id", seed, synset, number).hex()[:32]


def build_parts(name: str, seed: int, number: int) -> tuple[list[Part], Style]:
    """Build model `number` of a category: its parts, in metres, and the manner in which it is written."""
    synset = CATEGORIES[name]
    # Where the kinds begin differs from seed to seed: else the first model of every seed were of one kind.
    shift = digest("kind", seed, synset)[0] if seed else 0
    parts = BUILDERS[name](random_stream("shape", seed, synset, number), number + shift)
    return parts, draw_style(random_stream("style", seed, synset, number))


def write_samples(
    out: Path, config: SamplesConfig, progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None
) -> dict[str, Any]:
    """Write a procedural ShapeNet.

    Parameters
    ----------
    out : the folder to make: absent, empty, or samples of the same seed and no more models than now
    config : what to make
    progress : wraps the list of models and gives it back one by one; for a progress bar

    Returns
    -------
    summary : "models" (synset -> count), "pathologies" (count), "files", "bytes" and "seed"

    Raises
    ------
    InputError : `out` holds something else or cannot be written
    """
    jobs: list[tuple[str, int] | Pathology] = [(n, k) for n in config.chosen for k in range(config.per_category)]
    jobs += list(PATHOLOGIES) if config.pathologies else []
    folders = [job_folder(job, config.seed) for job in jobs]
    try:
        present = check_target(out, set(folders))
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as scratch:
            tree = Path(scratch) / "tree"  # the temporary folder itself is closed to other users
            tree.mkdir()
            for job in progress(jobs) if progress else jobs:
                write_job(tree, job, config.seed)
            write_root(tree, config, folders)
            summary = summarise(tree, config, folders)
            put_in_place(tree, out, folders, present=present)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; choose another folder") from None
    return summary


def job_folder(job: tuple[str, int] | Pathology, seed: int) -> str:
    """Give the folder of a model, relative to the root: synset/id."""
    if isinstance(job, Pathology):
        return f"{job.synset}/{job.model_id}"
    name, number = job
    return f"{CATEGORIES[name]}/{model_id(seed, CATEGORIES[name], number)}"


def check_target(out: Path, planned: set[str]) -> bool:
    """Tell whether samples are there already, and refuse anything else than these or nothing."""
    if out.is_symlink() and not out.exists():
        raise InputError(f"{out} is a link to nothing; remove it or choose another folder")
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"{out} is a file; give a folder that does not exist yet")
    if not any(out.iterdir()):
        return False
    readme = out / "README.txt"
    if not readme.is_file() or not readme.read_bytes().startswith(MARK.encode()):
        raise InputError(
            f"{out} is not empty and holds no samples; give an empty folder or one that does not exist yet"
        )
    there = {f"{path.parent.name}/{path.name}" for path in out.glob("[0-9]*/*") if path.is_dir()}
    other = sorted(there - planned)
    if other:
        raise InputError(
            f"{out} holds {len(other)} models that these settings do not make (such as {other[0]}); "
            "use the seed and at least the models of its README.txt, or another folder"
        )
    return True


def write_job(tree: Path, job: tuple[str, int] | Pathology, seed: int) -> None:
    """Write one model, sound or faulty."""
    folder = tree / job_folder(job, seed)
    if isinstance(job, Pathology):
        job.write(folder, random_stream("pathology", seed, job.model_id))
        return
    name, number = job
    parts, style = build_parts(name, seed, number)
    write_model(folder, model_files(parts, style, random_stream("back", seed, CATEGORIES[name], number)))


def write_root(tree: Path, config: SamplesConfig, folders: list[str]) -> None:
    """Write taxonomy.json, README.txt and, where there are any, pathologies.json."""
    counts = count_models(folders)
    entries = [{"synsetId": s, "name": NAMES[s], "children": [], "numInstances": n} for s, n in counts.items()]
    for synset, name, children in PARENTS:
        total = sum(counts.get(child, 0) for child in children)
        here = [child for child in children if child in counts]
        entries.append({"synsetId": synset, "name": name, "children": here, "numInstances": total})
    write_text(tree / "taxonomy.json", json.dumps(entries, indent=1) + "\n")
    options = ("" if config.categories == "all" else f" --categories {','.join(config.chosen)}") + (
        " --pathologies" if config.pathologies else ""
    )
    fields = {"seed": config.seed, "per_category": config.per_category, "categories": " ".join(config.chosen)}
    write_text(
        tree / "README.txt", README.format(**fields, pathologies="yes" if config.pathologies else "no", options=options)
    )
    if config.pathologies:
        records = [pathology.record() for pathology in PATHOLOGIES]
        write_text(tree / "pathologies.json", json.dumps(records, indent=1, ensure_ascii=False) + "\n")


def count_models(folders: list[str]) -> dict[str, int]:
    """Count the models of each synset."""
    synsets = [folder.split("/")[0] for folder in folders]
    return {synset: synsets.count(synset) for synset in sorted(set(synsets))}


def summarise(tree: Path, config: SamplesConfig, folders: list[str]) -> dict[str, Any]:
    """Say what was made."""
    sizes = [path.stat().st_size for path in tree.rglob("*") if path.is_file()]
    return {
        "models": count_models(folders),
        "pathologies": len(PATHOLOGIES) if config.pathologies else 0,
        "files": len(sizes),
        "bytes": sum(sizes),
        "seed": config.seed,
    }


def put_in_place(tree: Path, out: Path, folders: list[str], *, present: bool) -> None:
    """Rename the finished tree to its name, or its models one by one where samples are there already."""
    if not present:
        if out.exists():
            out.rmdir()  # empty: some systems rename over no folder
        tree.rename(out)
        return
    for folder in folders:
        target = out / folder
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        (tree / folder).rename(target)
    for path in [path for path in tree.iterdir() if path.is_file()]:
        path.replace(out / path.name)
