import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.weights import initial as module
from shapenet3d_cma.model.weights.initial import load_initial

SIZES = PretrainConfig.of(width=16, heads=2, point_depth=2, embed_width=128, position_width=128)


def point_mae(encoder: PointEncoder) -> dict[str, torch.Tensor]:
    """Name and shape an encoder's weights as Point-MAE's checkpoint does."""
    names = {
        "embed.local1": "encoder.first_conv.0",
        "embed.norm1": "encoder.first_conv.1",
        "embed.local2": "encoder.first_conv.3",
        "embed.joint1": "encoder.second_conv.0",
        "embed.norm2": "encoder.second_conv.1",
        "embed.joint2": "encoder.second_conv.3",
        "position": "pos_embed",
        "transformer.norm": "norm",
        "transformer.blocks": "blocks.blocks",
    }
    within = {
        "attention.qkv": "attn.qkv",
        "attention.out": "attn.proj",
        "mlp.0": "mlp.fc1",
        "mlp.2": "mlp.fc2",
    }
    state = {}
    for name, value in encoder.state_dict().items():
        start = next(each for each in names if name.startswith(each + "."))
        theirs = names[start] + name[len(start) :]
        for ours, other in within.items():
            theirs = theirs.replace(ours, other)
        convolved = "_conv." in theirs and value.ndim == 2
        state["module.MAE_encoder." + theirs] = value[..., None] if convolved else value
    return state


class TheirPatches(torch.nn.Module):
    """Point-MAE's patch embedding, written as it describes it: convolutions, the maximum before the points' own."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        conv, norm = torch.nn.Conv1d, torch.nn.BatchNorm1d
        self.first_conv = torch.nn.Sequential(
            conv(3, 128, 1), norm(128), torch.nn.ReLU(), conv(128, 256, 1)
        )
        self.second_conv = torch.nn.Sequential(
            conv(512, 512, 1), norm(512), torch.nn.ReLU(), conv(512, 16, 1)
        )
        prefix = "module.MAE_encoder.encoder."
        self.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        feature = self.first_conv(points.transpose(1, 2))
        whole = feature.amax(2, keepdim=True).expand(-1, -1, points.shape[1])
        return self.second_conv(torch.cat([whole, feature], 1)).amax(2)


def test_point_mae_s_checkpoint_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PretrainConfig", lambda: SIZES)  # the published sizes, smaller
    torch.manual_seed(0)
    encoder = PointEncoder(SIZES.network)
    state = point_mae(encoder)
    extra = {
        "module.MAE_decoder.norm.weight": torch.ones(3),
        "module.mask_token": torch.ones(1, 1, 16),
    }
    metrics = {"acc": np.float64(91.5)}
    torch.save(
        {"base_model": state | extra, "epoch": 300, "metrics": metrics, "optimizer": {}},
        tmp_path / "a.pth",
    )
    found = load_initial(tmp_path / "a.pth")
    assert "Point-MAE" in found.source
    weights = encoder.state_dict()
    assert found.weights.keys() == weights.keys()
    assert all(torch.equal(found.weights[name], weights[name]) for name in weights)
    encoder.eval()
    patches = torch.randn(2, 5, 32, 3)
    theirs = TheirPatches(state).eval()(patches.flatten(0, 1)).view(2, 5, -1)
    torch.testing.assert_close(encoder.embed(patches), theirs, atol=1e-6, rtol=1e-5)


def test_a_file_with_code_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"base_model": {}, "evil": Path("a")}, file)
    with pytest.raises(
        InputError, match=r"a\.pth is no point encoder .*it holds code, pathlib\.PosixPath"
    ):
        load_initial(file)
    for content in (
        {"base_model": {"module.MAE_encoder.norm.weight": torch.ones(3)}},
        {"weights": {}},
    ):
        torch.save(content, file)
        with pytest.raises(
            InputError, match=r"a\.pth is no point encoder .*under the names of Point-MAE"
        ):
            load_initial(file)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.pth is no point encoder"):
        load_initial(file)
    with pytest.raises(InputError, match="is no point encoder that"):
        load_initial(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match=r"has neither encoder\.safetensors nor a checkpoint"):
        load_initial(tmp_path)


def test_a_run_gives_its_encoder_finished_or_not(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    pretrain(toy_shards, run, tiny.replace(epochs=1), lambda _: None)
    finished = load_initial(run)
    assert finished.config.network.width == tiny.network.width
    assert (
        finished.weights["embed.norm1.running_var"].max() < 0.1
    )  # of three steps, without the 1 that it began with
    (run / "encoder.safetensors").rename(tmp_path / "encoder.safetensors")
    for other in (load_initial(run), load_initial(tmp_path / "encoder.safetensors")):
        assert all(
            torch.equal(finished.weights[name], other.weights[name]) for name in finished.weights
        )
    assert "after 3 steps" in load_initial(run).source
    (run / "run.json").write_text(json.dumps({"config": {"width": 24, "heads": 2}}))
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        load_initial(run)


def test_scratch_takes_sizes_alone(encoder_file: Path, encoder_config: PretrainConfig) -> None:
    found = load_initial(encoder_file, scratch=True)
    assert found.weights is None
    assert found.config == encoder_config
    assert load_initial(None, scratch=True).config == PretrainConfig()
    with pytest.raises(InputError, match=r"give --init RUN .* or --scratch"):
        load_initial(None)
