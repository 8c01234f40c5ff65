"""Point-MAE's weights under our names compute what they compute under theirs."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.methods.point_mae import rename
from shapenet3d_cma.model.weights.encoder import load_encoder

WIDTH, DEPTH, HEADS = 128, 3, 2


def point_mae_weights(width: int = WIDTH, depth: int = DEPTH) -> dict[str, Tensor]:
    """Weights with the names and shapes that Point-MAE's encoder has."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    shapes: dict[str, tuple[int, ...]] = {
        "encoder.first_conv.0.weight": (128, 3, 1),
        "encoder.first_conv.3.weight": (256, 128, 1),
        "encoder.second_conv.0.weight": (512, 512, 1),
        "encoder.second_conv.3.weight": (width, 512, 1),
        "pos_embed.0.weight": (128, 3),
        "pos_embed.2.weight": (width, 128),
    }
    for i in range(depth):
        shapes |= {
            f"blocks.blocks.{i}.attn.qkv.weight": (3 * width, width),
            f"blocks.blocks.{i}.attn.proj.weight": (width, width),
            f"blocks.blocks.{i}.mlp.fc1.weight": (4 * width, width),
            f"blocks.blocks.{i}.mlp.fc2.weight": (width, 4 * width),
        }
    weights = {name: draw(*shape) for name, shape in shapes.items()}
    weights |= {
        name.replace("weight", "bias"): draw(len(w))
        for name, w in list(weights.items())
        if "qkv" not in name
    }
    norms = {"norm": width} | {
        f"blocks.blocks.{i}.norm{j}": width for i in range(depth) for j in (1, 2)
    }
    norms |= {"encoder.first_conv.1": 128, "encoder.second_conv.1": 512}
    for name, channels in norms.items():
        weights |= {f"{name}.weight": 1 + draw(channels), f"{name}.bias": draw(channels)}
    for name in ("encoder.first_conv.1", "encoder.second_conv.1"):
        weights[f"{name}.running_mean"] = draw(norms[name])
        weights[f"{name}.running_var"] = draw(norms[name]).square() + 0.5
        weights[f"{name}.num_batches_tracked"] = torch.tensor(7)
    return weights


def point_mae_forward(w: dict[str, Tensor], centres: Tensor, neighbours: Tensor) -> Tensor:
    """What Point-MAE's encoder computes in evaluation, from its own names alone."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv1d(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def batch_norm(name: str, x: Tensor) -> Tensor:
        values = (w[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values)

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def attend(name: str, x: Tensor) -> Tensor:
        q, k, v = linear(f"{name}.qkv", x).chunk(3, dim=-1)
        heads = [
            (q[..., i] @ k[..., i].mT / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v[..., i]
            for i in (slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS) for h in range(HEADS))
        ]
        return linear(f"{name}.proj", torch.cat(heads, dim=-1))

    samples, patches = centres.shape[:2]
    x = neighbours.flatten(0, 1).mT
    x = conv(
        "encoder.first_conv.3",
        batch_norm("encoder.first_conv.1", conv("encoder.first_conv.0", x)).relu(),
    )
    x = torch.cat([x.amax(2, keepdim=True).expand_as(x), x], dim=1)
    x = conv(
        "encoder.second_conv.3",
        batch_norm("encoder.second_conv.1", conv("encoder.second_conv.0", x)).relu(),
    )
    x = x.amax(2).view(samples, patches, -1)
    positions = linear("pos_embed.2", F.gelu(linear("pos_embed.0", centres)))
    for i in range(DEPTH):
        block = f"blocks.blocks.{i}"
        x = x + positions
        x = x + attend(f"{block}.attn", norm(f"{block}.norm1", x))
        x = x + linear(
            f"{block}.mlp.fc2", F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        )
    return norm("norm", x)


def checkpoint(kind: str) -> dict:
    """A checkpoint as Point-MAE writes it, with all that stands beside the encoder."""
    weights = point_mae_weights()
    if kind == "fine-tuned":
        others = {"cls_token": torch.zeros(1, 1, WIDTH), "cls_pos": torch.zeros(1, 1, WIDTH)}
        others["cls_head_finetune.0.weight"] = torch.zeros(256, 2 * WIDTH)
        state = weights | others
    else:
        others = {
            "mask_token": torch.zeros(1, 1, WIDTH),
            "MAE_decoder.norm.weight": torch.full((WIDTH,), 9.0),
        }
        others |= {"MAE_decoder.blocks.0.attn.qkv.weight": torch.zeros(3, 3)}
        others |= {
            "decoder_pos_embed.0.weight": torch.zeros(128, 3),
            "increase_dim.0.weight": torch.zeros(96, WIDTH, 1),
        }
        state = {f"MAE_encoder.{name}": value for name, value in weights.items()} | others
    if kind == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    beside = {
        "optimizer": {"state": {}},
        "epoch": 299,
        "metrics": {"acc": np.float64(0.9)},
        "best_metrics": {"acc": 0.0},
    }
    return {"base_model": state, **beside}


@pytest.mark.parametrize("kind", ["pretrained", "parallel", "fine-tuned"])
def test_the_imported_encoder_computes_the_same(tmp_path: Path, kind: str) -> None:
    torch.save(checkpoint(kind), tmp_path / "pretrain.pth")
    encoder, config = load_encoder(tmp_path / "pretrain.pth")
    sizes = config.network
    assert (sizes.width, sizes.point_depth, sizes.heads, sizes.embed_width) == (
        WIDTH,
        DEPTH,
        HEADS,
        128,
    )
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(2, 7, 3, generator=generator)
    neighbours = torch.randn(2, 7, 32, 3, generator=generator) / 5
    expected = point_mae_forward(point_mae_weights(), centres, neighbours)
    torch.testing.assert_close(encoder.eval()(centres, neighbours), expected, rtol=1e-3, atol=1e-4)


def test_no_name_of_the_encoder_is_left_behind() -> None:
    names = [rename(f"module.MAE_encoder.{name}") for name in point_mae_weights()]
    assert None not in names
    assert len(set(names)) == len(names)
    assert rename("MAE_decoder.norm.weight") is None
    assert rename("MAE_decoder.blocks.0.norm1.weight") is None
    assert rename("decoder_pos_embed.0.weight") is None
    assert rename("cls_token") is None


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"model": 3}, r"no transformer\.norm\.weight under the names of Point-MAE"),
        ({"base_model": 3}, "base_model holds no weights"),
        ([1], "it holds no dictionary"),
    ],
)
def test_what_is_no_checkpoint_of_point_mae(tmp_path: Path, state: object, says: str) -> None:
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(InputError, match=rf"other\.pth is no point encoder .*: {says}; give a run"):
        load_encoder(tmp_path / "other.pth")
    (tmp_path / "other.pth").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"other\.pth is no point encoder"):
        load_encoder(tmp_path / "other.pth")
