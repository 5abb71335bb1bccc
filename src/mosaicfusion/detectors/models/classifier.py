"""Classifiers of region features: learned weights, or fixed text embeddings."""

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

    ``embeddings``: float (C, D), one per class, of any length; saved with the weights but not trained. ``background``: add a
    learned embedding of the background, in column 0. ``bias``: initial value of a learned bias shared by all classes.
    ``learned_temperature``: train the temperature, starting from ``temperature``.
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
        """Class embeddings of length 1: float32 (C, D), or (1 + C, D) with the background first."""
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
    """Build a classifier, float (N, features) -> logits: (N, 1 + C) with the background first (softmax), or (N, C) (sigmoids).

    ``text_embeddings``: float (C, D) by label, required by ``kind: text``. Raises :class:`MosaicFusionError` without them, or
    if their shape does not fit.
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
