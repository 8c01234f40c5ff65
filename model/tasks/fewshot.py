"""`cma3d fewshot`: few classes, few shapes, many folds (table 3)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.outputs import Output
from ..train.pretraining import threads
from ..train.run_folder import write_to
from ..weights.initial import InitialEncoder, load_initial
from .benchmarks.folds import FOLDS, SETTINGS, draw_fold, fold_file, fold_shapes, open_fold
from .benchmarks.layouts import find_layout
from .benchmarks.prepared import Clouds, normalises, prepare, spare_points
from .config import FewShotConfig
from .finetune import Run, check_fits, finetune_once, hold_out, prefix_lines, read_splits
from .metrics import in_words
from .results import (
    COLUMNS,
    averaged_over,
    claim_results,
    describe,
    markdown,
    provenance,
    voted,
    write_results,
)

__all__ = ["fewshot"]

_RESULTS = ("folds.json", "results.md", "results.json")

Setting = tuple[int, int]
ReadFold = Callable[[int, int, int], dict[str, Clouds]]


def fewshot(
    run: Path,
    data: Path,
    config: FewShotConfig,
    *,
    init: Path | None = None,
    scratch: bool = False,
    settings: Sequence[Setting] = SETTINGS,
    folds: int = FOLDS,
    jobs: int | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Fine-tune a classifier once a fold; goes on where it was stopped.

    Parameters
    ----------
    run : folder of the runs: 5way_10shot/fold-0 …, folds.json, results.md and results.json
    data : pickled folds where there are some, else ModelNet40, of which folds are drawn
    config : settings; `seed` is that of every fold
    settings : way and shot of each setting
    folds : of each setting, at most ten
    init, scratch, jobs, report : as for `finetune`

    Returns
    -------
    results : what results.json says

    Raises
    ------
    InputError : as for `finetune`; fewer shapes than way x shot
    """
    with claim_results(run, "fewshot", [data, init], _RESULTS) as output:
        initial = load_initial(init, scratch=scratch)
        source, read, drawn = folds_of(data, config, settings, folds, jobs, report)
        about = {"verb": "fewshot", "initial": initial.fingerprint, "folds": source}
        describe(output, about if drawn is None else {**about, "data": drawn["data"]})
        if drawn is not None:
            write_to(output, "folds.json", json.dumps(drawn) + "\n")
        report(f"start: {initial.source}")
        results: dict[Setting, list[dict[str, Any]]] = {}
        with threads(config.threads):
            for way, shot in settings:
                for fold in range(folds):
                    clouds = hold_out(read(way, shot, fold), config)
                    check_fits(clouds, config, initial)
                    name = f"{way}way_{shot}shot"
                    folder = output.folder(f"{name}/fold-{fold}")
                    once = Run(
                        folder, "fewshot", initial, clouds, config, keep=False, inputs=(data, init)
                    )
                    result = finetune_once(once, prefix_lines(report, f"{name}, fold {fold}"))
                    results.setdefault((way, shot), []).append(result)
                # after each setting, so that a stopped run leaves a table
                summarise(output, results, source, initial, config)
        return summarise(output, results, source, initial, config)


def folds_of(
    data: Path,
    config: FewShotConfig,
    settings: Sequence[Setting],
    folds: int,
    jobs: int | None,
    report: Callable[[str], None],
) -> tuple[str, ReadFold, dict[str, Any] | None]:
    """Return the source of the folds, their reader, and indices if drawn."""
    normalise, points = normalises("fewshot", config.normalise), spare_points(config.points)
    try:
        _, place = find_layout(data, "fewshot")
    except InputError:
        return drawn_folds(data, config, settings, folds, jobs, report)
    report(f"fewshot: fewshot-pickle in {place}")
    for way, shot in settings:
        for fold in range(folds):
            fold_file(place, way, shot, fold)  # tells now what would fail hours later

    def read(way: int, shot: int, fold: int) -> dict[str, Clouds]:
        dataset = open_fold(place, way, shot, fold)
        return {
            split: prepare(dataset, split, points, normalise=normalise, jobs=1)
            for split in ("train", "test")
        }

    return "pickles", read, None


def drawn_folds(
    data: Path,
    config: FewShotConfig,
    settings: Sequence[Setting],
    folds: int,
    jobs: int | None,
    report: Callable[[str], None],
) -> tuple[str, ReadFold, dict[str, Any]]:
    """Draw folds of ModelNet40's shapes; what is returned as for `folds_of`."""
    clouds, dataset = read_splits(data, "modelnet40", config, jobs=jobs, report=report)
    train, test = clouds["train"], clouds["test"]
    drawn = {
        (way, shot, fold): draw_fold(train.labels, test.labels, way, shot, fold, config.queries)
        for way, shot in settings
        for fold in range(folds)
    }
    listed = {
        "layout": dataset.layout,
        "data": dataset.fingerprint(),
        "classes": dataset.classes,
        "folds": [each.as_json() for each in drawn.values()],
    }

    def read(way: int, shot: int, fold: int) -> dict[str, Clouds]:
        chosen = drawn[way, shot, fold]
        names = tuple(dataset.classes[label] for label in chosen.classes)
        of = fold_shapes(chosen, train.labels, test.labels)
        picked = train.pick(chosen.train), test.pick(chosen.test)
        each = zip(("train", "test"), picked, of, strict=True)
        return {
            split: dataclasses.replace(cloud, labels=labels, classes=names)
            for split, cloud, labels in each
        }

    return f"drawn of {dataset.layout}", read, listed


def summarise(
    output: Output,
    results: dict[Setting, list[dict[str, Any]]],
    source: str,
    initial: InitialEncoder,
    config: FewShotConfig,
) -> dict[str, Any]:
    """Write results.md and results.json of the settings that are done."""
    every = [each for folds in results.values() for each in folds]
    names = [name for name in COLUMNS if all(name in each["single"] for each in every)]
    rows = []
    for name in names:
        for kind, words in {"single": "one pass", "votes": voted(config.votes)}.items():
            cells = [in_words([each[kind][name] for each in folds]) for folds in results.values()]
            rows.append([f"{COLUMNS[name]}, {words}", *cells])
    head = ["query accuracy, %", *(f"{way} way, {shot} shot" for way, shot in results)]
    folds = len(next(iter(results.values())))  # of each setting the same number
    text = f"Few-shot, folds {source}, {initial.source}, {averaged_over(folds, 'fold')}\n\n"
    content = {
        "task": "fewshot",
        "folds": source,
        **provenance(initial, config),
        "accuracy": {f"{way}way_{shot}shot": {kind: {name: [each[kind][name] for each in folds] for name in names}
                                              for kind in ("single", "votes")}
                     for (way, shot), folds in results.items()},
        "mean": {f"{way}way_{shot}shot": float(np.mean([each["single"]["final"] for each in folds]))
                 for (way, shot), folds in results.items()},
        "table": text + markdown(head, rows),
    }  # fmt: skip
    write_results(output, "results", str(content["table"]), content)
    return content
