"""YOLO as Ultralytics reads it: ``data.yaml``, ``images/train/*.jpg``, ``labels/train/*.txt``, and the same under ``val``.

A line is one object: ``<index of the category, from 0> <x> <y> <x> <y> ...``, the corners of one polygon divided by width and
height, moved inwards by 0.01 px: Ultralytics and OpenCV cut coordinates to whole pixels and fill the outline too, which would
add a row at the bottom and a column at the right. So they restore the very same pixels at full size, as COCO's filling does.

Lost: the lines of no width that join the parts of an object become a pixel wide in Ultralytics; crowds are left out, since the
format has no term for them, and so are all fields of LVIS but the category. Images of a json keep their file names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mosaicfusion.dataset.coco import ImageRef, image_name
from mosaicfusion.dataset.export.format import ExportOptions, Format, Split, left_out_fields
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.masks import PolygonMask
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.errors import counted
from mosaicfusion.masks import rle
from mosaicfusion.masks.polygons import move_inwards, signed_area

_INSET_PX = 0.01
_PLAIN = re.compile(r"\w[\w.-]{0,199}")  # stems that are file names everywhere


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    index_of = dataset.index_of
    stems = original_stems(dataset)
    beyond = 0
    splits: set[Split] = set()
    for sample in samples:
        split = options.split(sample)
        splits.add(split)
        lines = []
        for annotation in sample.annotations:
            corners = np.clip(single_polygon(annotation) / (sample.hw[1], sample.hw[0]), 0, 1)
            if not len(corners) or not np.ptp(corners, axis=0).all():
                beyond += 1
                continue
            numbers = " ".join(f"{value:.6f}" for value in corners.ravel())
            lines.append(f"{index_of[annotation.category_id]} {numbers}\n")
        stem = stems.get(sample.id, sample.stem)
        out.write(f"images/{split}/{stem}{sample.suffix}", sample.read())
        out.write(f"labels/{split}/{stem}.txt", "".join(lines).encode())
    options.require_both(splits)
    # No `path`: Ultralytics resolves a relative one in its own folder of data sets, and a missing one beside the yaml.
    data = {
        "train": "images/train",
        "val": "images/val" if options.has_val else "images/train",
        "names": {index: category["name"] for index, category in enumerate(dataset.categories)},
    }
    out.write("data.yaml", yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode())
    notes = [f"{counted(beyond, 'object')} beyond the image left out"] * bool(beyond) + left_out_fields(dataset)
    if not options.has_val:
        notes.append("val is train; --val-fraction 0.1 sets a tenth apart, --val takes your own validation set")
    elif not options.own_val and not options.synthetic_in_val:
        notes.append("val holds real images only")
    return notes


def original_stems(dataset: Dataset) -> dict[int, str]:
    """The own file names of the images of a json, without suffix, by id; images that are missing here are named by their id.

    The folders are joined in where two names are the same, and for synthetic images. Names with other characters than letters,
    digits and ``_ . -`` are not used: they come from outside. An own validation set has its own folder, and so its own names.
    """
    of_run = dataset.path.is_dir()
    train = _stems(sample for sample in dataset if not sample.own_val and not (of_run and sample.synthetic))
    return train | _stems(sample for sample in dataset if sample.own_val)


def _stems(samples: Iterable[Sample]) -> dict[int, str]:
    last: Counter[str] = Counter()
    parts: dict[int, tuple[bool, list[str]]] = {}
    for sample in samples:
        own = (image_name(msgspec.convert(sample.record, ImageRef)) or "").split("/")
        parts[sample.id] = sample.synthetic, own
        last[_stem(own[-1:])] += not sample.synthetic
    stems = {
        id_: _stem(own if synthetic or last[_stem(own[-1:])] > 1 else own[-1:])
        for id_, (synthetic, own) in parts.items()
    }
    by_id = {f"{id_:012d}" for id_ in stems}
    counts = Counter(stem.lower() for stem in stems.values())
    return {
        id_: stem
        for id_, stem in stems.items()
        if _PLAIN.fullmatch(stem) and counts[stem.lower()] == 1 and (stem not in by_id or stem == f"{id_:012d}")
    }


def _stem(parts: Sequence[str]) -> str:
    return "-".join(parts).rsplit(".", 1)[0]


def single_polygon(annotation: Annotation) -> NDArray[np.float64]:
    """One closed outline, float64 (N, 2) of x, y in pixels; a mask without a pixel gives (0, 2).

    Several parts are joined at their nearest corners by lines of no width. Polygons of several parts are traced again from
    their pixels, since the parts may overlap, and readers count an area inside of two outlines as outside.
    """
    mask = annotation.mask
    if isinstance(mask, PolygonMask) and len(mask.parts) == 1:
        only = np.array(mask.parts[0], np.float64).reshape(-1, 2)
        return move_inwards(only if signed_area(only) > 0 else only[::-1], _INSET_PX)
    parts = rle.polygons(rle.decode(mask.run_lengths()), _INSET_PX)
    if not parts:
        return np.empty((0, 2))
    outline, *others = (np.array(part).reshape(-1, 2) for part in parts)
    for part in others:
        distances = cdist(outline, part)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        turned = np.roll(part, -int(there), axis=0)
        outline = np.concatenate([outline[: here + 1], turned, turned[:1], outline[here:]])
    return outline


FORMAT = Format(write, masks=("polygon",), splits=True, crowds=False)
