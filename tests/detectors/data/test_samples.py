"""Seeds, workers, and their errors."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from mosaicfusion.detectors.data.copy_paste import CopyPaste
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.mosaic_augmentation import Mosaic
from mosaicfusion.detectors.data.samples import DetectionSample, SampleSet, boxes_of, make_loader
from mosaicfusion.detectors.data.sampling import RepeatFactorSampler, SampleIndex
from mosaicfusion.detectors.data.transforms import large_scale_jitter, short_side
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


class AllUncertain(SampleSet):
    """The masks of the odd labels are uncertain everywhere, those of the even ones nowhere."""

    def __init__(self, samples: DetectionDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> DetectionSample:
        image, target = self.samples.load(index)
        odd = (target["labels"] % 2).to(torch.uint8)
        return image, {**target, "uncertain": tv_tensors.Mask(target["masks"] * odd[:, None, None])}


@pytest.mark.parametrize("transform", [short_side([40], 80, flip=1), large_scale_jitter(48, (0.5, 2))])
@pytest.mark.parametrize("mosaic", [True, False])
@pytest.mark.parametrize("copy_paste", [True, False])
def test_where_masks_are_uncertain_goes_through_augmentation(
    transform: Any, mosaic: bool, copy_paste: bool, tiny_lvis: Path
) -> None:
    plain = AllUncertain(DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images"))
    samples: SampleSet = Mosaic(plain, 64, transform, probability=1 if mosaic else 0)
    samples = CopyPaste(samples) if copy_paste else samples
    seen: set[int] = set()
    for seed in range(6):
        _, target = samples[SampleIndex(seed, seed)]
        for label, mask, uncertain in zip(target["labels"], target["masks"], target["uncertain"], strict=True):
            assert torch.equal(uncertain, mask if label % 2 else torch.zeros_like(mask))
        seen |= set(target["labels"].tolist())
    assert {1, 2} <= seen
