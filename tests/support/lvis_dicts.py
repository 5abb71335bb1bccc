"""An LVIS data set in memory, for comparison with the one that is written in a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mosaicfusion.categories import Category
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.lvis import category_records, lvis_entries, lvis_head
from mosaicfusion.run.records import CanvasRecord


def compile_lvis(
    records: Iterable[CanvasRecord],
    categories: Sequence[Category],
    policy: Policy = "drop",
    masks: MaskFormat = "rle",
) -> dict[str, Any]:
    """The data set that :func:`mosaicfusion.dataset.lvis.write_lvis` writes."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, objects in lvis_entries(records, policy, masks):
        images.append(image)
        annotations += objects
    by_image = Counter(id_ for id_, _ in {(entry["category_id"], entry["image_id"]) for entry in annotations})
    by_instance = Counter(entry["category_id"] for entry in annotations)
    lists = {"images": images, "annotations": annotations}
    return {**lvis_head(), **lists, "categories": category_records(categories, by_image, by_instance)}
