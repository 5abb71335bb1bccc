"""Instances of a pool pasted on real images as they are loaded (X-Paste, Zhao et al. 2023), by the rule of the command paste."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.detectors.config import DataConfig
from mosaicfusion.detectors.data.dataset import DetectionDataset, as_image, edges_of
from mosaicfusion.detectors.data.samples import (
    DetectionSample,
    SampleSet,
    Transform,
    complete_labels,
    planes_of,
    with_instances,
)
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.pasting.compose import Picture
from mosaicfusion.pasting.cutouts import CutoutPool
from mosaicfusion.pasting.rule import PasteRule


class Pasting(SampleSet):
    """Samples with instances pasted on their real images, with other ones at each look; then ``transform`` is applied.

    ``samples``: without a transform. ``rule``: its categories are labels. ``probability``: of pasting on a real image.
    A pasted category that was not verified in an image becomes not exhaustive there.
    """

    def __init__(
        self, samples: DetectionDataset, rule: PasteRule, probability: float, transform: Transform | None = None
    ) -> None:
        self.samples, self.rule, self.probability, self.transform = samples, rule, probability, transform
        self._real = ~samples.synthetic()

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> DetectionSample:
        sample = self.samples.load(index)
        if self._real[index] and torch.rand(()) < self.probability:
            sample = self._paste(*sample)
        return sample if self.transform is None else self.transform(*sample)

    def _paste(self, image: torch.Tensor, target: dict[str, torch.Tensor]) -> DetectionSample:
        rng = np.random.default_rng(int(torch.randint(2**63 - 1, ())))
        below = len(target["labels"])
        picture = Picture.of(image.permute(1, 2, 0).numpy(), [mask.numpy() > 0 for mask in target["masks"]])
        pasted = self.rule.paste_on(picture, rng)
        if not pasted:
            return image, target
        masks = torch.from_numpy(np.stack(picture.masks).astype(np.uint8))
        planes = {"masks": masks}
        if "uncertain" in (own := planes_of(target)):
            covered = masks[below:].any(0).bool()
            edges = edges_of(masks[below:], np.ones(len(pasted), bool), self.samples.ignore_edge)
            planes["uncertain"] = torch.cat([own["uncertain"].masked_fill(covered, 0), edges])
        labels = torch.cat([target["labels"], torch.tensor(pasted)])
        return as_image(picture.pixels), with_instances(target, labels, planes, complete_labels(target))


def open_rule(samples: DetectionDataset, config: DataConfig) -> PasteRule:
    """The rule by which the instances of ``config.pool`` are pasted on the real images of a set.

    Raises :class:`MosaicFusionError` for a pool that cannot be read or has nothing to paste, and for a set without real objects.
    """
    labels = samples.classes.labels()
    refs = [msgspec.structs.replace(ref, id=labels[ref.id]) for ref in samples.categories]
    try:
        pool = CutoutPool.open([as_path(source) for source in config.pool], refs)
    except MosaicFusionError as error:
        raise MosaicFusionError(f"data.pool: {error}") from None
    return PasteRule.of(pool, _real_objects(samples), config.paste_objects)


def _real_objects(samples: DetectionDataset) -> RealObjects:
    """The real instances of a set, with labels for categories and with the boxes of their masks."""
    instances = samples.instances
    images = np.repeat(np.arange(len(instances.hw)), np.diff(instances.first))
    real = np.flatnonzero(~instances.synthetic).tolist()
    if not real:
        raise MosaicFusionError(
            f"data.pool: {samples.path} has no real objects; a pool is pasted on real images, at real sizes"
        )
    boxes, labels, wh = instances.boxes().tolist(), instances.labels.tolist(), instances.hw[:, ::-1].tolist()
    rows = ((int(images[k]), labels[k], boxes[k], tuple(wh[images[k]])) for k in real)
    return RealObjects.of(samples.path, {name: k for k, name in enumerate(samples.classes.names, start=1)}, rows)
