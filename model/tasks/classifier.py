"""The classifier around a pretrained encoder: cls token, pooling, head.

As Point-MAE's, which the paper follows. With 40 classes and the default settings it has 22,099,752
parameters, consistent with the 22.09 million of table 9.

    from shapenet3d_cma.model.tasks.classifier import Classifier
    from shapenet3d_cma.model.weights.encoder import load_encoder
    from shapenet3d_cma.model.patches import make_patches, normalise_cloud

    encoder, config = load_encoder(Path("run/encoder.safetensors"))
    classifier = Classifier(config, classes=40)
    classifier.encoder.load_state_dict(encoder.state_dict())
    logits = classifier(*make_patches(normalise_cloud(points), config.patches, config.patch_points))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from ..encoders import PointEncoder
from ..layers import DropPath
from ..network import initialise
from ..norm import BatchNorm

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Point encoder with a cls token, and a head on that token and the maximum over the patches.

    The encoder is an attribute of its own, so a pretrained one is taken over by its state dict, and
    its parameters are frozen or given another learning rate by themselves. Weights are drawn from
    torch's global generator.

    Parameters
    ----------
    config : sizes of the encoder
    classes : number of classes
    head_width : channels of the head's two hidden layers
    dropout : share of hidden channels of the head that are dropped in training, drawn from torch's
        global generator

    Attributes
    ----------
    encoder : the point encoder, E_p
    cls_token, cls_position : (W,) parameters; the first token and what is added to it before every
        block
    head : (B, 2 W) features to (B, classes) logits
    """

    def __init__(
        self, config: NetworkConfig, classes: int, *, head_width: int = 256, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.encoder = PointEncoder(config)
        self.cls_token = nn.Parameter(torch.zeros(config.width))
        self.cls_position = nn.Parameter(torch.zeros(config.width))
        self.head = nn.Sequential(
            nn.Linear(2 * config.width, head_width),
            BatchNorm(head_width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head_width, head_width),
            BatchNorm(head_width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head_width, classes),
        )
        self.apply(initialise)
        # `initialise` knows no bare parameters of this class
        for parameter in (self.cls_token, self.cls_position):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, centres: Tensor, neighbours: Tensor, drop: DropPath | None = None) -> Tensor:
        """Classify patches of clouds.

        Parameters
        ----------
        centres : (B, G, 3) float32, normalised frame, from `patches.make_patches`
        neighbours : (B, G, K, 3) float32, relative to the centre
        drop : which samples skip which branches of the encoder; None: no sample skips any

        Returns
        -------
        logits : (B, classes) float
        """
        logits: Tensor = self.head(self.features(centres, neighbours, drop))
        return logits

    def features(self, centres: Tensor, neighbours: Tensor, drop: DropPath | None = None) -> Tensor:
        """Return the input of the head, [cls token, maximum over patches]: (B, 2 W).

        The arguments are those of `forward`.
        """
        tokens, positions = self.encoder.tokens(centres, neighbours)  # (B, G, W) each
        # the cls token and its position for every sample: (B, 1, W) each
        first, place = (
            parameter.to(tokens.dtype).expand(len(tokens), 1, -1)
            for parameter in (self.cls_token, self.cls_position)
        )
        # the cls token comes first: (B, 1 + G, W)
        encoded = self.encoder.transformer(
            torch.cat([first, tokens], dim=1), torch.cat([place, positions], dim=1), drop=drop
        )
        return torch.cat([encoded[:, 0], encoded[:, 1:].amax(dim=1)], dim=-1)
