"""Image and instance counts of a training set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mosaicfusion.dataset.coco import AnnotationRef, CategoryRef, DatasetFile, ImageRef


def count_instances(path: Path) -> dict[str, int]:
    """Count images and instances of the real and the synthetic part of a set, and instances by frequency.

    Keys: ``real_images``, ``real_instances``, ``real_r``, ..., ``synthetic_f``; ``synthetic_r``: instances of rare categories.
    """
    file = DatasetFile.open(path)
    part = {image.id: "synthetic" if image.synthetic else "real" for image in file.parse("images", list[ImageRef])}
    frequency = {category.id: category.frequency for category in file.parse("categories", list[CategoryRef])}
    annotations = file.parse("annotations", list[AnnotationRef])
    counts = Counter(f"{name}_images" for name in part.values())
    counts += Counter(f"{part[row.image_id]}_instances" for row in annotations)
    counts += Counter(f"{part[row.image_id]}_{frequency[row.category_id]}" for row in annotations)
    keys = [f"{name}_{key}" for name in ("real", "synthetic") for key in ("images", "instances", "r", "c", "f")]
    return {key: counts[key] for key in keys}
