"""`cma3d segment`: the parts of ShapeNetPart's shapes (table 4)."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ...core.arrays import read_array
from ...core.errors import InputError
from ...core.outputs import Output
from ..layers import DropPath
from ..train.pretraining import threads
from ..train.run_folder import RunFolder, write_to
from ..train.step import choose_device
from ..weights.checkpoint import first_line
from ..weights.initial import InitialEncoder, load_initial
from .benchmarks.augment import augment, choose_points
from .benchmarks.layouts import open_dataset
from .benchmarks.prepared import Clouds, normalises, prepare, spare_points
from .benchmarks.shapenetpart import NUM_PARTS, PARTS
from .benchmarks.shapes import Dataset, IntArray
from .config import SegmentConfig
from .engine import State, autocast, train
from .metrics import PartScores, in_words, part_scores, restrict_parts
from .parts_page import page_text, ply_bytes
from .results import (
    COLUMNS,
    averaged_over,
    claim_results,
    describe,
    is_share,
    markdown,
    provenance,
    read_result,
    write_results,
)
from .segmenter import PartSegmenter

__all__ = ["segment"]

_BATCH = 32  # shapes that are segmented at a time
_SHOWN = 3  # shapes of each category on the page
_LONGEST = 200  # bytes of the name of a PLY file, before what it ends in
_RESULTS = ("page.html", "results.md", "results.json")


def segment(
    run: Path,
    data: Path,
    config: SegmentConfig,
    *,
    init: Path | None = None,
    scratch: bool = False,
    seeds: int = 1,
    jobs: int | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a part segmenter once a seed; goes on where it was stopped.

    Parameters
    ----------
    run : folder of the runs: seed-0 …, results.md, results.json, and of the first run page.html and
        ply/
    data, config, init, scratch, seeds, jobs, report : as for `finetune`

    Returns
    -------
    results : what results.json says

    Raises
    ------
    InputError : bad data, settings, initial weights or folder
    """
    with claim_results(run, "segment", [data, init], _RESULTS) as output:
        initial = load_initial(init, scratch=scratch)
        clouds, dataset = read_shapes(data, config, jobs, report)
        if config.points < initial.config.network.patch_points:
            raise InputError(
                f"points = {config.points} are fewer than the {initial.config.network.patch_points} of "
                f"a patch"
            )
        describe(
            output,
            {"verb": "segment", "initial": initial.fingerprint, "data": dataset.fingerprint()},
        )
        report(f"start: {initial.source}")
        results = []
        with threads(config.threads):
            for seed in range(config.seed, config.seed + seeds):
                chosen, folder = (
                    dataclasses.replace(config, seed=seed),
                    output.folder(f"seed-{seed}"),
                )
                each = lambda line, seed=seed: report(f"seed {seed}: {line}")  # noqa: E731
                results.append(
                    segment_once(folder, clouds, initial, chosen, each, inputs=(data, init))
                )
                if seed == config.seed:
                    show(output, folder, clouds["test"])
        return summarise(output, results, dataset, initial, config)


def read_shapes(
    data: Path, config: SegmentConfig, jobs: int | None, report: Callable[[str], None]
) -> tuple[dict[str, Clouds], Dataset]:
    """Find, read and prepare ShapeNetPart.

    The validation shapes join the training if the settings say so.
    """
    dataset = open_dataset(data, "shapenetpart")
    report(f"shapenetpart: {dataset.layout} in {dataset.folder}")
    normalise, points = normalises("shapenetpart", config.normalise), spare_points(config.points)
    clouds = {
        name: prepare(dataset, name, points, normalise=normalise, jobs=jobs)
        for name in ("train", "val", "test")
    }
    if config.train_on == "trainval":
        train, val = clouds.pop("train"), clouds.pop("val")
        joined = [
            np.concatenate([getattr(train, name), getattr(val, name)])
            for name in ("points", "labels", "parts")
        ]
        clouds["train"] = Clouds(
            joined[0], joined[1], train.classes, joined[2], train.names + val.names
        )
    return clouds, dataset


