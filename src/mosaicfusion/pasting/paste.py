"""Writing a data set of real images on which instances of other sets are pasted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mosaicfusion.arguments import checked, listed
from mosaicfusion.categories import Category
from mosaicfusion.dataset.coco import SYNTHETIC, CategoryRef, Record
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.dataset.reader import Dataset, open_dataset
from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.images import encode_jpeg, read_rgb
from mosaicfusion.files.remote import as_path
from mosaicfusion.files.writable import check_writable
from mosaicfusion.masks import rle
from mosaicfusion.pasting.compose import Picture
from mosaicfusion.pasting.cutouts import CutoutPool

if TYPE_CHECKING:
    from mosaicfusion.layouts.real_set import QuantileTable
    from mosaicfusion.progress import OnProgress


@dataclass
class PasteSummary:
    """What was written. ``pasted``: instances by category name. ``unmatched``: categories of the sources that were left out."""

    out: Path
    images: int = 0
    annotations: int = 0
    pasted: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)


@checked
def paste(
    real: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    images: Folders | None = None,
    count: int = 500,
    objects: tuple[int, int] = (4, 8),
    max_hidden: float = 0.5,
    seed: int = 0,
    on_image: OnProgress | None = None,
) -> PasteSummary:
    """Write ``out``: a json of ``count`` images of ``real`` with instances of ``sources`` pasted on them.

    The images are written into a folder beside it. ``merge`` adds the set to the real one.

    Args:
        real: an LVIS or COCO json, or a run folder. Its images are taken in random order, again where there are too few.
        sources: run folders, or jsons beside their images. A run's thresholds and rejections count, as in its data set.
        images: one or several folders of the images of ``real``, by default the folder of the json.
        objects: fewest and most instances to paste on an image; fewer where there is no room.
        max_hidden: most of any object's area that instances may hide, in [0, 1].
        seed: the same seed gives the same set.
        on_image: called with (images written, all images).

    The rarer a category in ``real``, the more often it is pasted: by one over the square root of its number of images. Sizes are
    those of its real objects (see :meth:`mosaicfusion.dataset.real_objects.RealObjects.sizes`). Where ``real`` has LVIS' lists, a
    pasted category that was not searched for on an image becomes not exhaustive there.

    Raises :class:`MosaicFusionError` for anything the user can fix, before anything is written where possible.
    """
    fewest, most = objects
    if not (1 <= fewest <= most and count >= 1 and 0 <= max_hidden <= 1):
        given = f"objects={objects}, count={count}, max_hidden={max_hidden}"
        raise MosaicFusionError(f"{given}: give fewest and most from 1 on, a count from 1 on, and a part in [0, 1]")
    out = as_path(out)
    check_writable(out)
    dataset = open_dataset(real, images, check_images=True)
    refs = [msgspec.convert(category, CategoryRef) for category in dataset.categories]
    pool = CutoutPool.open([as_path(source) for source in listed(sources)], refs)
    names = {ref.id: ref.name for ref in refs}
    sizes = RealObjects.read(dataset.path, [Category(ref.id, ref.name) for ref in refs]).sizes()
    writer = _Writer(dataset, pool, sizes, names, out)
    summary = PasteSummary(out, unmatched=pool.unmatched)
    show = on_image or (lambda done, total: None)
    show(0, count)
    rng = np.random.default_rng([seed, 0])
    samples = list(dataset)
    order = np.concatenate([rng.permutation(len(samples)) for _ in range(-(-count // len(samples)))])[:count]
    for number, k in enumerate(order, start=1):
        own = np.random.default_rng([seed, 1, number])
        summary.pasted += writer.write(
            samples[k], number, int(own.integers(fewest, most, endpoint=True)), max_hidden, own
        )
        show(number, count)
    summary.images, summary.annotations = len(writer.images), len(writer.annotations)
    writer.finish()
    return summary


class _Writer:
    """Pastes on one image after another, and keeps the rows of the json."""

    def __init__(
        self, dataset: Dataset, pool: CutoutPool, sizes: QuantileTable, names: Mapping[int, str], out: Path
    ) -> None:
        self.dataset, self.pool, self.sizes, self.names, self.out = dataset, pool, sizes, names, out
        self.ids = np.array(sorted(pool.instances))
        weights = np.array([1 / np.sqrt(dataset.counts.by_image[id_] + 1) for id_ in self.ids.tolist()])
        self.weights = weights / weights.sum()
        self.images: list[Record] = []
        self.annotations: list[Record] = []

    def write(
        self, sample: Sample, number: int, wanted: int, max_hidden: float, rng: np.random.Generator
    ) -> Counter[str]:
        """Paste on an image, write it, and return the pasted instances by category name."""
        masks = [rle.decode(annotation.mask.run_lengths()) for annotation in sample.annotations]
        picture = Picture.of(read_rgb(sample.file, upright=True), masks)
        pasted: list[int] = []
        for id_ in rng.choice(self.ids, wanted, p=self.weights).tolist():
            size_px = self.sizes.sample(self.names[id_], rng) * float(np.sqrt(sample.hw[0] * sample.hw[1]))
            if picture.paste(self.pool.cut(id_, rng), size_px, max_hidden, rng):
                pasted.append(id_)
        if not pasted:
            return Counter()
        name = f"{self.out.stem}-images/{number:06d}.jpg"
        write_atomic(self.out.parent / name, encode_jpeg(picture.pixels))
        self.images.append(_image_row(sample.record, len(self.images) + 1, name, pasted, sample))
        rows = [dict(annotation.record) for annotation in sample.annotations]
        rows += [{"category_id": id_, "iscrowd": 0} for id_ in pasted]
        for k, (row, mask) in enumerate(zip(rows, picture.masks, strict=True)):
            if mask.any():
                changed = k >= len(masks) or int(mask.sum()) != picture.whole[k]
                own = {"id": len(self.annotations) + 1, "image_id": len(self.images)}
                self.annotations.append({**row, **own, **(_mask_fields(mask) if changed else {})})
        return Counter(self.names[id_] for id_ in pasted)

    def finish(self) -> None:
        """Write the json."""
        if not self.images:
            raise MosaicFusionError(
                "no instance found a place; lower the number of objects, or allow more to be hidden"
            )
        data = {**self.dataset.head, "images": self.images, "annotations": self.annotations}
        instances = Counter(row["category_id"] for row in self.annotations)
        images = Counter(id_ for id_, _ in {(row["category_id"], row["image_id"]) for row in self.annotations})
        data["categories"] = [
            {**category, "image_count": images[category["id"]], "instance_count": instances[category["id"]]}
            for category in self.dataset.categories
        ]
        write_atomic(self.out, json.dumps(data, ensure_ascii=False).encode())


def _image_row(record: Record, id_: int, name: str, pasted: Sequence[int], sample: Sample) -> Record:
    """The image's own row under another name; LVIS' lists, where it has them, say what was searched for."""
    row: Record = {**record, "id": id_, "file_name": name, "coco_url": name, SYNTHETIC: True}
    negative, partial = record.get("neg_category_ids"), record.get("not_exhaustive_category_ids")
    if negative is not None and partial is not None:
        searched = {annotation.category_id for annotation in sample.annotations} | set(negative)
        row["neg_category_ids"] = [one for one in negative if one not in pasted]
        row["not_exhaustive_category_ids"] = sorted({*partial, *(one for one in pasted if one not in searched)})
    return row


def _mask_fields(mask: Any) -> dict[str, Any]:
    return {"segmentation": dict(rle.encode(mask)), "area": rle.area(mask), "bbox": list(rle.box_xywh(mask))}
