"""Losses of regions: of their classes, each of which also turns its logits into scores, and of their masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import maskrcnn_loss, project_masks_on_boxes

from mosaicfusion.detectors.config import LossConfig
from mosaicfusion.errors import MosaicFusionError

PRIOR = 0.01
"""Initial score of every class with a sigmoid, so that the many negatives do not dominate the first steps."""


class SoftmaxLoss(nn.Module):
    """Cross-entropy over the background (column 0) and C classes."""

    background = True

    def forward(self, logits: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Tensor:
        """Logits float (N, 1 + C), labels int64 (N,) in 0..C -> mean, a scalar. ``ignored`` is not used."""
        return F.cross_entropy(logits.float(), labels) if len(labels) else logits.sum() * 0

    def scores(self, logits: Tensor) -> Tensor:
        """Logits float (N, 1 + C) -> probabilities float (N, C), without the background's."""
        return logits.float().softmax(dim=-1)[:, 1:]


class SigmoidLoss(nn.Module):
    """Binary cross-entropy of C classes, of all or, federated, of a sample (Zhou, Koltun, Krähenbühl 2021, section 5).

    The classes of the batch always count. Others are sampled with probability proportional to (training images) ^ ``power``
    until ``count`` classes are reached. Classes outside the sample give no gradient, so that rare classes are not pushed down
    by every image without them.
    """

    background = False
    weights: Tensor | None

    def __init__(self, image_counts: Sequence[int] | None = None, count: int = 50, power: float = 0.5) -> None:
        super().__init__()
        self.count = count
        weights = None if image_counts is None else torch.tensor(image_counts, dtype=torch.float32) ** power
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor, ignored: Tensor | None = None) -> Tensor:
        """Logits float (N, C), labels int64 (N,) in 0..C -> sum over classes, mean over regions, a scalar.

        ``ignored``: bool (N, C), classes that may be present without a label; their negatives do not count.
        """
        targets = torch.zeros_like(logits, dtype=torch.float32)
        inside = labels > 0
        targets[inside, labels[inside] - 1] = 1
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        if self.weights is not None:
            losses = losses * sample_classes(labels, self.weights, self.count)
        if ignored is not None:
            losses = losses.masked_fill(ignored & (targets == 0), 0)
        return losses.sum() / max(1, len(labels))

    def scores(self, logits: Tensor) -> Tensor:
        """Logits float (N, C) -> independent probabilities float (N, C)."""
        return logits.float().sigmoid()


ClassificationLoss = SoftmaxLoss | SigmoidLoss


def sample_classes(labels: Tensor, weights: Tensor, count: int) -> Tensor:
    """bool (C,): the classes of ``labels``, int64 (N,), and others sampled by ``weights``, float (C,), ``count`` in total."""
    chosen = torch.zeros_like(weights, dtype=torch.bool)
    chosen[labels[labels > 0] - 1] = True
    others = weights.masked_fill(chosen, 0)
    missing = min(count - int(chosen.sum()), int((others > 0).sum()))
    if missing > 0:
        chosen[torch.multinomial(others, missing)] = True
    return chosen


def build_loss(config: LossConfig, image_counts: Sequence[int] | None = None) -> ClassificationLoss:
    """Build a loss. ``image_counts``: training images of each class, by label; required by the federated loss only."""
    if config.kind == "softmax":
        return SoftmaxLoss()
    if not config.federated:
        return SigmoidLoss()
    if image_counts is None:
        raise MosaicFusionError(
            "the federated loss needs the number of training images of every category; set loss.federated=false"
        )
    return SigmoidLoss(image_counts, config.federated_classes, config.federated_power)


def not_exhaustive_classes(targets: Sequence[dict[str, Tensor]], regions: Sequence[int], num_classes: int) -> Tensor:
    """bool (sum of ``regions``, C): for each region, the classes that are not annotated exhaustively in its image.

    ``regions``: number of regions of each image.
    """
    rows = []
    for target, count in zip(targets, regions, strict=True):
        row = torch.zeros(num_classes, dtype=torch.bool, device=target["labels"].device)
        if "not_exhaustive" in target:
            row[target["not_exhaustive"] - 1] = True
        rows.append(row.expand(count, -1))
    return torch.cat(rows)


def mask_loss(
    logits: Tensor,
    boxes: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    channels: Sequence[Tensor],
    matched: Sequence[Tensor],
) -> Tensor:
    """Mean binary cross-entropy of the positive regions' masks, a scalar; pixels that are ``uncertain`` in a target do not count.

    ``logits``: float (M, channels, S, S), all regions of the batch. Of each image: ``boxes`` float (m, 4) xyxy of its regions;
    ``channels`` int64 (N,), the output channel of each instance; ``matched`` int64 (m,), the instance of each region.
    """
    masks = [target["masks"] for target in targets]
    if not len(logits) or not all("uncertain" in target for target in targets):
        plain: Tensor = maskrcnn_loss(logits, list(boxes), masks, list(channels), list(matched))
        return plain
    side, true, weights = logits.shape[-1], [], []
    for target, regions, instances in zip(targets, boxes, matched, strict=True):
        certain = target["masks"] * (1 - target["uncertain"])
        weight = 1 - project_masks_on_boxes(target["uncertain"], regions, instances, side)
        # A cell has the mean of its certain pixels, and counts by their share.
        true.append(project_masks_on_boxes(certain, regions, instances, side) / weight.clamp(min=1e-6))
        weights.append(weight.clamp(min=0))
    channel = torch.cat([own[instances] for own, instances in zip(channels, matched, strict=True)])
    chosen = logits[torch.arange(len(channel), device=channel.device), channel]
    # The mean over all cells, not over those that count: the others' gradients do not grow.
    losses = F.binary_cross_entropy_with_logits(chosen, torch.cat(true).clamp(0, 1), reduction="none")
    return (losses * torch.cat(weights)).mean()
