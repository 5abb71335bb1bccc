"""The objects of a data set: their sizes, numbers on an image, positions, and which categories are together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.dataset.coco import AnnotationRef, CategoryRef, ImageRow
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.layouts.real_set import CompanionTable, PositionTable, QuantileTable

_QUANTILES = 21
_ENOUGH = 20  # objects of a category, or images, for values of their own
_COMPANIONS = 32  # categories that are kept for each main one, so that a run of LVIS' 1,203 stays small
_ROOM = 0.05  # of an image's side: an object that leaves less is in the middle


class _Box(AnnotationRef, kw_only=True, gc=False):
    bbox: tuple[float, float, float, float] | None = None
    iscrowd: int = 0


@dataclass(frozen=True)
class RealObjects:
    """The objects of a set that have a box and are no crowds, n of them. Make one with :meth:`read` or :meth:`of`.

    ``image_ids`` and ``category_ids``: int64 (n,). ``boxes``: left, top, width, height, float64 (n, 4), and ``images_wh``: width
    and height of their images, float64 (n, 2), in pixels. ``own``: the set's ids of some categories, by name.
    """

    path: Path
    own: dict[str, int]
    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    images_wh: NDArray[np.float64]

    @classmethod
    def read(cls, path: str | Path, categories: Sequence[Category]) -> RealObjects:
        """Read a run folder, or an LVIS or COCO json. Categories are matched as by ``merge``.

        Raises :class:`MosaicFusionError` if there are no objects with a box.
        """
        file = open_rows(as_path(path))
        sizes = {image.id: (image.width, image.height) for image in file.parse("images", list[ImageRow])}
        refs = [CategoryRef(c.id, c.name, list(c.synonyms), c.synset) for c in categories]
        ids, _ = Matcher(file.parse("categories", list[CategoryRef])).ids(refs, "this run")
        rows = (
            (row.image_id, row.category_id, row.bbox, sizes[row.image_id])
            for row in file.parse("annotations", list[_Box])
            if row.bbox and not row.iscrowd and row.image_id in sizes
        )
        return cls.of(as_path(path), {category.name: ids[category.id] for category in categories}, rows)

    @classmethod
    def of(
        cls, path: Path, own: dict[str, int], rows: Iterable[tuple[int, int, Sequence[float], tuple[int, int]]]
    ) -> RealObjects:
        """Objects given as image, category, box, and width and height of the image; those without an extent are left out.

        Raises :class:`MosaicFusionError` if there are not at least two.
        """
        found = [row for row in rows if row[2][2] * row[2][3] > 0]
        if len(found) < 2:
            raise MosaicFusionError(f"{path} has {len(found)} objects with a box; a real set with many is needed")
        images, categories, boxes, sizes = zip(*found, strict=True)
        return cls(
            path,
            own,
            np.array(images, np.int64),
            np.array(categories, np.int64),
            np.array(boxes, np.float64),
            np.array(sizes, np.float64),
        )

    def sizes(self) -> QuantileTable:
        """Square roots of the boxes' areas, as parts of those of their images."""
        areas = self.boxes[:, 2] * self.boxes[:, 3] / self.images_wh.prod(axis=1)
        return self._table(np.minimum(1, np.sqrt(areas)))

    def positions(self) -> PositionTable:
        """Places of the boxes in the room that their sizes leave."""
        room = self.images_wh - self.boxes[:, 2:]
        lies = np.full_like(room, 0.5)
        np.divide(self.boxes[:, :2], room, out=lies, where=room > _ROOM * self.images_wh)
        across, down = np.clip(lies, 0, 1).T
        return PositionTable(across=self._table(across), down=self._table(down))

    def objects(self) -> tuple[float, ...]:
        """Quantiles of the number of objects on an image: on those with one of the own categories, or on all if these are few."""
        _, rows, counts = np.unique(self.image_ids, return_inverse=True, return_counts=True)
        with_own = np.unique(rows[self._is_own()])
        return _quantiles(counts[with_own] if len(with_own) >= _ENOUGH else counts)

    def companions(self, main: Sequence[Category]) -> CompanionTable:
        """Counts of which own categories are together on an image, and with each of ``main``.

        Raises :class:`MosaicFusionError` if the set has none of them.
        """
        names = {id_: name for name, id_ in self.own.items()}
        on_image: dict[int, set[str]] = defaultdict(set)
        for image, category in zip(self.image_ids.tolist(), self.category_ids.tolist(), strict=True):
            if category in names:
                on_image[image].add(names[category])
        if not on_image:
            raise MosaicFusionError(
                f"{self.path} has no object of this run's categories, so it cannot say which are together; take "
                "layout.companions=any"
            )
        images = Counter(name for shown in on_image.values() for name in shown)
        together: dict[str, Counter[str]] = {category.name: Counter() for category in main}
        for shown in on_image.values():
            for name in shown & together.keys():
                together[name].update(shown - {name})
        most = {name: sorted(beside.items(), key=lambda item: (-item[1], item[0])) for name, beside in together.items()}
        return CompanionTable(
            images={name: images[name] for name in self.own},
            together={name: dict(beside[:_COMPANIONS]) for name, beside in most.items() if beside},
        )

    def _is_own(self) -> NDArray[np.bool_]:
        return np.isin(self.category_ids, list(self.own.values()))

    def _table(self, values: NDArray[np.float64]) -> QuantileTable:
        """Quantiles of each own category with enough objects; overall of these categories, or of the set if they have few."""
        own = self._is_own()
        by_category = {name: values[self.category_ids == id_] for name, id_ in self.own.items()}
        return QuantileTable(
            overall=_quantiles(values[own] if own.sum() >= _ENOUGH else values),
            by_category={name: _quantiles(found) for name, found in by_category.items() if len(found) >= _ENOUGH},
        )


def _quantiles(values: NDArray[np.float64] | NDArray[np.int64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, _QUANTILES)))
