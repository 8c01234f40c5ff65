"""The point encoder as a file: exported, taken over, refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.tests.model.runs import quiet, weights_of


def test_the_exported_encoder_is_the_trained_one(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    summary = pretrain(toy_shards, tmp_path, tiny, quiet)
    encoder, config = load_encoder(Path(summary["encoder"]))
    assert config == tiny
    trained = weights_of(tmp_path)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, trained[f"point_encoder.{name}"])
    assert sum(name.startswith("point_encoder.") for name in trained) == len(encoder.state_dict())


def test_what_is_no_encoder_is_named(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    file = tmp_path / "encoder.safetensors"
    with pytest.raises(
        InputError, match=r"encoder\.safetensors is no point encoder that `cma3d pretrain` wrote"
    ):
        load_encoder(file)
    for content in (b"", b"garbage" * 100, save({"weight": torch.zeros(3)})):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"encoder\.safetensors is no point encoder"):
            load_encoder(file)


def test_an_encoder_is_taken_over_whole_or_not_at_all(tiny: PretrainConfig, tmp_path: Path) -> None:
    weights, about = (
        PointEncoder(tiny.network).state_dict(),
        {"config": json.dumps(by_name(tiny))},
    )
    file, name = tmp_path / "encoder.safetensors", "embed.norm1.running_var"
    for others, says in (
        (
            {key: value for key, value in weights.items() if key != name},
            f"it lacks the tensor {name};",
        ),
        ({**weights, "another": torch.zeros(1)}, "it has a tensor too many: another;"),
    ):
        file.write_bytes(save(others, metadata=about))
        with pytest.raises(InputError, match=says):
            load_encoder(file)


def test_a_run_starts_from_the_encoder_of_another(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path / "a", tiny.replace(epochs=1), quiet)
    config = tiny.replace(
        init=str(tmp_path / "a"), learning_rate=0.0, final_learning_rate=0.0, epochs=1
    )
    summary = pretrain(toy_shards, tmp_path / "b", config, quiet)
    assert pretrain(toy_shards, tmp_path / "b", config, quiet)["resumed_from"] == summary["steps"]
    first, _ = load_encoder(tmp_path / "a")
    second, _ = load_encoder(tmp_path / "b")
    for (name, value), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(value, other), name  # nothing was learned at a rate of zero


def test_an_encoder_of_other_sizes_is_named(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path / "a", tiny.replace(epochs=1), quiet)
    (tmp_path / "a" / "encoder.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"a holds no encoder\.safetensors, which a run writes at its end"
    ):
        pretrain(toy_shards, tmp_path / "b", tiny.replace(init=str(tmp_path / "a")), quiet)
    wider = tiny.replace(width=32, init=str(tmp_path / "other.safetensors"))
    message = r"holds an encoder of other sizes: embed\.joint2\.bias is \[16\], the settings make it \[32\]"
    with pytest.raises(InputError, match=message):
        pretrain(toy_shards, tmp_path / "c", wider, quiet)
