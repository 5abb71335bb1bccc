"""Counts of a data set by frequency and category, mask sizes, and masks per image; also for its real and synthetic parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mosaicfusion.arguments import checked
from mosaicfusion.categories import FREQUENCIES, Category, nearest_spellings, normalize_name
from mosaicfusion.dataset.coco import AnnotationRef, CategoryRef, ImageRef
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import open_rows

SMALL, LARGE = 32**2, 96**2  # square pixels, COCO's limits


class _Annotation(AnnotationRef, kw_only=True, gc=False):
    """No more than is counted: a damaged box does not matter."""

    area: float | None = None


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of counts; zeros if there are none."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        """The spread of ``counts``."""
        return cls(min(counts), median(counts), max(counts)) if counts else cls(0, 0, 0)


@dataclass(frozen=True)
class PartStats:
    """One part of a set: all, real or synthetic. Areas: below 32 x 32 pixels, up to 96 x 96, above."""

    images: int
    annotations: int
    categories_with_image: int
    masks_per_image: Spread
    instances_per_category: Spread  # of those with an instance
    small: int
    medium: int
    large: int


@dataclass(frozen=True)
class FrequencyStats:
    """Categories of one frequency: their number in the file, their number by LVIS' rule from its images, and their instances."""

    categories: int
    counted: int
    without_image: int
    instances: int
    instances_per_category: Spread


@dataclass(frozen=True)
class DatasetStats:
    """``parts``: ``all``, and ``real`` and ``synthetic`` if the set has both; ``frequencies`` is empty if the file has none.

    ``by_category``: name and number of masks of each category, those with the fewest first. ``remarks`` say what was read as
    something else.
    """

    path: str
    categories: int
    parts: dict[str, PartStats]
    frequencies: dict[str, FrequencyStats]
    without_image: list[str]
    by_category: list[tuple[str, int]]
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class CategoryCount:
    """Instances of a category, and images that show it. ``nearest``: where the json has no such category, similar names in it."""

    instances: int
    images: int
    nearest: tuple[str, ...] | None = None


def count_categories(path: str | Path, categories: Iterable[Category]) -> dict[str, CategoryCount]:
    """Count the instances and images of some categories, by their name, in a run folder or an LVIS or COCO json.

    Categories are matched as by ``merge``; those that the json lacks count 0. Raises :class:`MosaicFusionError` if it cannot be
    read, or a category is ambiguous.
    """
    file = open_rows(path)
    annotations = file.parse("annotations", list[AnnotationRef])
    instances = Counter(annotation.category_id for annotation in annotations)
    images = Counter(id_ for id_, _ in {(annotation.category_id, annotation.image_id) for annotation in annotations})
    listed = file.parse("categories", list[CategoryRef])
    matcher, known = Matcher(listed), [normalize_name(category.name) for category in listed]
    own = {category.id: category.name for category in categories}
    refs = [CategoryRef(c.id, c.name, list(c.synonyms), c.synset) for c in categories]
    ids, new = matcher.ids(refs, "this run")
    nearest = {category.name: tuple(nearest_spellings(category.name, known)) for category in new}
    return {name: CategoryCount(instances[ids[id_]], images[ids[id_]], nearest.get(name)) for id_, name in own.items()}


@checked
def read_stats(path: str | Path) -> DatasetStats:
    """Count a run folder or an LVIS or COCO json; raises :class:`MosaicFusionError` if it cannot be read."""
    file = open_rows(path)
    images = file.parse("images", list[ImageRef])
    annotations = file.parse("annotations", list[_Annotation])
    categories = file.parse("categories", list[CategoryRef])
    synthetic = {image.id for image in images if image.synthetic}
    parts = {"all": _part(annotations, len(images))}
    if 0 < len(synthetic) < len(images):
        parts["real"] = _part((a for a in annotations if a.image_id not in synthetic), len(images) - len(synthetic))
        parts["synthetic"] = _part((a for a in annotations if a.image_id in synthetic), len(synthetic))
    instances = Counter(annotation.category_id for annotation in annotations)
    pairs = {(annotation.category_id, annotation.image_id) for annotation in annotations}
    image_counts = Counter(category_id for category_id, _ in pairs)
    return DatasetStats(
        path=str(path),
        categories=len(categories),
        parts=parts,
        frequencies=_frequencies(categories, instances, image_counts),
        without_image=[category.name for category in categories if not image_counts[category.id]],
        by_category=sorted(((one.name, instances[one.id]) for one in categories), key=lambda pair: pair[1]),
        remarks=[remark.text for remark in file.remarks],
    )


def _part(annotations: Iterable[_Annotation], images: int) -> PartStats:
    per_image: Counter[int] = Counter()
    per_category: Counter[int] = Counter()
    sizes: Counter[str] = Counter()
    for annotation in annotations:
        per_image[annotation.image_id] += 1
        per_category[annotation.category_id] += 1
        if annotation.area is not None:
            sizes["small" if annotation.area < SMALL else "large" if annotation.area > LARGE else "medium"] += 1
    empty = [0] * max(0, images - len(per_image))
    return PartStats(
        images=images,
        annotations=per_image.total(),
        categories_with_image=len(per_category),
        masks_per_image=Spread.of([*per_image.values(), *empty]),
        instances_per_category=Spread.of([*per_category.values()]),
        small=sizes["small"],
        medium=sizes["medium"],
        large=sizes["large"],
    )


def _frequencies(
    categories: Sequence[CategoryRef], instances: Counter[int], image_counts: Counter[int]
) -> dict[str, FrequencyStats]:
    counted = Counter(frequency_of(image_counts[category.id]) for category in categories)
    stats: dict[str, FrequencyStats] = {}
    for frequency in FREQUENCIES:
        ids = [category.id for category in categories if category.frequency == frequency]
        counts = [instances[id_] for id_ in ids]
        without = sum(not image_counts[id_] for id_ in ids)
        stats[frequency] = FrequencyStats(len(ids), counted[frequency], without, sum(counts), Spread.of(counts))
    return stats if any(frequency.categories for frequency in stats.values()) else {}
