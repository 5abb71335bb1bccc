"""Mosaic augmentation (Bochkovskiy et al. 2020): four training images as one, a baseline for generated mosaics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from mosaicfusion.detectors.data.copy_paste import choose_other
from mosaicfusion.detectors.data.samples import (
    DetectionSample,
    SampleSet,
    Transform,
    complete_labels,
    planes_of,
    with_instances,
)
from mosaicfusion.detectors.data.transforms import GREY

_CENTRE = (0.25, 0.75)  # of the side


class Mosaic(SampleSet):
    """Four whole samples in a square of 2 x 2 cells, each touching the point where the cells meet.

    The first is the requested sample, the others are sampled by ``weights``, like in
    :class:`mosaicfusion.detectors.data.copy_paste.CopyPaste`. The cells meet at a random point between 1/4 and 3/4 of the
    square's side ``side_px``. ``probability``: of a mosaic; otherwise the sample stays single. ``transform`` is applied to the
    result in both cases, so ``samples`` should have none.
    """

    def __init__(
        self,
        samples: SampleSet,
        side_px: int,
        transform: Transform | None = None,
        probability: float = 0.5,
        weights: torch.Tensor | None = None,
    ) -> None:
        self.samples, self.side_px, self.transform = samples, side_px, transform
        self.probability, self.weights = probability, weights

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> DetectionSample:
        sample = self.samples.load(index)
        if torch.rand(()) < self.probability:
            others = [self.samples.load(choose_other(len(self), self.weights)) for _ in range(3)]
            low, high = (round(bound * self.side_px) for bound in _CENTRE)
            y, x = torch.randint(low, high + 1, (2,)).tolist()
            sample = tile([sample, *others], self.side_px, (y, x))
        return sample if self.transform is None else self.transform(*sample)


def tile(samples: Sequence[DetectionSample], side_px: int, centre_yx: tuple[int, int]) -> DetectionSample:
    """Tile four samples (top left, top right, bottom left, bottom right) around ``centre_yx`` of a grey square.

    Each is resized to fit its cell. A category is known to be absent only if it is absent in all four, and exhaustively
    annotated only if it was verified in all four. The target's other fields are those of the first sample.
    """
    y, x = centre_yx
    canvas = torch.full((3, side_px, side_px), GREY, dtype=torch.uint8)
    targets = [target for _, target in samples]
    planes: dict[str, list[torch.Tensor]] = {name: [] for name in planes_of(targets[0])}
    for cell, (image, target) in enumerate(samples):
        below, right = divmod(cell, 2)
        cell_hw = (side_px - y if below else y, side_px - x if right else x)
        scale = min(cell_hw[0] / image.shape[-2], cell_hw[1] / image.shape[-1])
        height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
        top, left = y if below else y - height, x if right else x - width
        canvas[:, top : top + height, left : left + width] = functional.resize(image, [height, width])
        for name, plane in planes_of(target).items():
            placed = torch.zeros(len(plane), side_px, side_px, dtype=torch.uint8)
            if len(placed):
                placed[:, top : top + height, left : left + width] = functional.resize(plane, [height, width])
            planes[name].append(placed)
    complete = set.intersection(*map(complete_labels, targets))
    uncertain = torch.cat([target["not_exhaustive"] for target in targets])
    labels = torch.cat([target["labels"] for target in targets])
    target = {**targets[0], "not_exhaustive": uncertain}
    whole = {name: torch.cat(placed) for name, placed in planes.items()}
    return tv_tensors.Image(canvas), with_instances(target, labels, whole, complete)
