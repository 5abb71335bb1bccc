"""All instances of an LVIS or COCO json in little memory: labels, and masks as run lengths in one block of bytes.

LVIS' 1.27 million training instances take some 400 MB, which worker processes share; a mask becomes pixels when its image
is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mosaicfusion.dataset.coco import AnnotationRef, DatasetFile, ImageRef, require_known, require_unique
from mosaicfusion.dataset.masks import run_lengths
from mosaicfusion.dataset.validate.checks import MAX_SIDE_PX
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError

OnProgress = Callable[[int, int], None]
_Side = Annotated[int, msgspec.Meta(gt=0, le=MAX_SIDE_PX)]
_MAX_STRETCH = 100  # times as long as wide: the short side would come to less than a pixel


class ImageRow(ImageRef, kw_only=True):
    """What training needs of an image; sides in pixels."""

    width: _Side
    height: _Side

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class AnnotationRow(AnnotationRef, kw_only=True, gc=False):
    """What training needs of an annotation; the mask stays JSON until its turn."""

    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    iscrowd: int = 0


@dataclass(frozen=True)
class Instances:
    """Instances in the order of their images; those of image i are ``first[i]`` to ``first[i + 1]``.

    ``labels``: int64 (N,) in 1..C. ``counts``: compressed run lengths of instance n are the bytes ``start[n]`` to
    ``start[n + 1]``. ``crowded``: by image, labels of crowds. ``left_out``: how many annotations were not taken, by reason.
    """

    hw: NDArray[np.int64]
    first: NDArray[np.int64]
    labels: NDArray[np.int64]
    start: NDArray[np.int64]
    counts: bytes
    crowded: dict[int, set[int]]
    left_out: Counter[str]

    def labels_of(self, image: int) -> NDArray[np.int64]:
        """int64 (n,): labels of the instances of image number ``image``."""
        return self.labels[self.first[image] : self.first[image + 1]]

    def masks_of(self, image: int) -> NDArray[np.uint8]:
        """uint8 (n, H, W) of 0 and 1: the masks of image number ``image``."""
        size = self.hw[image].tolist()
        bounds = self.start[self.first[image] : self.first[image + 1] + 1].tolist()
        if len(bounds) < 2:
            return np.zeros((0, *size), np.uint8)
        runs = [{"size": size, "counts": self.counts[begin:end]} for begin, end in pairwise(bounds)]
        return np.ascontiguousarray(coco_mask.decode(runs).transpose(2, 0, 1))


def read_images(file: DatasetFile) -> list[ImageRow]:
    """The images of a json; raises :class:`MosaicFusionError` for one without size, and for ids that are not unique."""
    images = file.parse("images", list[ImageRow])
    require_unique(file.path, "images", (image.id for image in images))
    for image in images:
        if max(image.hw) > _MAX_STRETCH * min(image.hw):
            raise MosaicFusionError(
                f"{file.path}: image {image.id} is {image.height} x {image.width} (height x width), too thin for a detector; "
                "take it out"
            )
    return images


def read_instances(
    file: DatasetFile,
    images: Sequence[ImageRow],
    classes: ClassList,
    without: frozenset[int] = frozenset(),
    on_progress: OnProgress | None = None,
) -> Instances:
    """The instances of ``images``; annotations of the image ids ``without`` are passed over.

    Left out and counted are crowds, annotations without a mask, and masks that cover no pixel. Raises
    :class:`MosaicFusionError` for references to nowhere and for masks that cannot be read.
    """
    place = {image.id: number for number, image in enumerate(images)}
    labels = classes.labels()
    rows = file.parse("annotations", list[AnnotationRow])
    found: list[tuple[int, int, bytes]] = []
    crowded: dict[int, set[int]] = {}
    left_out: Counter[str] = Counter()
    for done, row in enumerate(rows):
        if on_progress is not None and done % 1000 == 0:
            on_progress(done, len(rows))
        if row.image_id in without:
            continue
        require_known(file.path, row, place, labels)
        image, label = place[row.image_id], labels[row.category_id]
        if row.iscrowd:
            left_out["crowds"] += 1
            crowded.setdefault(image, set()).add(label)
        elif not (counts := _counts(file, row, images[image].hw)):
            left_out["masks without a pixel"] += 1
        else:
            found.append((image, label, counts))
    found.sort(key=lambda instance: instance[0])
    numbers = [image for image, _, _ in found]
    return Instances(
        hw=np.array([image.hw for image in images], np.int64).reshape(-1, 2),
        first=np.searchsorted(numbers, np.arange(len(images) + 1)).astype(np.int64),
        labels=np.array([label for _, label, _ in found], np.int64),
        start=np.cumsum([0, *(len(counts) for _, _, counts in found)], dtype=np.int64),
        counts=b"".join(counts for _, _, counts in found),
        crowded=crowded,
        left_out=left_out,
    )


def _counts(file: DatasetFile, row: AnnotationRow, hw: tuple[int, int]) -> bytes:
    """Compressed run lengths; nothing for a mask that covers no pixel."""
    segmentation = msgspec.json.decode(row.segmentation)
    if segmentation in (None, [], {}):
        return b""
    if not isinstance(segmentation, list | dict):
        raise MosaicFusionError(f"{file.path}: annotation {row.id} has no mask that can be read: {segmentation!r:.40}")
    try:
        counts = run_lengths({"id": row.id, "segmentation": segmentation}, hw)["counts"].encode()
    except MosaicFusionError as error:
        raise MosaicFusionError(
            f"{file.path}: {error}; `mosaicfusion validate {file.path}` lists all such places"
        ) from None
    return counts if coco_mask.area({"size": list(hw), "counts": counts}) else b""
