"""Pasting on tiny images with visible results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import tv_tensors

from mosaicfusion.detectors.data.copy_paste import CopyPaste, choose_other, paste
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.samples import make_loader
from mosaicfusion.detectors.data.sampling import SampleIndex
from mosaicfusion.detectors.data.transforms import large_scale_jitter


def sample(colour: int, masks: list[list[str]], labels: list[int], **lists: list[int]) -> tuple[Any, dict[str, Any]]:
    """A plain image and its masks, written with # and dots."""
    pixels = torch.tensor([[[cell == "#" for cell in row] for row in mask] for mask in masks]).to(torch.uint8)
    target = {
        "labels": torch.tensor(labels),
        "masks": tv_tensors.Mask(pixels),
        "negative": torch.tensor(lists.get("negative", []), dtype=torch.int64),
        "not_exhaustive": torch.tensor(lists.get("not_exhaustive", []), dtype=torch.int64),
        "image_id": colour,
    }
    return tv_tensors.Image(torch.full((3, *pixels.shape[1:]), colour, dtype=torch.uint8)), target


def to_text(mask: torch.Tensor) -> list[str]:
    return ["".join("#" if cell else "." for cell in row) for row in mask]


BELOW = [["....", "###.", "###."], ["...#", "....", "...."]]
ABOVE = [["....", ".##.", ".##."], ["...#", "...#", "...."]]
BOTH = torch.tensor([True, True])


def test_pasted_objects_cover_those_below() -> None:
    image, target = paste(*sample(10, BELOW, [1, 2]), *sample(90, ABOVE, [3, 1]), BOTH)
    assert image[0].tolist() == [[10, 10, 10, 90], [10, 90, 90, 90], [10, 90, 90, 10]]
    assert target["labels"].tolist() == [1, 3, 1]  # the one that is covered entirely is gone
    assert [to_text(mask) for mask in target["masks"]] == [["....", "#...", "#..."], *ABOVE]
    assert target["boxes"].tolist() == [[0, 1, 1, 3], [1, 1, 3, 3], [3, 0, 4, 2]]
    assert target["image_id"] == 10


def test_only_the_chosen_are_pasted() -> None:
    image, target = paste(*sample(10, BELOW, [1, 2]), *sample(90, ABOVE, [3, 1]), torch.tensor([False, False]))
    assert (image == 10).all()
    assert target["labels"].tolist() == [1, 2]
    assert [to_text(mask) for mask in target["masks"]] == BELOW


def test_images_of_different_sizes_are_aligned_at_the_top_left() -> None:
    small, large = [["##", "##"]], [["....", "####", "...#"]]
    image, target = paste(*sample(10, large, [1]), *sample(90, small, [2]), torch.tensor([True]))
    assert image[0].tolist() == [[90, 90, 10, 10], [90, 90, 10, 10], [10, 10, 10, 10]]
    assert to_text(target["masks"][0]) == ["....", "..##", "...#"]
    image, target = paste(*sample(10, small, [1]), *sample(90, large, [2]), torch.tensor([True]))
    assert image[0].tolist() == [[10, 10], [90, 90]]
    assert [to_text(mask) for mask in target["masks"]] == [["##", ".."], ["..", "##"]]


def test_federated_lists_after_pasting() -> None:
    """Pasted labels: 3, absent before; 4, not verified before; 1, annotated exhaustively before."""
    other = sample(90, [["#..."], [".#.."], ["..#."]], [3, 4, 1])
    below = sample(10, [["...#"]], [1], negative=[3, 5], not_exhaustive=[6])
    target = paste(*below, *other, torch.tensor([True] * 3))[1]
    assert target["negative"].tolist() == [5]
    assert target["not_exhaustive"].tolist() == [4, 6]


def test_samples_of_a_data_set(tiny_lvis: Path) -> None:
    jittered = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images", large_scale_jitter(48, (0.8, 1.2)))
    pasted = CopyPaste(jittered)
    assert len(pasted) == 8
    assert torch.equal(pasted[SampleIndex(1, 3)][0], pasted[SampleIndex(1, 3)][0])
    more = [
        len(pasted[SampleIndex(1, seed)][1]["labels"]) - len(jittered[SampleIndex(1, seed)][1]["labels"])
        for seed in range(20)
    ]
    assert max(more) > 0
    never = CopyPaste(jittered, probability=0)
    assert len(never[SampleIndex(1, 3)][1]["labels"]) == 1
    for images, targets in make_loader(pasted, None, batch_size=4, workers=2):
        assert {image.shape for image in images} == {(3, 48, 48)}
        assert all((target["masks"].sum((1, 2)) > 0).all() for target in targets)


def test_partners_follow_the_weights() -> None:
    torch.manual_seed(0)
    often = [choose_other(3, torch.tensor([0.0, 1.0, 3.0])) for _ in range(400)]
    assert set(often) == {1, 2}
    assert often.count(2) / 400 == pytest.approx(0.75, abs=0.08)
    assert {choose_other(3, None) for _ in range(60)} == {0, 1, 2}
