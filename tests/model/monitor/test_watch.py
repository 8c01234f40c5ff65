"""Probes, reconstructions, curves, the page and TensorBoard: what is seen changes nothing, and survives a stop."""

import copy
import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.monitor.linear_probe import (
    cut_patches,
    encode,
    is_held_out,
    linear_probe,
    logistic_regression,
    recalibrated,
)
from shapenet3d_cma.model.monitor.pictures import masked_image
from shapenet3d_cma.model.monitor.snapshot import Snapshot, fixed_rows, reconstruct
from shapenet3d_cma.model.network import CrossAlignNet, initialise
from shapenet3d_cma.model.norm import has_no_statistics
from shapenet3d_cma.model.train.data import ShardRows
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder


@pytest.fixture
def categories(make_shards: Callable[..., Path]) -> Path:
    """A hundred flat and round clouds in turn, two categories; 23 models are held out."""

    def change(rows: list[dict]) -> None:
        for i, row in enumerate(rows):
            row["synset"] = ("03001627", "02691156")[i % 2]
            if i % 2:
                row["points"] = row["points"] * np.array([1, 0.1, 1])

    return make_shards(rows=100, change=change)


def watched(tiny: PretrainConfig) -> PretrainConfig:
    return tiny.replace(epochs=3, batch_size=50, probe_epochs=2, picture_epochs=2)


def test_a_probe_tells_categories_apart_and_leaves_no_trace(
    categories: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    summary = pretrain(categories, tmp_path / "probed", watched(tiny), lines.append)
    probes = [
        json.loads(line) for line in (tmp_path / "probed" / "probe.jsonl").read_text().splitlines()
    ]
    assert [line["epoch"] for line in probes] == [0, 2, 3]
    assert [line["step"] for line in probes] == [0, 4, 6]
    held = [is_held_out(("03001627", "02691156")[i % 2], f"model{i}") for i in range(100)]
    assert all(line["test_rows"] == sum(held) for line in probes)
    assert all(line["train_rows"] == 100 - sum(held) for line in probes)
    assert probes[-1]["categories"] == 2
    assert summary["probe"] == probes[-1]["accuracy"] >= 0.9
    assert sum(line.startswith("linear probe at epoch") for line in lines) == 3

    unwatched = watched(tiny).replace(probe_epochs=0, picture_epochs=0)
    pretrain(categories, tmp_path / "alone", unwatched, lambda _: None)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("probed", "alone")]
    assert without_clock(logs[0]) == without_clock(logs[1])


def without_clock(log: str) -> str:
    return re.sub(r'"samples_per_s": [\d.]+', "", log)


@pytest.mark.parametrize("done", [0, 4])
def test_what_a_stop_kept_from_being_seen_is_seen_on_resumption(
    categories: Path,
    tiny: PretrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    done: int,
) -> None:
    """The run is stopped between a checkpoint and the probe that belongs to the same step."""
    config = watched(tiny)
    pretrain(categories, tmp_path / "whole", config, lambda _: None)

    class StopError(BaseException): ...

    with monkeypatch.context() as patch:
        append = RunFolder.append

        def stop(self: RunFolder, file: Path, line: dict) -> None:
            if line["step"] == done:
                raise StopError
            append(self, file, line)

        patch.setattr(RunFolder, "append", stop)
        with pytest.raises(StopError):
            pretrain(categories, tmp_path / "broken", config, lambda _: None)
    pretrain(categories, tmp_path / "broken", config, lambda _: None)
    for name in ("whole", "broken"):
        (tmp_path / name / "epochs").write_text(
            " ".join(path.name for path in sorted((tmp_path / name / "reconstructions").iterdir()))
        )
    for name in ("probe.jsonl", "epochs"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "broken" / name).read_text()
    whole, broken = (
        Snapshot.load(tmp_path / name / "reconstructions/epoch-00002.npz")
        for name in ("whole", "broken")
    )
    assert np.array_equal(whole.predicted, broken.predicted, equal_nan=True)


def test_one_category_is_no_probe(toy_shards: Path, tiny: PretrainConfig, tmp_path: Path) -> None:
    lines: list[str] = []
    pretrain(toy_shards, tmp_path, tiny.replace(probe_epochs=1), lines.append)
    assert sum("no linear probe: the shards hold too few categories" in line for line in lines) == 1
    assert not (tmp_path / "probe.jsonl").exists()


def test_a_linear_probe_finds_what_is_linear_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 10)) * 50 + 7

    def accuracy(values: np.ndarray, labels: np.ndarray) -> float:
        classifier = logistic_regression(200)
        return linear_probe(values[:200], labels[:200], values[200:], labels[200:], classifier)

    assert accuracy(features, ((features - 7) @ rng.normal(size=(10, 3))).argmax(1)) > 0.9
    assert accuracy(features, rng.integers(0, 3, 300)) < 0.55
    shifted = features * rng.random(10) + 3  # units do not matter
    labels = (features[:, 0] > 7).astype(np.int64)
    assert accuracy(features, labels) == pytest.approx(accuracy(shifted, labels), abs=0.03)


