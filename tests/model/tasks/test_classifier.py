import pytest
import torch

from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.layers import DropPath
from shapenet3d_cma.model.noise import sample_seeds
from shapenet3d_cma.model.tasks.classifier import Classifier


def test_parameters_of_the_papers_classifier() -> None:
    with torch.device("meta"):
        classifier = Classifier(PretrainConfig().network, classes=40)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 22_099_752


def patches(samples: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(samples, 16, 3), torch.randn(samples, 16, 8, 3)


def test_the_order_of_patches_and_of_their_points_does_not_matter(tiny: PretrainConfig) -> None:
    classifier = Classifier(tiny.network, classes=5).eval()
    centres, neighbours = patches()
    logits = classifier(centres, neighbours)
    assert logits.shape == (3, 5)
    order = torch.randperm(16)
    shuffled = neighbours[:, order][:, :, torch.randperm(8)]
    torch.testing.assert_close(classifier(centres[:, order], shuffled), logits)
    torch.testing.assert_close(classifier(centres[:1], neighbours[:1]), logits[:1])


def test_the_gradient_reaches_every_parameter(tiny: PretrainConfig) -> None:
    classifier = Classifier(tiny.network, classes=5, dropout=0.0)
    torch.nn.functional.cross_entropy(classifier(*patches()), torch.arange(3)).backward()
    assert [
        name for name, each in classifier.named_parameters() if not each.grad.abs().max() > 0
    ] == []


def test_a_pretrained_encoder_is_taken_over_by_its_state_dict(tiny: PretrainConfig) -> None:
    encoder, classifier = PointEncoder(tiny.network), Classifier(tiny.network, classes=5)
    classifier.encoder.load_state_dict(encoder.state_dict())
    centres, neighbours = patches()
    assert torch.equal(
        classifier.eval().encoder(centres, neighbours), encoder.eval()(centres, neighbours)
    )


def test_branches_are_dropped_by_seed(tiny: PretrainConfig) -> None:
    classifier = Classifier(tiny.network, classes=5).eval()
    centres, neighbours = patches()
    seeds = sample_seeds(0, 0, torch.arange(3))
    dropped = classifier(centres, neighbours, DropPath(seeds, 0.9))
    assert not torch.allclose(dropped, classifier(centres, neighbours))
    torch.testing.assert_close(
        classifier(centres[1:], neighbours[1:], DropPath(seeds[1:], 0.9)), dropped[1:]
    )


@pytest.mark.parametrize("layers", [(2,), (1, 2)])
def test_features_of_layers(tiny: PretrainConfig, layers: tuple[int, ...]) -> None:
    encoder = PointEncoder(tiny.network).eval()
    features = encoder.layer_features(*patches(), layers)
    assert len(features) == len(layers)
    assert torch.equal(features[-1], encoder(*patches()))
    if len(layers) > 1:
        assert not torch.allclose(features[0], features[1])
