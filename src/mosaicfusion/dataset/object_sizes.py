"""The sizes of the objects of a data set, by category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mosaicfusion.categories import Category
from mosaicfusion.dataset.coco import AnnotationRef, CategoryRef, ImageRow
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.layouts.scene import SizeTable

_QUANTILES = 21
_ENOUGH = 20  # objects of a category, for sizes of its own


class _Box(AnnotationRef, kw_only=True, gc=False):
    bbox: tuple[float, float, float, float] | None = None
    iscrowd: int = 0


def read_sizes(path: str | Path, categories: Sequence[Category]) -> SizeTable:
    """The sizes of objects in a run folder, or an LVIS or COCO json, as parts of the square root of their image's area.

    Categories are matched as by ``merge``. Those with fewer than 20 objects have the sizes of all objects of ``categories``, or
    of the whole set where these are too few as well. Crowds do not count. Raises :class:`MosaicFusionError` if there is no box.
    """
    file = open_rows(as_path(path))
    areas = {image.id: image.width * image.height for image in file.parse("images", list[ImageRow])}
    sizes: dict[int, list[float]] = defaultdict(list)
    for row in file.parse("annotations", list[_Box]):
        area = 0.0 if row.bbox is None else row.bbox[2] * row.bbox[3]
        if area > 0 and not row.iscrowd and row.image_id in areas:
            sizes[row.category_id].append(min(1.0, float(np.sqrt(area / areas[row.image_id]))))
    everything = [size for found in sizes.values() for size in found]
    if len(everything) < 2:
        raise MosaicFusionError(f"{path} has {len(everything)} objects with a box; sizes need a set with many")
    refs = [CategoryRef(c.id, c.name, list(c.synonyms), c.synset) for c in categories]
    ids, _ = Matcher(file.parse("categories", list[CategoryRef])).ids(refs, "this run")
    of_own = {category.name: sizes.get(ids[category.id], []) for category in categories}
    together = [size for found in of_own.values() for size in found]
    return SizeTable(
        overall=_quantiles(together if len(together) >= _ENOUGH else everything),
        by_category={name: _quantiles(found) for name, found in of_own.items() if len(found) >= _ENOUGH},
    )


def _quantiles(sizes: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(size), 4) for size in np.quantile(sizes, np.linspace(0, 1, _QUANTILES)))
