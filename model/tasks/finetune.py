"""`cma3d finetune`: a classifier from a pretrained encoder.

For ModelNet40 and ScanObjectNN (tables 1 and 2).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...core.errors import InputError
from ...core.outputs import Output
from ...core.settings import by_name
from ..train.pretraining import threads
from ..train.run_folder import RunFolder
from ..train.step import choose_device
from ..weights.initial import InitialEncoder, load_initial
from .benchmarks.layouts import open_dataset
from .benchmarks.prepared import Clouds, normalises, prepare, spare_points, split_held_out
from .benchmarks.shapes import Dataset
from .classify import ClassifierWork, accuracy, classifier_bytes, make_classifier, predict, vote
from .config import FinetuneConfig, Task
from .engine import train
from .metrics import in_words
from .results import (
    COLUMNS,
    averaged_over,
    claim_results,
    describe,
    is_share,
    markdown,
    provenance,
    read_result,
    voted,
    write_results,
)

__all__ = ["Run", "finetune", "finetune_once", "read_splits"]

_RESULTS = ("results.md", "results.json")


def finetune(
    run: Path,
    task: Task,
    data: Path,
    config: FinetuneConfig,
    *,
    init: Path | None = None,
    scratch: bool = False,
    seeds: int = 3,
    jobs: int | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Fine-tune a classifier once a seed; goes on where it was stopped.

    Parameters
    ----------
    run : folder of the runs: seed-0, seed-1 …, results.md and results.json
    task : modelnet40 or one of ScanObjectNN's three variants
    data : at or above the benchmark's folder; its layout is found
    config : settings; `seed` is the first run's
    init, scratch : see `initial.load_initial`
    seeds : how many runs
    jobs : processes that read the data
    report : gets lines of progress

    Returns
    -------
    results : what results.json says: `accuracy` by weights and votes, over all seeds, and where
        everything comes from

    Raises
    ------
    InputError : bad data, settings, initial weights or folder
    """
    with claim_results(run, "finetune", [data, init], _RESULTS) as output:
        initial = load_initial(init, scratch=scratch)
        clouds, dataset = read_splits(data, task, config, jobs=jobs, report=report)
        check_fits(clouds, config, initial)
        about = {
            "verb": "finetune",
            "task": task,
            "initial": initial.fingerprint,
            "data": dataset.fingerprint(),
        }
        describe(output, about)
        report(f"start: {initial.source}")
        results = []
        with threads(config.threads):
            for seed in range(config.seed, config.seed + seeds):
                chosen = dataclasses.replace(config, seed=seed)
                folder = output.folder(f"seed-{seed}")
                each = Run(
                    folder, task, initial, hold_out(clouds, chosen), chosen, inputs=(data, init)
                )
                results.append(finetune_once(each, prefix_lines(report, f"seed {seed}")))
        return summarise(output, results, dataset, initial, config)


