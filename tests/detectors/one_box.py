"""A complete detector in few lines: one object per image, as large as the image, classified by its mean colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mosaicfusion.detectors.config import Recipe
from mosaicfusion.detectors.data.classes import ClassList


class OneBox(nn.Module):
    """Images float (3, H, W) in [0, 1] -> losses in training, else one detection each."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(3, num_classes)

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        logits = self.classify(torch.stack([image.mean((1, 2)) for image in images]))  # (B, C)
        if targets is not None:
            return {"loss_class": cross_entropy(logits, torch.stack([one["labels"][0] - 1 for one in targets]))}
        scores, best = logits.softmax(1).max(1)
        return [
            {
                "boxes": torch.tensor([[0.0, 0.0, image.shape[2], image.shape[1]]]),
                "labels": label[None] + 1,
                "scores": score[None],
                "masks": torch.ones(1, 1, *image.shape[1:]),
            }
            for image, label, score in zip(images, best, scores, strict=True)
        ]


def build(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> nn.Module:
    """The detector of a recipe with ``detector: one_box``."""
    return OneBox(len(classes))
