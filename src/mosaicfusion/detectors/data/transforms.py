"""Data augmentation, in torchvision's transforms v2.

All transforms take a sample of :class:`mosaicfusion.detectors.data.dataset.DetectionDataset` and end with :class:`Tidy`, so boxes
always match the masks. Images stay uint8; sizes are in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from mosaicfusion.detectors.data.samples import DetectionSample, Transform, boxes_of, planes_of, without_empty

GREY = 127  # padding: near the mean of photographs, so close to 0 after normalisation
MIN_SIDE_PX = 2


class Tidy(nn.Module):
    """The last step: recompute boxes from masks, and remove instances with a side below ``min_side_px``.

    Transformed boxes are too large after a crop or an occlusion.
    """

    def __init__(self, min_side_px: int = MIN_SIDE_PX) -> None:
        super().__init__()
        self.min_side_px = min_side_px

    def forward(self, image: Tensor, target: dict[str, Any]) -> DetectionSample:
        labels, planes = without_empty(target["labels"], planes_of(target))
        boxes = boxes_of(planes["masks"])
        large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= self.min_side_px
        if not large.all():
            boxes, labels = boxes[large], labels[large]
            planes = {name: plane[large] for name, plane in planes.items()}
        hw = tuple(image.shape[-2:])
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=hw)
        masks = {name: tv_tensors.Mask(plane) for name, plane in planes.items()}
        return image, {**target, "boxes": boxes, "labels": labels, **masks}


class LargeScaleJitter(v2.Transform):  # type: ignore[misc]
    """Resize to a random multiple of the size that fits a square, then crop or pad to it (Ghiasi et al. 2021, section 3).

    Padding is grey, at the right or at the bottom. Unlike torchvision's ScaleJitter and RandomCrop, this crops before it
    resizes, which takes a third less time.
    """

    def __init__(self, side_px: int, scale: tuple[float, float]) -> None:
        super().__init__()
        self.side_px, self.scale = side_px, scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        low, high = self.scale
        zoom = (low + float(torch.rand(())) * (high - low)) * self.side_px / max(height, width)
        cut = [min(side, max(1, round(self.side_px / zoom))) for side in (height, width)]
        top, left = (int(torch.randint(side - own + 1, ())) for side, own in zip((height, width), cut, strict=True))
        size = [min(self.side_px, max(1, round(own * zoom))) for own in cut]
        return {"top": top, "left": left, "height": cut[0], "width": cut[1], "size": size}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        resized = self._call_kernel(functional.resized_crop, inpt, **params, antialias=True)
        padding = [0, 0, self.side_px - params["size"][1], self.side_px - params["size"][0]]
        return self._call_kernel(
            functional.pad, resized, padding=padding, fill=GREY if isinstance(inpt, tv_tensors.Image) else 0
        )


def short_side(sides_px: Sequence[int], max_side_px: int, flip: float = 0.5) -> Transform:
    """Resize the short side to a random choice of ``sides_px``, the long side to at most ``max_side_px``; flip.

    Mask R-CNN's recipe: (640, 672, 704, 736, 768, 800) and 1333. With one side and ``flip=0`` nothing is random.
    """
    return _chain(v2.RandomShortestSize(list(sides_px), max_side_px), v2.RandomHorizontalFlip(flip))


def large_scale_jitter(side_px: int, scale: tuple[float, float] = (0.1, 2.0), flip: float = 0.5) -> Transform:
    """:class:`LargeScaleJitter` to a square of ``side_px``, and flip."""
    return _chain(LargeScaleJitter(side_px, scale), v2.RandomHorizontalFlip(flip))


def _chain(*steps: nn.Module) -> Transform:
    chain: Transform = v2.Compose([*steps, Tidy()])
    return chain
