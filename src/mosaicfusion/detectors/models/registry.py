"""A recipe and its classes -> a detector."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from torch import Tensor, nn

from mosaicfusion.detectors.config import Recipe
from mosaicfusion.detectors.data.classes import ClassList


def build_detector(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> nn.Module:
    """A detector in torchvision's form: losses from ``model(images, targets)`` in training, else detections.

    ``text_embeddings``: float (C, D) by label, for a classifier of kind text. ``image_counts``: training images of each
    class, for the federated loss. ``load_weights=False``: without pretrained weights, because others are loaded next.
    Raises :class:`MosaicFusionError`.
    """
    module = import_module(f"mosaicfusion.detectors.models.{recipe.detector}")
    build = getattr(module, f"build_{recipe.detector}")
    extra = {"novel": classes.labels_of("r")} if recipe.detector == "fvlm" else {}
    detector: nn.Module = build(recipe, len(classes), image_counts, text_embeddings, load_weights, **extra)
    return detector
