"""The rule of what is pasted on an image: of which categories, how many, how large. One rule for the command and for training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layouts.real_set import QuantileTable
from mosaicfusion.pasting.compose import Picture
from mosaicfusion.pasting.cutouts import CutoutPool

OBJECTS = (4, 8)  # fewest and most instances on an image
MAX_HIDDEN = 0.5


@dataclass(frozen=True)
class PasteRule:
    """The choice of instances of a pool. Make one with :meth:`of`.

    ``ids``: int64 (C,), the pool's categories; ``weights``: float64 (C,), how often each is pasted, 1 in total; ``names``: by id.
    ``sizes``: of objects, by name, as parts of the square root of their image's area. ``objects``: fewest and most instances on
    an image, fewer where there is no room. ``max_hidden``: most of any object's area that instances may hide, in [0, 1].
    """

    pool: CutoutPool
    ids: NDArray[np.int64]
    weights: NDArray[np.float64]
    names: dict[int, str]
    sizes: QuantileTable
    objects: tuple[int, int]
    max_hidden: float

    @classmethod
    def of(
        cls, pool: CutoutPool, real: RealObjects, objects: tuple[int, int] = OBJECTS, max_hidden: float = MAX_HIDDEN
    ) -> PasteRule:
        """Paste at the sizes of real objects, and the rarer a category, the more often: by one over the root of its images."""
        check_rule(objects, max_hidden)
        ids = np.array(sorted(pool.instances))
        images = Counter(id_ for id_, _ in {*zip(real.category_ids.tolist(), real.image_ids.tolist(), strict=True)})
        weights = 1 / np.sqrt([images[id_] + 1 for id_ in ids.tolist()])
        names = {id_: name for name, id_ in real.own.items()}
        return cls(pool, ids, weights / weights.sum(), names, real.sizes(), objects, max_hidden)

    def paste_on(self, picture: Picture, rng: np.random.Generator) -> list[int]:
        """Paste on a picture; returns the ids of the categories of the new masks."""
        fewest, most = self.objects
        wanted = int(rng.integers(fewest, most, endpoint=True))
        root_area = float(np.sqrt(picture.pixels.shape[0] * picture.pixels.shape[1]))
        pasted = []
        for id_ in rng.choice(self.ids, wanted, p=self.weights).tolist():
            size_px = self.sizes.sample(self.names[id_], rng) * root_area
            if picture.paste(self.pool.cut(id_, rng), size_px, self.max_hidden, rng):
                pasted.append(id_)
        return pasted


def check_rule(objects: tuple[int, int], max_hidden: float = MAX_HIDDEN) -> None:
    """Raise :class:`MosaicFusionError` unless these can be settings of a rule."""
    fewest, most = objects
    if not (1 <= fewest <= most and 0 <= max_hidden <= 1):
        raise MosaicFusionError(
            f"objects={tuple(objects)}, max_hidden={max_hidden}: give fewest and most from 1 on, and a part in [0, 1]"
        )
