"""Mosaics of four images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchvision import tv_tensors

from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.mosaic_augmentation import Mosaic, tile
from mosaicfusion.detectors.data.sampling import SampleIndex
from mosaicfusion.detectors.data.transforms import GREY, large_scale_jitter


def sample(colour: int, hw: tuple[int, int], label: int, negative: list[int], uncertain: list[int]) -> tuple[Any, Any]:
    """A plain image filled by one instance."""
    target = {
        "labels": torch.tensor([label]),
        "masks": tv_tensors.Mask(torch.ones(1, *hw, dtype=torch.uint8)),
        "negative": torch.tensor(negative, dtype=torch.int64),
        "not_exhaustive": torch.tensor(uncertain, dtype=torch.int64),
        "image_id": colour,
    }
    return tv_tensors.Image(torch.full((3, *hw), colour, dtype=torch.uint8)), target


FOUR = [
    sample(10, (4, 4), 1, [7, 8, 2, 3], []),
    sample(20, (4, 8), 2, [7, 8, 1], [3]),
    sample(30, (8, 4), 1, [7, 2], []),
    sample(40, (4, 4), 1, [7, 8, 2], []),
]


def test_each_image_fits_its_cell_and_touches_the_centre() -> None:
    image, target = tile(FOUR, 12, (4, 4))
    assert image.shape == (3, 12, 12)
    assert (image[0, :4, :4] == 10).all()  # cell 4 x 4
    assert (image[0, :4, 4:12] == 20).all()  # cell 4 x 8
    assert (image[0, 4:12, :4] == 30).all()  # cell 8 x 4
    assert (image[0, 4:12, 4:12] == 40).all()  # cell 8 x 8: twice as large
    assert target["boxes"].tolist() == [[0, 0, 4, 4], [4, 0, 12, 4], [0, 4, 4, 12], [4, 4, 12, 12]]
    assert target["labels"].tolist() == [1, 2, 1, 1]
    for mask, colour in zip(target["masks"], (10, 20, 30, 40), strict=True):
        assert torch.equal(mask == 1, image[0] == colour)
    assert target["image_id"] == 10


def test_pixels_beside_the_image_of_a_cell_are_grey() -> None:
    image, target = tile(FOUR, 12, (6, 6))
    assert target["boxes"].tolist() == [[0, 0, 6, 6], [6, 3, 12, 6], [3, 6, 6, 12], [6, 6, 12, 12]]
    assert (image[0, :3, 6:] == GREY).all()


def test_federated_lists_of_a_mosaic() -> None:
    """7 is absent in all four; 2 and 1 are verified in all four; 8 is not verified in the third, 3 in three of them."""
    target = tile(FOUR, 12, (6, 6))[1]
    assert target["negative"].tolist() == [7]
    assert target["not_exhaustive"].tolist() == [3]
    unsearched = [*FOUR[:3], sample(40, (4, 4), 5, [7], [])]
    target = tile(unsearched, 12, (6, 6))[1]
    assert target["not_exhaustive"].tolist() == [1, 2, 3, 5]


def test_samples_of_a_data_set(tiny_lvis: Path) -> None:
    plain = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images")
    mosaic = Mosaic(plain, 96, large_scale_jitter(64, (0.9, 1.1)), probability=1)
    assert len(mosaic) == 8
    image, target = mosaic[SampleIndex(0, 4)]
    assert image.shape == (3, 64, 64)
    assert type(image) is torch.Tensor
    assert torch.equal(mosaic[SampleIndex(0, 4)][0], image)
    counts = [len(mosaic[SampleIndex(0, seed)][1]["labels"]) for seed in range(10)]
    assert sum(counts) / 10 > 2 * 14 / 8  # images have 14 / 8 instances on average
    single = Mosaic(plain, 96, probability=0)
    assert single[SampleIndex(0, 4)][0].shape == plain[0][0].shape
    assert target["image_id"] == 1


def test_an_image_without_instances_has_its_cell() -> None:
    empty = sample(50, (4, 4), 1, [], [])
    empty[1].update(labels=torch.zeros(0, dtype=torch.int64), masks=tv_tensors.Mask(torch.zeros(0, 4, 4).byte()))
    image, target = tile([*FOUR[:3], empty], 12, (4, 4))
    assert (image[0, 4:12, 4:12] == 50).all()
    assert target["labels"].tolist() == [1, 2, 1]
    assert target["boxes"].tolist() == [[0, 0, 4, 4], [4, 0, 12, 4], [0, 4, 4, 12]]
