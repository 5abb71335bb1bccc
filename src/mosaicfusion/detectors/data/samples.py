"""The base class of sample sets, boxes from masks, and the loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import tv_tensors

from mosaicfusion.detectors.data.sampling import SampleIndex
from mosaicfusion.errors import MosaicFusionError

DetectionSample = tuple[Tensor, dict[str, Any]]
Transform = Callable[[Tensor, dict[str, Any]], DetectionSample]


class SampleSet(Dataset[DetectionSample], ABC):
    """Samples by number or by :class:`SampleIndex`, whose seed alone determines all random choices.

    So neither the number of worker processes nor an interruption changes the training data.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, index: int) -> DetectionSample:
        """Load sample number ``index``, with random choices from torch's global generator.

        Image, boxes and masks are tv_tensors, accepted by all transforms of torchvision's v2.
        """

    def __getitem__(self, key: int | SampleIndex) -> DetectionSample:
        if not isinstance(key, SampleIndex):
            return _plain(self.load(key))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.seed)
            return _plain(self.load(key.index))


def _plain(sample: DetectionSample) -> DetectionSample:
    """Convert tv_tensors to plain tensors."""
    image, target = sample
    plain = {key: value.as_subclass(Tensor) if isinstance(value, Tensor) else value for key, value in target.items()}
    return image.as_subclass(Tensor), plain


def boxes_of(masks: Tensor) -> Tensor:
    """Masks uint8 (N, H, W), none empty -> tight boxes float32 (N, 4), xyxy, right and bottom exclusive.

    torchvision's masks_to_boxes returns inclusive coordinates, and is over ten times slower because it lists all pixels.
    """
    sides = []
    for line in (masks.amax(1) > 0, masks.amax(2) > 0):  # (N, W), then (N, H)
        sides += [line.int().argmax(1), line.shape[1] - line.flip(1).int().argmax(1)]
    left, right, top, bottom = sides
    return torch.stack([left, top, right, bottom], 1).float()


def planes_of(target: dict[str, Any]) -> dict[str, Tensor]:
    """The masks of a target's instances, and where they are uncertain if a recipe asks for it: uint8 (N, H, W) each."""
    return {name: target[name] for name in ("masks", "uncertain") if name in target}


def with_instances(
    target: dict[str, Any], labels: Tensor, planes: dict[str, Tensor], complete: set[int]
) -> dict[str, Any]:
    """Replace the instances of ``target``, for a composed image; masks without a pixel are left out.

    ``labels``: int64 (N,). ``planes``: as those of :func:`planes_of`. ``complete``: labels whose instances in the image are all
    annotated, see :func:`complete_labels`; other labels that are present become not exhaustive.
    """
    labels, planes = without_empty(labels, planes)
    present = set(labels.tolist())
    uncertain = (present | set(target["not_exhaustive"].tolist())) - complete
    size = tuple(planes["masks"].shape[1:])
    return {
        **target,
        "boxes": tv_tensors.BoundingBoxes(boxes_of(planes["masks"]), format="XYXY", canvas_size=size),
        "labels": labels,
        **{name: tv_tensors.Mask(plane) for name, plane in planes.items()},
        "negative": torch.tensor(sorted(complete - present), dtype=torch.int64),
        "not_exhaustive": torch.tensor(sorted(uncertain), dtype=torch.int64),
    }


def without_empty(labels: Tensor, planes: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Remove instances whose mask has no pixel; labels int64 (N,), planes as those of :func:`planes_of`."""
    visible = planes["masks"].flatten(1).amax(1) > 0
    if visible.all():  # copying large masks is slow
        return labels, planes
    return labels[visible], {name: plane[visible] for name, plane in planes.items()}


def complete_labels(target: dict[str, Any]) -> set[int]:
    """Labels that were verified in an image and have no instance without annotation."""
    verified = {*target["labels"].tolist(), *target["negative"].tolist()}
    return verified - set(target["not_exhaustive"].tolist())


class Loader(DataLoader[DetectionSample]):
    """Batches as lists of images and targets, loaded ahead by worker processes.

    A worker's :class:`MosaicFusionError` is raised with its message only, without the worker's traceback.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except MosaicFusionError as error:
            raise MosaicFusionError(str(error).rsplit("MosaicFusionError: ", 1)[-1].strip()) from None


def make_loader(
    samples: SampleSet, sampler: Sampler[SampleIndex] | None, batch_size: int, workers: int, pin_memory: bool = False
) -> Loader:
    """Make a loader; without a sampler it gives each sample once, in order.

    Each worker process prefetches up to 4 batches; ``workers=0`` loads in this process.
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


def collate(samples: list[DetectionSample]) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Images and targets as two lists; not stacked, because sizes differ."""
    return [image for image, _ in samples], [target for _, target in samples]
