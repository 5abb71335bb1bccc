"""YOLO as Ultralytics reads it: ``data.yaml``, ``images/train/*.jpg``, ``labels/train/*.txt``, and the same under ``val``.

A line is one object: ``<index of the category, from 0> <x> <y> <x> <y> ...``, the corners of one polygon divided by width and
height. The outline runs through the middles of the pixels' edges: boxes are exact, and COCO's way of filling restores the very
same pixels. Ultralytics fills polygons including their border, at a quarter of the training size; its masks of synthetic objects
have a mean IoU of 0.99 with the exact ones at 640 px (``benchmarks/export_yolo.py``).

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
from mosaicfusion.dataset.export.format import ExportOptions, Format, Split
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.masks import rle

_PLAIN = re.compile(r"\w[\w.-]{0,199}")  # stems that are file names everywhere


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    index_of = dataset.index_of
    stems = original_stems(dataset)
    beyond = 0
    splits: set[Split] = set()
    for sample in samples:
        split = options.split(sample.id, sample.synthetic)
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
        "val": "images/val" if options.val_fraction else "images/train",
        "names": {index: category["name"] for index, category in enumerate(dataset.categories)},
    }
    out.write("data.yaml", yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode())
    notes = [f"{beyond} objects beyond their image left out"] * bool(beyond)
    if not options.val_fraction:
        return [*notes, "val is train; --val-fraction 0.1 sets a tenth apart"]
    return notes if options.synthetic_in_val else [*notes, "val holds real images only"]


def original_stems(dataset: Dataset) -> dict[int, str]:
    """The own file names of the images of a json, without suffix, by id; images that are missing here are named by their id.

    The folders are joined in where two names are the same, and for synthetic images. Names with other characters than letters,
    digits and ``_ . -`` are not used: they come from outside.
    """
    if dataset.path.is_dir():
        return {}
    last: Counter[str] = Counter()
    parts: dict[int, tuple[bool, list[str]]] = {}
    for sample in dataset:
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
    parts = annotation.mask.polygons()
    if len(parts) > 1:
        parts = rle.polygons(rle.decode(annotation.mask.run_lengths()))
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
