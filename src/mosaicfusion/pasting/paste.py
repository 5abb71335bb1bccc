"""Writing a data set of real images on which instances of other sets are pasted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mosaicfusion.arguments import checked, listed
from mosaicfusion.dataset.coco import SYNTHETIC, CategoryRef, Record
from mosaicfusion.dataset.counts import Counts
from mosaicfusion.dataset.image_files import Folders, read_pixels
from mosaicfusion.dataset.reader import Dataset, open_dataset
from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.images import encode_jpeg
from mosaicfusion.files.remote import as_path
from mosaicfusion.files.writable import check_writable
from mosaicfusion.masks import rle
from mosaicfusion.pasting.compose import Picture
from mosaicfusion.pasting.cutouts import CutoutPool
from mosaicfusion.pasting.rule import MAX_HIDDEN, OBJECTS, PasteRule, check_rule

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@dataclass
class PasteSummary:
    """What was written. ``pasted``: instances by category name.

    ``unmatched``: categories of the sources that were left out. ``left_out``: number of other instances of the sources that
    were left out, by reason.
    """

    out: Path
    images: int = 0
    annotations: int = 0
    pasted: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@checked
def paste(
    real: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    images: Folders | None = None,
    count: int = 500,
    objects: tuple[int, int] = OBJECTS,
    max_hidden: float = MAX_HIDDEN,
    seed: int = 0,
    on_image: OnProgress | None = None,
) -> PasteSummary:
    """Write ``out``: a json of ``count`` images of ``real`` with instances of ``sources`` pasted on them.

    The images are written into a folder beside it. ``merge`` adds the set to the real one.

    Args:
        real: an LVIS or COCO json, or a run folder. Its images are taken in random order, again where there are too few.
        sources: run folders, or jsons beside their images, see :meth:`mosaicfusion.pasting.cutouts.CutoutPool.open`. A run's
            thresholds and rejections count, as in its data set.
        images: one or several folders of the images of ``real``, by default the folder of the json.
        objects: fewest and most instances to paste on an image; fewer where there is no room.
        max_hidden: most of any object's area that instances may hide, in [0, 1].
        seed: the same seed gives the same set.
        on_image: called with (images written, all images).

    What is pasted is chosen as in a training with a pool, see :meth:`mosaicfusion.pasting.rule.PasteRule.of`. Where ``real`` has
    LVIS' lists, a pasted category that was not searched for on an image becomes not exhaustive there. Raises
    :class:`MosaicFusionError` for anything the user can fix, before anything is written where possible.
    """
    check_rule(objects, max_hidden)
    if count < 1:
        raise MosaicFusionError(f"count={count}: give a count from 1 on")
    out = as_path(out)
    if out.exists():
        raise MosaicFusionError(f"{out} exists; give another --out, or remove it with its images in {_folder(out)}/")
    check_writable(out.parent)
    dataset = open_dataset(real, images)
    refs = [msgspec.convert(category, CategoryRef) for category in dataset.categories]
    pool = CutoutPool.open([as_path(source) for source in listed(sources)], refs)
    rng = np.random.default_rng([seed, 0])
    order = np.concatenate([rng.permutation(dataset.images) for _ in range(-(-count // dataset.images))])[
        :count
    ].tolist()
    samples, found = _read(dataset, set(order))
    writer = _Writer(dataset, PasteRule.of(pool, found, objects, max_hidden), out)
    summary = PasteSummary(out, unmatched=pool.unmatched, left_out=pool.left_out)
    show = on_image or (lambda done, total: None)
    show(0, count)
    for number, k in enumerate(order, start=1):
        summary.pasted += writer.write(samples[k], number, np.random.default_rng([seed, 1, number]))
        show(number, count)
    summary.images, summary.annotations = len(writer.images), len(writer.annotations)
    writer.finish()
    return summary


def _read(dataset: Dataset, wanted: set[int]) -> tuple[dict[int, Sample], RealObjects]:
    """The samples that are pasted on, by their position in the set, and the objects of all, in one pass over the set.

    Raises :class:`MosaicFusionError` if one of these samples has no image, a broken one, or an annotation without a mask.
    """
    samples: dict[int, Sample] = {}

    def rows() -> Iterator[tuple[int, int, Sequence[float], tuple[int, int]]]:
        for k, sample in enumerate(dataset):
            if k in wanted:
                samples[k] = sample
            for row in sample.annotation_records:
                if not row.get("iscrowd"):
                    yield sample.id, row["category_id"], row["bbox"], sample.hw[::-1]

    own = {category["name"]: category["id"] for category in dataset.categories}
    objects = RealObjects.of(dataset.path, own, rows())
    Counts.checked(dataset.path, lambda: iter(samples.values()))
    return samples, objects


class _Writer:
    """Pastes on one image after another, and keeps the rows of the json."""

    def __init__(self, dataset: Dataset, rule: PasteRule, out: Path) -> None:
        self.dataset, self.rule, self.out = dataset, rule, out
        self.images: list[Record] = []
        self.annotations: list[Record] = []

    def write(self, sample: Sample, number: int, rng: np.random.Generator) -> Counter[str]:
        """Paste on an image, write it, and return the pasted instances by category name."""
        masks = [rle.decode(annotation.mask.run_lengths()) for annotation in sample.annotations]
        picture = Picture.of(read_pixels(sample.file, sample.hw), masks)
        pasted = self.rule.paste_on(picture, rng)
        if not pasted:
            return Counter()
        name = f"{_folder(self.out)}/{number:06d}.jpg"
        write_atomic(self.out.parent / name, encode_jpeg(picture.pixels))
        self.images.append(_image_row(sample.record, len(self.images) + 1, name, pasted, sample))
        rows = [{SYNTHETIC: sample.synthetic, **annotation.record} for annotation in sample.annotations]
        rows += [{"category_id": id_, "iscrowd": 0, SYNTHETIC: True} for id_ in pasted]
        for k, (row, mask) in enumerate(zip(rows, picture.masks, strict=True)):
            if mask.any():
                changed = k >= len(masks) or int(mask.sum()) != picture.whole[k]
                own = {"id": len(self.annotations) + 1, "image_id": len(self.images)}
                self.annotations.append({**row, **own, **(_mask_fields(mask) if changed else {})})
        return Counter(self.rule.names[id_] for id_ in pasted)

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


def _folder(out: Path) -> str:
    """Name of the folder of the images, beside the json."""
    return f"{out.stem}-images"


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
