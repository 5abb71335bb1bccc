"""Simple Copy-Paste (Ghiasi et al. 2021), the paper's baseline: objects of one training image are pasted onto another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from mosaicfusion.detectors.data.samples import (
    DetectionSample,
    SampleSet,
    Transform,
    complete_labels,
    planes_of,
    with_instances,
)
from mosaicfusion.detectors.data.transforms import Tidy


class CopyPaste(SampleSet):
    """Samples with a random subset of another sample's objects pasted on top.

    Both come from ``samples``, with its transform: large-scale jitter in the paper. ``probability``: of pasting anything.
    ``weights``: float (len(samples),), relative frequency of each as the source, for example repeat factors; None: uniform.
    Each object of the source is pasted with probability 1/2; covered pixels are removed from the masks below.
    """

    def __init__(self, samples: SampleSet, probability: float = 1.0, weights: Tensor | None = None) -> None:
        self.samples, self.probability, self.weights = samples, probability, weights
        self._tidy: Transform = Tidy()

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> DetectionSample:
        image, target = self.samples.load(index)
        if torch.rand(()) >= self.probability:
            return image, target
        other_image, other_target = self.samples.load(choose_other(len(self), self.weights))
        chosen = torch.rand(len(other_target["labels"])) < 0.5
        return self._tidy(*paste(image, target, other_image, other_target, chosen))


def choose_other(count: int, weights: Tensor | None) -> int:
    """A random index below ``count``, uniform or with probability proportional to ``weights``."""
    return int(torch.randint(count, ()) if weights is None else torch.multinomial(weights, 1))


def paste(
    image: Tensor, target: dict[str, Any], other_image: Tensor, other_target: dict[str, Any], chosen: Tensor
) -> DetectionSample:
    """Paste the instances ``chosen``, bool (N,), of another sample onto a sample, both aligned at the top left.

    If the sizes differ, the other image is cropped or padded. A pasted category that was not verified in the image becomes not
    exhaustive: there may be more instances than annotated.
    """
    size = list(image.shape[-2:])
    own = planes_of(target)
    above = {name: functional.crop(other_target[name][chosen], 0, 0, *size) for name in own}  # pads with 0
    covered = above["masks"].any(0).bool()
    pasted = torch.where(covered, functional.crop(other_image, 0, 0, *size), image)
    labels = torch.cat([target["labels"], other_target["labels"][chosen]])
    planes = {name: torch.cat([plane.masked_fill(covered, 0), above[name]]) for name, plane in own.items()}
    return tv_tensors.Image(pasted), with_instances(target, labels, planes, complete_labels(target))
