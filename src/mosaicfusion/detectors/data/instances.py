"""All instances of an LVIS or COCO json in compact form: labels, and masks as run lengths in one block of bytes.

LVIS' 1.27 million training instances take about 400 MB, shared by worker processes; masks are decoded when their image is
loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mosaicfusion.dataset.coco import SYNTHETIC, AnnotationRow, DatasetFile, ImageRow, require_known, require_unique
from mosaicfusion.dataset.masks import is_blank, read_mask
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.errors import MosaicFusionError, first_line

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

_MAX_ASPECT = 100  # beyond it, the resized short side would be below a pixel


class _Row(AnnotationRow, kw_only=True, gc=False):
    mark: Any = msgspec.field(default=None, name=SYNTHETIC)  # without one, an instance is synthetic if its image is


@dataclass(frozen=True)
class Instances:
    """N instances in the order of their images; image i has those from ``first[i]`` up to ``first[i + 1]``.

    ``hw``: int64 (images, 2). ``labels``: int64 (N,) in 1..C. ``counts``: the bytes from ``start[n]`` up to ``start[n + 1]``
    are the compressed run lengths of instance n. ``synthetic``: bool (N,), see :meth:`synthetic_of`. ``crowded``: labels of
    crowds, by image. ``left_out``: number of annotations left out, by reason.
    """

    hw: NDArray[np.int64]
    first: NDArray[np.int64]
    labels: NDArray[np.int64]
    start: NDArray[np.int64]
    counts: bytes
    synthetic: NDArray[np.bool_]
    crowded: dict[int, set[int]]
    left_out: Counter[str]

    def labels_of(self, image: int) -> NDArray[np.int64]:
        """int64 (n,): labels of the instances of image number ``image``."""
        return self.labels[self.first[image] : self.first[image + 1]]

    def synthetic_of(self, image: int) -> NDArray[np.bool_]:
        """bool (n,): which instances of image number ``image`` were generated; on an image with pasted ones, not all."""
        return self.synthetic[self.first[image] : self.first[image + 1]]

    def masks_of(self, image: int) -> NDArray[np.uint8]:
        """uint8 (n, H, W) of 0 and 1: the masks of image number ``image``."""
        runs = self._runs_of(image)
        if not runs:
            return np.zeros((0, *self.hw[image].tolist()), np.uint8)
        return np.ascontiguousarray(coco_mask.decode(runs).transpose(2, 0, 1))

    def boxes(self) -> NDArray[np.float64]:
        """float64 (N, 4): left, top, width and height of the masks of all instances, in pixels."""
        boxes = [coco_mask.toBbox(runs) for image in range(len(self.hw)) if (runs := self._runs_of(image))]
        return np.concatenate([*boxes, np.zeros((0, 4))])

    def _runs_of(self, image: int) -> list[dict[str, Any]]:
        """The run lengths of the masks of image number ``image``, in pycocotools' form."""
        size = self.hw[image].tolist()
        bounds = self.start[self.first[image] : self.first[image + 1] + 1].tolist()
        return [{"size": size, "counts": self.counts[begin:end]} for begin, end in pairwise(bounds)]


def read_images(file: DatasetFile) -> list[ImageRow]:
    """Read the images of a json; raises :class:`MosaicFusionError` if a size is missing or extreme, or ids are not unique."""
    images = file.parse("images", list[ImageRow])
    require_unique(file.path, "images", (image.id for image in images))
    for image in images:
        if max(image.hw) > _MAX_ASPECT * min(image.hw):
            raise MosaicFusionError(
                f"{file.path}: image {image.id} is {image.height} x {image.width} (height x width), too thin for a detector; "
                "remove it from the json"
            )
    return images


def read_instances(
    file: DatasetFile,
    images: Sequence[ImageRow],
    classes: ClassList,
    without: frozenset[int] = frozenset(),
    on_progress: OnProgress | None = None,
) -> Instances:
    """Read the instances of ``images``; annotations of the image ids ``without`` are ignored.

    Crowds, annotations without a mask and masks without a pixel are left out and counted. Raises :class:`MosaicFusionError`
    for unknown image or category ids and for masks that cannot be read.
    """
    index_of = {image.id: number for number, image in enumerate(images)}
    labels = classes.labels()
    rows = file.parse("annotations", list[_Row])
    instances: list[tuple[int, int, bytes, bool]] = []
    crowded: dict[int, set[int]] = {}
    left_out: Counter[str] = Counter()
    for done, row in enumerate(rows):
        if on_progress is not None and done % 1000 == 0:
            on_progress(done, len(rows))
        if row.image_id in without:
            continue
        require_known(file.path, row, index_of, labels)
        image, label = index_of[row.image_id], labels[row.category_id]
        if row.iscrowd:
            left_out["crowds"] += 1
            crowded.setdefault(image, set()).add(label)
        elif not (counts := _counts(file, row, images[image].hw)):
            left_out["objects without a mask"] += 1
        else:
            synthetic = images[image].synthetic if row.mark is None else row.mark is True
            instances.append((image, label, counts, synthetic))
    instances.sort(key=lambda instance: instance[0])
    numbers = [image for image, *_ in instances]
    return Instances(
        hw=np.array([image.hw for image in images], np.int64).reshape(-1, 2),
        first=np.searchsorted(numbers, np.arange(len(images) + 1)).astype(np.int64),
        labels=np.array([label for _, label, _, _ in instances], np.int64),
        start=np.cumsum([0, *(len(counts) for _, _, counts, _ in instances)], dtype=np.int64),
        counts=b"".join(counts for _, _, counts, _ in instances),
        synthetic=np.array([synthetic for *_, synthetic in instances], bool),
        crowded=crowded,
        left_out=left_out,
    )


def _counts(file: DatasetFile, row: AnnotationRow, hw: tuple[int, int]) -> bytes:
    """Compressed run lengths; empty for a mask without a pixel."""
    try:
        segmentation = msgspec.json.decode(row.segmentation)
    except (msgspec.DecodeError, RecursionError) as error:  # nested without end
        raise MosaicFusionError(f"{file.path}: annotation {row.id}: segmentation: {first_line(error)}") from None
    if is_blank(segmentation):
        return b""
    try:
        counts = read_mask({"id": row.id, "segmentation": segmentation}, hw).run_lengths()["counts"].encode()
    except MosaicFusionError as error:
        raise MosaicFusionError(
            f"{file.path}: {error}; `mosaicfusion validate {file.path}` lists all such errors"
        ) from None
    return counts if coco_mask.area({"size": list(hw), "counts": counts}) else b""
