"""How much a training set holds of what."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mosaicfusion.dataset.coco import AnnotationRef, CategoryRef, DatasetFile, ImageRef


def count_instances(path: Path) -> dict[str, int]:
    """Images and instances of the real and the drawn part, instances also by frequency: ``drawn_r`` counts drawn rare ones."""
    file = DatasetFile.open(path)
    part = {image.id: "drawn" if image.drawn else "real" for image in file.parse("images", list[ImageRef])}
    letter = {category.id: category.frequency for category in file.parse("categories", list[CategoryRef])}
    annotations = file.parse("annotations", list[AnnotationRef])
    counts = Counter(f"{name}_images" for name in part.values())
    counts += Counter(f"{part[row.image_id]}_instances" for row in annotations)
    counts += Counter(f"{part[row.image_id]}_{letter[row.category_id]}" for row in annotations)
    names = [f"{name}_{what}" for name in ("real", "drawn") for what in ("images", "instances", "r", "c", "f")]
    return {name: counts[name] for name in names}
