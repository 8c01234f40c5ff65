"""Size of a network: parameters, operations and memory of each part.

Counted without computing anything.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError, needs

try:
    import torch
    from torch._subclasses import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
except (ImportError, OSError) as error:
    raise needs("torch", "train", error) from error

from torch import Tensor, nn

from .config import PretrainConfig
from .network import CrossAlignNet
from .tasks.classifier import Classifier

__all__ = ["ModelInfo", "Part", "count_flops", "info_table", "model_info"]

_SAMPLES = 2  # batch normalisation wants more than one

_PARTS = (  # of the network, by the names of its modules
    ("mini-PointNet", "point_encoder.embed"),
    ("point encoder: positions, transformer", "point_encoder.position", "point_encoder.transformer"),
    ("image encoder", "image_encoder"),
    ("global decoder, mask token, positions", "alignment.decoder", "alignment.position", "alignment.mask_token"),
    ("heads of both modalities", "alignment.point_head", "alignment.image_head"),
    ("reconstruction decoder, mask token, positions", "reconstruction.decoder", "reconstruction.position",
     "reconstruction.mask_token"),
    ("reconstruction head", "reconstruction.head"),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A part of the network.

    Attributes
    ----------
    parameters : number of its parameters
    forward : floating-point operations of its matrix products for one sample, a multiply-add as two
    """

    name: str
    parameters: int
    forward: int


@dataclass(frozen=True)
class ModelInfo:
    """The content of `cma3d model-info`.

    Attributes
    ----------
    forward, step : operations of matrix products for one sample: a forward pass; forward and
        backward
    state_bytes : weights, gradients and both moments of AdamW, float32
    activation_bytes : what one sample keeps for the backward pass, uncompiled, in the settings'
        precision
    classifier_parameters : of the classifier with `classes` classes that the point encoder is
        fine-tuned in
    """

    parts: list[Part]
    parameters: int
    forward: int
    step: int
    state_bytes: int
    activation_bytes: int
    bfloat16: bool
    batch: int
    epochs: int
    rows: int
    classes: int
    classifier_parameters: int

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return dataclasses.asdict(self)


def model_info(
    config: PretrainConfig, *, classes: int = 40, shard_size: int = 224, rows: int = 41_928
) -> ModelInfo:
    """Count parameters, operations and memory of the network that the settings describe.

    Parameters
    ----------
    classes : of the classifier
    shard_size : side of the shards' images, pixels
    rows : of the shards

    Raises
    ------
    InputError : images that cannot be cut into patches
    """
    if config.network.image_size == 0 and shard_size % config.network.image_patch:
        raise InputError(
            f"images of {shard_size} x {shard_size} pixels cannot be cut into patches of "
            f"{config.network.image_patch}: "
            "give --image-size, to which they are resized, or another --shard-size"
        )
    network = _network(config, shard_size)
    with torch.device("meta"):
        classifier = Classifier(config.network, classes)
    # counted on shapes alone, nothing is computed
    forward, step, flops = count_flops(config, shard_size)
    parts = [
        Part(
            name,
            sum(_parameters(network, each) for each in modules),
            sum(flops.get(each, 0) for each in modules),
        )
        for name, *modules in _PARTS
    ]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return ModelInfo(
        parts=[part for part in parts if part.parameters],
        parameters=parameters,
        forward=forward,
        step=step,
        state_bytes=4 * 4 * parameters,
        activation_bytes=_kept(
            config, shard_size, bfloat16=config.optimiser.precision != "float32"
        ),
        bfloat16=config.optimiser.precision != "float32",
        batch=config.optimiser.batch_size,
        epochs=config.optimiser.epochs,
        rows=rows,
        classes=classes,
        classifier_parameters=sum(parameter.numel() for parameter in classifier.parameters()),
    )


