import pytest
import torch

from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.tasks.segmenter import PartSegmenter, propagate, third_layers


def reference(points: torch.Tensor, centres: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Interpolate point by point, as PointNet++ describes it."""
    out = torch.zeros(*points.shape[:2], features.shape[2])
    for b, cloud in enumerate(points):
        for i, point in enumerate(cloud):
            distance = ((centres[b] - point) ** 2).sum(1)
            near = distance.argsort()[:3]
            weight = 1 / (distance[near] + 1e-8)
            out[b, i] = (weight[:, None] * features[b, near]).sum(0) / weight.sum()
    return out


def test_features_are_carried_as_the_reference_does() -> None:
    torch.manual_seed(0)
    points, centres, features = torch.randn(2, 30, 3), torch.randn(2, 7, 3), torch.randn(2, 7, 5)
    torch.testing.assert_close(
        propagate(points, centres, features), reference(points, centres, features)
    )
    torch.testing.assert_close(
        propagate(centres, centres, features), features, atol=1e-4, rtol=1e-4
    )
    ones = propagate(points, centres, torch.ones(2, 7, 5))
    torch.testing.assert_close(ones, torch.ones_like(ones))


def test_layers_are_at_thirds_of_the_depth() -> None:
    assert third_layers(12) == (4, 8, 12)
    assert [third_layers(depth) for depth in (1, 2, 3, 6)] == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 2, 3),
        (2, 4, 6),
    ]


def test_the_paper_s_segmenter_has_point_mae_s_parts() -> None:
    network = PartSegmenter(PretrainConfig().network, 16, 50, patches=128)
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()
    }
    linear = {"label": 16 * 64 + 128, "carry": (1155 + 1) * 1536 + 3072 + (1536 + 1) * 1024 + 2048}
    assert sizes["label"] == linear["label"]
    assert sizes["carry"] == linear["carry"]
    first = (1024 + 2 * 1152 + 64) * 512 + 512  # one convolution of 3,392 channels there
    assert sizes["local"] + sizes["whole"] == first
    assert sizes["head"] == 1024 + (512 + 1) * 256 + 512 + (256 + 1) * 50


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_shape_is_segmented_the_same_alone_and_its_category_matters(
    encoder_config: PretrainConfig, depth: int
) -> None:

    torch.manual_seed(0)
    config = encoder_config.replace(point_depth=depth)
    network = PartSegmenter(
        config.network, 4, 50, patches=8, propagated_width=16, head_width=16
    ).eval()
    points, labels = torch.randn(3, 40, 3), torch.tensor([0, 1, 2])
    logits = network(points, labels)
    assert logits.shape == (3, 40, 50)
    torch.testing.assert_close(network(points[1:2], labels[1:2]), logits[1:2], atol=1e-5, rtol=1e-4)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(norm.bias)
    assert not torch.allclose(network(points, labels.flip(0))[0], network(points, labels)[0])
