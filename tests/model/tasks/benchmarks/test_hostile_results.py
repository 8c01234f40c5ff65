"""Results, predictions and weights that are not what they claim."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.tasks.classify import load_classifier
from shapenet3d_cma.model.tasks.config import FinetuneConfig, ProbeConfig, SegmentConfig
from shapenet3d_cma.model.tasks.finetune import finetune
from shapenet3d_cma.model.tasks.probe import probe
from shapenet3d_cma.model.tasks.results import is_share, read_json, read_result
from shapenet3d_cma.model.tasks.segment import segment

RESULT = {
    "seed": 0,
    "parameters": 1,
    "epochs": {"final": 3},
    "single": {"final": 0.5},
    "votes": {"final": 0.5},
}
BAD_RESULTS = [
    {},
    [],
    [["seed", 0]],
    {**RESULT, "single": {}},
    {**RESULT, "single": {"final": None}},
    {**RESULT, "single": {"final": float("nan")}},
    {**RESULT, "single": {"final": 7}},
    {**RESULT, "votes": [1]},
    {**RESULT, "votes": {"final": 0.5, "more": 0.5}},
    {**RESULT, "epochs": {"final": "3"}},
    {**RESULT, "seed": "0"},
    {key: {"other": 1} if isinstance(value, dict) else value for key, value in RESULT.items()},
]


@pytest.mark.parametrize(
    "content", [*map(json.dumps, BAD_RESULTS), "[" * 10**6, "{", '{"seed": 0', "\udcff"]
)
def test_a_result_is_one_or_told_with_its_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(
        InputError, match=r"result\.json (is no result|tells no|cannot be read).*: ?.*remove it"
    ) as caught:
        read_result(tmp_path, ("single", "votes"), is_share)
    assert "\n" not in str(caught.value)
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert read_result(tmp_path, ("single", "votes"), is_share) == RESULT


def test_results_of_other_seeds_are_told(
    benchmarks: dict[str, Path], encoder_file: Path, finetune_config: FinetuneConfig, tmp_path: Path
) -> None:
    data, config = benchmarks["modelnet40-dat"], dataclasses.replace(finetune_config, epochs=1)

    def again() -> object:
        return finetune(
            tmp_path / "run",
            "modelnet40",
            data,
            config,
            init=encoder_file,
            seeds=1,
            report=lambda _: None,
        )

    again()
    result = tmp_path / "run" / "seed-0" / "result.json"
    result.write_text(json.dumps({"seed": 0}))
    with pytest.raises(InputError, match=r"result\.json is no result of this run: remove it"):
        again()
    result.unlink()
    again()
    (tmp_path / "run" / "task.json").write_text("[" * 10**6)
    with pytest.raises(
        InputError, match=r"task\.json cannot be read: .*nested deeper than 64 levels.*; remove it"
    ):
        again()
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "run")


def test_predictions_that_are_none_are_told(
    benchmarks: dict[str, Path], encoder_file: Path, segment_config: SegmentConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(segment_config, epochs=1)

    def again() -> object:
        return segment(
            tmp_path,
            benchmarks["shapenetpart-h5"],
            config,
            init=encoder_file,
            report=lambda _: None,
        )

    again()
    again()
    file = tmp_path / "seed-0" / "predicted.npy"
    for array in (
        None,
        np.array([None]),
        np.zeros((2, 64), "f4"),
        np.zeros((1, 64), "u1"),
        np.full((2, 64), 77, "u1"),
    ):
        file.unlink(missing_ok=True)
        if array is not None:
            np.save(file, array)
        with pytest.raises(
            InputError, match=r"predicted\.npy cannot be read: .*; remove .*result\.json"
        ):
            again()


# ---- weights ----


@pytest.mark.parametrize("number", [float("nan"), 1e38])
def test_a_probe_of_weights_that_compute_nothing_is_told(
    benchmarks: dict[str, Path], encoder_config: PretrainConfig, tmp_path: Path, number: float
) -> None:
    weights = PointEncoder(encoder_config.network).state_dict()
    weights["embed.local2.weight"] = torch.full_like(weights["embed.local2.weight"], number)
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(save(weights, metadata={"config": json.dumps(by_name(encoder_config))}))
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1)
    with pytest.raises(
        InputError, match=r"holds NaN or infinity|its weights give features that are not finite"
    ):
        probe(benchmarks["modelnet40-dat"], config, init=file, report=lambda _: None)


ABOUT = {"task": "modelnet40", "classes": ["a", "b"], "config": {}, "encoder": {}}


@pytest.mark.parametrize(
    "about",
    [
        [],
        {**ABOUT, "classes": 3},
        {**ABOUT, "classes": []},
        {**ABOUT, "classes": [1]},
        {**ABOUT, "task": "x\x1b"},
        {**ABOUT, "task": ["modelnet40"]},
        {**ABOUT, "config": []},
        {**ABOUT, "config": {"points": -1}},
        {**ABOUT, "config": {"points": "3"}},
        {**ABOUT, "encoder": []},
        {**ABOUT, "encoder": {"heads": 0}},
    ],
)
def test_a_classifier_tells_what_it_is(tmp_path: Path, about: object) -> None:
    file = tmp_path / "final.safetensors"
    file.write_bytes(save({"a": torch.zeros(1)}, metadata={"classifier": json.dumps(about)}))
    with pytest.raises(
        InputError, match=r"final\.safetensors is no classifier that .*; give the folder"
    ) as caught:
        load_classifier(file)
    assert str(caught.value).isprintable()
