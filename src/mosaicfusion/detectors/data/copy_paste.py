"""Simple Copy-Paste (Ghiasi et al. 2021): objects of one training image put on another. The paper's baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from mosaicfusion.detectors.data.samples import Sample, SampleSet, Transform, complete_labels, with_instances
from mosaicfusion.detectors.data.transforms import Tidy


class CopyPaste(SampleSet):
    """Samples with a random part of the objects of another one on top.

    Both come from ``samples``, with its transform: the paper's is large-scale jitter. ``probability``: that anything is pasted.
    ``weights``: float (len(samples),), how often each is pasted from, for instance repeat factors; all alike without.
    Each object of the other sample is pasted with a probability of one half; what it covers is no longer part of the masks below.
    """

    def __init__(self, samples: SampleSet, probability: float = 1.0, weights: Tensor | None = None) -> None:
        self.samples, self.probability, self.weights = samples, probability, weights
        self._tidy: Transform = Tidy()

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> Sample:
        image, target = self.samples.load(index)
        if torch.rand(()) >= self.probability:
            return image, target
        other_image, other_target = self.samples.load(draw_other(len(self), self.weights))
        chosen = torch.rand(len(other_target["labels"])) < 0.5
        return self._tidy(*paste(image, target, other_image, other_target, chosen))


def draw_other(count: int, weights: Tensor | None) -> int:
    """A number below ``count``, by ``weights`` if there are any."""
    return int(torch.randint(count, ()) if weights is None else torch.multinomial(weights, 1))


def paste(
    image: Tensor, target: dict[str, Any], other_image: Tensor, other_target: dict[str, Any], chosen: Tensor
) -> Sample:
    """Put the ``chosen``, bool (N,), of another sample's instances over a sample, both aligned at the top left.

    The other picture is cut off, or has nothing to paste, where the sizes differ. Of a pasted category that the picture was not
    searched for, there may be more than is annotated: it becomes not exhaustive.
    """
    size = list(image.shape[-2:])
    masks = functional.crop(other_target["masks"][chosen], 0, 0, *size)  # pads with 0 where it is smaller
    covered = masks.any(0).bool()
    pasted = torch.where(covered, functional.crop(other_image, 0, 0, *size), image)
    labels = torch.cat([target["labels"], other_target["labels"][chosen]])
    masks = torch.cat([target["masks"].masked_fill(covered, 0), masks])
    return tv_tensors.Image(pasted), with_instances(target, labels, masks, complete_labels(target))