def prefix_lines(report: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    """Return a reporter that puts a prefix and a colon before each line."""
    return lambda line: report(f"{prefix}: {line}")


def read_splits(
    data: Path,
    task: Task,
    config: FinetuneConfig,
    *,
    jobs: int | None = None,
    report: Callable[[str], None] = print,
) -> tuple[dict[str, Clouds], Dataset]:
    """Find, read and prepare a task's training and test shapes."""
    dataset = open_dataset(data, task)
    report(f"{task}: {dataset.layout} in {dataset.folder}")
    for note in dataset.notes:
        report(f"note: {note}")
    # more points than a step takes, so that each step can draw others
    normalise, points = normalises(task, config.normalise), spare_points(config.points)
    clouds = {
        split: prepare(dataset, split, points, normalise=normalise, jobs=jobs)
        for split in ("train", "test")
    }
    return clouds, dataset


def check_fits(clouds: dict[str, Clouds], config: FinetuneConfig, initial: InitialEncoder) -> None:
    """Refuse what cannot be trained: too few shapes, or fewer points than a patch has."""
    if len(clouds["train"]) < 2:
        raise InputError(
            f"{len(clouds['train'])} training shapes: batch normalisation needs at least 2"
        )
    if config.points < initial.config.network.patch_points:
        raise InputError(
            f"points = {config.points} are fewer than the {initial.config.network.patch_points} of a "
            f"patch of {initial.source}"
        )


def hold_out(clouds: dict[str, Clouds], config: FinetuneConfig) -> dict[str, Clouds]:
    """Take the held-out part from the training shapes."""
    kept, held = split_held_out(clouds["train"].labels, config.held_out, config.seed)
    return {**clouds, "train": clouds["train"].pick(kept), "held_out": clouds["train"].pick(held)}


@dataclass(frozen=True)
class Run:
    """One fine-tuning.

    Attributes
    ----------
    folder : its own
    clouds : train, test, held_out
    keep : whether the weights are written at the end
    inputs : what is read, where nothing is written
    """

    folder: Path
    task: str
    initial: InitialEncoder
    clouds: dict[str, Clouds]
    config: FinetuneConfig
    keep: bool = True
    inputs: tuple[Path | None, ...] = ()


def finetune_once(run: Run, report: Callable[[str], None]) -> dict[str, Any]:
    """Fine-tune with one seed, unless its result is there already.

    Returns
    -------
    result : what result.json says: seed, parameters, epochs, and for each kept weights `single` and
        `votes`, the accuracies on the test shapes
    """
    config, classes = run.config, run.clouds["train"].classes
    device = choose_device(config.device)
    data = "-".join(each.fingerprint() for each in run.clouds.values())
    facts = {"task": run.task, "initial": run.initial.source, "classes": list(classes)}
    fingerprint = f"{data}-{run.initial.fingerprint}"
    with RunFolder(
        run.folder, config, fingerprint, facts, kind="finetuning", inputs=run.inputs
    ) as folder:
        # a run over many seeds that was stopped repeats none that is done
        earlier = read_result(run.folder, ("single", "votes"), is_share)
        if earlier is not None:
            report("finished before")
            return earlier
        network = make_classifier(run.initial, len(classes), config).to(device)
        work = ClassifierWork(network, run.initial.config.network, run.clouds, config, device)
        sizes = ", ".join(
            f"{len(each):,} {name.replace('_', ' ')}" for name, each in run.clouds.items()
        )
        report(
            f"{sum(p.numel() for p in network.parameters()):,} parameters on {device}; shapes: "
            f"{sizes}"
        )
        outcome = train(work, config, folder, device, report)
        result: dict[str, Any] = {
            "seed": config.seed,
            "parameters": sum(p.numel() for p in network.parameters()),
        }
        result |= {"epochs": outcome.epochs, "single": {}, "votes": {}}
        for name, weights in outcome.weights.items():
            network.load_state_dict(weights)
            if run.keep:
                about = {**facts, "epoch": outcome.epochs[name], "which": name}
                about |= {
                    "encoder": by_name(run.initial.config),
                    "config": by_name(config),
                }
                folder.write(f"{name}.safetensors", classifier_bytes(network.state_dict(), about))
            measure(result, name, run, work, device)
        folder.write("result.json", json.dumps(result, indent=1) + "\n")
        folder.remove(folder.checkpoint.name)  # three copies of the weights, of no use any more
    return result


def measure(
    result: dict[str, Any], name: str, run: Run, work: ClassifierWork, device: torch.device
) -> None:
    """Add the accuracies of the network as it stands, with and without voting."""
    test, config, points = run.clouds["test"], run.config, work.patch_points
    result["single"][name] = accuracy(predict(work.network, test, config, points, device), test)
    result["votes"][name] = accuracy(
        vote(work.network, test, config, points, device, config.votes), test
    )


def summarise(
    output: Output,
    results: Sequence[dict[str, Any]],
    dataset: Dataset,
    initial: InitialEncoder,
    config: FinetuneConfig,
) -> dict[str, Any]:
    """Write results.md and results.json."""
    names = [name for name in COLUMNS if all(name in each["single"] for each in results)]
    kinds = {"single": "one pass", "votes": voted(config.votes)}
    head = ["test accuracy, %", *kinds.values(), "epochs"]
    rows = [
        [COLUMNS[name], *(in_words([each[kind][name] for each in results]) for kind in kinds),
         ", ".join(str(each["epochs"][name]) for each in results)]
        for name in names
    ]  # fmt: skip
    text = f"{dataset.task} ({dataset.layout}), {initial.source}, {averaged_over(len(results), 'seed')}\n\n"
    content: dict[str, Any] = {
        "task": dataset.task,
        **provenance(initial, config, dataset),
        "accuracy": {
            kind: {name: [each[kind][name] for each in results] for name in names} for kind in kinds
        },
        "runs": list(results),
    }
    content["table"] = text + markdown(head, rows)
    write_results(output, "results", content["table"], content)
    return content