class SegmenterWork:
    """Part segmentation as a training task."""

    def __init__(
        self,
        network: PartSegmenter,
        clouds: dict[str, Clouds],
        config: SegmentConfig,
        device: torch.device,
    ) -> None:
        self.network, self.config, self.device = network, config, device
        train = clouds["train"]
        assert train.parts is not None
        self.points, self.labels, self.parts = (
            torch.from_numpy(array).to(device)
            for array in (train.points, train.labels, train.parts)
        )
        self.rows = len(train)
        self.measured: dict[str, Clouds] = {
            name: clouds[name] for name in ("test", "val") if name in clouds
        }
        names = {"test": "best_on_test", "val": "chosen_on_val"}
        self.chooses: dict[str, str] = {names[name]: name for name in self.measured}

    def loss(self, rows: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross entropy and accuracy over all points."""
        # other points of each shape in every step: (B, P, 3) and their parts, (B, P)
        index = choose_points(seeds, self.points.shape[1], self.config.points)  # (B, P)
        points = self.points[rows].gather(1, index[..., None].expand(-1, -1, 3))
        parts = self.parts[rows].gather(1, index)
        # all axes by one factor, as Point-MAE in part segmentation
        points = augment(points, seeds, self.config, alike=True)
        logits = self.network(
            points, self.labels[rows], DropPath(seeds, self.config.drop_path)
        ).flatten(0, 1)
        # every point is a sample of the cross entropy: (B P,)
        parts = parts.flatten()
        loss = F.cross_entropy(logits.float(), parts, label_smoothing=self.config.label_smoothing)
        return loss, (logits.argmax(1) == parts).float().mean()

    def measure(self) -> dict[str, float]:
        """Return the mean IoU of each set of shapes outside of the training."""
        return {name: self.scores(each)[0].instance for name, each in self.measured.items()}

    def scores(self, clouds: Clouds) -> tuple[PartScores, IntArray]:
        """Return the scores and the predicted parts, (N, points), of shapes."""
        assert clouds.parts is not None
        predicted = predict_parts(self.network, clouds, self.config, self.device)
        # the first points in farthest point order, as the network sees them
        true = clouds.parts[:, : self.config.points]
        return part_scores(predicted, true, clouds.labels, clouds.classes, PARTS), predicted


@torch.no_grad()
def predict_parts(
    network: PartSegmenter, clouds: Clouds, config: SegmentConfig, device: torch.device
) -> IntArray:
    """Segment the farthest points of each shape: (N, points) int64.

    The category of each shape is given.
    """
    network.eval()
    predicted = np.zeros((len(clouds), config.points), dtype=np.int64)
    for start in range(0, len(clouds), _BATCH):
        here = slice(start, min(start + _BATCH, len(clouds)))
        points = torch.from_numpy(clouds.points[here, : config.points]).to(device)
        labels = torch.from_numpy(clouds.labels[here]).to(device)
        # logits of every part, also those of other categories: (B, P, parts)
        with autocast(device, config.precision):
            logits: NDArray[np.float32] = network(points, labels).float().cpu().numpy()
        # the benchmark gives the category, so only its parts compete
        for i, each in enumerate(logits, start):
            predicted[i] = restrict_parts(each, int(clouds.labels[i]), clouds.classes, PARTS)
    return predicted


def make_segmenter(
    initial: InitialEncoder, categories: int, config: SegmentConfig
) -> PartSegmenter:
    """Make a segmenter from the seed, with the encoder's weights if any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PartSegmenter(
            initial.config.network,
            categories,
            NUM_PARTS,
            patches=config.patches,
            propagated_width=config.propagated_width,
            head_width=config.head_width,
            dropout=config.dropout,
        )
    if initial.weights is not None:
        network.encoder.load_state_dict(initial.weights)
    return network


