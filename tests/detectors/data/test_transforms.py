"""Boxes and masks are transformed together; instances that become too small are removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import tv_tensors

from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.samples import Transform, boxes_of
from mosaicfusion.detectors.data.sampling import SampleIndex
from mosaicfusion.detectors.data.transforms import GREY, Tidy, large_scale_jitter, short_side


def sample(*boxes: tuple[int, int, int, int], hw: tuple[int, int] = (20, 30)) -> tuple[Any, dict[str, Any]]:
    """A black image with boxes, xyxy, each filled with the colour of its number."""
    image, masks = torch.zeros(3, *hw, dtype=torch.uint8), torch.zeros(len(boxes), *hw, dtype=torch.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        masks[number, top:bottom, left:right] = 1
        image[:, top:bottom, left:right] = 200 + number
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes_of(masks), format="XYXY", canvas_size=hw),
        "labels": torch.arange(1, len(boxes) + 1),
        "masks": tv_tensors.Mask(masks),
        "image_id": 5,
        "negative": torch.tensor([9]),
    }
    return tv_tensors.Image(image), target


def test_resizing_to_the_short_side() -> None:
    image, target = short_side([40], 100, flip=0)(*sample((3, 4, 12, 10)))
    assert image.shape == (3, 40, 60)
    assert target["boxes"].tolist() == [[6, 8, 24, 20]]
    assert target["masks"].sum() == 4 * 9 * 6
    assert target["negative"].tolist() == [9]
    assert target["image_id"] == 5


def test_the_long_side_is_bounded() -> None:
    assert short_side([40], 45, flip=0)(*sample((3, 4, 12, 10)))[0].shape == (3, 30, 45)


def test_one_of_several_sides_is_chosen() -> None:
    sizes = {short_side([20, 30, 40], 100)(*sample((3, 4, 12, 10)))[0].shape[1] for _ in range(40)}
    assert sizes == {20, 30, 40}


def test_flipping_mirrors_image_boxes_and_masks() -> None:
    image, target = short_side([20], 100, flip=1)(*sample((3, 4, 12, 10)))
    assert target["boxes"].tolist() == [[18, 4, 27, 10]]
    assert torch.equal(image[0] == 200, target["masks"][0] == 1)


@pytest.mark.parametrize("seed", range(8))
def test_jitter_keeps_image_boxes_and_masks_together(seed: int) -> None:
    torch.manual_seed(seed)
    image, target = large_scale_jitter(48, (0.5, 2))(*sample((3, 4, 12, 16), (15, 2, 28, 18)))
    assert image.shape == (3, 48, 48)
    assert target["masks"].shape[1:] == (48, 48)
    assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
    for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
        assert box.tolist() == boxes_of(mask[None])[0].tolist()
        inner = image[0][mask == 1]
        assert (inner == 199 + label).float().mean() > 0.7  # edges are mixed by the resizing
    assert torch.isin(image[0], torch.tensor([GREY, 0])).any()


def test_jitter_covers_its_range() -> None:
    """At 0.5 to 2 times the fitting size, an object of half the image covers from a quarter of the crop's side to all of it."""
    torch.manual_seed(0)
    transform = large_scale_jitter(60, (0.5, 2), flip=0)
    widths = [transform(*sample((0, 0, 30, 20)))[1]["boxes"][0] for _ in range(60)]
    spans = [float(box[2] - box[0]) for box in widths]
    assert 29 <= min(spans) < 36
    assert max(spans) == 60


def test_small_and_hidden_instances_are_removed() -> None:
    image, target = sample((3, 4, 12, 10), (20, 2, 21, 9), (25, 2, 28, 9))
    target["masks"][2] = 0
    _, tidied = Tidy()(image, target)
    assert tidied["labels"].tolist() == [1]
    assert tidied["boxes"].tolist() == [[3, 4, 12, 10]]
    assert Tidy(min_side_px=1)(image, target)[1]["labels"].tolist() == [1, 2]


@pytest.mark.parametrize("transform", [short_side([40], 100), large_scale_jitter(48), Tidy()])
def test_an_image_without_instances(transform: Transform) -> None:
    image, target = transform(*sample())
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, *image.shape[1:])
    assert target["labels"].shape == (0,)


def test_a_data_set_with_a_transform_gives_plain_tensors_by_seed(tiny_lvis: Path) -> None:
    dataset = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images", large_scale_jitter(40))
    image, target = dataset[SampleIndex(2, 7)]
    again, _ = dataset[SampleIndex(2, 7)]
    other, _ = dataset[SampleIndex(2, 8)]
    assert torch.equal(image, again)
    assert not torch.equal(image, other)
    assert type(image) is torch.Tensor
    assert {type(target[key]) for key in ("boxes", "labels", "masks")} == {torch.Tensor}
    assert image.dtype == target["masks"].dtype == torch.uint8


def test_jitter_of_an_image_that_would_vanish() -> None:
    image, target = large_scale_jitter(48, (0.1, 0.1))(*sample((3, 0, 200, 2), hw=(2, 300)))
    assert image.shape == (3, 48, 48)
    assert (image[0] != GREY).sum() == 5  # 300 px at a tenth of what fits, one pixel high
    assert len(target["labels"]) == 0
