"""Classifiers of region features: learned weights, or text embeddings that stay as they are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mosaicfusion.detectors.config import ClassifierConfig
from mosaicfusion.detectors.models.losses import PRIOR
from mosaicfusion.errors import MosaicFusionError


class TextClassifier(nn.Module):
    """Cosines between projected features and text embeddings, divided by a temperature (Detic, section 4; F-VLM, section 3.2).

    ``embeddings``: float (C, D), one a class, of any length; kept with the weights but not trained. With ``background`` a
    learned vector of D values stands for it, in column 0. ``bias``: first value of a learned bias of all classes.
    ``learned_temperature``: the temperature is only where training begins.
    """

    embeddings: Tensor

    def __init__(
        self,
        features: int,
        embeddings: Tensor,
        temperature: float = 0.02,
        bias: float | None = None,
        background: bool = False,
        learned_temperature: bool = False,
    ) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learned_temperature)
        self.project = nn.Linear(features, embeddings.shape[1])
        self.register_buffer("embeddings", F.normalize(embeddings.float(), dim=-1))
        self.background = nn.Parameter(torch.randn(1, embeddings.shape[1]) * 0.01) if background else None
        self.bias = nn.Parameter(torch.tensor(float(bias))) if bias is not None else None

    def anchors(self) -> Tensor:
        """float32 (C, D), or (1 + C, D) with the background first, of length 1."""
        if self.background is None:
            return self.embeddings
        return torch.cat([F.normalize(self.background, dim=-1), self.embeddings])

    def forward(self, features: Tensor) -> Tensor:
        """float (N, features) -> logits, float (N, C), or (N, 1 + C) with the background first."""
        cosines = F.normalize(self.project(features).float(), dim=-1) @ self.anchors().T
        logits = cosines / self.log_temperature.exp()
        return logits if self.bias is None else logits + self.bias


def build_classifier(
    config: ClassifierConfig,
    features: int,
    num_classes: int,
    background: bool,
    text_embeddings: Tensor | None = None,
) -> nn.Module:
    """(N, features) -> logits: (N, 1 + C) with the background first (for softmax), or (N, C) (for sigmoids).

    ``text_embeddings``: float (C, D) in the order of labels, needed by ``kind: text``.
    """
    if config.kind == "linear":
        linear = nn.Linear(features, num_classes + background)
        nn.init.normal_(linear.weight, std=0.01)
        nn.init.constant_(linear.bias, 0.0 if background else math.log(PRIOR / (1 - PRIOR)))
        return linear
    if text_embeddings is None:
        raise MosaicFusionError("classifier.kind=text needs text embeddings; make them with `mosaicfusion embed-text`")
    if text_embeddings.ndim != 2 or len(text_embeddings) != num_classes:
        raise MosaicFusionError(
            f"text embeddings of shape {tuple(text_embeddings.shape)} do not fit {num_classes} categories"
        )
    return TextClassifier(
        features, text_embeddings, config.temperature, config.bias, background, config.learned_temperature
    )