def segment_once(
    run: Path,
    clouds: dict[str, Clouds],
    initial: InitialEncoder,
    config: SegmentConfig,
    report: Callable[[str], None],
    *,
    inputs: Sequence[Path | None] = (),
) -> dict[str, Any]:
    """Train with one seed, unless its result is there already; nothing is written to the inputs.

    Returns
    -------
    result : what result.json says: seed, parameters, epochs, and the scores of each kept weights on
        the test shapes
    """
    device = choose_device(config.device)
    fingerprint = "-".join([*(each.fingerprint() for each in clouds.values()), initial.fingerprint])
    facts = {"initial": initial.source}
    with RunFolder(run, config, fingerprint, facts, kind="segmentation", inputs=inputs) as folder:
        earlier = read_result(run, ("scores",), partial(_is_score, clouds["test"]))
        if earlier is not None:
            report("finished before")
            return earlier
        network = make_segmenter(initial, len(clouds["train"].classes), config).to(device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        sizes = ", ".join(f"{len(each):,} {name}" for name, each in clouds.items())
        layers = ", ".join(map(str, network.layers))
        report(
            f"{parameters:,} parameters on {device}; features of layers {layers}; shapes: {sizes}"
        )
        work = SegmenterWork(network, clouds, config, device)
        outcome = train(work, config, folder, device, report)
        scores = {}
        for name, weights in outcome.weights.items():
            network.load_state_dict(weights)
            part_scores, predicted = work.scores(clouds["test"])
            scores[name] = part_scores.as_json()
            keep(folder, name, network.state_dict(), predicted)
        result = {
            "seed": config.seed,
            "parameters": parameters,
            "epochs": outcome.epochs,
            "scores": scores,
        }
        folder.write("result.json", json.dumps(result, indent=1) + "\n")
        folder.remove(folder.checkpoint.name)  # three copies of the weights, of no use any more
    return result


def _is_score(test: Clouds, value: object) -> bool:
    """Check whether a value from a file has the scores of test shapes."""
    if not isinstance(value, dict) or not isinstance(value.get("categories"), dict):
        return False
    present = {test.classes[label] for label in np.unique(test.labels)}
    shares = [value.get(name) for name in ("instance", "category", "accuracy")]
    return set(value["categories"]) == present and all(
        map(is_share, [*shares, *value["categories"].values()])
    )


def keep(folder: RunFolder, name: str, weights: State, predicted: IntArray) -> None:
    """Write weights and what they predict."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    folder.write(f"{name}.safetensors", save(tensors))
    # the page shows these weights alone; part labels fit a byte
    if name == "final":
        content = io.BytesIO()
        np.save(content, predicted.astype(np.uint8))
        folder.write("predicted.npy", content.getvalue())


def show(output: Output, first: Path, test: Clouds) -> None:
    """Write page.html and ply/ of the first run's final weights.

    They show the first shapes of each category.
    """
    assert test.parts is not None
    predicted = _read_predicted(first / "predicted.npy", test.parts.shape)
    chosen = [
        int(i)
        for label in np.unique(test.labels)
        for i in np.flatnonzero(test.labels == label)[:_SHOWN]
    ]
    count = predicted.shape[1]
    shapes = []
    for i in chosen:
        name, true = test.classes[test.labels[i]], test.parts[i, :count]
        shapes.append((name, test.names[i], test.points[i, :count], true, predicted[i]))
        stem = f"{name}-{test.names[i].replace('/', '-').replace(' ', '-')}"
        # file names are limited in bytes; a character that is cut apart is left out
        stem = stem.encode()[:_LONGEST].decode(errors="ignore")
        for kind, parts in (("true", true), ("predicted", predicted[i])):
            write_to(output, f"ply/{stem}-{kind}.ply", ply_bytes(test.points[i, :count], parts))
    write_to(output, "page.html", page_text(shapes))


def _read_predicted(path: Path, shape: tuple[int, ...]) -> IntArray:
    """Read the parts that `keep` wrote of each test shape: at most of `shape`, int64."""
    try:
        predicted = read_array(path)
        sound = predicted.dtype == np.uint8 and predicted.ndim == 2 and len(predicted) == shape[0]
        if not sound or not 0 < predicted.shape[1] <= shape[1] or predicted.max() >= NUM_PARTS:
            raise ValueError("it holds no parts of the test shapes")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {first_line(error)}; remove {path.with_name('result.json')}, "
            "and the run is made again"
        ) from None
    return predicted.astype(np.int64)


def summarise(
    output: Output,
    results: Sequence[dict[str, Any]],
    dataset: Dataset,
    initial: InitialEncoder,
    config: SegmentConfig,
) -> dict[str, Any]:
    """Write results.md and results.json."""
    names = [name for name in COLUMNS if all(name in each["scores"] for each in results)]
    scores = {name: [each["scores"][name] for each in results] for name in names}
    rows = []
    for name in names:
        means = [
            in_words([each[kind] for each in scores[name]]) for kind in ("instance", "category")
        ]
        rows.append(
            [COLUMNS[name], *means, ", ".join(str(each["epochs"][name]) for each in results)]
        )
    text = f"shapenetpart ({dataset.layout}), {initial.source}, {averaged_over(len(results), 'seed')}\n\n"
    text += markdown(["test mIoU, %", "over instances", "over categories", "epochs"], rows)
    categories = list(scores["final"][0]["categories"])
    cells = [
        [name, *(in_words([each["categories"][name] for each in scores[kept]]) for kept in names)]
        for name in categories
    ]
    text += "\n\n" + markdown(["category, mIoU %", *(COLUMNS[name] for name in names)], cells)
    content = {
        "task": "shapenetpart",
        **provenance(initial, config, dataset),
        "runs": list(results),
        "table": text,
    }
    write_results(output, "results", text, content)
    return content
