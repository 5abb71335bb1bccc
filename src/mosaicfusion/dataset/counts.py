"""Counts of the samples of a data set, and checks that none of them stops an export half-way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mosaicfusion.dataset.coco import CATEGORY_LISTS, ImageRef, Record, find_image
from mosaicfusion.dataset.masks import is_blank
from mosaicfusion.dataset.sample import Sample, describe_image, shown_folders
from mosaicfusion.errors import MosaicFusionError, first_few

Samples = Callable[[], Iterator[Sample]]  # the images with their annotations; every call starts anew


@dataclass
class Counts:
    """What a set holds.

    ``images``, ``synthetic``: number of images, and of synthetic ones. ``by_image``, ``by_instance``: number of images and of
    instances by category id. ``used``: ids of categories that an annotation or an image's list names. ``image_fields``,
    ``annotation_fields``: names of all fields of the records.
    """

    images: int = 0
    synthetic: int = 0
    by_image: Counter[int] = field(default_factory=Counter)
    by_instance: Counter[int] = field(default_factory=Counter)
    used: set[int] = field(default_factory=set)
    image_fields: set[str] = field(default_factory=set)
    annotation_fields: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, samples: Samples) -> Counts:
        """Count the samples."""
        counts = cls()
        for sample in samples():
            counts.add(sample)
        return counts

    @classmethod
    def checked(cls, path: Path, samples: Samples) -> Counts:
        """Count the samples, and read their images to the end.

        Raises :class:`MosaicFusionError` for missing and broken images, and for annotations without a mask. ``path``: the set,
        for messages.
        """
        counts, missing, blank, where = cls(), [], [], ""
        for sample in samples():
            counts.add(sample)
            blank += [row["id"] for row in sample.annotation_records if is_blank(row.get("segmentation"))]
            if find_image(sample.folders, msgspec.convert(sample.record, ImageRef)) is None:
                missing.append(describe_image(sample.record))
                where = shown_folders(sample.folders)
            else:
                sample.check()
        if missing:
            hint = "" if path.is_dir() else "give each folder that has some with --images; "
            raise MosaicFusionError(
                f"{len(missing)} of {counts.images} images are not in {where}: {first_few(missing)}; {hint}nothing was written"
            )
        if blank:
            raise MosaicFusionError(
                f"{path}: {len(blank)} of {counts.by_instance.total()} annotations have no mask, the first is annotation "
                f"{blank[0]}; boxes alone cannot be exported: annotate masks, or remove these annotations"
            )
        return counts

    def add(self, sample: Sample) -> None:
        """Count one sample more."""
        ids = [row["category_id"] for row in sample.annotation_records]
        self.images += 1
        self.synthetic += sample.synthetic
        self.by_image.update(set(ids))
        self.by_instance.update(ids)
        self.used.update(ids, *(sample.record.get(key) or () for key in CATEGORY_LISTS))
        self.image_fields.update(sample.record)
        self.annotation_fields.update(*sample.annotation_records)

    def categories(self, records: list[Record]) -> list[Record]:
        """The records of categories, by id, with these counts as ``image_count`` and ``instance_count``."""
        return [
            {**record, "image_count": self.by_image[record["id"]], "instance_count": self.by_instance[record["id"]]}
            for record in sorted(records, key=lambda record: int(record["id"]))
        ]
