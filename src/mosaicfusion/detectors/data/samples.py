"""What all sets of samples share: numbers and seeds, boxes from masks, and the loader that keeps ahead of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import tv_tensors

from mosaicfusion.detectors.data.sampling import Draw
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
        """Sample number ``index``; random choices come from torch's global generator.

        The image is a tv_tensors.Image, boxes and masks are tv_tensors, too: any transform of torchvision's v2 takes them.
        """

    def __getitem__(self, key: int | Draw) -> Sample:
        if not isinstance(key, Draw):
            return _plain(self.load(key))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.seed)
            return _plain(self.load(key.index))


def _plain(sample: Sample) -> Sample:
    """Ordinary tensors: the kinds that torchvision's transforms tell apart have done their work."""
    image, target = sample
    plain = {key: value.as_subclass(Tensor) if isinstance(value, Tensor) else value for key, value in target.items()}
    return image.as_subclass(Tensor), plain


def boxes_of(masks: Tensor) -> Tensor:
    """uint8 (N, H, W), none of them empty -> float32 (N, 4): the tight boxes, xyxy, right and bottom exclusive.

    torchvision's masks_to_boxes gives the last pixel's place, and takes over ten times as long: it lists all pixels.
    """
    sides = []
    for line in (masks.amax(1) > 0, masks.amax(2) > 0):  # (N, W), then (N, H)
        sides += [line.int().argmax(1), line.shape[1] - line.flip(1).int().argmax(1)]
    left, right, top, bottom = sides
    return torch.stack([left, top, right, bottom], 1).float()


def with_instances(target: dict[str, Any], labels: Tensor, masks: Tensor, complete: set[int]) -> dict[str, Any]:
    """``target`` with other instances, for a picture that was put together; masks without a pixel are left out.

    ``labels``: int64 (N,). ``masks``: uint8 (N, H, W). ``complete``: labels of which all instances in the picture are
    annotated, see :func:`complete_labels`; labels shown beyond them become not exhaustive.
    """
    labels, masks = without_empty(labels, masks)
    present = set(labels.tolist())
    more = (present | set(target["not_exhaustive"].tolist())) - complete
    return {
        **target,
        "boxes": tv_tensors.BoundingBoxes(boxes_of(masks), format="XYXY", canvas_size=tuple(masks.shape[1:])),
        "labels": labels,
        "masks": tv_tensors.Mask(masks),
        "negative": torch.tensor(sorted(complete - present), dtype=torch.int64),
        "not_exhaustive": torch.tensor(sorted(more), dtype=torch.int64),
    }


def without_empty(labels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """int64 (N,) and uint8 (N, H, W), less those whose mask has no pixel."""
    seen = masks.flatten(1).amax(1) > 0
    return (labels, masks) if seen.all() else (labels[seen], masks[seen])  # large masks take long to copy


def complete_labels(target: dict[str, Any]) -> set[int]:
    """Labels that were looked for in a picture and of which it holds no instance that is not annotated."""
    looked_for = {*target["labels"].tolist(), *target["negative"].tolist()}
    return looked_for - set(target["not_exhaustive"].tolist())


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
