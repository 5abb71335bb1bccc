"""The instances that can be pasted: found and checked once, cut out of their images when they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.coco import CategoryRef, Record, json_of
from mosaicfusion.dataset.image_files import Folders, Hw, read_pixels
from mosaicfusion.dataset.masks import is_blank, read_mask
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import Dataset, open_dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.errors import MosaicFusionError, first_few
from mosaicfusion.files.images import is_deep
from mosaicfusion.masks import rle
from mosaicfusion.pasting.duplicates import distinct, fingerprint

NEARLY_THE_SAME = "instances that are nearly the same as others"


@dataclass(frozen=True)
class Cutout:
    """The part of an image in the box of a mask: ``pixels`` uint8 RGB (h, w, 3), ``mask`` bool (h, w)."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instance:
    """The place of an instance: its image, of ``hw`` pixels, and its annotation."""

    file: Path
    hw: Hw
    record: Record

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return read_mask(self.record, self.hw).area

    @property
    def at_border(self) -> bool:
        """True if the mask touches the border of the image, which may hide a part of the object."""
        left, top, width, height = rle.box_xywh(rle.decode(read_mask(self.record, self.hw).run_lengths()))
        return bool(left <= 0 or top <= 0 or left + width >= self.hw[1] or top + height >= self.hw[0])

    def cut(self) -> Cutout:
        """Read the image and cut the instance out."""
        return self.cut_from(read_pixels(self.file, self.hw))

    def cut_from(self, pixels: NDArray[np.uint8]) -> Cutout:
        """Cut the instance out of its image, uint8 RGB of ``hw`` pixels."""
        mask = rle.decode(read_mask(self.record, self.hw).run_lengths())
        left, top, width, height = (int(side) for side in rle.box_xywh(mask))
        window = np.s_[top : top + height, left : left + width]
        return Cutout(pixels[window], mask[window])


@dataclass
class CutoutPool:
    """Instances by the category id of the set that they are pasted on.

    ``unmatched``: names of the sources' categories that this set lacks; their instances are left out. ``left_out``: number of
    other instances that are left out, by reason. ``samples``: the images of all instances, without annotations.
    """

    instances: dict[int, list[Instance]] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def open(cls, sources: Sequence[Path], categories: Sequence[CategoryRef]) -> CutoutPool:
        """Find the instances of run folders, and of jsons beside their images; each of these images is read once.

        Crowds and objects without a mask are left out, and so are those that others hide in part, which would be pasted as
        pieces, unless their category has no other. Of several sources, which may hold the same run, instances that look nearly
        like an earlier one of their category are left out. Raises :class:`MosaicFusionError` for a source that cannot be read,
        with broken images or with images of another size than their row says, and if no instance is left.
        """
        pool = cls.collect(sources, categories)
        if not pool.instances:
            reasons = [f"{count} {reason}" for reason, count in pool.left_out.items()]
            if pool.unmatched:
                reasons.append(f"those of other categories ({first_few(pool.unmatched, 5)})")
            names, why = ", ".join(map(str, sources)), f"; left out: {', '.join(reasons)}" if reasons else ""
            raise MosaicFusionError(
                f"{names}: no instance of a category that the real set has; there is nothing to paste{why}"
            )
        with ThreadPoolExecutor() as threads:  # Pillow decodes outside of Python's lock
            list(threads.map(_check, pool.samples))
        if len(sources) > 1:
            pool._leave_out_duplicates()
        return pool

    @classmethod
    def collect(
        cls, sources: Sequence[Path], categories: Sequence[CategoryRef], images: Folders | None = None
    ) -> CutoutPool:
        """Find instances like :meth:`open`, without reading an image; there may be none.

        ``images``: folders, by default that of the json.
        """
        pool, hidden = cls(), dict[int, list[Instance]]()
        for source in sources:
            path = json_of(source)
            if not path.exists():
                raise MosaicFusionError(f"there is no {path}; give a run folder, or a json beside its images")
            own = None if path.is_dir() else path.parent
            pool._add(open_dataset(path, images or own), categories, hidden)
        for id_, pieces in hidden.items():
            if pool.instances.setdefault(id_, pieces) is not pieces:
                pool.left_out["instances that are hidden in part"] += len(pieces)
        return pool

    def _add(self, dataset: Dataset, categories: Sequence[CategoryRef], hidden: dict[int, list[Instance]]) -> None:
        ids, new = Matcher(categories).ids(dataset.categories_in_use, dataset.name)
        unknown = {category.id for category in new}
        self.unmatched += [category.name for category in new if category.name not in self.unmatched]
        for sample in dataset:
            known = [one for one in sample.annotations if one.category_id not in unknown]
            for annotation in (found := [one for one in known if self._can_be_pasted(one, dataset.path)]):
                where = hidden if annotation.record.get("amodal_segmentation") else self.instances
                instance = Instance(sample.file, sample.hw, annotation.record)
                where.setdefault(ids[annotation.category_id], []).append(instance)
            if found:
                self.samples.append(Sample(sample.record, [], sample.folders))

    def _can_be_pasted(self, annotation: Annotation, path: Path) -> bool:
        blank = is_blank(annotation.record.get("segmentation"))
        try:
            reason = (
                "crowds"
                if annotation.is_crowd
                else "objects without a mask"
                if blank or not annotation.mask.area
                else ""
            )
        except MosaicFusionError as error:
            raise MosaicFusionError(f"{path}: {error}; `mosaicfusion validate {path}` lists all such errors") from None
        if reason:
            self.left_out[reason] += 1
        return not reason

    def _leave_out_duplicates(self) -> None:
        by_file: dict[tuple[Path, Hw], list[Instance]] = {}
        for one in (one for found in self.instances.values() for one in found):
            by_file.setdefault((one.file, one.hw), []).append(one)
        prints: dict[int, NDArray[np.float32]] = {}  # by the object itself: two sources may have the same ids

        def note(members: list[Instance]) -> None:
            pixels = read_pixels(members[0].file, members[0].hw)
            for one in members:
                cutout = one.cut_from(pixels)
                prints[id(one)] = fingerprint(cutout.pixels, cutout.mask)

        with ThreadPoolExecutor() as threads:
            list(threads.map(note, by_file.values()))
        before = sum(map(len, self.instances.values()))
        for category, found in self.instances.items():
            rows = np.stack([prints[id(one)] for one in found])
            self.instances[category] = [found[k] for k in distinct(rows)]
        if left_out := before - sum(map(len, self.instances.values())):
            self.left_out[NEARLY_THE_SAME] = left_out

    def cut(self, category_id: int, rng: np.random.Generator) -> Cutout:
        """One instance of a category, at random."""
        choices = self.instances[category_id]
        return choices[int(rng.integers(len(choices)))].cut()


def _check(sample: Sample) -> None:
    if is_deep(sample.check().mode):
        raise MosaicFusionError(f"{sample.file} has more than 8 bits per channel; convert it to 8 bits")
