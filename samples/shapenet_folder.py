"""The samples as a folder in the layout of ShapeNet V2.

The same settings give the same bytes.

Each model's folder is whole or absent, so the same command resumes a stopped run. An existing
target must hold samples of the same seed; then new models are added, and everything else in the
folder stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import __version__
from ..core import files as core_files
from ..core.errors import InputError
from ..core.outputs import Output, claim
from .categories import BUILDERS, CATEGORIES, NAMES, PARENTS
from .config import SamplesConfig
from .model_folder import write_model
from .obj_writer import Style, draw_style, model_files
from .palette import Part, Rng
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
_ROOT = ("taxonomy.json", "README.txt", "pathologies.json")


def digest(*words: object) -> bytes:
    """Hash words to 32 bytes, the same on every machine."""
    return core_files.hash_text("/".join(map(str, words)))


def random_stream(*words: object) -> Rng:
    """Return a generator that depends on the words alone."""
    return core_files.random_stream("/".join(map(str, words)))


def model_id(seed: int, synset: str, number: int) -> str:
    """Return the 32 hexadecimal digits that name a model."""
    return digest("id", seed, synset, number).hex()[:32]


def build_parts(name: str, seed: int, number: int) -> tuple[list[Part], Style]:
    """Build model `number` of a category: parts in metres, and their style."""
    synset = CATEGORIES[name]
    # The kinds begin elsewhere for each seed: else the first model of every seed would be of one
    # kind.
    shift = digest("kind", seed, synset)[0] if seed else 0
    parts = BUILDERS[name](random_stream("shape", seed, synset, number), number + shift)
    return parts, draw_style(random_stream("style", seed, synset, number))


def write_samples(
    out: Path,
    config: SamplesConfig,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> dict[str, Any]:
    """Write a procedural ShapeNet.

    Parameters
    ----------
    out : folder to write: absent, empty, or with samples of the same seed and no other models
    config : settings of the samples
    progress : wraps the list of models, as a progress bar does

    Returns
    -------
    summary : "models" (synset -> count), "pathologies" (count), "files", "bytes" and "seed"

    Raises
    ------
    InputError : `out` holds something else or cannot be written
    """
    jobs: list[tuple[str, int] | Pathology] = [
        (n, k) for n in config.chosen for k in range(config.per_category)
    ]
    jobs += list(PATHOLOGIES) if config.pathologies else []
    folders = [job_folder(job, config.seed) for job in jobs]
    stamp = f"{__version__} seed {config.seed}"
    try:
        check_target(out, set(folders))
        with claim(out, "samples", earlier=_is_earlier) as output:
            for name in _ROOT if output.earlier else ():
                output.adopt(name)
            write_root(output, config, folders)
            for job in progress(jobs) if progress else jobs:
                if not output.is_made(job_folder(job, config.seed), stamp):
                    with output.write_folder(job_folder(job, config.seed), stamp) as folder:
                        write_job(folder, job, config.seed)
            return summarise(out, config, folders)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}; choose another folder"
        ) from None


def job_folder(job: tuple[str, int] | Pathology, seed: int) -> str:
    """Return the folder of a model, relative to the root: synset/id."""
    if isinstance(job, Pathology):
        return f"{job.synset}/{job.model_id}"
    name, number = job
    return f"{CATEGORIES[name]}/{model_id(seed, CATEGORIES[name], number)}"


def _is_earlier(folder: Path) -> bool:
    """Recognise samples by their README, which version 0.1 wrote, too."""
    readme = folder / "README.txt"
    try:
        return readme.is_file() and readme.read_bytes().startswith(MARK.encode())
    except OSError:
        return False


def check_target(out: Path, planned: set[str]) -> None:
    """Refuse a folder of samples that these settings do not make."""
    present = {f"{path.parent.name}/{path.name}" for path in out.glob("[0-9]*/*") if path.is_dir()}
    other = sorted(present - planned) if _is_earlier(out) else []
    if other:
        raise InputError(
            f"{out} holds {len(other)} models that these settings do not make (such as "
            f"{other[0]}); "
            "use the seed and at least the models of its README.txt, or another folder"
        )


def write_job(folder: Path, job: tuple[str, int] | Pathology, seed: int) -> None:
    """Write one model, sound or faulty, to its new folder."""
    if isinstance(job, Pathology):
        job.write(folder, random_stream("pathology", seed, job.model_id))
        return
    name, number = job
    parts, style = build_parts(name, seed, number)
    files = model_files(parts, style, random_stream("back", seed, CATEGORIES[name], number))
    write_model(folder, files)


def write_root(output: Output, config: SamplesConfig, folders: list[str]) -> None:
    """Write taxonomy.json, README.txt and, if requested, pathologies.json."""
    counts = count_models(folders)
    entries = [
        {"synsetId": s, "name": NAMES[s], "children": [], "numInstances": n}
        for s, n in counts.items()
    ]
    for synset, name, children in PARENTS:
        total = sum(counts.get(child, 0) for child in children)
        present = [child for child in children if child in counts]
        entries.append(
            {"synsetId": synset, "name": name, "children": present, "numInstances": total}
        )
    output.write_text("taxonomy.json", json.dumps(entries, indent=1) + "\n")
    options = ("" if config.categories == "all" else f" --categories {','.join(config.chosen)}") + (
        " --pathologies" if config.pathologies else ""
    )
    fields = {
        "seed": config.seed,
        "per_category": config.per_category,
        "categories": " ".join(config.chosen),
    }
    output.write_text(
        "README.txt",
        README.format(**fields, pathologies="yes" if config.pathologies else "no", options=options),
    )
    if config.pathologies:
        records = [pathology.record() for pathology in PATHOLOGIES]
        output.write_json("pathologies.json", records)


def count_models(folders: list[str]) -> dict[str, int]:
    """Count the models of each synset."""
    synsets = [folder.split("/")[0] for folder in folders]
    return {synset: synsets.count(synset) for synset in sorted(set(synsets))}


def summarise(out: Path, config: SamplesConfig, folders: list[str]) -> dict[str, Any]:
    """Count models, files and bytes."""
    paths = [
        *(out / name for name in _ROOT),
        *(path for folder in folders for path in (out / folder).rglob("*")),
    ]
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return {
        "models": count_models(folders),
        "pathologies": len(PATHOLOGIES) if config.pathologies else 0,
        "files": len(sizes),
        "bytes": sum(sizes),
        "seed": config.seed,
    }
