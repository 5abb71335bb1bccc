"""Is a data set what its readers take it for? The format, its references, the masks' own figures, the rules of loaders.

The rules: detectron2's LVIS loader takes polygons of 6 or more numbers only, the file from the last two parts of
``coco_url``, and category ids from 1 on; Detic takes ``file_name``, or else ``coco_url`` from its 31st character on, and cuts
names that begin with ``COCO`` to their last 16; LVIS' evaluation needs ``neg_category_ids``, ``not_exhaustive_category_ids`` and
``frequency``. What only LVIS asks for is not asked of a COCO json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.dataset.validate.check_images import check_image
from mosaicfusion.dataset.validate.checks import (
    Seen,
    check_annotation,
    check_category,
    check_counts,
    check_loaders,
    is_lvis,
)
from mosaicfusion.dataset.validate.issues import Issues
from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class Report:
    """Issues, and how many rows were looked at."""

    issues: Issues
    images: int
    annotations: int
    categories: int


def validate(
    path: Path,
    images_root: Path | None = None,
    shown_per_kind: int = 5,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Look at all of an LVIS or COCO json, and with ``images_root`` at the headers of its images.

    ``on_progress``: called with (rows looked at, rows in all). Raises :class:`MosaicFusionError` only if there is no such json.
    """
    if images_root is not None and not images_root.is_dir():
        raise MosaicFusionError(f"there is no folder {images_root}; give --images the folder of the images")
    file = DatasetFile.open(path)
    categories, images = (file.parse(key, list[Any]) for key in ("categories", "images"))
    rows = file.parse("annotations", list[msgspec.Raw])
    issues = Issues(shown_per_kind)
    seen = Seen(is_lvis(categories, images))
    total = len(images) + len(rows)

    for k, category in enumerate(categories):
        check_category(category, f"categories[{k}]", seen, issues)
    for k, image in enumerate(images):
        check_image(image, f"images[{k}]", seen, issues, images_root)
        if on_progress and k % 100 == 0:
            on_progress(k, total)
    for k, row in enumerate(rows):
        check_annotation(msgspec.json.decode(row), f"annotations[{k}]", seen, issues)
        if on_progress and k % 1000 == 0:
            on_progress(len(images) + k, total)
    check_loaders(seen, issues)
    counts = seen.counts()
    for k, category in enumerate(categories):
        check_counts(category, f"categories[{k}]", counts, seen, issues)
    if on_progress:
        on_progress(total, total)
    return Report(issues, len(images), len(rows), len(categories))
