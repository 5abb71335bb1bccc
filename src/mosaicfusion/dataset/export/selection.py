"""The objects that an export writes: without those that no reader can use or the format has no term for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mosaicfusion.dataset.coco import CATEGORY_LISTS
from mosaicfusion.dataset.masks import CROWDS_HINT, has_extent
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.errors import MosaicFusionError, counted


class Selection:
    """The samples of a data set with the objects that are written, in order.

    At the end, the counts of the data set's categories are those of the objects that were written.

    Objects without an extent, such as a line, are left out. Where the format holds no ``crowds``, these are left out too, and
    their categories become not exhaustive in the image's record, which is the meaning of a crowd.
    """

    def __init__(self, dataset: Dataset, *, crowds: bool) -> None:
        self.dataset, self.crowds = dataset, crowds
        self.instances = 0
        self.left_out: Counter[str] = Counter()
        self._exif: Counter[str] = Counter()
        self._fewer: Counter[int] = Counter()  # objects that were left out, by category
        self._fewer_images: Counter[int] = Counter()

    def __iter__(self) -> Iterator[Sample]:
        for sample in self.dataset:
            yield self._select(sample)
        if self.left_out:
            for category in self.dataset.categories:
                category["image_count"] -= self._fewer_images[category["id"]]
                category["instance_count"] -= self._fewer[category["id"]]

    def _select(self, sample: Sample) -> Sample:
        if sample.image_file.orientation != 1:
            self._exif["stored" if sample.image_file.hw == sample.hw else "turned"] += 1
        kept, crowd_ids = [], set()
        for annotation in sample.annotations:
            if not self._has_extent(annotation):
                self.left_out["objects without a pixel"] += 1
            elif annotation.is_crowd and not self.crowds:
                self.left_out["crowds"] += 1
                crowd_ids.add(annotation.category_id)
            else:
                kept.append(annotation.record)
        self.instances += len(kept)
        if len(kept) == len(sample.annotations):
            return sample
        left = Counter(a.category_id for a in sample.annotations) - Counter(record["category_id"] for record in kept)
        self._fewer.update(left)
        self._fewer_images.update(left.keys() - {record["category_id"] for record in kept})
        key = CATEGORY_LISTS[1]
        lists = {key: sorted({*(sample.record.get(key) or ()), *crowd_ids})} if crowd_ids else {}
        return replace(sample, record={**sample.record, **lists}, annotation_records=kept)

    def _has_extent(self, annotation: Annotation) -> bool:
        try:
            return has_extent(annotation.mask)
        except MosaicFusionError as error:
            path = self.dataset.path
            raise MosaicFusionError(f"{path}: {error}; `mosaicfusion validate {path}` lists all problems") from None

    def require_objects(self) -> None:
        """Raise :class:`MosaicFusionError` if no object was written."""
        if self.instances:
            return
        why = ", ".join(f"{count} {kind}" for kind, count in self.left_out.items()) or "it has none"
        hint = f"; {CROWDS_HINT}" if self.left_out["crowds"] else ""
        raise MosaicFusionError(f"no object of {self.dataset.path} can be exported: {why}{hint}")

    def notes(self) -> list[str]:
        """One note for each kind of object that was left out, and for images that EXIF turns."""
        notes = [remark.text for remark in self.dataset.remarks]
        notes += [f"left out: {kind}: {count}" for kind, count in self.left_out.items() if count]
        if stored := self._exif["stored"]:
            notes.append(
                f"{counted(stored, 'image')} lost the EXIF mark by which viewers turn an image; pixels and masks are the same"
            )
        if turned := self._exif["turned"]:
            notes.append(
                f"{counted(turned, 'image')} turned as the EXIF mark says, because the record has the turned size"
            )
        return notes
