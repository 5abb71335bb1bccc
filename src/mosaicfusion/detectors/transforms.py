"""What happens to a picture before a detector sees it, in torchvision's transforms v2.

All begin with a sample of :class:`mosaicfusion.detectors.data.DetectionDataset` and end with :class:`Tidy`, so boxes are always
those of the masks. The image stays uint8; sizes are in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from mosaicfusion.detectors.samples import Sample, Transform, boxes_of

GREY = 127  # where there is no picture: near the mean of photographs, so next to 0 once it is normalised
_FILL = {tv_tensors.Image: GREY, tv_tensors.Mask: 0}
MIN_SIDE_PX = 2


class Tidy(nn.Module):
    """The last step: boxes are taken from the masks anew, and instances with a side below ``min_side_px`` removed.

    A crop, or what covers an instance, leaves a box too large that was only moved along.
    """

    def __init__(self, min_side_px: int = MIN_SIDE_PX) -> None:
        super().__init__()
        self.min_side_px = min_side_px

    def forward(self, image: Tensor, target: dict[str, Any]) -> Sample:
        seen = target["masks"].flatten(1).any(1).bool()  # of uint8 torch makes uint8
        masks, labels = target["masks"][seen], target["labels"][seen]
        boxes = boxes_of(masks)
        large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= self.min_side_px
        hw = tuple(image.shape[-2:])
        return image, {
            **target,
            "boxes": tv_tensors.BoundingBoxes(boxes[large], format="XYXY", canvas_size=hw),
            "labels": labels[large],
            "masks": tv_tensors.Mask(masks[large]),
        }


def short_side(sides_px: Sequence[int], max_side_px: int, flip: float = 0.5) -> Transform:
    """Resize so that the short side is one of ``sides_px``, drawn at random, and the long one at most ``max_side_px``; flip.

    Mask R-CNN's recipe: (640, 672, 704, 736, 768, 800) and 1333. With one side and ``flip=0`` nothing is random.
    """
    return _chain(v2.RandomShortestSize(list(sides_px), max_side_px), v2.RandomHorizontalFlip(flip))


def large_scale_jitter(side_px: int, scale: tuple[float, float] = (0.1, 2.0), flip: float = 0.5) -> Transform:
    """Resize to a random part of what just fits a square of ``side_px``; then crop or pad to that square, and flip.

    Ghiasi et al. 2021, section 3. Where there is no picture the square is grey, on whichever sides.
    """
    square = (side_px, side_px)
    return _chain(
        v2.ScaleJitter(square, scale),
        v2.RandomCrop(square, pad_if_needed=True, fill=_FILL),
        v2.RandomHorizontalFlip(flip),
    )


def _chain(*steps: nn.Module) -> Transform:
    chain: Transform = v2.Compose([*steps, Tidy()])
    return chain
