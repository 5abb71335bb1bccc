"""Seeds, workers, and their errors."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.samples import boxes_of, make_loader
from mosaicfusion.detectors.data.sampling import RepeatFactorSampler, SampleIndex
from mosaicfusion.errors import MosaicFusionError


class Marked:
    """A transform that writes a random number into the target."""

    def __call__(self, image: Any, target: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return image, {**target, "mark": float(torch.rand(()))}


def marks(tiny_lvis: Path, workers: int, start: int, count: int) -> list[tuple[int, float]]:
    dataset = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images", Marked())
    loader = make_loader(dataset, RepeatFactorSampler(np.ones(8), seed=5, start=start), batch_size=2, workers=workers)
    batches = islice(iter(loader), count)
    return [(target["image_id"], target["mark"]) for _, targets in batches for target in targets]


def test_random_choices_do_not_depend_on_workers_or_interruptions(tiny_lvis: Path) -> None:
    whole = marks(tiny_lvis, workers=0, start=0, count=10)
    assert len({mark for _, mark in whole}) == 20
    assert marks(tiny_lvis, workers=2, start=0, count=10) == whole
    assert marks(tiny_lvis, workers=0, start=6, count=7) == whole[6:]


def test_a_seeded_sample_leaves_the_global_generator_unchanged(tiny_lvis: Path) -> None:
    dataset = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images", Marked())
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    assert dataset[SampleIndex(0, 3)][1]["mark"] == dataset[SampleIndex(0, 3)][1]["mark"]
    assert torch.rand(()) == expected


def test_without_a_sampler_each_sample_comes_once_in_order(tiny_lvis: Path) -> None:
    dataset = DetectionDataset(tiny_lvis / "val.json", tiny_lvis / "images")
    loader = make_loader(dataset, None, batch_size=3, workers=0)
    assert [[target["image_id"] for target in targets] for _, targets in loader] == [[101, 102, 103], [104]]


def test_an_error_of_a_worker_has_no_traceback(tiny_lvis: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_lvis, tmp_path / "set")
    broken = tmp_path / "set" / "images" / "val" / f"{102:012d}.png"
    dataset = DetectionDataset(tmp_path / "set" / "val.json", tmp_path / "set" / "images")
    broken.write_bytes(b"no image")
    with pytest.raises(MosaicFusionError) as error:
        list(make_loader(dataset, None, batch_size=1, workers=1))
    assert str(error.value).startswith(f"{broken} cannot be read as an image")
    assert "Traceback" not in str(error.value)


def test_boxes_are_tight() -> None:
    masks = torch.zeros(2, 4, 6, dtype=torch.uint8)
    masks[0, 3, 5] = 1
    masks[1, 1:3, 0:4] = 1
    assert boxes_of(masks).tolist() == [[5, 3, 6, 4], [0, 1, 4, 3]]
    assert boxes_of(masks[:0]).shape == (0, 4)
