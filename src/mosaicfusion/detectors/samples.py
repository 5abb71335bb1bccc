"""What all sets of samples share: numbers and seeds, boxes from masks, and the loader that keeps ahead of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.ops import masks_to_boxes

from mosaicfusion.detectors.sampling import Draw
from mosaicfusion.errors import MosaicFusionError

Sample = tuple[Tensor, dict[str, Any]]
Transform = Callable[[Tensor, dict[str, Any]], Sample]


class SampleSet(Dataset[Sample], ABC):
    """Samples by number, or by :class:`Draw`: then all that is random depends on the draw's seed alone.

    So neither the number of worker processes nor an interruption changes what a model is trained on.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, index: int) -> Sample:
        """Sample number ``index``; random choices come from torch's global generator."""

    def __getitem__(self, key: int | Draw) -> Sample:
        if not isinstance(key, Draw):
            return self.load(key)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.seed)
            return self.load(key.index)


def boxes_of(masks: Tensor) -> Tensor:
    """uint8 or bool (N, H, W), none of them empty -> float32 (N, 4): the tight boxes, xyxy, right and bottom exclusive."""
    if not len(masks):
        return torch.zeros(0, 4)
    boxes: Tensor = masks_to_boxes(masks).float() + torch.tensor([0.0, 0.0, 1.0, 1.0])
    return boxes


class Loader(DataLoader[Sample]):
    """Batches as lists of images and of targets, loaded ahead by worker processes.

    An error from a worker says what is wrong, without the worker's traceback.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except MosaicFusionError as error:
            raise MosaicFusionError(str(error).rsplit("MosaicFusionError: ", 1)[-1].strip()) from None


def make_loader(
    samples: SampleSet, sampler: Sampler[Draw] | None, batch_size: int, workers: int, pin_memory: bool = False
) -> Loader:
    """A loader that never lets training wait, given enough workers; without a sampler, each sample once, in order.

    Every worker holds up to 4 batches ready. ``workers=0`` loads in this process.
    """
    return Loader(
        samples,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        drop_last=False,
        prefetch_factor=4 if workers else None,
        persistent_workers=workers > 0,
    )


def collate(samples: list[Sample]) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Images and targets as two lists: sizes differ, so nothing is stacked."""
    return [image for image, _ in samples], [target for _, target in samples]