def count_flops(config: PretrainConfig, shard_size: int) -> tuple[int, int, dict[str, int]]:
    """Count the operations of the matrix products of one sample, a multiply-add as two.

    Parameters
    ----------
    shard_size : side of the shards' images, pixels

    Returns
    -------
    forward : of a forward pass
    step : of a forward and a backward pass
    modules : of a forward pass, by the name of the module
    """
    network = _network(config, shard_size)
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        sdpa_kernel(SDPBackend.MATH),
    ):  # attention as products that count
        # fake tensors have shapes and no memory
        fake = network.to_empty(device="cpu")
        with FlopCounterMode(display=False) as forward:
            loss = fake(_batch(config, shard_size, _SAMPLES))["loss"]
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    modules = {
        name.partition(".")[2]: sum(counts.values()) // _SAMPLES
        for name, counts in forward.get_flop_counts().items()
    }
    both = forward.get_total_flops() + backward.get_total_flops()
    return forward.get_total_flops() // _SAMPLES, both // _SAMPLES, modules


def _kept(config: PretrainConfig, shard_size: int, *, bfloat16: bool) -> int:
    """Count the bytes that one sample more keeps for the backward pass."""

    def kept(samples: int) -> int:
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
            held.append(storage)  # so that no other one gets its number
            return tensor

        held: list[Any] = []
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            fake(_batch(config, shard_size, samples))
        return sum(storages.values())

    network = _network(config, shard_size)
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.autocast("cpu", torch.bfloat16, enabled=bfloat16),
    ):
        fake = network.to_empty(device="cpu")
        # the difference leaves out what does not grow with the number of samples
        return (kept(2 * _SAMPLES) - kept(_SAMPLES)) // _SAMPLES


def _network(config: PretrainConfig, shard_size: int) -> CrossAlignNet:
    """Make a network without weights."""
    with torch.device("meta"):
        return CrossAlignNet(config, (shard_size, shard_size))


def _batch(config: PretrainConfig, shard_size: int, samples: int) -> dict[str, Tensor]:
    sizes = config.network
    points = max(2048, sizes.patches, sizes.patch_points)
    return {
        "points": torch.empty(samples, points, 3),
        "pixels": torch.empty(samples, sizes.patches, 2, dtype=torch.int32),
        "rgb": torch.empty(samples, shard_size, shard_size, 3, dtype=torch.uint8),
        "seeds": torch.empty(samples, dtype=torch.int64),
    }


def _parameters(network: nn.Module, name: str) -> int:
    """Count the parameters of a module, or of one parameter; none where the network lacks it."""
    found: Any = network
    for each in name.split("."):
        found = getattr(found, each, None)
    if isinstance(found, nn.Parameter):
        return found.numel()
    return sum(parameter.numel() for parameter in found.parameters()) if found is not None else 0


def info_table(info: ModelInfo) -> str:
    """Format for people: a line a part, then sums and memory.

    The last line has the operations of the whole run.
    """
    width = max(len(part.name) for part in info.parts)
    lines = [f"{'part':{width}}  {'parameters':>12}  {'GFLOP forward':>13}"]
    lines += [
        f"{part.name:{width}}  {part.parameters:>12,}  {part.forward / 1e9:>13.3f}"
        for part in info.parts
    ]
    lines.append(
        f"{'pretraining network':{width}}  {info.parameters:>12,}  {info.forward / 1e9:>13.3f}"
    )
    lines.append(
        f"{f'classifier, {info.classes} classes':{width}}  {info.classifier_parameters:>12,}"
    )
    samples = info.rows // min(info.batch, info.rows) * min(info.batch, info.rows) * info.epochs
    precision = "bfloat16" if info.bfloat16 else "float32"
    gib = (info.state_bytes + info.batch * info.activation_bytes) / 2**30
    return "\n".join(
        [
            *lines,
            "",
            f"A sample: {info.forward / 1e9:.2f} GFLOP forward, "
            f"{info.step / 1e9:.2f} forward and backward "
            "(matrix products; a multiply-add is two).",
            f"A run: {info.epochs} epochs of {info.rows:,} rows, {samples:,} samples, "
            f"{samples * info.step / 1e15:,.1f} PFLOP.",
            f"Memory: {info.state_bytes / 2**20:,.0f} MiB of weights, "
            f"gradients and AdamW's moments, and "
            f"{info.activation_bytes / 2**20:.1f} MiB a sample for the backward pass in "
            f"{precision}, uncompiled: "
            f"{gib:.1f} GiB at batch {info.batch}.",
        ]
    )