def test_without_scikit_learn_training_goes_on_without_probes(
    categories: Path, tiny: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    lines: list[str] = []
    assert pretrain(categories, tmp_path / "run", watched(tiny), lines.append)["probe"] is None
    assert sum("no linear probe: scikit-learn is not installed" in line for line in lines) == 1


def test_features_of_a_cloud_do_not_depend_on_its_batch_or_place(tiny: PretrainConfig) -> None:
    encoder, points = PointEncoder(tiny.network).train(), torch.randn(4, 64, 3)
    with torch.no_grad():
        encoder(*cut_patches(points, tiny.network))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    frozen = recalibrated(encoder, [cut_patches(points * 9, tiny.network)])
    features = encode(frozen, [cut_patches(points, tiny.network)])
    assert features.shape == (4, 2 * tiny.network.width)
    torch.testing.assert_close(
        encode(frozen, [cut_patches(points[1:2] * 3 + 5, tiny.network)]),
        features[1:2],
        rtol=1e-3,
        atol=1e-4,
    )
    assert encoder.training
    for each in (encoder, frozen):
        assert all(torch.equal(value, before[name]) for name, value in each.state_dict().items())


def test_random_weights_are_probed_with_statistics_of_the_shapes(tiny: PretrainConfig) -> None:
    """Else the patches' embeddings, a thousandth of the positions, would hardly count."""
    torch.manual_seed(0)
    encoder, patches = (
        PointEncoder(tiny.network).apply(initialise),
        cut_patches(torch.randn(8, 64, 3), tiny.network),
    )
    others = patches[0], patches[1].flip(0)
    with torch.no_grad():
        seen = copy.deepcopy(encoder)(*patches)
    found = recalibrated(encoder, [patches])
    with torch.no_grad():
        torch.testing.assert_close(found(*patches), seen, atol=0.05, rtol=0)
        assert (found(*others) - found(*patches)).abs().max() > 0.1
    assert has_no_statistics(encoder)


@pytest.mark.parametrize("source", ["image", "points"])
def test_a_snapshot_holds_what_the_loss_compares(
    toy_shards: Path, tiny: PretrainConfig, source: str
) -> None:
    config = tiny.replace(reconstruct_from=source)  # type: ignore[arg-type]
    network = CrossAlignNet(config, (64, 64)).train()
    batch = ShardRows(toy_shards, config).__getitems__([7, 2, 5])
    snapshot = reconstruct(network, batch, seed=3, epoch=1)
    assert network.training
    from shapenet3d_cma.model.losses import chamfer_distance
    from shapenet3d_cma.model.noise import sample_seeds

    expected = network.eval()(batch | {"seeds": sample_seeds(3, 1, batch["rows"])})
    assert np.array_equal(np.isnan(snapshot.predicted).all((2, 3)), ~snapshot.masked)
    for i in range(3):
        found, truth = (
            torch.from_numpy(each[i][snapshot.masked[i]])
            for each in (snapshot.predicted, snapshot.patches)
        )
        torch.testing.assert_close(chamfer_distance(found, truth).mean(), expected["loss_lmr"][i])
        assert snapshot.masked[i].mean() == pytest.approx(float(expected["mask_ratio"][i]))


def test_a_snapshot_is_kept_whole(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(size=(2, 3, 4, 3)).astype(np.float32)
    snapshot = Snapshot(
        np.arange(2), drawn[:, :, 0], drawn, drawn + 1, drawn[:, :, 0, 0] > 0, drawn[:, :, 0, 1] > 0
    )
    (tmp_path / "a.npz").write_bytes(snapshot.as_npz())
    again = Snapshot.load(tmp_path / "a.npz")
    for field in dataclasses.fields(Snapshot):
        assert np.array_equal(getattr(again, field.name), getattr(snapshot, field.name))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(
        InputError, match=r"a\.npz holds no reconstructions .*: remove it, it is made again"
    ):
        Snapshot.load(tmp_path / "a.npz")


def test_fixed_rows_are_spread_over_the_shards() -> None:
    assert fixed_rows(1) == [0]
    assert fixed_rows(8) == [1, 3, 5, 7]
    assert fixed_rows(41_928) == [5241, 15723, 26205, 36687]


def test_masked_cells_are_greyed_and_no_other_pixel_changes() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    masked = np.array([True, False, False, False, False, False, True, False])  # 2 x 4 cells of 16
    seen = masked_image(image, masked)
    assert (seen[:16, :16] == 150).all()
    assert (seen[16:, 32:48] == 150).all()
    assert np.array_equal(seen[:16, 16:], image[:16, 16:])
    assert np.array_equal(seen[16:, :32], image[16:, :32])


def test_the_page_holds_its_pictures_and_escapes_what_others_named(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    shards = shutil.copytree(toy_shards, tmp_path / "<b>shards")
    run = tmp_path / "run"
    pretrain(shards, run, tiny.replace(picture_epochs=4), lambda _: None)
    page = (run / "run.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "<b>" not in page
    assert "&lt;b&gt;shards" in page
    assert 'http-equiv="refresh"' not in page  # it is finished
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing from elsewhere


@pytest.mark.needs("tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_log(toy_shards: Path, tiny: PretrainConfig, tmp_path: Path) -> None:
    pretrain(toy_shards, tmp_path, tiny.replace(tensorboard=True), lambda _: None)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    told = [(event.step, event.value) for event in events.Scalars("loss_lmr")]
    assert told == [(line["step"], pytest.approx(line["loss_lmr"])) for line in log]


def test_tensorboard_that_is_not_there(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        InputError,
        match=r"tensorboard is not installed: pip install 'shapenet3d-cma\[tensorboard\]'",
    ):
        pretrain(
            toy_shards,
            tmp_path / "run",
            tiny.replace(tensorboard=True),
            lambda _: None,
        )
