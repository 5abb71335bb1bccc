"""The instances that can be pasted: found once, cut out of their images when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import Dataset, open_dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import read_rgb
from mosaicfusion.masks import rle


@dataclass(frozen=True)
class Cutout:
    """The part of an image in the box of a mask: ``pixels`` uint8 RGB (h, w, 3), ``mask`` bool (h, w)."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


@dataclass
class CutoutPool:
    """Instances by the category id of the set that they are pasted on.

    ``unmatched``: names of the sources' categories that this set lacks; their instances are left out.
    """

    instances: dict[int, list[tuple[Sample, Annotation]]] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, sources: Sequence[Path], categories: Sequence[CategoryRef]) -> CutoutPool:
        """Find the instances of run folders, and of jsons beside their images. Crowds do not count.

        Raises :class:`MosaicFusionError` for a source that cannot be read, and if no instance is left.
        """
        pool = cls()
        for source in sources:
            pool._add(open_dataset(source), categories)
        if not pool.instances:
            names = ", ".join(map(str, sources))
            raise MosaicFusionError(
                f"{names}: no instance of a category that the real set has; there is nothing to paste"
            )
        return pool

    def _add(self, dataset: Dataset, categories: Sequence[CategoryRef]) -> None:
        ids, new = Matcher(categories).ids(dataset.categories_in_use, dataset.name)
        unknown = {category.id for category in new}
        self.unmatched += [category.name for category in new]
        for sample in dataset:
            for annotation in sample.annotations:
                if not annotation.is_crowd and annotation.category_id not in unknown:
                    self.instances.setdefault(ids[annotation.category_id], []).append((sample, annotation))

    def cut(self, category_id: int, rng: np.random.Generator) -> Cutout:
        """One instance of a category, at random."""
        choices = self.instances[category_id]
        sample, annotation = choices[int(rng.integers(len(choices)))]
        pixels = read_rgb(sample.file, upright=True)
        mask = rle.decode(annotation.mask.run_lengths())
        left, top, width, height = (int(side) for side in rle.box_xywh(mask))
        window = np.s_[top : top + height, left : left + width]
        return Cutout(pixels[window], mask[window])
